"""Models whose members are kernels: the tables they work on, and River's verbs over them."""

from collections.abc import Collection, Mapping, Sequence
from math import isfinite, isnan
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from recmodels.arguments import expect_counts, expect_numbers
from recmodels.base import Context, Example, Recommender, Step, time_of
from recmodels.kernels import driver, popularity
from recmodels.kernels.candidates import HALF_LIVES
from recmodels.kernels.compile import CACHE_DIRECTORY
from recmodels.kernels.state import EVENTS, Options
from recmodels.kernels.users import LENGTHS
from recmodels.memory import Memory, Sizes
from recmodels.rewards import bounded


class FusedModel(Recommender):
    """The base of every model that runs in the fused kernel. Its members are switched on by class.

    Args:
        repeats: "allow" if a user's list may hold items the user has interacted with, or "exclude".
        max_users, max_items: So many are remembered. Beyond that the least recently used are forgotten.
        max_pairs: So many pairs of a user and an item are remembered in histories.
        max_history: So many items of one user's history.
        half_lives: Of popularity, in events; `inf` never forgets. Always five.
        recent: So many of a user's last items ask co-visitation and factorisation.
        row_length: Entries of a co-visitation row.
        learn_decay: How much less each older recent item learns of the new one, per place.
        n_factors: Length of the factors.
        history_decay: How much less each older recent item counts for the user's vector, per place.
        factor_rate: Learning rate of the factors.
        l2: Regularisation of the factors.
        learning_rate: Learning rate of the blend's weights.
        seed: Of the first factors.
    """

    members: ClassVar[frozenset[str]] = frozenset()
    learns_weights: ClassVar[bool] = False
    first_weights: ClassVar[dict[int, float]] = {}

    def __init__(
        self,
        repeats: str = "allow",
        max_users: int = 1_000_000,
        max_items: int = 1_000_000,
        max_pairs: int = 20_000_000,
        max_history: int = 2_000,
        half_lives: tuple[float, ...] = (30.0, 300.0, 3_000.0, 30_000.0, float("inf")),
        recent: int = 20,
        row_length: int = 64,
        learn_decay: float = 0.8,
        n_factors: int = 32,
        history_decay: float = 0.8,
        factor_rate: float = 0.05,
        l2: float = 1e-4,
        learning_rate: float = 0.2,
        seed: int = 0,
    ) -> None:
        super().__init__(repeats=repeats, seed=seed)
        self.max_users = max_users
        self.max_items = max_items
        self.max_pairs = max_pairs
        self.max_history = max_history
        self.half_lives = half_lives
        self.recent = recent
        self.row_length = row_length
        self.learn_decay = learn_decay
        self.n_factors = n_factors
        self.history_decay = history_decay
        self.factor_rate = factor_rate
        self.l2 = l2
        self.learning_rate = learning_rate
        self._memory: Memory | None = None
        expect_counts(max_users=self.max_users, max_items=self.max_items, max_pairs=self.max_pairs)
        expect_counts(max_history=self.max_history, recent=self.recent)
        expect_counts(row_length=self.row_length, n_factors=self.n_factors)
        expect_counts(0, seed=self.seed)
        if len(self.half_lives) != HALF_LIVES:
            raise ValueError(f"expected {HALF_LIVES} half_lives; got {self.half_lives!r}")
        expect_numbers(1e-3, **{f"half_lives[{h}]": half_life for h, half_life in enumerate(self.half_lives)})
        expect_numbers(0.0, 1.0, learn_decay=self.learn_decay, history_decay=self.history_decay)
        expect_numbers(0.0, 1e3, factor_rate=self.factor_rate, l2=self.l2, learning_rate=self.learning_rate)

    @property
    def memory(self) -> Memory:
        """The model's tables. They come to be when they are first asked for."""
        if self._memory is None:
            self._memory = Memory(
                Sizes(
                    self.max_users,
                    self.max_items,
                    self.max_pairs,
                    self.recent,
                    self.row_length,
                    self.n_factors,
                ),
                1.0 / np.array(self.half_lives, np.float64),
                Options(  # of one type each: for any other, numba would compile the kernels anew
                    exclude_seen=self.repeats == "exclude",
                    use_popularity="popularity" in self.members,
                    use_covisitation="covisitation" in self.members,
                    use_history="history" in self.members,
                    use_factors="factorization" in self.members,
                    learn_weights=self.learns_weights,
                    learning_rate=float(self.learning_rate),
                    learn_decay=float(self.learn_decay),
                    history_decay=float(self.history_decay),
                    factor_rate=float(self.factor_rate),
                    regularization=float(self.l2),
                    max_history=int(self.max_history),
                    seed=int(self.seed),
                ),
            )
            for column, weight in self.first_weights.items():
                self._memory.small["weight"][:LENGTHS, column] = weight
        return self._memory

    def step_many(self, examples: Sequence[Example], n: int = 10, score: bool = True) -> list[Step]:
        """Take examples one after the other, in one call of the kernel. `score` is always met: it costs nothing."""
        steps: list[Step] = []
        start = 0
        while start < len(examples):
            start = self._segment(examples, start, n, steps)
        return steps

    def _segment(self, examples: Sequence[Example], start: int, n: int, steps: list[Step]) -> int:
        """Take the examples from `start` up to the first that needs room to be made before it."""
        memory = self.memory
        room = len(examples) - start
        memory.make_cells()
        while not memory.has_cells(room):
            room = (room + 1) // 2
        user_rows, item_rows = np.zeros(room, np.int32), np.zeros(room, np.int32)
        rewards, times = np.zeros(room), np.zeros(room)
        known_user, known_item = memory.users.rows.get, memory.items.rows.get
        taken = 0
        for user, item, y, time, _ in examples[start : start + room]:
            user_row, item_row = known_user(user, 0), known_item(item, 0)
            if user_row == 0 or item_row == 0:
                full = (user_row == 0 and memory.users.is_full) or (item_row == 0 and memory.items.is_full)
                if full and taken:
                    break  # room is made when the events before have been learned
                user_row, item_row = memory.user_row(user), memory.item_row(item)
            user_rows[taken], item_rows[taken] = user_row, item_row
            rewards[taken] = 1.0 if y == 1.0 else bounded(y)
            times[taken] = time if isfinite(time) else 0.0  # long ago: as if it happened when the last one did
            taken += 1
        memory.mark_used()
        positions, lengths = np.zeros(taken, np.int32), np.zeros(taken, np.int32)
        listed, scores = np.zeros((taken, n), np.int32), np.zeros((taken, n), np.float32)
        driver.step(
            memory.state,
            user_rows[:taken],
            item_rows[:taken],
            rewards[:taken],
            times[:taken],
            positions,
            lengths,
            listed,
            scores,
            np.zeros(n, np.int32),
        )
        memory.mark_used()
        names = memory.items.names
        for position, length, items, values in zip(
            positions.tolist(),
            lengths.tolist(),
            listed.tolist(),
            np.round(scores.astype(np.float64), 4).tolist(),
            strict=True,
        ):
            steps.append(
                Step(
                    None if position == driver.NOT_ASKED else position,
                    [names[row] for row in items[:length]],  # type: ignore[misc]  # every listed row has a name
                    values[:length],
                )
            )
        return start + taken

    def learn_one(self, user: str, item: str, y: float = 1.0, x: Context | None = None) -> None:
        """Learn one interaction. Without a `timestamp` in `x` it happens when the last one did."""
        time = time_of(x)
        if isnan(time):
            time = float(self.memory.state.users.last_time[: len(self.memory.users.names)].max())
        self.step_many([Example(user, item, y, time, x)], n=0)

    def predict_one(self, user: str, item: str, x: Context | None = None) -> float:
        """Return the score of an item for a user, as `top` would give it."""
        return float(self._scores(user, [item], x)[0])

    def rank(self, user: str, items: Collection[str], x: Context | None = None) -> list[str]:
        """Order items by falling score; items of equal score as they were first seen, then as given."""
        given, memory = list(items), self.memory
        rows = np.array([memory.items.row(item) for item in given], np.int32)
        age = memory.state.items.first_seen[rows]
        age[age == 0] = memory.state.counters[EVENTS] + 1
        order = np.lexsort((age, -self._scores_of_rows(user, rows, x)))  # stable: as given where both are equal
        return [given[k] for k in order.tolist()]

    def _scores(self, user: str, items: Sequence[str], x: Context | None) -> NDArray[np.float32]:
        return self._scores_of_rows(user, np.array([self.memory.items.row(item) for item in items], np.int32), x)

    def _scores_of_rows(self, user: str, rows: NDArray[np.int32], x: Context | None) -> NDArray[np.float32]:
        memory, scores = self.memory, np.zeros(len(rows), np.float32)
        most = len(memory.state.candidates.item)
        for start in range(0, len(rows), most):
            part = slice(start, start + most)
            driver.score_items(memory.state, memory.users.row(user), time_of(x), rows[part], scores[part])
        return scores

    def top(self, user: str, n: int = 10, x: Context | None = None) -> list[tuple[str, float]]:
        """Return the user's list: at most `n` items with their scores, the best first.

        It is meant for when `x` says in its `timestamp`; without one, for some time soon.
        """
        memory, n = self.memory, max(n, 0)
        places, listed, scores = np.zeros(n, np.int32), np.zeros(n, np.int32), np.zeros(n, np.float32)
        kept = driver.top(memory.state, memory.users.row(user), time_of(x), places, listed, scores)
        names = memory.items.names
        return [(str(names[row]), float(score)) for row, score in zip(listed[:kept], scores, strict=False)]

    def learn_item(self, item: str, x: Context | None = None, available: bool | None = None) -> None:
        """Learn whether an item may be recommended. None: as it was."""
        memory, state = self.memory, self.memory.state
        row = memory.items.row(item)
        if available is None or bool(state.items.hidden[row]) is not available:
            return
        if row == 0:
            row = memory.item_row(item)
            memory.mark_used()
            state.items.last_used[row] = state.counters[EVENTS] + 1
        state.items.hidden[row] = not available
        state.items.dirty[row] = 1
        state.candidates.stamp[1] = 0
        if available:
            if state.items.first_seen[row] > 0:
                popularity.show(state.popularity, state.items, row)
        # Hidden items keep their place among the top until they take too much of it.
        elif state.items.hidden[state.popularity.top].mean(axis=1).max() > 0.25:
            popularity.rebuild(state.popularity, state.items, len(memory.items.names))

    def forget_one(self, user: str) -> None:
        """Erase a user: afterwards the user is a stranger. What others' items gained from them stays."""
        row = self.memory.users.row(user)
        if row:
            self.memory.forget_users([row])

    def has_seen(self, user: str, item: str) -> bool:
        """Say whether an item is in a user's history."""
        memory = self.memory
        return bool(driver.is_repeat(memory.state, memory.users.row(user), memory.items.row(item)))

    def dump(self) -> dict[str, NDArray[Any]]:
        """Return the whole state as arrays."""
        return self.memory.dump()

    def dump_changes(self) -> dict[str, NDArray[Any]]:
        """Return the rows that have changed since the last dump."""
        return self.memory.dump_changes()

    def dump_part(self, place: int, size: int) -> tuple[dict[str, NDArray[Any]], int]:
        """Return about `size` bytes of the state from `place` on, and the place behind them: 0 at the end."""
        return self.memory.dump_part(place, size)

    def load(self, record: Mapping[str, NDArray[Any]]) -> None:
        """Take over what any of the dumps gave."""
        self.memory.load(record)

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy or a pickle needs: of the tables only the rows in use."""
        return {**self.__dict__, "_memory": None, "record": self._memory and self._memory.copy()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        record = state.pop("record")
        self.__dict__.update(state)
        if record is not None:
            self.memory.load(record)
            self.memory.mark_changed()


def are_kernels_compiled() -> bool:
    """Say whether the kernels of this version have been compiled on this machine before."""
    return CACHE_DIRECTORY is not None and any(CACHE_DIRECTORY.rglob("*driver.step*.nbc"))


def warm_up() -> None:
    """Load every kernel, compiled if need be, so that no event waits for it."""
    model = FusedModel(max_users=2, max_items=2, max_pairs=4)
    model.step_many([Example("ann", "tea"), Example("bob", "jam"), Example("cat", "pie")], n=1)  # one too many
    model.learn_item("tea", available=False)
    model.learn_item("tea", available=True)
    model.top("ann", n=1)
    model.predict_one("ann", "tea")
    model.has_seen("ann", "tea")
    model.forget_one("cat")
