"""Attribute: joins impressions and interactions to the lists that they came from.

An event names its list in `list`, as the position of the record after which the list was made. Without it, the event
belongs to the newest list that was sent to its user, or to the fallback list. What comes of a list within a window
counts. Then the list is closed, and its figures are added up. The step sees every list and every event in their order,
and changes none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, Final

import msgspec
import numpy as np
from bytewax.dataflow import operator
from bytewax.operators import KeyedStream
from typing_extensions import override

from flows.messages import FALLBACK_USER, Decided, Forget, Interaction, Ranked, Request
from flows.monitoring.attribution import VARIANTS, Attribution
from flows.state.stateful import Snapshot, StatefulStep, StoreFor, stateful
from flows.steps.hashing import short_digest
from recmodels.storage.bounded_table import BoundedTable, oldest
from recmodels.storage.tables import dump_changes, dump_part

IMPRESSION: Final = "impression"
"""Type of the events that say that an item was shown, as `freshrank serve` writes them."""
SHOWN, TAKEN = 1, 2
"""Marks of an item of a list."""
BETWEEN: Final = "\t"
"""Stands between the position of a list and its user. A position has none."""


@dataclass(frozen=True, kw_only=True)
class Attributing:
    """Configuration of `attribute`."""

    window: float
    """Seconds of event time after a list in which outcomes count."""
    most: int
    """Number of lists that are remembered."""
    top: int
    """Length of the lists."""
    pair: int | None = None
    """Number of the pair of models of which users see lists. None: they see the champion's alone."""


@operator
def attribute(
    step_id: str, up: KeyedStream[Decided], rules: Attributing, attribution: Attribution, store: StoreFor
) -> None:
    """Join outcomes to lists.

    Args:
        step_id: Id of the step. It names stored state.
        up: Lists with the decision whether they are sent.
        rules: Configuration.
        attribution: Takes the figures.
        store: Opens the stored state of a step.
    """
    stateful("lists", up, lambda: Attributor(rules, attribution), store)


class Attributor(StatefulStep[Decided, Decided]):
    """Remembers the newest lists, and what came of them.

    Args:
        rules: Configuration.
        attribution: Takes the figures.

    >>> figures = Attribution()
    >>> attributor = Attributor(Attributing(window=60.0, most=100, top=2), figures)
    >>> def event(kind, item, time, source):
    ...     happened = Interaction("ann", item, time, kind, at=("events", 0, int(time)), source_list=source)
    ...     return Decided(Ranked(happened, None, ["tea", "jam"], [0.2, 0.1], is_target=kind == "click"), True)
    >>> _ = attributor.process([event("click", "pie", 1.0, None), event("impression", "tea", 2.0, "events/0/1")])
    >>> _ = attributor.process([event("click", "tea", 3.0, "events/0/1"), event("click", "tea", 99.0, "events/0/500")])
    >>> figures.outcomes["shown"], figures.outcomes["taken"], figures.unattributed["list_to_come"], figures.shown_lists
    (1, 1, 1, 1)
    """

    def __init__(self, rules: Attributing, attribution: Attribution) -> None:
        self.rules = rules
        self.figures = attribution
        columns: dict[str, Any] = {
            "turn": (np.int64, ()),  # order in which lists were sent
            "time": (np.float64, ()),  # of the list, in Unix seconds
            "items": (np.uint32, (rules.top,)),  # digests; 0: no item
            "marks": (np.uint8, (rules.top,)),
            "members": (np.uint8, (rules.top,)),  # numbers of the members that spoke most for the items; 0: unknown
            "variant": (np.uint8, ()),  # 0: none, else the number of a variant, from 1
            "of_challenger": (np.uint8, (rules.top,)),  # whether the challenger picked the item
            "is_closed": (np.uint8, ()),
            "is_current": (np.uint8, ()),  # whether it is the newest list of its user
        }
        self._lists = BoundedTable("lists", rules.most, "turn", **columns)
        self._turn = 0
        self._now = -inf
        self._newest: dict[str, int] = {}
        """Number of the newest record of each topic and partition, by their names in positions."""
        self._members: list[str] = [""]
        self._rows: dict[str, list[int]] = {}
        """Rows of a user's lists, the newest last."""
        self._without_list: set[str] = set()
        """Users among them whose newest list was withdrawn."""
        self._users: dict[str, int] = {}
        """By position: how many users have a list of it."""
        self._open: dict[int, None] = {}
        """Rows of the lists whose window is not over, the oldest first."""
        self._is_loaded = False
        self._has_another_pair = False

    @override
    def process(self, batch: list[Decided]) -> list[Decided]:
        if self._is_loaded:
            self._index()
        if self._has_another_pair:
            self._begin_comparison()
        for ranked, is_emitted in batch:
            event = ranked.event
            if isinstance(event, Request) and event.is_of_replay:
                continue
            if event.at is not None:
                topic, partition, offset = event.at
                where = f"{topic}/{partition}"
                self._newest[where] = max(self._newest.get(where, -1), offset)
            if isinstance(event, Interaction):
                self._now = max(self._now, event.timestamp)
                self._close_old()
                self._join(event, ranked.is_target)
            elif isinstance(event, Forget):
                self._forget(self._rows.get(event.user, []))
            if is_emitted:
                self._send(ranked)
        return []

    def _join(self, event: Interaction, is_target: bool) -> None:
        """Find the list of an event, and mark what came of it."""
        is_impression = event.event == IMPRESSION
        if not is_impression and not is_target and event.source_list is None:
            return  # speaks against an item, or is a repeat, and does not say that it is an outcome
        row = self._row_of(event)
        if isinstance(row, str):
            self.figures.unattributed[row] += 1
            return
        lists, outcomes = self._lists.arrays, self.figures.outcomes
        if event.timestamp < lists["time"][row]:
            self.figures.unattributed["before_list"] += 1
            return
        if lists["is_closed"][row] or event.timestamp > lists["time"][row] + self.rules.window:
            if event.source_list is None:
                self.figures.unattributed["no_list"] += 1
            else:
                outcomes["late"] += 1
            return
        places = np.flatnonzero(lists["items"][row] == short_digest(event.item))
        mark = SHOWN if is_impression else TAKEN
        is_repeated = bool(len(places)) and bool(lists["marks"][row, places[0]] & mark)
        if not is_impression and is_target and not is_repeated:
            self.figures.add("served_hit_rate", bool(len(places)), self._variants(row))
        if not len(places):
            outcomes["not_in_list"] += 1
        elif is_repeated:
            outcomes["repeated"] += 1
        elif is_impression or is_target:
            outcomes["shown" if is_impression else "taken"] += 1
            lists["marks"][row, places[0]] |= mark
            self._lists.dirty[row] = 1

    def _row_of(self, event: Interaction) -> int | str:
        """Return the row of the list that an event came from, or the reason why there is none."""
        if (position := event.source_list) is None:
            own = self._rows.get(event.user)
            if own is None or event.user in self._without_list:
                own = self._rows.get(FALLBACK_USER)
            return own[-1] if own else "no_list"
        for user in (event.user, FALLBACK_USER):
            if row := self._lists.row(f"{position}{BETWEEN}{user}"):
                return row
        if position in self._users:
            return "other_user"
        where, _, offset = position.rpartition("/")
        if where not in self._newest or not offset.isdecimal():
            return "unknown_list"
        return "list_to_come" if int(offset) > self._newest[where] else "list_gone"

    def _variants(self, row: int) -> list[str]:
        position_and_user = str(self._lists.ids.names[row])
        kind = "fallback" if position_and_user.endswith(BETWEEN) else "own"
        variant = int(self._lists.arrays["variant"][row])
        return [kind, VARIANTS[variant - 1]] if variant else [kind]

    def _send(self, ranked: Ranked) -> None:
        """Remember a list that is sent."""
        event, user = ranked.event, ranked.event.user
        if ranked.items is None:
            if user in self._rows:
                self._without_list.add(user)
                self._lists.arrays["is_current"][self._rows[user][-1]] = 0
                self._lists.dirty[self._rows[user][-1]] = 1
            return
        self.figures.lists += 1
        name = f"{event.source}{BETWEEN}{user}"
        if row := self._lists.row(name):
            self._forget([row])  # a list of the same record again
        if self._lists.ids.is_full:
            self._forget(oldest(self._lists.ids, self._lists.arrays["turn"]))
        row = self._lists.add(name)
        lists = self._lists.arrays
        self._turn += 1
        lists["turn"][row], lists["time"][row], lists["is_current"][row] = self._turn, event.timestamp, 1
        digests = [short_digest(item) for item in ranked.items[: self.rules.top]]
        lists["items"][row, : len(digests)] = digests
        if self.rules.pair is not None and user != FALLBACK_USER:
            exposed = ranked.exposed
            lists["variant"][row] = 1 + VARIANTS.index("champion" if exposed is None else exposed.variant)
            if exposed is not None:
                picked = [item in exposed.of_challenger for item in ranked.items[: self.rules.top]]
                lists["of_challenger"][row, : len(picked)] = picked
        if ranked.why:
            named = [self._number(max(why, key=why.__getitem__, default="")) for why in ranked.why[: self.rules.top]]
            lists["members"][row, : len(named)] = named
        self._note(row, event.source, user)
        self._open[row] = None

    def _note(self, row: int, position: str, user: str) -> None:
        """Note a row as the newest of its user."""
        own = self._rows.setdefault(user, [])
        if own:
            self._lists.arrays["is_current"][own[-1]] = 0
            self._lists.dirty[own[-1]] = 1
        own.append(row)
        self._without_list.discard(user)
        self._users[position] = self._users.get(position, 0) + 1

    def _number(self, member: str) -> int:
        """Return the number of a member. Beyond 255 members it is 0: unknown."""
        if member not in self._members:
            if len(self._members) > np.iinfo(np.uint8).max:
                return 0
            self._members.append(member)
        return self._members.index(member)

    def _close_old(self) -> None:
        times, window = self._lists.arrays["time"], self.rules.window
        while self._open:
            row = next(iter(self._open))
            if times[row] + window >= self._now:
                return
            self._close(row)

    def _close(self, row: int) -> None:
        """Add the outcomes of a list to the figures."""
        del self._open[row]
        lists, figures = self._lists.arrays, self.figures
        lists["is_closed"][row] = 1
        self._lists.dirty[row] = 1
        figures.closed += 1
        marks = lists["marks"][row]
        if not marks.any():
            figures.unanswered += 1
            return
        if lists["variant"][row] == 1 + VARIANTS.index("interleaved"):
            taken, of_challenger = (marks & TAKEN) > 0, lists["of_challenger"][row] > 0
            figures.prefer(int((taken & ~of_challenger).sum()), int((taken & of_challenger).sum()))
        shown = np.flatnonzero(marks & SHOWN)
        if not len(shown):
            return
        variants = self._variants(row)
        figures.shown_lists += 1
        figures.add("hit_rate", bool((marks & TAKEN).any()), variants)
        for place in shown.tolist():
            member = self._members[lists["members"][row, place]]
            figures.add_shown(place, bool(marks[place] & TAKEN), member, variants)

    def _forget(self, rows: Sequence[int]) -> None:
        """Forget lists. Those whose window is not over are closed now."""
        rows = list(rows)
        for row in rows:
            if row in self._open:
                self._close(row)
            position, _, user = str(self._lists.ids.names[row]).partition(BETWEEN)
            own = self._rows[user]
            own.remove(row)
            if not own:
                del self._rows[user]
                self._without_list.discard(user)
            self._users[position] -= 1
            if not self._users[position]:
                del self._users[position]
        self._lists.forget(rows)

    @override
    def dump(self) -> Snapshot:
        self._lists.dirty[: self._lists.used] = 1
        return self.dump_changes()

    @override
    def dump_changes(self) -> Snapshot:
        return {**dump_changes([self._lists]), **self._numbers()} if self._newest else {}

    @override
    def dump_part(self, place: int, size: int) -> tuple[Snapshot, int]:
        part, place = dump_part([self._lists], place, size)
        return {**part, **self._numbers()}, place

    def _numbers(self) -> Snapshot:
        numbers = {
            "turn": self._turn,
            "now": self._now if self._now > -inf else None,
            "newest": self._newest,
            "members": self._members,
            "figures": self.figures.numbers(),
            "pair": self.rules.pair,
        }
        return {"numbers": np.frombuffer(msgspec.json.encode(numbers), np.uint8)}

    @override
    def load(self, snapshot: Snapshot) -> None:
        numbers = msgspec.json.decode(snapshot["numbers"].tobytes())
        self._turn, self._newest, self._members = numbers["turn"], numbers["newest"], numbers["members"]
        self._now = -inf if numbers["now"] is None else numbers["now"]
        self.figures.take_over(numbers["figures"])
        self._has_another_pair = numbers.get("pair") != self.rules.pair
        if "lists.items" in snapshot and snapshot["lists.items"].shape[1] != self.rules.top:
            return  # lists had another length: they are remembered from now on
        self._lists.load_rows(snapshot)
        self._is_loaded = True

    def _begin_comparison(self) -> None:
        """Forget who made which list, since other models have the roles now."""
        self._has_another_pair = False
        self.figures.begin_comparison()
        self._lists.arrays["variant"][: self._lists.used] = 0
        self._lists.dirty[: self._lists.used] = 1

    def _index(self) -> None:
        """Find the rows of users and positions, after state was loaded."""
        self._is_loaded, lists = False, self._lists.arrays
        self._rows, self._users, self._open, self._without_list = {}, {}, {}, set()
        rows = np.array(self._lists.ids.taken(), np.int64)
        for row in rows[np.argsort(lists["turn"][rows], kind="stable")].tolist():
            position, _, user = str(self._lists.ids.names[row]).partition(BETWEEN)
            self._rows.setdefault(user, []).append(row)
            self._users[position] = self._users.get(position, 0) + 1
            if not lists["is_closed"][row]:
                self._open[row] = None
        self._without_list = {user for user, own in self._rows.items() if not lists["is_current"][own[-1]]}
