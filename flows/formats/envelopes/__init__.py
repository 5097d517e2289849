"""Envelopes: formats in which others wrap the JSON of an event. One file an envelope."""
