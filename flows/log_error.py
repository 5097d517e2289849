"""What is wrong with a log."""


class LogError(Exception):
    """A file cannot be read as a log. The message says what was expected, what came and what to do."""
