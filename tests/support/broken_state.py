"""Models of which each breaks one rule of the contract in what it keeps, or as a River estimator."""

from collections import Counter
from typing import Any, ClassVar

from recmodels import Popularity
from tests.support.broken_answers import Sound


class NeverLearns(Sound):
    def predict_one(self, user: str, item: str, x: Any = None) -> float:
        return 0.0


class LosesCounts(Sound):
    def load(self, record: Any) -> None:
        super().load(record)
        self.counts = Counter()


class ChangesOfTheFirstOnly(Sound):
    def dump_changes(self) -> Any:
        self.first = getattr(self, "first", None) or super().dump()
        return self.first


class DumpsViews(Popularity):
    def dump(self) -> Any:
        return {**super().dump(), "small.counters": self.memory.small["counters"]}


class SharedCounts(Sound):
    shared: ClassVar[Counter[str]] = Counter()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.counts = type(self).shared

    def learn_one(self, user: str, item: str, y: float = 1.0, x: Any = None) -> None:
        super().learn_one(user, item, y, x)
        type(self).shared = self.counts


class RemembersTheForgotten(Sound):
    def forget_one(self, user: str) -> None:
        super().forget_one(user)
        self.gone = user


class ForgetsTooMuch(Sound):
    def forget_one(self, user: str) -> None:
        super().forget_one(user)
        self.counts.pop(user, None)  # an item of the same id


class KeepsWhatWasSeen(Sound):
    def forget_one(self, user: str) -> None:
        self.last.pop(user, None)


class Grows(Sound):
    def make_room(self) -> None:
        pass


class GrowsByHiding(Sound):
    def learn_item(self, item: str, x: Any = None, available: bool | None = None) -> None:
        if not available:
            self.unavailable.add(item)


class GrowsByExcluding(Sound):
    def make_room(self) -> None:
        while len(self.last) > self.max_users:
            del self.last[next(iter(self.last))]

    def register(self, user: str, item: str, y: float = 1.0) -> bool:
        self._seen.setdefault(user, {})[item] = None
        return super().register(user, item, y)


class NoRanker:
    pass


class RenamesAnArgument(Sound):
    def _get_params(self) -> dict[str, Any]:
        params: dict[str, Any] = super()._get_params()
        params.pop("seed")
        return params


class MutableDefault(Sound):
    def __init__(self, repeats: str = "allow", seed: int = 0, names: list[str] = []) -> None:  # noqa: B006  # that is it
        super().__init__(repeats=repeats, seed=seed)
        self.names = names


class TakesAnything(Sound):
    def __init__(self, repeats: str = "allow", seed: int = 0) -> None:
        super().__init__(repeats="allow", seed=seed)
        self.repeats = repeats


class ReprByAddress(Sound):
    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {id(self)}>"


class CloneIsSelf(Sound):
    def clone(self, new_params: Any = None, include_attributes: bool = False) -> Any:
        return self


class VersionCounts(Sound):
    @property
    def version(self) -> str:
        return f"counts of {len(self.counts)}"


class WrongRow(Popularity):
    """Forgets to note what has changed."""

    def dump_changes(self) -> Any:
        for table in self.memory.tables.values():
            table.dirty[: table.used : 2] = 0
        return super().dump_changes()


class SharesInSilence(Sound):
    def enable_deltas(self, shards: int = 4) -> None:
        pass


class IgnoresDeltas(Popularity):
    def apply_delta(self, data: bytes) -> int:
        return 1


class RepeatsDeltas(Popularity):
    last = b""

    def take_delta(self) -> bytes:
        self.last = super().take_delta() or self.last
        return self.last


class PassesOn(Popularity):
    passed = b""

    def apply_delta(self, data: bytes) -> int:
        self.passed = data
        return super().apply_delta(data)

    def take_delta(self) -> bytes:
        return self.passed or super().take_delta()
