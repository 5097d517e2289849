"""What travels through the flow: raw bytes in, typed events, lists, and bytes out.

After `decode` no step asks whether a field exists or has the right type. The wire formats are described in the
README; how bytes become these types is in `flows.formats.json_events`, how a list becomes bytes in
`flows.steps.encode`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

import msgspec

from recmodels.base import Example


class Carrier(Protocol):
    """The Kafka message that a record came in. Its parts are read only where somebody asks for them."""

    def key(self) -> str | bytes | None:
        """Return the message's key."""

    def headers(self) -> dict[str, str | bytes | None] | list[tuple[str, str | bytes | None]] | None:
        """Return the message's headers, in order."""

    def timestamp(self) -> tuple[int, int]:
        """Return the kind of the message's timestamp, 0 for none, and its Unix milliseconds."""


def headers_of(carrier: Carrier | None) -> list[tuple[str, bytes | None]]:
    """Return the headers of a message as bytes, in order; none where there is no message."""
    given = () if carrier is None else carrier.headers() or ()
    pairs = given.items() if isinstance(given, dict) else given
    return [(name, value.encode() if isinstance(value, str) else value) for name, value in pairs]


class Raw(NamedTuple):
    """One undecoded record and where it stands.

    A file counts as one topic with one partition: `topic` is the file's name without its endings and `offset` the
    number of the record from 0, so that a log replayed from a file and the same log read from a topic of that
    name have the same positions.
    """

    topic: str
    partition: int
    offset: int
    value: bytes | None
    carrier: Carrier | None = None
    """The Kafka message; None for a record of a file."""

    @property
    def source(self) -> str:
        """The position as it is written in lists and dead letters: `topic/partition/offset`."""
        return f"{self.topic}/{self.partition}/{self.offset}"


class Interaction(msgspec.Struct, frozen=True, gc=False):
    """A user did something with an item."""

    user: str
    item: str
    timestamp: float
    """Unix seconds."""
    event: str = "interaction"
    value: float = 1.0
    id: str | None = None
    session: str | None = None
    context: dict[str, Any] | None = None
    source: str = ""
    arrived: float = 0.0
    """`time.perf_counter()` when the event was decoded: for measuring latency, never for learning."""
    has_value: bool = True
    """Whether the event said a value; where it did not, `value` is 1."""


class ItemEvent(msgspec.Struct, frozen=True, gc=False):
    """An item's features or availability changed."""

    item: str
    timestamp: float
    available: bool | None = None
    """None: not said, leave it as it was."""
    features: dict[str, Any] | None = None
    source: str = ""


class Forget(msgspec.Struct, frozen=True, gc=False):
    """A user asked to be erased."""

    user: str
    timestamp: float
    source: str = ""
    arrived: float = 0.0


class Request(msgspec.Struct, frozen=True, gc=False):
    """A user needs a list now. The model learns nothing from it, and the answer always goes out."""

    user: str
    timestamp: float
    """Unix seconds: when the list will be shown."""
    request: str
    """The request's id; the answer carries it in its header `request`."""
    context: dict[str, Any] | None = None
    source: str = ""
    arrived: float = 0.0
    is_of_replay: bool = False
    """A replay put the request before a visit; no record asked for it."""


Event = Interaction | ItemEvent | Forget | Request

FALLBACK_USER = ""
"""The key of the fallback list: a reader takes it for users who have no list. No user's id is empty."""


class Refresh(msgspec.Struct, frozen=True, gc=False):
    """A request for a list that no event of its user asks for. It is made by an event of somebody else's."""

    user: str
    """Whose list; `FALLBACK_USER` for the fallback list."""
    timestamp: float
    """The newest time of an event, in Unix seconds. The other fields are those of the event that made it."""
    source: str = ""
    arrived: float = 0.0
    withdraw: bool = False
    """The list goes, and the fallback list stands in."""


class Prepared(NamedTuple):
    """An event or a refresh, and what a model learns from it: None for what is no interaction."""

    event: Event | Refresh
    example: Example | None


class Rejected(msgspec.Struct, frozen=True, gc=False):
    """A record that could not be taken, and why. Its raw bytes are kept."""

    source: str
    reason: str
    """One of a small set of fixed phrases, so that rejects can be counted by reason."""
    field: str
    """The field at fault, or an empty string where the whole record is."""
    raw: bytes | None
    carrier: Carrier | None = None
    """The Kafka message that the record came in; None for a record of a file."""


class Ignored(Rejected, frozen=True, gc=False):
    """A record that is no event and no fault, such as a tombstone. It is counted, and is no dead letter."""


class Outgoing(NamedTuple):
    """One encoded message for a sink. A `value` of None is a tombstone: a compacted topic forgets the key."""

    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()


class FallbackAges(NamedTuple):
    """From which age of a user's own list the fallback list serves better, learned from users who came back.

    Both are seconds between the event of the user's own list and now; None: from no age on, as far as is known.
    """

    merge_after: float | None = None
    """From this age on both lists, merged in turn, serve better than the user's own."""
    stale_after: float | None = None
    """From this age on the fallback list alone serves better."""


class Ranked(NamedTuple):
    """What the model made of an event, or of a refresh."""

    event: Interaction | Forget | Request | Refresh
    position: int | None
    """Where the event's item stood, from 0, in the user's list just before the event; -1 if it was not in it; None
    if the event is not scored."""
    items: Sequence[str] | None
    """The user's new list, the best first; None where there is to be none: the user was erased, or long away."""
    scores: Sequence[float] | None
    why: Sequence[Mapping[str, float]] | None = None
    """For each item what speaks for it most, where lists are to say so."""
    is_target: bool = True
    """Whether a list could have had the event's item: not if the user has had it and repeats are excluded, nor if
    the event does not speak for the item."""
    ages: FallbackAges | None = None
    """Of the fallback list: from which age of a user's own list it is to be taken."""


class Decided(NamedTuple):
    """A list, and whether it goes out."""

    ranked: Ranked
    is_emitted: bool


Decoder: TypeAlias = Callable[[Raw, float], Event | Rejected]
"""Decodes a record; the second argument is the `time.perf_counter()` at which it arrived. Never raises."""
