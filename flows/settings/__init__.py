"""Every setting of the job, by scope: `lists`, `input`, `kafka` and `job`; `loading` unites and reads them.

To add a setting, add one field with its metadata to the file of its scope, and use it in a step.
"""

from flows.settings.errors import SettingsError
from flows.settings.loading import Settings, all_settings, load_settings, unknown_setting

__all__ = ["Settings", "SettingsError", "all_settings", "load_settings", "unknown_setting"]
