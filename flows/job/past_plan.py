"""Plan of a past that a job learns before it goes on live, kept in the recovery directory so that it can be resumed."""

from pathlib import Path
from typing import Final, Literal, TypeAlias, TypeVar

import msgspec

from flows.kafka.position import Place, name_of, place_of
from flows.state.atomic_files import write_whole
from flows.state.recovery import RecoveryError

NAME: Final = "past.json"
"""Name of the file in the recovery directory."""
USERS_NAME: Final = "past-users.json"
"""Name of the file that holds the users who get a list at the end."""

Kind = TypeVar("Kind", bound=msgspec.Struct)
Stage: TypeAlias = Literal["import", "learn", "catch up", "announce", "done"]
"""Take over the state of a replay, learn the past, learn the topic silently, send the lists, or nothing more."""


class PastPlan(msgspec.Struct, kw_only=True):
    """What is learned silently, and how far that is."""

    cycle: int = 0
    """Number of the silent stretch in this directory. Each has states of its own."""
    stage: Stage
    what: str = ""
    """The past in words. Empty: only the topic itself."""
    files: list[str] = []
    """The files of the past, as they were found when it began."""
    records: int = 0
    """Number of records of the past. 0: not known."""
    starts: dict[str, int] = {}
    """Offsets at which the job begins in the input topics, by `topic/partition`."""

    @property
    def begin_at(self) -> dict[Place, int]:
        """The start offsets by partition."""
        return {place_of(name): offset for name, offset in self.starts.items()}

    @property
    def is_done(self) -> bool:
        """Whether the job is live."""
        return self.stage == "done"

    def save(self, directory: Path) -> None:
        """Write the plan, whole or not at all."""
        write_whole(directory / NAME, lambda new: new.write_bytes(msgspec.json.encode(self)))


class PastUsers(msgspec.Struct, kw_only=True):
    """The users who get a list when the past is learned."""

    newest: float
    """Newest time of an event in Unix seconds."""
    last: tuple[str, int, int] | None
    """Position of the last event."""
    users: list[str]

    def save(self, directory: Path) -> None:
        """Write the users, whole or not at all."""
        write_whole(directory / USERS_NAME, lambda new: new.write_bytes(msgspec.json.encode(self)))


def load_plan(directory: Path) -> PastPlan | None:
    """Read the plan in a recovery directory. None: there is none.

    Raises:
        RecoveryError: It is damaged.
    """
    return _load(directory / NAME, PastPlan)


def load_users(directory: Path) -> PastUsers | None:
    """Read the users who get a list. None: there are none left.

    Raises:
        RecoveryError: The file is damaged.
    """
    return _load(directory / USERS_NAME, PastUsers)


def starts_of(begin_at: dict[Place, int]) -> dict[str, int]:
    """Return start offsets in the form of the plan."""
    return {name_of(place): offset for place, offset in begin_at.items()}


def _load(path: Path, kind: type[Kind]) -> Kind | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise RecoveryError(
            f"{path}: expected the plan of a backfill; {error}. Restore the recovery directory from a copy, or start "
            "with an empty one."
        ) from None
