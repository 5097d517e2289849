"""Connector for files: reads recorded logs, and writes lists and rejects."""
