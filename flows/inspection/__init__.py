"""Reads the model of a stopped job and describes it."""
