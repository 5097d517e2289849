"""Request for a backfill: what a job is to learn silently before it is live."""

from dataclasses import dataclass
from pathlib import Path

from flows.job.past_scan import time_text


@dataclass(frozen=True, kw_only=True)
class Backfill:
    """What is to be learned silently. At most one of `paths`, `topic` and `state` is given."""

    paths: tuple[str, ...] = ()
    """Files, or patterns of files."""
    topic: str | None = None
    """A topic that is not an input topic."""
    state: Path | None = None
    """The recovery directory of a replay."""
    sort: bool = False
    """Whether the files are sorted by time first."""
    until: float | None = None
    """Only interactions before this time, in Unix seconds, are learned of the past. None: all."""
    is_silent: bool = False
    """Whether the input topic, too, is learned silently up to its present end."""
    active_days: float = 30.0
    """Users with an event in the last days of the past get a list. 0: nobody gets one."""

    @property
    def what(self) -> str:
        """The past in words. Empty: there is none but the input topic."""
        if self.state is not None:
            return f"state {self.state.resolve()}"
        cut = "" if self.until is None else f" until {time_text(self.until)}"
        if self.topic is not None:
            return f"topic {self.topic}{cut}"
        files = ", ".join(str(Path(path).absolute()) for path in self.paths)
        return files and f"files {files}{' sorted' if self.sort else ''}{cut}"
