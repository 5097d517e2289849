"""Types of the messages in the flow: raw records, typed events, lists, and encoded messages.

`decode` checks all fields, so no later step checks a type. The wire formats are in docs/messages.md.
`flows.formats.json_events` turns bytes into these types, and `flows.steps.encode` turns a list into bytes.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

import msgspec

from recmodels.base import Example


class Carrier(Protocol):
    """The Kafka message of a record. Its key, headers and timestamp are read only on demand."""

    def key(self) -> str | bytes | None:
        """Return the message's key."""

    def headers(self) -> dict[str, str | bytes | None] | list[tuple[str, str | bytes | None]] | None:
        """Return the message's headers, in order."""

    def timestamp(self) -> tuple[int, int]:
        """Return the type of the message's timestamp (0: none) and the timestamp in Unix milliseconds."""


def headers_of(carrier: Carrier | None) -> list[tuple[str, bytes | None]]:
    """Return the headers of a message as bytes, in order. Empty if there is no message."""
    given = () if carrier is None else carrier.headers() or ()
    pairs = given.items() if isinstance(given, dict) else given
    return [(name, value.encode() if isinstance(value, str) else value) for name, value in pairs]


RecordPosition: TypeAlias = tuple[str, int, int]
"""Position of a record: topic, partition and offset."""


def position_text(at: RecordPosition | None) -> str:
    """Return a position as text, the form in lists and dead letters. Empty for None.

    >>> position_text(("events", 0, 4711))
    'events/0/4711'
    """
    return "" if at is None else f"{at[0]}/{at[1]}/{at[2]}"


class Raw(NamedTuple):
    """One undecoded record and its position.

    A file counts as a topic with one partition. Its `topic` is the file's name without its endings, and `offset` is the
    number of the record from 0. So a log has the same positions in a file and in a topic of that name.
    """

    topic: str
    partition: int
    offset: int
    value: bytes | None
    carrier: Carrier | None = None
    """The Kafka message. None for a record of a file."""

    @property
    def at(self) -> RecordPosition:
        """The position as numbers."""
        return self[:3]

    @property
    def source(self) -> str:
        """The position as it is written in lists and dead letters: `topic/partition/offset`."""
        return position_text(self[:3])


class HasPosition(Protocol):
    """Something made from a record."""

    @property
    def at(self) -> RecordPosition | None:
        """Position of the record. None if there is no record."""


class FromRecord(msgspec.Struct, frozen=True, gc=False):
    """Something made from a record. Its position becomes text only where it leaves the flow."""

    @property
    def source(self: HasPosition) -> str:
        """The position as text: `topic/partition/offset`. Empty if there is no record."""
        return position_text(self.at)


class Interaction(FromRecord, frozen=True, gc=False):
    """An event of a user with an item."""

    user: str
    item: str
    timestamp: float
    """Unix seconds."""
    event: str = "interaction"
    value: float = 1.0
    id: str | None = None
    session: str | None = None
    context: dict[str, Any] | None = None
    at: RecordPosition | None = None
    arrived: float = 0.0
    """`time.perf_counter()` when the event was decoded: for measuring latency, never for learning."""
    has_value: bool = True
    """Whether the event has a value. If not, `value` is 1."""
    is_deleted: bool = False
    """Whether the interaction was deleted where it was recorded. Then its effects are taken back."""
    source_list: str | None = None
    """The field `list`: which list the event is an outcome of, as the list's `source` says it."""


class ItemEvent(FromRecord, frozen=True, gc=False):
    """An item's features or availability changed."""

    item: str
    timestamp: float
    available: bool | None = None
    """None: unchanged."""
    features: dict[str, Any] | None = None
    at: RecordPosition | None = None


class Forget(FromRecord, frozen=True, gc=False):
    """Erasure of a user."""

    user: str
    timestamp: float
    at: RecordPosition | None = None
    arrived: float = 0.0


class Request(FromRecord, frozen=True, gc=False):
    """Request for a user's list. The model learns nothing from it, and its list is always sent."""

    user: str
    timestamp: float
    """Unix seconds at which the list will be shown."""
    request: str
    """Id of the request. The answer has it in the header `request`."""
    context: dict[str, Any] | None = None
    at: RecordPosition | None = None
    arrived: float = 0.0
    is_of_replay: bool = False
    """Whether a replay inserted the request before a visit, so that no record belongs to it."""


Event = Interaction | ItemEvent | Forget | Request

FALLBACK_USER = ""
"""Key of the fallback list, which a reader shows to users without a list. No user's id is empty."""


class Refresh(FromRecord, frozen=True, gc=False):
    """Recomputation of a list without an event of its user. An event of another user triggers it."""

    user: str
    """The user of the list, or `FALLBACK_USER` for the fallback list."""
    timestamp: float
    """The newest event time in Unix seconds. The other fields are those of the event that triggered the refresh."""
    at: RecordPosition | None = None
    arrived: float = 0.0
    withdraw: bool = False
    """Whether the list is withdrawn by a tombstone."""
    is_due: bool = False
    """Whether the list before holds an item that has become unavailable. Then no policy holds the new one back."""


ItemListKind: TypeAlias = Literal["related", "trending"]
"""Lists that belong to no user: items that go with an item, and items that many take now."""


class ItemListRequest(FromRecord, frozen=True, gc=False):
    """A request for a list that belongs to no user. It is made by somebody's event."""

    kind: ItemListKind
    item: str
    """Related: the item. Trending: an item, one of whose tags is meant; empty for all items."""
    timestamp: float
    """The newest time of an event, in Unix seconds. The next two fields are those of the event that made it."""
    at: RecordPosition | None = None
    arrived: float = 0.0
    turn: int = 0
    """Trending: which of the item's tags is meant, modulo their number."""


class Prepared(NamedTuple):
    """An event or a request, and what a model learns from it: None for what is no interaction."""

    event: Event | Refresh | ItemListRequest
    example: Example | None


class Rejected(msgspec.Struct, frozen=True, gc=False):
    """A record that cannot be decoded, with the reason and its raw bytes."""

    source: str
    reason: str
    """One of a fixed set of phrases, so that rejects can be counted by reason."""
    field: str
    """Name of the invalid field. Empty if the whole record is invalid."""
    raw: bytes | None
    carrier: Carrier | None = None
    """The Kafka message of the record. None for a record of a file."""


class Ignored(Rejected, frozen=True, gc=False):
    """A valid record that is not an event, such as a tombstone. It is counted, and gives no dead letter."""


class Outgoing(NamedTuple):
    """One encoded message for a sink. A `value` of None is a tombstone: a compacted topic drops the key."""

    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()


class FallbackAges(NamedTuple):
    """Ages of a user's own list from which the fallback list serves better, learned from users who came back.

    An age is the number of seconds between the event of the list and now. None: no such age is known.
    """

    merge_after: float | None = None
    """From this age on, both lists merged (one item of each in turn) serve better than the user's own."""
    stale_after: float | None = None
    """From this age on, the fallback list alone serves better."""


class Exposed(NamedTuple):
    """What a user sees of a challenger."""

    variant: Literal["challenger", "interleaved"]
    """Whether the challenger alone made the list, or both models did."""
    model: str
    """Name and version of the model, or of both with a | between them."""
    of_challenger: frozenset[str]
    """Items that the challenger picked."""


class Ranked(NamedTuple):
    """The model's result for an event or a refresh: the position of the item, and the user's new list."""

    event: Interaction | Forget | Request | Refresh
    position: int | None
    """Position of the event's item, from 0, in the user's list just before the event. -1: it was not in the list. None:
    the event is not scored."""
    items: Sequence[str] | None
    """The user's new list, the best item first. None means a tombstone: the user was erased or idle too long."""
    scores: Sequence[float] | None
    why: Sequence[Mapping[str, float]] | None = None
    """The largest contributions to the score of each item, by name. None unless the setting `why` is on."""
    is_target: bool = True
    """Whether the event can be a hit. It cannot if its reward is not positive, or if it is a repeat and repeats are
    excluded."""
    ages: FallbackAges | None = None
    """Ages that the fallback list carries. None for other lists."""
    exposed: Exposed | None = None
    """What the list has of a challenger. None: the champion made it."""


class ItemList(NamedTuple):
    """A list that belongs to no user."""

    request: ItemListRequest
    key: str
    """Related: the item. Trending: the tag, or empty for all items."""
    items: Sequence[str]
    """The best first. Without an item there is no list any more."""
    scores: Sequence[float]


class Decided(NamedTuple):
    """A list, and whether it is sent."""

    ranked: Ranked
    is_emitted: bool


Decoder: TypeAlias = Callable[[Raw, float], Event | Rejected]
"""Function that decodes a record. Its second argument is the `time.perf_counter()` of the arrival. It never raises."""
