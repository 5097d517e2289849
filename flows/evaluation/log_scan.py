"""One scan of a whole log before its replay, for the facts that a protocol needs in advance."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

from flows.errors import LogError
from flows.evaluation.protocol import Protocol
from flows.files.open_log import Log
from flows.messages import Interaction, Rejected
from flows.monitoring.counters import Counters
from flows.settings import Settings
from flows.steps.bot_guard import BotGuard
from flows.steps.clean import Cleaner
from flows.steps.features import prepare
from recmodels.kernels.user_context import SESSION_SECONDS


@dataclass
class LogStatistics:
    """Statistics of a log, counted as the replay counts: without rejects, repeats, filtered events and events of
    bots."""

    events: int = 0
    """Interactions."""
    items: dict[str, None] = field(default_factory=dict)
    """Every item that was interacted with, in the order of the log."""
    unsorted: str | None = None
    """Position of the first record that is older than its predecessor. None for a sorted log."""
    _session: "array[int]" = field(default_factory=lambda: array("q"))
    _place: "array[int]" = field(default_factory=lambda: array("q"))
    _sessions: list[list[str]] = field(default_factory=list)

    def expect_sorted(self) -> None:
        """Raise `LogError` unless the log is sorted by time."""
        if self.unsorted is not None:
            raise LogError(
                f"{self.unsorted}: expected a log sorted by time; this record is older than one before it. "
                "Give --sort, which sorts it first."
            )

    def rest_of_session(self, number: int) -> Sequence[str]:
        """Return the items of the positive events of a session, from interaction `number` on."""
        return self._sessions[self._session[number]][self._place[number] :]


def scan_log(log: Log, settings: Settings, protocol: Protocol) -> LogStatistics:
    """Read a log once, without learning anything.

    Sessions are kept only for `target="session"`. They take a few bytes for each event during the replay.

    Args:
        log: The log. It can be read again afterwards.
        settings: Settings of deduplication, of the bot filter and of rewards.
        protocol: Protocol, with its filter and its rule for positive events.

    >>> from flows.files.open_log import open_log
    >>> from flows.sample import EVENTS
    >>> found = scan_log(open_log(EVENTS, limit=1_000), Settings(), Protocol(where="value >= 5"))
    >>> found.events, len(found.items), found.unsorted
    (931, 519, None)
    """
    found, cleaner, guard = (
        LogStatistics(),
        Cleaner(settings.dedup_window, Counters()),
        BotGuard(settings.hold_back, Counters()),
    )
    is_selected, meaning = protocol.is_selected, settings.meaning(protocol.is_positive)
    sessions = _Sessions(found) if protocol.target == "session" else None
    part, newest = log.source.build_part("survey", "log", None), 0.0
    while True:
        try:
            batch = part.next_batch()
        except StopIteration:
            return found
        for raw in batch:
            event = log.decoder(raw, 0.0)
            if isinstance(event, Rejected):
                continue
            if event.timestamp < newest and found.unsorted is None:
                found.unsorted = log.source.where(raw)
            newest = max(newest, event.timestamp)
            if isinstance(event, Interaction) and is_selected is not None and not is_selected(event):
                continue
            fresh = cleaner.process([event])
            for passed in guard.process(fresh) if settings.hold_back else fresh:
                if not isinstance(passed, Interaction):
                    continue
                found.events += 1
                found.items[passed.item] = None
                if sessions is not None:
                    example = prepare(passed, meaning).example
                    sessions.add(passed, example is not None and example.y > 0.0)


class _Sessions:
    """Assigns each interaction to a session of its user."""

    def __init__(self, found: LogStatistics) -> None:
        self._found = found
        self._open: dict[tuple[str, str | None], tuple[int, float]] = {}

    def add(self, event: Interaction, is_positive: bool) -> None:
        found, key = self._found, (event.user, event.session)
        number, last = self._open.get(key, (-1, 0.0))
        if number < 0 or (event.session is None and event.timestamp - last > SESSION_SECONDS):
            number = len(found._sessions)
            found._sessions.append([])
        self._open[key] = (number, event.timestamp)
        items = found._sessions[number]
        found._session.append(number)
        found._place.append(len(items))
        if is_positive:
            items.append(event.item)
