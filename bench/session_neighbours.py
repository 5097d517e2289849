"""Hit rate of VMIS-kNN and of the blend on the same events: `python -m bench.session_neighbours DIRECTORY`.

VMIS-kNN is the strongest simple method for short sessions. A user is a session. The live session is asked, and the
index of the other sessions is rebuilt every `--rebuild` events. Every fifth event is scored, for both models, and both
learn all events. Lists of VMIS-kNN that are too short are filled up with popular items.

Source: Kersbergen, Sprangers and Schelter, "Serenade: low-latency session-based recommendation in e-commerce at scale",
SIGMOD 2022.
"""

import argparse
import sys
from pathlib import Path
from typing import Final

import numba
import numpy as np
from numpy.typing import NDArray

from bench.ablation import examples
from recmodels import Blend, Example, Popularity
from recmodels.evaluation.bootstrap import mean_interval
from recmodels.kernels.layout import Float64, Int64, Marks

NEIGHBOURS: Final = 500
"""Number of the most similar sessions that score items (k)."""
SAMPLE: Final = 5_000
"""Number of the most recent sessions that are compared (m)."""
SESSION_ITEMS: Final = 10
"""Number of the newest items of the live session that are asked."""
REBUILD: Final = 1_000
SCORED: Final = 5
"""One of this number of events is scored."""
TOP: Final = 10
BATCH: Final = 1_000


class SessionNeighbours:
    """VMIS-kNN with an index that is rebuilt at times.

    The similarity of a session is a sum over the items that it shares with the live session. Place p among the newest L
    items of the live session, from 0, adds (L - p) / L. An item's score is a sum over the nearest sessions with it.
    A session adds the product of its similarity, 1 - p / 10 of the newest shared item, and the item's rarity. Rarity is
    the logarithm of the number of sessions over that of sessions with the item.

    Args:
        most: Largest number of events.

    >>> model = SessionNeighbours(100)
    >>> for session, item in [("a", "tea"), ("a", "jam"), ("b", "tea"), ("b", "jam"), ("c", "pie"), ("d", "tea")]:
    ...     model.learn(session, item)
    >>> model.rebuild()
    >>> model.top("d", {"tea"})
    ['jam']
    """

    def __init__(self, most: int) -> None:
        self._sessions: dict[str, int] = {}
        self._items: dict[str, int] = {}
        self._names: list[str] = []
        self._live: list[list[int]] = []
        self._last = np.zeros(most, np.int64)
        self._pairs = np.zeros((2, most), np.int64)
        self._n_pairs = self._n_events = self._n_indexed = 0
        self._order = np.zeros(0, np.int64)
        self._of_session = self._of_item = (np.zeros(1, np.int64), np.zeros(0, np.int64))
        self._similarity, self._score = np.zeros(most), np.zeros(most)
        self._nearest = np.zeros(most, np.int64)

    def learn(self, session: str, item: str) -> None:
        """Add an item to a live session."""
        row = self._sessions.setdefault(session, len(self._sessions))
        if row == len(self._live):
            self._live.append([])
        number = self._items.setdefault(item, len(self._items))
        if number == len(self._names):
            self._names.append(item)
        live = self._live[row]
        if number in live:
            live.remove(number)
        else:
            self._pairs[:, self._n_pairs] = row, number
            self._n_pairs += 1
        live.append(number)
        self._last[row] = self._n_events
        self._n_events += 1

    def rebuild(self) -> None:
        """Rebuild the index from all sessions so far."""
        n, m = len(self._sessions), len(self._items)
        newest_first = np.argsort(-self._last[:n], kind="stable")
        self._order = np.empty(n, np.int64)
        self._order[newest_first] = np.arange(n)  # rank of each session by recency
        rows, numbers = self._order[self._pairs[0, : self._n_pairs]], self._pairs[1, : self._n_pairs]
        self._of_session = _grouped(rows, numbers, n)
        by_recency = np.argsort(rows, kind="stable")
        self._of_item = _grouped(numbers[by_recency], rows[by_recency], m)
        self._n_indexed = n

    def top(self, session: str, excluded: set[str]) -> list[str]:
        """Return the best items for a live session, fewer than `TOP` if its neighbours have no more."""
        row = self._sessions.get(session)
        if row is None or not self._n_indexed:
            return []
        asked = np.array(self._live[row][::-1][:SESSION_ITEMS], np.int64)
        barred = np.zeros(len(self._of_item[0]) - 1, np.uint8)
        barred[[number for item in excluded if (number := self._items[item]) < len(barred)]] = 1
        own = int(self._order[row]) if row < self._n_indexed else -1
        best = _top(
            *self._of_session,
            *self._of_item,
            asked[asked < len(barred)],
            own,
            barred,
            self._similarity,
            self._nearest,
            self._score,
        )
        return [self._names[number] for number in best.tolist()]


def _grouped(groups: Int64, values: Int64, n: int) -> tuple[Int64, Int64]:
    """Return where each group begins, and the values by group, in the given order."""
    starts = np.concatenate([[0], np.cumsum(np.bincount(groups, minlength=n))]).astype(np.int64)
    return starts, values[np.argsort(groups, kind="stable")]


@numba.njit(cache=True)  # type: ignore[untyped-decorator]  # numba does not type it
def _top(
    session_starts: Int64,
    session_items: Int64,
    item_starts: Int64,
    item_sessions: Int64,
    asked: Int64,
    own: int,
    barred: Marks,
    similarity: Float64,
    nearest: Int64,
    score: Float64,
) -> Int64:
    """Return the best items. Sessions have their rank by recency as number. `similarity` and `score` are 0 before and
    after.
    """
    met = np.empty(len(asked) * SAMPLE, np.int64)
    count = 0
    for place, item in enumerate(asked):
        start, stop = item_starts[item], item_starts[item + 1]
        for k in range(start, min(stop, start + SAMPLE)):
            other = item_sessions[k]
            if other == own:
                continue
            if similarity[other] == 0.0:
                met[count] = other
                nearest[other] = place
                count += 1
            similarity[other] += (len(asked) - place) / len(asked)
    sample = met[:count]
    if count > SAMPLE:
        sample = np.sort(sample)[:SAMPLE]  # the most recent
    key = similarity[sample] - 1e-9 * sample  # the more recent of equal ones first
    kept = sample[np.argsort(-key)[:NEIGHBOURS]]
    n_sessions = len(session_starts) - 1
    found = np.empty(session_starts[-1], np.int64)
    n_found = 0
    for other in kept:
        weight = similarity[other] * (1.0 - nearest[other] / 10.0)
        for k in range(session_starts[other], session_starts[other + 1]):
            item = session_items[k]
            if barred[item] == 0:
                if score[item] == 0.0:
                    found[n_found] = item
                    n_found += 1
                score[item] += weight * np.log(n_sessions / (item_starts[item + 1] - item_starts[item]))
    items = found[:n_found]
    best = items[np.argsort(-score[items], kind="mergesort")[:TOP]]
    similarity[met[:count]] = 0.0
    score[items] = 0.0
    return best


def hits_of_neighbours(log: list[Example], repeats: str, rebuild: int) -> NDArray[np.float64]:
    """Return 1, 0 or NaN for each event: a hit, none, or not scored."""
    model, popular = SessionNeighbours(len(log) + 1), Popularity(repeats=repeats)
    had: dict[str, set[str]] = {}
    hits = np.full(len(log), np.nan)
    for number, (user, item, y, time, *_) in enumerate(log):
        seen = had.setdefault(user, set())
        if number % SCORED == 0 and y > 0 and not (repeats == "exclude" and item in seen):
            listed = model.top(user, seen if repeats == "exclude" else set())
            if len(listed) < TOP and item not in listed:
                more = [name for name, _ in popular.top(user, TOP) if name not in listed]
                listed += more[: TOP - len(listed)]
            hits[number] = item in listed
        if y > 0:
            model.learn(user, item)
            seen.add(item)
        popular.learn_one(user, item, y, {"timestamp": time})
        if (number + 1) % rebuild == 0:
            model.rebuild()
    return hits


def hits_of_blend(log: list[Example], repeats: str) -> NDArray[np.float64]:
    """Return the same of the blend."""
    model, hits = Blend(repeats=repeats), np.full(len(log), np.nan)
    for start in range(0, len(log), BATCH):
        for number, position in enumerate(model.score_many(log[start : start + BATCH], TOP), start):
            if number % SCORED == 0 and position is not None:
                hits[number] = position >= 0
    return hits


def main() -> None:
    """Measure both models, and print a row for each half of the log."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--repeats", nargs="+", default=["allow", "exclude"])
    parser.add_argument("--rebuild", type=int, default=REBUILD, help="events between two rebuilds of the index")
    parser.add_argument("--limit", type=int, default=0, help="number of events")
    asked = parser.parse_args()
    log = list(examples(asked.directory / "events.csv.gz", asked.limit))
    sys.stdout.write("| repeats | events | VMIS-kNN | blend | difference |\n|---|---|---|---|---|\n")
    for repeats in asked.repeats:
        theirs, ours = hits_of_neighbours(log, repeats, asked.rebuild), hits_of_blend(log, repeats)
        middle = len(log) // 2
        for half, part in (
            ("first half", slice(0, middle)),
            ("second half", slice(middle, None)),
            ("all", slice(None)),
        ):
            scored = ~np.isnan(theirs[part]) & ~np.isnan(ours[part])
            a, b = theirs[part][scored], ours[part][scored]
            gain = mean_interval(b - a)
            sys.stdout.write(
                f"| {repeats} | {half} | {a.mean():.4f} | {b.mean():.4f} | {gain.mean:+.4f} ± {gain.half_width:.4f} |\n"
            )
            sys.stdout.flush()


if __name__ == "__main__":
    main()
