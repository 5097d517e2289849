"""Formats of records: JSON and CSV events, envelopes, detection, and dead letters."""
