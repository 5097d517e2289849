"""What every model of kernels has: its arguments, its tables, and how they are dumped and loaded."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from recmodels.base import Recommender
from recmodels.fused.drift import DriftDetector
from recmodels.fused.external_members import ExternalMembers
from recmodels.fused.memory import Memory
from recmodels.fused.shared_items import dump_items, load_items, load_twin
from recmodels.fused.sharing import Sharing
from recmodels.fused.slow_member import SlowMember
from recmodels.kernels.ledger import KEPT
from recmodels.kernels.members.content import ITEM_TAGS
from recmodels.kernels.members.popularity import HALF_LIVES
from recmodels.kernels.reranker import first_weights
from recmodels.kernels.state import COLUMNS, MEMBERS, columns_of
from recmodels.kernels.user_context import LENGTHS
from recmodels.slow.options import SlowOptions
from recmodels.specification import SLOW, build_members, parse
from recmodels.storage.place import joined, split
from recmodels.validation import expect_choice, expect_counts, expect_numbers

OF_RERANKER: Final = frozenset({"predecessors", "age"})
"""Members that a blend has only with its reranker."""
ALIKE: Final = (
    "half_lives",
    "decay_by",
    "recent",
    "learn_decay",
    "n_factors",
    "history_decay",
    "factor_rate",
    "l2",
    "learning_rate",
    "reranker",
    "seed",
)
"""Arguments that models must have alike to learn from each other."""
NO_UNDO: Final = "expected a model that either takes interactions back or shares what it learns; it cannot do both"
TABLES, OUTSIDE, PARTS = 0, 1, 2
"""The parts of a state that is dumped in pieces: the tables, then the external members."""


class FusedBase(Recommender):
    """The arguments and tables of a `recmodels.fused.model.FusedModel`.

    Args:
        repeats: "allow" if a user's list may hold items the user has interacted with, or "exclude".
        max_users, max_items: So many are remembered. Beyond that the least recently used are forgotten.
        max_pairs: So many pairs of a user and an item are remembered in histories.
        max_history: So many items of one user's history.
        max_tags: So many tags of items are remembered.
        half_lives: Of popularity; `inf` never forgets. Always five.
        decay_by: What half-lives count: "events", or "time" for seconds of the events' time.
        recent: So many of a user's last items ask co-visitation and factorisation.
        row_length: Entries of a co-visitation row.
        learn_decay: How much less each older recent item learns of the new one, per place.
        n_factors: Length of the factors.
        history_decay: How much less each older recent item counts for the user's vector, per place.
        factor_rate: Learning rate of the factors.
        l2: Regularisation of the factors.
        learning_rate: Learning rate of the blend's weights.
        reranker: Whether a blend reranks its best candidates with a small net, and has the two members that go with
            it, predecessors and age. Without it an event costs less, and lists are those of version 0.1.0.
        outside: Specifications of further members with a + between them, such as "river:reco.BiasedMF(n_factors=8)".
            They can be models of any kind, and are asked for the scores of all candidates of each list, one event at
            a time: that is slower by as much as they are.
        slow: Specification of the slow member, such as "slow(width=32)", a recurrent net that is trained at intervals
            (`recmodels.fused.slow_member`). Empty: there is none. `blend+slow` sets it.
        seed: Of the first factors.
    """

    members: ClassVar[frozenset[str]] = frozenset()
    learns_weights: ClassVar[bool] = False
    first_weights: ClassVar[Mapping[str, tuple[float, ...]] | None] = None
    """The weights of each member's first columns before anything is learned. None: those that members say."""

    def __init__(
        self,
        repeats: str = "allow",
        max_users: int = 1_000_000,
        max_items: int = 1_000_000,
        max_pairs: int = 20_000_000,
        max_history: int = 2_000,
        max_tags: int = 100_000,
        half_lives: tuple[float, ...] = (30.0, 300.0, 3_000.0, 30_000.0, float("inf")),
        decay_by: str = "events",
        recent: int = 20,
        row_length: int = 64,
        learn_decay: float = 0.8,
        n_factors: int = 64,
        history_decay: float = 0.8,
        factor_rate: float = 0.05,
        l2: float = 1e-4,
        learning_rate: float = 0.2,
        reranker: bool = True,
        outside: str = "",
        slow: str = "",
        seed: int = 0,
    ) -> None:
        super().__init__(repeats=repeats, seed=seed)
        self.max_users = max_users
        self.max_items = max_items
        self.max_pairs = max_pairs
        self.max_history = max_history
        self.max_tags = max_tags
        self.half_lives = half_lives
        self.decay_by = decay_by
        self.recent = recent
        self.row_length = row_length
        self.learn_decay = learn_decay
        self.n_factors = n_factors
        self.history_decay = history_decay
        self.factor_rate = factor_rate
        self.l2 = l2
        self.learning_rate = learning_rate
        self.reranker = reranker
        self.outside = outside
        self.slow = slow
        self._memory: Memory | None = None
        self._outside: ExternalMembers | None = None
        self._ledger = 0
        self._shares = 0
        self._sharing: Sharing | None = None
        self._drift = DriftDetector()
        self._slow_options = _slow_options(slow)
        self._slow_member: SlowMember | None = None
        expect_counts(max_users=self.max_users, max_items=self.max_items, max_pairs=self.max_pairs)
        expect_counts(max_history=self.max_history, recent=self.recent)
        expect_counts(row_length=self.row_length, n_factors=self.n_factors)
        expect_counts(ITEM_TAGS, max_tags=self.max_tags)
        expect_counts(0, seed=self.seed)
        expect_choice("decay_by", decay_by, ("events", "time"))
        if len(self.half_lives) != HALF_LIVES:
            raise ValueError(f"expected {HALF_LIVES} half_lives; got {self.half_lives!r}")
        expect_numbers(1e-3, **{f"half_lives[{h}]": half_life for h, half_life in enumerate(self.half_lives)})
        expect_numbers(0.0, 1.0, learn_decay=self.learn_decay, history_decay=self.history_decay)
        expect_numbers(0.0, 1e3, factor_rate=self.factor_rate, l2=self.l2, learning_rate=self.learning_rate)

    @property
    def external_members(self) -> ExternalMembers:
        """The members that do not run in the kernels."""
        if self._outside is None:
            models = build_members(self.outside, seed=self.seed, max_users=self.max_users, max_items=self.max_items)
            if models and not self.learns_weights:
                raise ValueError(f"expected a blend to take members; {type(self).__name__} learns no weights")
            self._outside = ExternalMembers(models)
        return self._outside

    @property
    def memory(self) -> Memory:
        """The model's tables. They come to be when they are first asked for."""
        if self._memory is None:
            self._memory = self._empty_memory()
            hidden = self._memory.small["hidden_weight"]
            # A column that no kernel fills may be noise. So the net begins as if it were not there.
            hidden[:, :COLUMNS] = first_weights(self.seed, (len(hidden), COLUMNS))
            for member in MEMBERS:
                if member.name in self.members:
                    first = member.weights if self.first_weights is None else self.first_weights.get(member.name, ())
                    columns = columns_of(member.name)[: len(first)]
                    self._memory.small["weight"][:LENGTHS, columns] = first
        return self._memory

    def _empty_memory(self) -> Memory:
        n_external = len(self.external_members) + (self._slow_options is not None)
        return Memory(self._arguments(), self._used_members(), n_external)

    def _used_members(self) -> frozenset[str]:
        """Return the names of the members that the model has."""
        own = self.members if self.reranker else self.members - OF_RERANKER
        return own if self._slow_options is None else own | {"slow"}

    def _arguments(self) -> dict[str, Any]:
        """Return the arguments by the names that the layouts of the state give them."""
        return {
            **vars(self),
            "ledger": self._ledger,
            "keeps_journal": self._shares > 0,
            "exclude_seen": self.repeats == "exclude",
            "learn_weights": self.learns_weights,
            "use_reranker": self.learns_weights and self.reranker,
            "by_time": self.decay_by == "time",
            "slow_width": 0 if self._slow_options is None else self._slow_options.width,
            "slow_least_gain": 0.0 if self._slow_options is None else self._slow_options.least_gain,
            "decay": 1.0 / np.array(self.half_lives, np.float64),
        }

    @property
    def slow_member(self) -> SlowMember | None:
        """The member whose weights are trained beside the stream. None: there is none."""
        if self._slow_member is None and self._slow_options is not None:
            self._slow_member = SlowMember(self.memory, self._slow_options, self.seed)
        return self._slow_member

    def allocate(self) -> None:
        """Lay out the tables now, so that a machine with too little memory fails at the start."""
        _ = self.memory

    def enable_undo(self) -> None:
        """Keep a ledger of each user's last interactions, so that one can be taken back exactly."""
        if self._shares:
            raise ValueError(NO_UNDO)
        self._ledger = KEPT
        self._make_anew()
        for model in self.external_members.models:
            model.enable_undo()

    def _make_anew(self) -> None:
        """Make the memory with the present arguments. It keeps what it had."""
        record = None if self._memory is None else self._memory.copy()
        self._memory = self._sharing = self._slow_member = None
        if record is not None:
            self.memory.load(record)
            self.memory.mark_changed()

    @property
    def unshared(self) -> str:
        """The reason why other processes cannot learn what this model learns of items. Empty if they can."""
        others = " + ".join(filter(None, [self.slow, self.outside]))
        return f"its members {others} keep no account of what they learn of items" if others else ""

    def enable_deltas(self, shards: int = 4) -> None:
        """Note what is learned of items, for `take_delta`, as one of a number of shards."""
        if self.unshared:
            super().enable_deltas(shards)
        if self._ledger:
            raise ValueError(NO_UNDO)
        self._shares = shards
        self._make_anew()

    @property
    def sharing(self) -> Sharing:
        """What the model notes for other processes.

        Raises:
            ValueError: `enable_deltas` was not called.
        """
        if not self._shares:
            raise ValueError("expected a model after enable_deltas; this one notes nothing for others")
        if self._sharing is None:
            self._sharing = Sharing(self.memory, self._number(), self._shares)
        return self._sharing

    def take_delta(self) -> bytes:
        """Return what the model has learned of items since the last delta (`recmodels.fused.sharing`)."""
        return self.sharing.take()

    def apply_delta(self, data: bytes) -> int:
        """Learn what the same model has learned in another process, and return the number of its interactions.

        >>> from recmodels import Popularity
        >>> ours, theirs = Popularity(), Popularity()
        >>> ours.enable_deltas(), theirs.enable_deltas()
        (None, None)
        >>> theirs.learn_one("ann", "tea")
        >>> ours.apply_delta(theirs.take_delta()), ours.top("bob", n=1)[0][0]
        (1, 'tea')
        """
        return self.sharing.apply(data)

    def dump_items(self) -> dict[str, NDArray[Any]]:
        """Return what all shards know of items: the sum of the deltas that were taken and applied so far.

        Raises:
            ValueError: Events were learned since the last delta. Take it first.
        """
        self._expect_taken("dump_items")
        self.sharing.settle()
        return dump_items(self.memory)

    def load_items(self, record: Mapping[str, NDArray[Any]], deltas: Sequence[bytes] = ()) -> None:
        """Take over what another shard knows of items, in place of what this one knows. Users stay.

        Args:
            record: From `dump_items` of the same model in another process.
            deltas: Those of this model that the other one had not applied then.

        Raises:
            ValueError: The record is of another model, or events were learned since the last delta. Then nothing is
                changed.

        >>> from recmodels import Popularity
        >>> ours, theirs = Popularity(), Popularity()
        >>> ours.enable_deltas(), theirs.enable_deltas()
        (None, None)
        >>> theirs.learn_one("ann", "tea"), theirs.take_delta() == b""
        (None, False)
        >>> ours.learn_one("bob", "jam")
        >>> ours.load_items(theirs.dump_items(), [ours.take_delta()])
        >>> sorted(item for item, _ in ours.top("eve"))
        ['jam', 'tea']
        """
        self._expect_taken("load_items")
        twin = self._empty_memory()
        load_twin(twin, record)
        for delta in deltas:
            self.sharing.expect_delta(delta)
        load_items(self.memory, self.sharing, twin, deltas)

    def _expect_taken(self, asked: str) -> None:
        if noted := self.sharing.noted:
            raise ValueError(f"{asked}: expected a model right after take_delta; {noted} events were learned since")

    def _number(self) -> int:
        """Return a number for the model and all of its arguments that decide what is counted, and how."""
        arguments = {name: getattr(self, name) for name in ALIKE}
        return crc32(repr([self.version, sorted(self._used_members()), arguments]).encode())

    @property
    def without_undo(self) -> list[str]:
        """Names of the members that learn an undo as an event against the item instead."""
        return [name for model in self.external_members.models for name in model.without_undo]

    def dump(self) -> dict[str, NDArray[Any]]:
        """Return the whole state as arrays."""
        return self.memory.dump() | self._small_parts() | self.external_members.dump()

    def _small_parts(self) -> dict[str, NDArray[Any]]:
        """Return what is dumped whole each time."""
        return self._drift.dump() | (self.sharing.dump() if self._shares else {})

    def dump_changes(self) -> dict[str, NDArray[Any]]:
        """Return the rows that have changed since the last dump."""
        return self.memory.dump_changes() | self._small_parts() | self.external_members.dump_changes()

    def dump_part(self, place: int, size: int) -> tuple[dict[str, NDArray[Any]], int]:
        """Return about `size` bytes of the state from `place` on, and the place behind them: 0 at the end."""
        which, inner = split(place, PARTS)
        if which == TABLES:
            part, inner = self.memory.dump_part(inner, size)
            if inner:
                return part, joined(TABLES, inner, PARTS)
            return part | self._small_parts(), joined(OUTSIDE, 0, PARTS) if self.outside else 0
        part, inner = self.external_members.dump_part(inner, size)
        return part, joined(OUTSIDE, inner, PARTS) if inner else 0

    def load(self, record: Mapping[str, NDArray[Any]]) -> None:
        """Take over what any of the dumps gave."""
        self.memory.load(record)
        self._drift.load(record)
        if self._shares:
            self.sharing.load(record)
        self.external_members.load(record)
        if self.slow_member is not None:
            self.slow_member.resumed()

    def take_drift(self, other: "FusedBase") -> None:
        """Take over what another model knows of its losses."""
        self._drift.load(other._drift.dump())

    @property
    def version(self) -> str:
        """Names the model in every list it makes."""
        name, _, number = super().version.rpartition("/")
        slow = [] if self._slow_options is None else [SLOW]
        return f"{'+'.join([name, *slow, *self.external_members.names()])}/{number}"

    def _unit_test_skips(self) -> dict[str, str]:
        skips = super()._unit_test_skips()
        for model in self.external_members.models:
            skips |= model._unit_test_skips()
        return skips

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy or a pickle needs: of the tables only the rows in use."""
        record = self._memory and self._memory.copy()
        noted = self.sharing.dump() if self._shares and self._memory else {}
        return {
            **self.__dict__,
            "_memory": None,
            "_sharing": None,
            "_slow_member": None,
            "record": record,
            "noted": noted,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        record, noted = state.pop("record"), state.pop("noted")
        self.__dict__.update(state)
        if record is not None:
            self.memory.load(record)
            self.memory.mark_changed()
        if noted:
            self.sharing.load(noted)


def _slow_options(specification: str) -> SlowOptions | None:
    """Return the arguments of the slow member, or None if there is none."""
    if not specification:
        return None
    name, positional, named = parse(specification)
    if name != SLOW or positional:
        raise ValueError(f"expected slow with named arguments, such as slow(width=32); got {specification!r}")
    return SlowOptions(**named)
