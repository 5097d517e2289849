"""A connector whose topics are files: a log in place of the input topic, and files of lists and rejects."""

import threading
from pathlib import Path
from typing import Any

from flows.files.line_source import LogSource
from flows.files.sinks import ListFile, RejectFile
from flows.job.connector import Findings, JobConnections, connections_of
from flows.job.stoppable import Stoppable
from flows.settings import Settings


class FileConnector:
    """Reads JSON Lines to their end, and writes each list exactly once.

    Args:
        settings: Those of the job.
        log: The log in place of the topic.
        directory: Where `lists.jsonl` and `rejects.jsonl` are written.
        batch: Records taken at once.
    """

    def __init__(self, settings: Settings, log: Path, directory: Path, batch: int = 8) -> None:
        self.settings = settings
        self.log = log
        self.directory = directory
        self.batch = batch
        self.input_name = log.name
        self.place = str(directory)

    def inspect(self) -> Findings:
        """Find no fault."""
        return Findings([], [])

    def prepare(self) -> None:
        """Make nothing."""

    def connect(self, stop: threading.Event | None, stop_at_end: bool) -> JobConnections:
        """Connect a flow with the files."""
        log = LogSource(self.log, batch_size=self.batch)
        source: Any = log if stop is None else Stoppable(log, stop)
        lists, rejects = ListFile(self.directory / "lists.jsonl"), RejectFile(self.directory / "rejects.jsonl")
        return connections_of(self.settings, source, lists, rejects)
