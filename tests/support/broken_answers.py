"""Models of which each breaks one rule of the contract in what it answers, and one that breaks none."""

import random
from collections import Counter
from math import isfinite
from typing import Any

from recmodels import Recommender
from recmodels.rewards import bounded


class Sound(Recommender):
    """Counts, in plain Python: small, and right."""

    def __init__(self, repeats: str = "allow", max_users: int = 10_000, max_items: int = 10_000, seed: int = 0) -> None:
        super().__init__(repeats=repeats, seed=seed, max_users=max_users, max_items=max_items)
        self.counts: Counter[str] = Counter()
        self.last: dict[str, str] = {}

    def _unit_test_skips(self) -> dict[str, str]:
        return {}

    def learn_one(self, user: str, item: str, y: float = 1.0, x: Any = None) -> None:
        if self.register(user, item, y):
            self.counts[item] += bounded(y)
            self.last.pop(user, None)
            self.last[user] = item
            self.make_room()

    def make_room(self) -> None:
        while len(self.last) > self.max_users:
            self.forget_one(next(iter(self.last)))

    def predict_one(self, user: str, item: str, x: Any = None) -> float:
        return self.counts.get(item, 0.0) + 0.25 * (self.last.get(user) == item)

    def forget_one(self, user: str) -> None:
        super().forget_one(user)
        self.last.pop(user, None)


class SaysItUndoes(Sound):
    def undo_one(self, user: str, item: str, kind: str = "", y: float = -1.0, x: Any = None) -> bool:
        super().undo_one(user, item, kind, y, x)
        return True


class UndoesNothing(Sound):
    def undo_one(self, user: str, item: str, kind: str = "", y: float = -1.0, x: Any = None) -> bool:
        self.learn_one(user, item, y, x)
        return False


class PredictWrites(Sound):
    def predict_one(self, user: str, item: str, x: Any = None) -> float:
        self.last.setdefault(user, "")  # what a defaultdict does
        return super().predict_one(user, item, x)


class RankWrites(Sound):
    def rank(self, user: str, items: Any, x: Any = None) -> list[str]:
        self.counts.update(dict.fromkeys(items, 0))
        return super().rank(user, items, x)


class TopWrites(Sound):
    def top(self, user: str, n: int = 10, x: Any = None) -> list[tuple[str, float]]:
        self.asked = getattr(self, "asked", 0) + 1
        return super().top(user, n, x)


class ItemListsWrite(Sound):
    def related(self, item: str, n: int = 10) -> list[tuple[str, float]]:
        self.asked = getattr(self, "asked", 0) + 1
        return super().related(item, n)


class Unseeded(Sound):
    def __init__(self, repeats: str = "allow", max_users: int = 10_000, max_items: int = 10_000, seed: int = 0) -> None:
        super().__init__(repeats, max_users, max_items, seed)
        self.draw = random.Random()
        self.offset: dict[str, float] = {}

    def learn_one(self, user: str, item: str, y: float = 1.0, x: Any = None) -> None:
        super().learn_one(user, item, y, x)
        self.offset.setdefault(item, self.draw.random())

    def predict_one(self, user: str, item: str, x: Any = None) -> float:
        return super().predict_one(user, item, x) + self.offset.get(item, 0.0)


class OrdersByHash(Sound):
    def predict_one(self, user: str, item: str, x: Any = None) -> float:
        return super().predict_one(user, item, x) + list({*self.counts, item}).index(item) / 1e6


class Random(Sound):
    def predict_one(self, user: str, item: str, x: Any = None) -> float:
        return random.random()


class SortsTiesByName(Sound):
    def top(self, user: str, n: int = 10, x: Any = None) -> list[tuple[str, float]]:
        return sorted(super().top(user, 10_000, x), key=lambda pair: (-pair[1], pair[0]))[:n]


class ScoresStrangersByName(Sound):
    def predict_one(self, user: str, item: str, x: Any = None) -> float:
        return (
            super().predict_one(user, item, x) if item in self.catalogue else -float(len(item) + ord(item[-1:] or "a"))
        )


class NeverExcludes(Sound):
    def top(self, user: str, n: int = 10, x: Any = None) -> list[tuple[str, float]]:
        repeats, self.repeats = self.repeats, "allow"
        try:
            return super().top(user, n, x)
        finally:
            self.repeats = repeats


class AlwaysExcludes(Sound):
    def __init__(self, repeats: str = "allow", max_users: int = 10_000, max_items: int = 10_000, seed: int = 0) -> None:
        super().__init__("exclude", max_users, max_items, seed)


class Reversed(Sound):
    def top(self, user: str, n: int = 10, x: Any = None) -> list[tuple[str, float]]:
        return super().top(user, n, x)[::-1]


class OtherScores(Sound):
    def top(self, user: str, n: int = 10, x: Any = None) -> list[tuple[str, float]]:
        return [(item, score / 2) for item, score in super().top(user, n, x)]


class RanksByName(Sound):
    def rank(self, user: str, items: Any, x: Any = None) -> list[str]:
        return sorted(items)


class ListsTwice(Sound):
    def top(self, user: str, n: int = 10, x: Any = None) -> list[tuple[str, float]]:
        return [pair for pair in super().top(user, n, x) for _ in range(2)][:n]


class NeedsEvents(Sound):
    def predict_one(self, user: str, item: str, x: Any = None) -> float:
        return super().predict_one(user, item, x) / len(self.catalogue)


class NothingForStrangers(Sound):
    def top(self, user: str, n: int = 10, x: Any = None) -> list[tuple[str, float]]:
        return super().top(user, n, x) if user in self.last else []


class ListsUnavailable(Sound):
    def learn_item(self, item: str, x: Any = None, available: bool | None = None) -> None:
        pass


class ItemEventsAreInteractions(Sound):
    def learn_item(self, item: str, x: Any = None, available: bool | None = None) -> None:
        super().learn_item(item, x, available)
        self.catalogue.setdefault(item, None)


class BelievesRewards(Sound):
    def learn_one(self, user: str, item: str, y: float = 1.0, x: Any = None) -> None:
        super().learn_one(user, item, y, x)
        self.counts[item] += y - bounded(y) if isfinite(y) else y


class BelievesTimes(Sound):
    def learn_one(self, user: str, item: str, y: float = 1.0, x: Any = None) -> None:
        super().learn_one(user, item, y, x)
        self.counts[item] += (x or {}).get("timestamp", 0.0)


class IdsAreAscii(Sound):
    def learn_one(self, user: str, item: str, y: float = 1.0, x: Any = None) -> None:
        assert item.isascii()
        super().learn_one(user, item, y, x)


class Once(Sound):
    def learn_one(self, user: str, item: str, y: float = 1.0, x: Any = None) -> None:
        super().learn_one(user, item, y, x)
        self.counts[item] *= 1e30 if self.counts[item] > 40 else 1.0


class ScoresEverything(Sound):
    def _position(self, user: str, item: str, y: float, n: int, x: Any) -> int | None:
        return super()._position(user, item, 1.0, n, x)


class ScoresAfterwards(Sound):
    def _position(self, user: str, item: str, y: float, n: int, x: Any) -> int | None:
        before = super()._position(user, item, y, n, x)
        return before if before is None else 0


class ListsBefore(Sound):
    def step_many(self, examples: Any, n: int = 10, score: bool = False) -> Any:
        before = [self.top(example.user, n) for example in examples]
        steps = super().step_many(examples, n, score)
        return [
            step._replace(items=[i for i, _ in listed], scores=[s for _, s in listed])
            for step, listed in zip(steps, before, strict=True)
        ]


class LearnsWhatItLists(Sound):
    def step_many(self, examples: Any, n: int = 10, score: bool = False) -> Any:
        steps = super().step_many(examples, n, score)
        self.counts.update(item for step in steps for item in step.items)
        return steps


class ListsAtTheEnd(Sound):
    def step_many(self, examples: Any, n: int = 10, score: bool = False) -> Any:
        steps = super().step_many(examples, n, score)
        lists = [self.top(example.user, n) for example in examples]
        return [
            step._replace(items=[i for i, _ in listed], scores=[s for _, s in listed])
            for step, listed in zip(steps, lists, strict=True)
        ]
