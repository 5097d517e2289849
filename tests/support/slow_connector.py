"""A connector for `freshrank run` on a log: paths come from the environment."""

import os
from pathlib import Path

from flows.settings import Settings
from tests.support.file_connector import FileConnector


class OnLog(FileConnector):
    """Reads the log `SLOW_LOG`, and writes lists into the directory `SLOW_DIRECTORY`."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, Path(os.environ["SLOW_LOG"]), Path(os.environ["SLOW_DIRECTORY"]))
