"""The exceptions that end a command with one line instead of a traceback.

```
FreshrankError
├── UsageError   exit status 2: a wrong command, configuration or input file (also a ValueError)
│   ├── SettingsError, LogError, OutputFileError, PortError, RecoveryError, StoreError, ...
├── UnusableInputError   exit status 3: it ran, but (nearly) nothing of the input could be used
└── JobError     exit status 1: something failed while running
    ├── KafkaJobError, TooManyRejectsError, WriteError, ReplayFailedError, ModelError
```

Each message says what was expected, what came, where, and what to do. An error in a user's own code is one line that
begins with its file and line. Any other exception is a defect of this program, and keeps its traceback.
"""

__all__ = ["FreshrankError", "JobError", "LogError", "UsageError"]


class FreshrankError(Exception):
    """Base of all errors that the command line shows as one line."""


class UsageError(FreshrankError, ValueError):
    """A wrong command, configuration or input file. Exit status 2."""


class JobError(FreshrankError):
    """A failure while a job or a replay runs. Exit status 1."""


class UnusableInputError(FreshrankError):
    """It ran, but (nearly) nothing of the input could be used. Exit status 3."""


def how_to_install(extra: str) -> str:
    """Return the command that installs an optional extra, in a clone and elsewhere.

    >>> how_to_install("tune")
    "make extra NAME=tune (in a clone), or pip install 'freshrank[tune]'"
    """
    return f"make extra NAME={extra} (in a clone), or pip install 'freshrank[{extra}]'"


class LogError(UsageError):
    """A file cannot be read as a log."""
