"""Learner of a shard: it learns its own events, tells its peers, and learns what they tell.

It is the `Learner` of one process with three additions. Every round it takes a delta of the model and sends it. It adds
the deltas of its peers to the model. And it remembers from which partition each user last came, for
`freshrank rescale`.
"""

import logging
from collections.abc import Sequence
from itertools import groupby
from typing import Any, Final, cast

import msgspec
import numpy as np
from typing_extensions import override

from flows.messages import Forget, Interaction, ItemEvent, Prepared
from flows.monitoring.counters import Counters
from flows.shards.judge import About, ShardError
from flows.shards.link import ShardLink
from flows.shards.stored_link import StoredLink
from flows.state.stateful import Snapshot
from flows.steps.learn import Answer, Learner, Learning
from flows.steps.learner_state import HOMES_PLACE
from flows.steps.peers import News
from recmodels.fused.base import FusedBase
from recmodels.storage.bounded_table import BoundedTable
from recmodels.storage.tables import dump_changes, dump_part

logger = logging.getLogger(__name__)

LINK: Final = "shard.link"
HOMES: Final = "shard.homes"


class ShardLearner(Learner):
    """Holds the model of a shard.

    Args:
        learning: Configuration.
        counters: Counts learned events.
        link: The link to the peers.

    Raises:
        ValueError: The model cannot be shared. The message says why.
    """

    def __init__(self, learning: Learning, counters: Counters, link: ShardLink) -> None:
        super().__init__(learning, counters)
        self.link = link
        self.model.enable_deltas(link.shard.count)
        self.stored: StoredLink | None = None
        self.homes = BoundedTable(HOMES, learning.max_users, "seen", partition=(np.int32, ()), seen=(np.int64, ()))
        self._events = 0

    @override
    def process(self, batch: list[Prepared]) -> list[Answer]:
        if not self.link.is_begun:
            self._resume()
        answers: list[Answer] = []
        self._catch_up()
        for kind, run in groupby(batch, key=self._kind):
            events = list(run)
            if kind == "news":
                for event, _ in events:
                    self._learn_from_peers(cast("Any", event))
            elif kind == "own":
                self._learn_own(events, answers)
            else:
                self._learn_again(events, answers)
        return answers

    def _kind(self, prepared: Prepared) -> str:
        event = prepared.event
        if isinstance(event, News):
            return "news"
        return "known" if self.link.told and self.link.is_told(event.at) else "own"

    def _learn_own(self, events: Sequence[Prepared], answers: list[Answer]) -> None:
        link, start = self.link, 0
        while start < len(events):
            part = list(events[start : start + max(1, link.rounds.events - link.pending)])
            answers += super().process(part)
            self._note(part)
            start += len(part)
            if link.is_due:
                self._tell()

    def _learn_again(self, events: Sequence[Prepared], answers: list[Answer]) -> None:
        """Learn events that the peers know from before this process was killed."""
        if self.link.pending:
            self._tell()
        size = self.link.rounds.events
        for start in range(0, len(events), size):
            part = list(events[start : start + size])
            answers += super().process(part)
            self.model.take_delta()  # the peers have it
            self._note(part)
            self.link.pending = 0
            self.link.figures.relearned += len(part)

    def _note(self, part: Sequence[Prepared]) -> None:
        """Note up to where events are learned, and where users come from."""
        homes, places, count = self.homes, [], 0
        for event, _ in part:
            at = event.at
            places.append(at)
            if isinstance(event, Interaction):
                count += 1
                self._events += 1
                if at is not None:
                    row = homes.row(event.user) or homes.add(event.user)
                    before = homes.arrays["partition"][row]
                    if homes.arrays["seen"][row] and before != at[1]:
                        self._note_moved(event, int(before))
                    homes.arrays["partition"][row] = at[1]
                    homes.arrays["seen"][row] = self._events
                    homes.dirty[row] = 1
            elif isinstance(event, ItemEvent):
                count += 1
            elif isinstance(event, Forget):
                count += 1
                homes.forget([row] if (row := homes.row(event.user)) else [])
        self.link.note(places, count)

    def _note_moved(self, event: Interaction, before: int) -> None:
        self.link.figures.moved += 1
        self.link.judge.warn(
            "moved",
            f"shard {self.link.shard}: a user of partition {before} has an event in another one ({event.source}). If "
            "the topic is not keyed by user, each shard knows a part of such a user: write the events with the user's "
            "id as the key.",
        )

    def _tell(self) -> None:
        self.link.tell(self.model.take_delta())

    def _learn_from_peers(self, news: News) -> None:
        link = self.link
        for told in news:
            if not link.catch_up.is_current(told):
                continue
            if told.delta:
                try:
                    self.model.apply_delta(told.delta)
                except ValueError as error:
                    link.refuse_damaged(told.shard, error)
            link.note_learned(told)
        if self.refresh_removed:
            for item in self._model.sharing.take_withdrawn():
                self.held.start()
                self.held.remove(item)
        if link.is_due:
            self._tell()

    def _catch_up(self) -> None:
        """Take over a snapshot of a peer, if messages are gone. First, the own events that it has are learned again."""
        link, catch_up = self.link, self.link.catch_up
        if not catch_up.missed or link.told or (found := catch_up.find()) is None:
            return
        assert catch_up.snapshots is not None
        if (items := catch_up.snapshots.read(found)) is None:
            return
        self._tell()
        try:
            self._model.load_items(items, catch_up.own_behind(found))
        except ValueError as error:
            raise ShardError(
                f"shard {link.shard}: the snapshot of shard {found.shard} in {catch_up.snapshots.directory} does not "
                f"fit: {error}. Remove it, and start again."
            ) from None
        catch_up.go_on_behind(found)

    def _offer(self) -> None:
        """Write what is known of items for peers that will have missed it, if it is time to."""
        if self.link.catch_up.can_offer():
            if self.link.pending or self._model.sharing.noted:
                self._tell()
            self.link.catch_up.offer(self._model.dump_items())

    @property
    def _model(self) -> FusedBase:
        return cast("FusedBase", self.model)

    def _resume(self) -> None:
        about = About(
            generation=0 if self.stored is None else self.stored.generation,
            model=self._model.sharing.model,
            model_name=self.model.version,
            settings=self.link.settings,
        )
        if self.link.resume(self.stored, about):
            self.model.take_delta()  # what the snapshot had noted was sent after it
        else:
            self.link.pending = self._model.sharing.noted

    @override
    def dump(self) -> Snapshot:
        self.homes.dirty[: self.homes.used] = 1
        return {**super().dump(), **dump_changes([self.homes]), **self._link()}

    @override
    def dump_changes(self) -> Snapshot:
        self._offer()
        return {**super().dump_changes(), **dump_changes([self.homes]), **self._link()}

    def dump_lists(self) -> Snapshot:
        """Return what is known of lists that are out, in the form of `dump`."""
        return self._of_lists({**self.held.dump(), **({} if self.budget is None else self.budget.dump())})

    @override
    def dump_part(self, place: int, size: int) -> tuple[Snapshot, int]:
        if place < HOMES_PLACE:
            part, behind = super().dump_part(place, size)
            return part, behind or HOMES_PLACE
        homes, behind = dump_part([self.homes], place - HOMES_PLACE, size)
        return {**homes, **({} if behind else self._link())}, behind and HOMES_PLACE + behind

    def _link(self) -> Snapshot:
        return {LINK: np.frombuffer(msgspec.msgpack.encode(self.link.stored()), np.uint8)}

    @override
    def load(self, snapshot: Snapshot) -> None:
        own = {name: array for name, array in snapshot.items() if name.startswith("shard.")}
        super().load({name: array for name, array in snapshot.items() if name not in own})
        self.homes.load_rows(own)
        if LINK in own:
            self.stored = msgspec.msgpack.decode(own[LINK].tobytes(), type=StoredLink)
