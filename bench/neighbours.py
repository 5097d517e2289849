"""Gain of hit rate from a kNN over users: `python -m bench.neighbours DIRECTORY… [--limit N]`.

Each directory holds `events.csv.gz`. The log is replayed by test-then-learn with the blend alone, and with one more
column: the score of each candidate by the user's nearest neighbours. It is not a member of the blend. docs/models.md
has the result.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numba
import numpy as np
from typing_extensions import override

from bench.ablation import LOGS, examples
from recmodels import Recommender
from recmodels.base import Context
from recmodels.evaluation.metrics import RankingMetrics
from recmodels.kernels.layout import Float64, Int32, Int64
from recmodels.rewards import bounded
from recmodels.specification import build_model

BATCH = 1_000
FADE = 0.8
"""Factor by which each older recent item of the user counts less for similarity."""
NEIGHBOURS_FADE = 0.9
"""Factor by which each older recent item of a neighbour counts less."""


class UserNeighbours(Recommender):
    """Scores items by the recent items of users who share recent items with the user.

    The similarity of two users is a sum over the recent items they share. Each older item of the user has 0.8 of the
    weight of the next newer one, times log(1 + events / interactions with the item). An item's score is the square root
    of a sum of similarities. The sum is over the `neighbours` nearest users with the item among their recent ones.
    After session kNN with inverse item frequency, Ludewig and Jannach, "Evaluation of session-based recommendation
    algorithms", User Modeling and User-Adapted Interaction 28, 2018.

    It serves only for measurements: it cannot erase a user, and its state is one pickle.

    Args:
        repeats: As for every model. A member of a blend excludes nothing itself.
        seed: Not used.
        max_users, max_items: Bounds. Later users and items are ignored.
        recent: Number of last items of a user.
        takers: Number of last users of an item that are considered.
        neighbours: Number of the most similar users.
    """

    def __init__(
        self,
        repeats: str = "allow",
        seed: int = 0,
        max_users: int = 200_000,
        max_items: int = 50_000,
        recent: int = 20,
        takers: int = 100,
        neighbours: int = 100,
    ) -> None:
        super().__init__(repeats, seed, max_users, max_items)
        self.neighbours = neighbours
        self._users: dict[str, int] = {}
        self._items: dict[str, int] = {}
        self._recent = np.zeros((max_users + 1, recent), np.int32)
        self._takers = np.zeros((max_items + 1, takers), np.int32)
        self._taken = np.zeros(max_items + 1, np.int64)  # of row 0: all interactions
        self._similarity = np.zeros(max_users + 1)
        self._score = np.zeros(max_items + 1)

    @override
    def learn_one(self, user: str, item: str, y: float = 1.0, x: Context | None = None) -> None:
        if bounded(y) <= 0.0:
            return
        user_row, item_row = _row(self._users, user, self.max_users), _row(self._items, item, self.max_items)
        if user_row and item_row:
            _learn(self._recent[user_row], self._takers[item_row], self._taken, user_row, item_row)

    @override
    def predict_one(self, user: str, item: str, x: Context | None = None) -> float:
        return self.predict_many(user, [item])[0]

    @override
    def predict_many(self, user: str, items: Sequence[str], x: Context | None = None) -> Sequence[float]:
        rows = np.array([self._items.get(item, 0) for item in items], np.int64)
        scores = np.zeros(len(rows))
        if user_row := self._users.get(user, 0):
            _score(
                self._recent,
                self._takers,
                self._taken,
                self._similarity,
                self._score,
                user_row,
                self.neighbours,
                rows,
                scores,
            )
        said: list[float] = scores.tolist()
        return said


def _row(rows: dict[str, int], name: str, most: int) -> int:
    """Return the row of an id, a new one if there is room, else 0."""
    return rows.setdefault(name, len(rows) + 1) if len(rows) < most else rows.get(name, 0)


@numba.njit(cache=True)  # type: ignore[untyped-decorator]  # numba does not type it
def _learn(recent: Int32, takers: Int32, taken: Int64, user: int, item: int) -> None:
    """Put an item first among the user's recent items, and the user first among the item's last users."""
    place = 0
    while place < len(recent) - 1 and recent[place] != item and recent[place] != 0:
        place += 1
    recent[1 : place + 1] = recent[:place].copy()
    recent[0] = item
    takers[taken[item] % len(takers)] = user
    taken[item] += 1
    taken[0] += 1


@numba.njit(cache=True)  # type: ignore[untyped-decorator]  # numba does not type it
def _score(
    recent: Int32,
    takers: Int32,
    taken: Int64,
    similarity: Float64,
    score: Float64,
    user: int,
    most: int,
    rows: Int64,
    scores: Float64,
) -> None:
    """Write the scores of the items of `rows`. `similarity` and `score` are 0 before and after."""
    alike = np.empty(recent.shape[1] * takers.shape[1], np.int64)
    count, weight = 0, 1.0
    for item in recent[user]:
        if item == 0:
            break
        gain = weight * np.log(1.0 + taken[0] / taken[item])
        for place in range(min(taken[item], takers.shape[1])):
            other = takers[item, place]
            if other != user:
                if similarity[other] == 0.0:
                    alike[count] = other
                    count += 1
                similarity[other] += gain
        weight *= FADE
    least = 0.0
    if count > most:
        least = np.partition(similarity[alike[:count]], count - most)[count - most]
    for other in alike[:count]:
        if similarity[other] >= least:
            weight = similarity[other]
            for item in recent[other]:
                score[item] += weight
                weight *= NEIGHBOURS_FADE
    score[0] = 0.0
    for place in range(len(rows)):
        scores[place] = np.sqrt(score[rows[place]])
    for other in alike[:count]:
        similarity[other] = 0.0
        score[recent[other]] = 0.0


def main() -> None:
    """Measure each log, and print a row for each model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", nargs="+", type=Path)
    parser.add_argument("--limit", type=int, default=0, help="number of events")
    asked = parser.parse_args()
    sys.stdout.write("| log | model | hit rate @10 | NDCG @10 | CPU seconds |\n|---|---|---|---|---|\n")
    for directory in asked.directory:
        for specification in ("blend", "blend+bench.neighbours:UserNeighbours"):
            started = time.process_time()
            metrics = measure(
                directory / "events.csv.gz", specification, LOGS.get(directory.name, "allow"), asked.limit
            )
            seconds = time.process_time() - started
            row = f"{specification} | {metrics.hit_rate:.4f} | {metrics.ndcg:.4f} | {seconds:.0f}"
            sys.stdout.write(f"| {directory.name} | {row} |\n")
            sys.stdout.flush()


def measure(log: Path, specification: str, repeats: str, limit: int) -> RankingMetrics:
    """Replay a log by test-then-learn."""
    model, metrics, stream = build_model(specification, repeats), RankingMetrics(k=10), examples(log, limit)
    while batch := list(islice(stream, BATCH)):
        for step in model.step_many(batch, 10, score=True):
            if step.position is not None:
                metrics.update(step.position)
    return metrics


if __name__ == "__main__":
    main()
