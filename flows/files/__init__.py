"""Connector for files: recorded logs in, lists and rejects out."""
