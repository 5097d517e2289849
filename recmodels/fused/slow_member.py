"""Slow member of a blend: when its weights are trained, and how new ones come into use.

After certain numbers of events the member takes *work* from the blend's own histories, and gives it to a trainer. The
*swap* puts the new weights in shadow, beside those in use. After some hundred events they take their place, or they are
rolled back if their loss is larger. All of this is decided by numbers of events. Only the moment of a swap depends on
the trainer. So swaps are recorded, and a replay with recorded swaps gives the lists of the live run.
"""

import logging
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from recmodels.fused.memory import Memory
from recmodels.kernels.members import slow
from recmodels.kernels.shared import EVENTS
from recmodels.slow.options import NO_JAX, SlowOptions
from recmodels.slow.trainer import AtOnce, Trainer, UntrainableError, has_jax, short
from recmodels.slow.work import NET, Trained, Work, first_weights

logger = logging.getLogger(__name__)

LONG: Final = 1 << 40
"""More events than there will be."""
LONGEST_HISTORY: Final = 500
"""Number of items, the newest, that a training takes of one user."""
LEAST_WORK: Final = 50
"""Number of interactions below which there is nothing to train."""


class SlowMember:
    """The slow member of a blend.

    Args:
        memory: The blend's memory.
        options: Arguments.
        seed: Of everything that is drawn.
        trainer: Trains the weights. None: this process does, at once.
    """

    def __init__(self, memory: Memory, options: SlowOptions, seed: int, trainer: Trainer | None = None) -> None:
        self.options = options
        self.trainer = trainer or AtOnce()
        self._memory = memory
        self._seed = seed
        self._is_at_work = False
        self._first()

    @property
    def room(self) -> int:
        """Number of events until something is due, at least 1."""
        clock = self._clock
        due = [int(clock[slow.NEXT])] if not clock[slow.ASKED] else []
        due += [int(clock[slow.SHADOW_ENDS])] if clock[slow.IN_SHADOW] else []
        due += [swap for data, swap in self.options.swaps if data == clock[slow.ASKED]]
        return max(min(due, default=LONG) - self.events, 1)

    @property
    def events(self) -> int:
        """Number of events that the blend has learned."""
        return int(self._memory.state.shared.counters[EVENTS])

    @property
    def _clock(self) -> NDArray[np.int64]:
        return self._memory.state.slow.clock

    def step(self) -> None:
        """Do what is due after the events so far: decide on weights in shadow, swap, and begin a training.

        Raises:
            UntrainableError: There are no weights yet, and JAX is not installed to train some.
        """
        clock, now = self._clock, self.events
        if not self._is_at_work:
            self._expect_weights()
        if clock[slow.IN_SHADOW] and now >= clock[slow.SHADOW_ENDS]:
            self._decide()
        if clock[slow.ASKED]:
            self._ask()
        if not clock[slow.ASKED] and not clock[slow.IN_SHADOW] and now >= clock[slow.NEXT]:
            if self.trainer.can_begin():
                self._begin(now)
            else:
                clock[slow.NEXT] = now + self.options.first

    def figures(self) -> dict[str, float]:
        """Return age in events, losses and counts, for metrics."""
        state = self._memory.state.slow
        clock, loss = state.clock, state.loss
        age = {"age_events": float(self.events - clock[slow.DATA_OF_ACTIVE])} if clock[slow.GENERATION] else {}
        losses = {"loss": float(loss[slow.SMOOTHED]), "training_loss": float(loss[slow.OF_TRAINING])}
        counts = {"swaps": slow.SWAPPED, "promoted": slow.PROMOTED, "rolled_back": slow.ROLLED_BACK}
        is_at_work = {"training": float(clock[slow.ASKED] > 0), "in_shadow": float(clock[slow.IN_SHADOW])}
        trust = {"trusted": float(clock[slow.TRUSTED]), "gain": float(loss[slow.GAIN])}
        counted = {name: float(clock[place]) for name, place in counts.items()}
        return {**age, **losses, **trust, **is_at_work, **counted, "failures": float(self.trainer.failures)}

    def swaps(self) -> list[tuple[int, int]]:
        """Return the swaps so far, at most the newest `slow.SWAPS`, as the argument `swaps` takes them."""
        state = self._memory.state.slow
        count = int(state.clock[slow.SWAPPED])
        rows = [state.swaps[number % slow.SWAPS].tolist() for number in range(max(count - slow.SWAPS, 0), count)]
        return [(data, swap) for data, swap in rows]

    def resumed(self) -> None:
        """Note that state was loaded."""
        self._first()

    def _expect_weights(self) -> None:
        """Say before the first event that there will be no weights. One that has weights serves without JAX."""
        self._is_at_work = True
        if not self._clock[slow.GENERATION] and not self._clock[slow.ASKED] and not has_jax():
            raise UntrainableError(NO_JAX)

    def _first(self) -> None:
        if not self._clock[slow.NEXT]:
            self._clock[slow.NEXT] = self.options.swaps[0][0] if self.options.swaps else self.options.first

    def _begin(self, now: int) -> None:
        """Give the histories of now to the trainer."""
        clock = self._clock
        work = self._work(now)
        later = [data for data, _ in self.options.swaps if data > now]
        clock[slow.NEXT] = later[0] if later else max(round(now * self.options.growth), now + 1)
        if len(work.items) >= LEAST_WORK:
            clock[slow.ASKED], clock[slow.DIGEST] = now, short(work.digest())
            self.trainer.begin(work, self.options)
            self._ask()

    def _ask(self) -> None:
        """Swap in the weights of the training at work, if they are there and it is time."""
        clock, now = self._clock, self.events
        if any(data == clock[slow.ASKED] and now < swap for data, swap in self.options.swaps):
            return
        digest = int(clock[slow.DIGEST])
        trained = self.trainer.result(digest)
        if trained is not None:
            self._swap(trained, now)
        elif not self.trainer.is_at_work(digest):
            logger.warning("slow member: the training of event %d is lost; another one begins", clock[slow.ASKED])
            clock[slow.ASKED], clock[slow.NEXT] = 0, now + self.options.first

    def _swap(self, trained: Trained, now: int) -> None:
        """Put new weights in shadow. The first ones come into use at once: their column is on probation."""
        state, clock = self._memory.state.slow, self._clock
        is_first = clock[slow.GENERATION] == 0
        slot = int(clock[slow.ACTIVE]) if is_first else 1 - int(clock[slow.ACTIVE])
        items = self._memory.tables["slow_items"]
        items.arrays["vector"][: items.used, slot] = 0.0
        items.arrays["bias"][: items.used, slot] = 0.0
        items.arrays["count"][: items.used, slot] = 0
        known = np.array([self._memory.items.row(name) for name in trained.names], np.int64)
        has_row = known > 0
        rows, places = known[has_row], 1 + np.flatnonzero(has_row)
        items.arrays["vector"][rows, slot] = trained.weights["vector"][places]
        items.arrays["bias"][rows, slot] = trained.weights["bias"][places]
        items.arrays["count"][rows, slot] = slow.TRAINED
        items.dirty[: items.used] = 1
        for name in NET:
            getattr(state, name)[slot] = trained.weights[name]
        state.swaps[clock[slow.SWAPPED] % slow.SWAPS] = clock[slow.ASKED], now
        clock[slow.SWAPPED] += 1
        state.loss[slow.OF_TRAINING] = trained.loss
        data, clock[slow.ASKED], clock[slow.DIGEST] = clock[slow.ASKED], 0, 0
        if is_first:
            clock[slow.GENERATION] = 1
            clock[slow.TRUSTED] = self.options.least_gain == 0.0
            clock[slow.DATA_OF_ACTIVE] = data
        else:
            clock[slow.DATA_OF_SHADOW] = data
            clock[slow.IN_SHADOW], clock[slow.SHADOW_ENDS] = 1, now + self.options.shadow
            state.loss[[slow.SUM_ACTIVE, slow.SUM_SHADOW, slow.SCORED]] = 0.0
        self._memory.state.shared.candidates.epoch[1] = 0
        said = "slow member: weights of event %d swapped in at event %d, loss %.3f; swaps=%s"
        logger.info(said, data, now, trained.loss, tuple(self.swaps()))

    def _decide(self) -> None:
        """Use the weights in shadow if their loss is not larger, else drop them."""
        state, clock = self._memory.state.slow, self._clock
        active, shadow, count = state.loss[[slow.SUM_ACTIVE, slow.SUM_SHADOW, slow.SCORED]].tolist()
        clock[slow.IN_SHADOW] = 0
        is_better = shadow <= active
        if is_better:
            clock[slow.ACTIVE] = 1 - clock[slow.ACTIVE]
            clock[slow.GENERATION] += 1
            clock[slow.PROMOTED] += 1
            clock[slow.DATA_OF_ACTIVE] = clock[slow.DATA_OF_SHADOW]
            state.loss[slow.SMOOTHED] = 0.0
        else:
            clock[slow.ROLLED_BACK] += 1
        self._memory.state.shared.candidates.epoch[1] = 0
        said = "come into use" if is_better else "are rolled back"
        mean = [total / max(count, 1.0) for total in (active, shadow)]
        logger.info("slow member: the new weights %s; loss %.3f before, %.3f after, %d events", said, *mean, count)

    def _work(self, now: int) -> Work:
        """Take the histories: of the users with the newest events, and a sample of the others."""
        options, draw = self.options, np.random.default_rng([self._seed, now])
        items, lengths, begins = self._histories(draw)
        rows, places = np.unique(items, return_inverse=True)
        names = [str(self._memory.items.names[row]) for row in rows.tolist()]
        weights: dict[str, NDArray[np.float32]] = first_weights(len(rows), options.width, draw)
        taken = np.bincount(places, minlength=len(rows))
        weights["bias"][1:] = np.log((taken + 1.0) / (taken + 1.0).mean())
        clock, state = self._clock, self._memory.state.slow
        if clock[slow.GENERATION]:
            slot = int(clock[slow.ACTIVE])
            known = np.flatnonzero(state.items.seen[rows, slot])
            weights["vector"][1 + known] = state.items.vector[rows[known], slot]
            old = np.flatnonzero(state.items.seen[rows, slot] == slow.TRAINED)
            weights["bias"][1 + old] = state.items.bias[rows[old], slot]
            weights |= {name: getattr(state, name)[slot].copy() for name in NET}
        return Work(now, self._seed, names, (places + 1).astype(np.int32), lengths, begins, weights)

    def _histories(self, draw: np.random.Generator) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.uint8]]:
        """Return the items of users, the oldest first, the length of each history, and whether it is whole."""
        shared, count = self._memory.state.shared, len(self._memory.users.names)
        last = shared.users.last_used[:count]
        size = np.minimum(shared.users.events[:count], LONGEST_HISTORY)
        order = np.argsort(-last, kind="stable")
        order = order[size[order] > 0]
        newest = int(np.searchsorted(np.cumsum(size[order]), self.options.window, side="right"))
        others = draw.permutation(order[newest:])
        sampled = int(np.searchsorted(np.cumsum(size[others]), self.options.reservoir, side="right"))
        users = np.concatenate([order[:newest], others[:sampled]]).astype(np.int64)
        cell, found, whose = shared.users.newest[users].copy(), [], []
        at, depth = np.arange(len(users)), 0
        while len(at) and depth < LONGEST_HISTORY:
            alive = cell > 0
            at, cell = at[alive], cell[alive]
            counts = shared.history.amount[cell] > 0.0
            found.append(shared.history.item[cell[counts]])
            whose.append(at[counts])
            cell, depth = shared.history.next[cell], depth + 1
        items = np.concatenate([np.zeros(0, np.int32), *reversed(found)])  # the oldest of each user first
        owner = np.concatenate([np.zeros(0, np.int64), *reversed(whose)])
        lengths = np.bincount(owner, minlength=len(users)).astype(np.int32)
        begins = (shared.users.events[users] <= LONGEST_HISTORY).astype(np.uint8)
        return items[np.argsort(owner, kind="stable")], lengths, begins


def swaps_of(state: Mapping[str, NDArray[Any]]) -> list[tuple[int, int]]:
    """Return the swaps in the arrays of a model's dump, as the argument `swaps` takes them."""
    if "small.slow_swaps" not in state:
        return []
    swaps, count = state["small.slow_swaps"], int(state["small.slow_clock"][slow.SWAPPED])
    return [tuple(swaps[number % slow.SWAPS].tolist()) for number in range(max(count - slow.SWAPS, 0), count)]
