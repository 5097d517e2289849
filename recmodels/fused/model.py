"""Fused models: River's verbs on top of the compiled kernels and their tables."""

from collections.abc import Collection, Sequence
from functools import lru_cache
from math import isfinite, isnan, nan
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from recmodels.base import Context, Example, Step, Why, against, time_of
from recmodels.fused import item_lists
from recmodels.fused.base import NO_UNDO, FusedBase
from recmodels.fused.item_events import set_item
from recmodels.fused.tags import tags_of
from recmodels.kernels import event_loop, external, inference, newton, reranker, undo
from recmodels.kernels.members.content import ITEM_TAGS
from recmodels.kernels.shared import ANNOUNCED, EVENTS
from recmodels.kernels.state import MEMBERS
from recmodels.kernels.user_context import LENGTHS
from recmodels.rewards import bounded

RERANKER = "reranker"
"""Name of the reranker's contribution to a score."""
FORGOTTEN_STEPS = 0.5
"""Factor on the sums of squared gradients after drift. It makes the steps of the weights larger again."""


class FusedModel(FusedBase):
    """Base of the models that run in the kernels. Each class chooses its members.

    The arguments are those of `recmodels.fused.base.FusedBase`.
    """

    uses_kernels = True
    always_scores = True

    def step_many(self, examples: Sequence[Example], n: int = 10, score: bool = True) -> list[Step]:
        """Process examples in order, in few calls of the kernel. It always scores, since that costs nothing."""
        if self._shares:
            if any(example.undoes is not None for example in examples):
                raise ValueError(NO_UNDO)
            self.sharing.expect_room(len(examples))
            self.sharing.settle()
        steps: list[Step] = []
        start = 0
        while start < len(examples):
            if self.slow_member is not None:
                self.slow_member.step()
            if examples[start].undoes is not None:
                steps.append(self._take_back(examples[start], n))
                start += 1
            elif self.outside:
                steps.append(self._step(examples[start], n))
                start += 1
            else:
                start = self._segment(examples, start, n, steps)
        return steps

    def score_many(self, examples: Sequence[Example], n: int = 10, scored: Sequence[bool] = ()) -> list[int | None]:
        """Score and learn examples without making new lists, in about half the time of `step_many`."""
        # Without a list the kernel ranks all candidates. A list of more items has more candidates.
        steps = self.step_many(examples, 0 if n <= event_loop.MIN_CANDIDATES else n)
        return [
            None if position is None or (scored and not scored[number]) else position if position < n else -1
            for number, (position, *_) in enumerate(steps)
        ]

    def undo_one(self, user: str, item: str, kind: str = "", y: float = -1.0, x: Context | None = None) -> bool:
        """Take back the user's newest interaction with an item, as `Recommender.undo_one` says.

        It is exact for the last interactions of a user after `enable_undo`; see `recmodels.kernels.undo`. Where the
        user had no such interaction, an event against the item is learned.
        """
        time = time_of(x)
        return bool(self.step_many([Example(user, item, y, 0.0 if isnan(time) else time, x, kind)], n=0)[0].is_undone)

    def _take_back(self, example: Example, n: int) -> Step:
        """Take back an interaction, and make the new list."""
        user, item, y, time, x, kind = example
        memory, reward = self.memory, against(y)
        user_row, item_row = memory.users.row(user), memory.items.row(item)
        if not (
            user_row
            and item_row
            and undo.take_back(memory.handle.address, user_row, item_row, kind_of(kind or ""), -reward)
        ):
            return self.step_many([Example(user, item, reward, time, x)], n)[0]._replace(is_undone=False)
        for model in self.external_members.models:
            model.undo_one(user, item, kind or "", reward, {"timestamp": time, **(x or {})})
        listed = self._list(user, n, None)[0]
        return Step(None, [name for name, _ in listed], [round(score, 6) for _, score in listed], False, True)

    def _step(self, example: Example, n: int) -> Step:
        """Process one example as `event_loop.process_batch` does, with the external members in between."""
        memory, address, members, user = self.memory, self.memory.handle.address, self.external_members, example.user
        y, time = bounded(example.y), example.timestamp if isfinite(example.timestamp) else 0.0
        x = {"timestamp": time, **(example.x or {})}
        memory.make_cells()
        user_row, item_row = memory.user_row(user), memory.item_row(example.item)
        memory.mark_used()
        least = max(n, event_loop.MIN_CANDIDATES)
        external.fill_candidates(address, user_row, least)
        members.fill(memory, user, x)
        position, loss = external.score_and_learn(address, user_row, item_row, y, time, self._kind(example.x), n)
        members.learn(user, example.item, y, x)
        self._note_losses([loss])
        listed, scores = np.zeros(n, np.int32), np.zeros(n)
        kept = 0
        if n:
            external.fill_candidates(address, user_row, least)
            members.fill(memory, user, x)
            kept = external.write_list(address, user_row, nan, np.zeros(n, np.int32), listed, scores)
        memory.mark_used()
        names = [str(memory.items.names[row]) for row in listed[:kept]]
        is_target = bool(position != event_loop.NOT_ASKED)
        return Step(int(position) if is_target else None, names, np.round(scores[:kept], 6).tolist(), is_target)

    def _note_losses(self, losses: Sequence[float]) -> None:
        """Feed the drift detector, and enlarge the steps of the weights after drift."""
        for loss in losses:
            if self._drift.add(loss):
                for name in ("step", *reranker.SQUARES):
                    self.memory.small[name] *= FORGOTTEN_STEPS
                    if self._shares:
                        self.sharing.scale_sent(name, FORGOTTEN_STEPS)
                newton.forget(self.memory.small["curvature"], FORGOTTEN_STEPS)

    def _segment(self, examples: Sequence[Example], start: int, n: int, steps: list[Step]) -> int:
        """Process the examples from `start` up to the first one that needs room to be made."""
        memory = self.memory
        room = len(examples) - start
        if self.learns_weights:
            room = min(room, self._drift.room)
        if self.slow_member is not None:
            room = min(room, self.slow_member.room)
        memory.make_cells()
        while not memory.has_cells(room):
            room = (room + 1) // 2
        user_rows, item_rows = np.zeros(room, np.int64), np.zeros(room, np.int64)
        rewards, times, kinds = np.zeros(room), np.zeros(room), np.zeros(room, np.int64)
        known_user, known_item = memory.users.rows.get, memory.items.rows.get
        taken = 0
        for user, item, y, time, x, undoes in examples[start : start + room]:
            if undoes is not None:
                break
            user_row, item_row = known_user(user, 0), known_item(item, 0)
            if user_row == 0 or item_row == 0:
                full = (user_row == 0 and memory.users.is_full) or (item_row == 0 and memory.items.is_full)
                if full and taken:
                    break  # room is made after the events before are learned
                user_row, item_row = memory.user_row(user), memory.item_row(item)
            user_rows[taken], item_rows[taken] = user_row, item_row
            rewards[taken] = 1.0 if y == 1.0 else bounded(y)
            times[taken] = time if isfinite(time) else 0.0  # 0 does not move any clock forward
            if self._ledger:
                kinds[taken] = self._kind(x)
            taken += 1
        memory.mark_used()
        positions, lengths, losses = np.zeros(taken, np.int32), np.zeros(taken, np.int32), np.zeros(taken)
        listed, scores = np.zeros((taken, n), np.int32), np.zeros((taken, n))
        event_loop.process_batch(
            memory.handle.address,
            user_rows[:taken],
            item_rows[:taken],
            rewards[:taken],
            times[:taken],
            kinds[:taken],
            positions,
            losses,
            lengths,
            listed,
            scores,
            np.zeros(n, np.int32),
        )
        memory.mark_used()
        if self.learns_weights:
            self._note_losses(losses.tolist())
        names = memory.items.names
        for position, length, items, values in zip(
            positions.tolist(),
            lengths.tolist(),
            listed.tolist(),
            scores.tolist(),
            strict=True,
        ):
            steps.append(
                Step(
                    None if position == event_loop.NOT_ASKED else position,
                    [names[row] for row in items[:length]],  # type: ignore[misc]  # every listed row has a name
                    values[:length],
                    position != event_loop.NOT_ASKED,
                )
            )
        return start + taken

    def _kind(self, x: Context | None) -> int:
        """Return the number of an interaction's type, for the ledger."""
        return kind_of(str(x.get("event", ""))) if self._ledger and x else 0

    def learn_one(self, user: str, item: str, y: float = 1.0, x: Context | None = None) -> None:
        """Learn one interaction. Without a `timestamp` in `x` it gets the time of the last one."""
        time = time_of(x)
        if isnan(time):
            time = float(self.memory.state.shared.users.last_time[: len(self.memory.users.names)].max())
        self.step_many([Example(user, item, y, time, x)], n=0)

    def predict_one(self, user: str, item: str, x: Context | None = None) -> float:
        """Return the score of an item for a user, on the scale of `top`."""
        return float(self._scores(user, [item], x)[0])

    def predict_many(self, user: str, items: Sequence[str], x: Context | None = None) -> Sequence[float]:
        """Return the scores of many items for a user, in one call of the kernel."""
        scores: list[float] = self._scores(user, items, x).tolist()
        return scores

    def rank(self, user: str, items: Collection[str], x: Context | None = None) -> list[str]:
        """Order items by falling score. Ties keep the first-seen order, then the given order."""
        given, state = list(items), self.memory.state
        age = state.shared.items.first_seen[[self.memory.items.row(item) for item in given]]
        age[age == 0] = state.shared.counters[[EVENTS, ANNOUNCED]].sum() + 1
        order = np.lexsort((age, -self._scores(user, given, x)))  # stable: full ties keep the given order
        return [given[k] for k in order.tolist()]

    def _scores(self, user: str, items: Sequence[str], x: Context | None) -> NDArray[np.float32]:
        memory, state, time = self.memory, self.memory.state, time_of(x)
        user_row, rows = memory.users.row(user), np.array([memory.items.row(item) for item in items], np.int32)
        address, scores = memory.handle.address, np.zeros(len(rows), np.float32)
        if self.outside:
            state.shared.candidates.epoch[1] = 0
            external.fill_candidates(address, user_row, event_loop.MIN_CANDIDATES)
            scales = self.external_members.fill(memory, user, x)
            log_total = external.log_denominator(address, user_row, time)
        most = len(state.shared.candidates.item)
        for start in range(0, len(rows), most):
            part = slice(start, start + most)
            if self.outside:
                external.admit(address, user_row, rows[part])
                self.external_members.fill(memory, user, x, scales)
                external.score_admitted(address, user_row, time, log_total, rows[part], scores[part])
            else:
                inference.score_items(address, user_row, time, rows[part], scores[part])
        return scores

    def top(self, user: str, n: int = 10, x: Context | None = None) -> list[tuple[str, float]]:
        """Return the user's list: at most `n` items with their scores, the best first.

        The list is for the `timestamp` in `x`. Without one it is for the near future.
        """
        return self._list(user, n, x)[0]

    def explain(self, user: str, n: int = 10, x: Context | None = None) -> list[Why]:
        """Return the user's list, with the lift of each item's logit above the average candidate's, by part.

        There is a part for each column, and one for the reranker if the blend has it.
        """
        listed, places = self._list(user, n, x)
        if not listed:
            return []
        memory, state = self.memory, self.memory.state
        row = memory.users.row(user)
        contexts = list(inference.contexts(memory.handle.address, row, time_of(x)))
        size = int(state.shared.candidates.size[0])
        columns = state.shared.candidates.column[:, :size]
        weights = memory.small["weight"][contexts].sum(axis=0)
        parts = weights[:, None] * (columns[:, places] - columns.mean(axis=1, keepdims=True))
        names = self.column_names()
        if state.shared.options.use_reranker:
            added = state.shared.candidates.score[:size] - weights @ columns
            parts, names = np.vstack([parts, added[places] - added.mean()]), [*names, RERANKER]
        return [
            Why(item, score, dict(sorted(zip(names, adds, strict=True), key=lambda pair: -pair[1])))
            for (item, score), adds in zip(listed, parts.T.tolist(), strict=True)
        ]

    def related(self, item: str, n: int = 10) -> list[tuple[str, float]]:
        """Return the items that go best with an item, the best first; see `recmodels.fused.item_lists`.

        >>> from recmodels import Blend
        >>> model = Blend()
        >>> for user, item in [("ann", "tea"), ("ann", "cup"), ("bob", "tea"), ("bob", "cup"), ("cat", "pie")]:
        ...     model.learn_one(user, item)
        >>> model.related("tea"), model.related("pie")
        ([('cup', 1.0)], [])
        """
        return item_lists.related(self.memory, self._used_members(), item, n)

    def trending(self, n: int = 10, tag: str = "") -> list[tuple[str, float]]:
        """Return the items that are most popular now, of all items or of a tag, with their decayed counts."""
        return item_lists.trending(self.memory, self._used_members(), n, tag)

    def tags(self, item: str) -> list[str]:
        """Return the tags of an item, without the words of its title and its price."""
        return item_lists.tags(self.memory, item)

    @property
    def has_item_lists(self) -> bool:
        """Whether its members know what follows an item, and what is popular."""
        return {"popularity", "covisitation"} <= self.members

    def member_weights(self) -> dict[str, float]:
        """Return the mean weight of each column over the contexts by length of history."""
        weights = self.memory.small["weight"]
        whole = weights[:LENGTHS].mean(axis=0) + weights[LENGTHS:].mean(axis=0)
        return dict(zip(self.column_names(), whole.tolist(), strict=True))

    def column_names(self) -> list[str]:
        """Return a name for each column of the candidate set."""
        arguments = {**vars(self), "unit": " s" if self.decay_by == "time" else ""}
        own = [name.format(**arguments) for member in MEMBERS for name in member.columns]
        slow = [] if self.slow_member is None else ["slow"]
        return [*own, *slow, *self.external_members.names()]

    @property
    def drift_moments(self) -> list[int]:
        """Numbers of the newest events after which the weights' loss showed drift."""
        return self._drift.moments

    def _list(self, user: str, n: int, x: Context | None) -> tuple[list[tuple[str, float]], NDArray[np.int32]]:
        """Return the list as `top` does, and the slots of its items in the candidate set, which stays unchanged."""
        memory, state, n, time = self.memory, self.memory.state, max(n, 0), time_of(x)
        user_row = memory.users.row(user)
        address, places = memory.handle.address, np.zeros(n, np.int32)
        listed, scores = np.zeros(n, np.int32), np.zeros(n)
        if self.outside:
            state.shared.candidates.epoch[1] = 0
            external.fill_candidates(address, user_row, max(n, event_loop.MIN_CANDIDATES))
            self.external_members.fill(memory, user, x)
            kept = external.write_list(address, user_row, time, places, listed, scores)
            state.shared.candidates.epoch[1] = 0
        else:
            kept = inference.top(address, user_row, time, places, listed, scores)
        names = memory.items.names
        pairs = [(str(names[row]), float(score)) for row, score in zip(listed[:kept], scores, strict=False)]
        return pairs, places[:kept]

    def learn_item(self, item: str, x: Context | None = None, available: bool | None = None) -> None:
        """Learn an item's tags and availability (`recmodels.fused.item_events`)."""
        for model in self.external_members.models:
            model.learn_item(item, x, available)
        tags = tags_of(x, ITEM_TAGS) if self.memory.learns_tags else []
        if self._shares and (tags or available is not None):
            self.sharing.expect_room(1)
            self.sharing.settle()
            self.sharing.note_item(item, tags, available)
        set_item(self.memory, item, tags, available)

    def forget_one(self, user: str) -> None:
        """Erase a user, who is then a new user. Counts and factors of items keep what they learned."""
        for model in self.external_members.models:
            model.forget_one(user)
        if self._shares:
            self.sharing.expect_room(1)
            self.sharing.note_erased(user)
        row = self.memory.users.row(user)
        if row:
            self.memory.forget_users([row])

    def has_seen(self, user: str, item: str) -> bool:
        """Say whether an item is in a user's history."""
        memory = self.memory
        return bool(event_loop.has_had(memory.handle.address, memory.users.row(user), memory.items.row(item)))

    def knows(self, item: str) -> bool:
        """Say whether an item has a positive interaction."""
        return bool(self.memory.state.shared.items.first_seen[self.memory.items.row(item)] > 0)

    def is_available(self, item: str) -> bool:
        """Say whether an item may be recommended."""
        row = self.memory.items.row(item)
        return not self.memory.state.shared.items.hidden[row] and item not in self.memory.unavailable.ids.rows


@lru_cache(maxsize=1_024)
def kind_of(event: str) -> int:
    """Return a number above 0 for a type of event, always the same, and 0 for none."""
    return (crc32(event.encode("utf-8", "surrogatepass")) & 0x7FFFFFFF) or 1 if event else 0
