"""The error of wrong settings."""

from flows.errors import UsageError


class SettingsError(UsageError):
    """Settings cannot be used. The message names the setting, what was expected, and what came unless it is secret."""
