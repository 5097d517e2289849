"""Does a model get better by what was shown and not taken? `python -m bench.shown_not_taken [WHEEL]`.

Several ways to learn impressions are compared, test-then-learn, on simulated logs of `bench.exploration.Shop` and on
the sample of the Open Bandit Dataset in obp's wheel. `TakeRate` is a member that learns how often each item is taken
when shown, with or without regard to its place.

In the simulated logs every place of a list has an impression, as `freshrank serve` writes them, whether the user looked
there or not. So places matter. The truth is known there, too: how many items of a list its user would take.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Final

import numpy as np
from typing_extensions import override

from bench.exploration import CAMPAIGNS, Shop, Visit, read_rows
from recmodels import Blend, Example, build_model
from recmodels.base import Context, Recommender

PLACES: Final = 10
PRIOR: Final = 1.0
"""Clicks that an item is expected to have without any evidence, by the average rate."""


class TakeRate(Recommender):
    """Ranks items by clicks over the clicks that are expected of the places where they were shown.

    Each impression counts by the click rate of its place. An item in the tenth place that nobody takes has said less
    than one in the first. Without `by_place`, each impression counts by the average rate.

    Args:
        by_place: Whether impressions count by their place.
        repeats: As in every model.
        seed: Unused.

    Source: clicks over expected clicks, Zhang and Jones, Comparing Click Logs and Editorial Labels for Training Query
    Rewriting, WWW 2007.

    >>> model = TakeRate()
    >>> for user in range(40):
    ...     for place, item in enumerate(("tea", "jam")):
    ...         x = {"event": "impression", "place": place}
    ...         model.learn_one(f"u{user}", item, -0.05, x)
    ...     if user % 2:
    ...         model.learn_one(f"u{user}", "tea", 1.0, {"event": "click", "place": 0})
    >>> [item for item in model.rank("eve", ["jam", "tea"])]
    ['tea', 'jam']
    """

    def __init__(self, by_place: bool = True, repeats: str = "allow", seed: int = 0) -> None:
        super().__init__(repeats=repeats, seed=seed)
        self.by_place = by_place
        self.shown = np.ones(PLACES)
        self.taken = np.full(PLACES, 0.05)
        self.by_item: dict[str, list[float]] = {}

    @override
    def learn_one(self, user: str, item: str, y: float = 1.0, x: Context | None = None) -> None:
        self.register(user, item, y)
        place = min(int((x or {}).get("place", -1)), PLACES - 1)
        if place < 0:
            return
        counts = self.by_item.setdefault(item, [0.0, 0.0])  # expected clicks, clicks
        if (x or {}).get("event") == "impression":
            self.shown[place] += 1.0
            counts[0] += self._rate(place)
        elif y > 0.0:
            self.taken[place] += 1.0
            counts[1] += 1.0

    @override
    def predict_one(self, user: str, item: str, x: Context | None = None) -> float:
        expected, clicks = self.by_item.get(item, (0.0, 0.0))
        return (clicks + PRIOR) / (expected + PRIOR)

    def _rate(self, place: int) -> float:
        if self.by_place:
            return float(self.taken[place] / self.shown[place])
        return float(self.taken.sum() / self.shown.sum())


Change = Callable[[Example], Example | None]
"""Changes an example before it is learned. None: it is left out."""


def weighed(weight: float, by_place: float = 1.0) -> Change:
    """Give impressions another reward: minus a weight, times `by_place` for each place before."""

    def change(example: Example) -> Example | None:
        if example.y > 0.0:
            return example
        place = int((example.x or {}).get("place", 0))
        return example._replace(y=-weight * by_place**place) if weight else None

    return change


MEMBER: Final = "blend+bench.shown_not_taken:TakeRate"
WAYS: Final[dict[str, tuple[Callable[[], Recommender], Change]]] = {
    "impressions left out": (Blend, weighed(0.0)),
    "reward −0.05 (the default)": (Blend, weighed(0.05)),
    "reward −0.05, less by place": (Blend, weighed(0.05, 0.85)),
    "reward −0.5": (Blend, weighed(0.5)),
    "with TakeRate, by place": (lambda: build_model(f"{MEMBER}(by_place=True)"), weighed(0.05)),
    "with TakeRate, any place": (lambda: build_model(f"{MEMBER}(by_place=False)"), weighed(0.05)),
}


def main() -> None:
    """Print a table of the simulated logs, and one of the Open Bandit logs if they are here."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", nargs="?", type=Path, help="obp-0.4.1-py3-none-any.whl")
    parser.add_argument("--visits", type=int, default=4_000)
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    write_shops(asked.visits, asked.seeds)
    if asked.wheel is not None:
        write_open_bandit(asked.wheel)


def logged(seed: int, count: int) -> Iterator[tuple[Visit, list[Example]]]:
    """Yield the visits of a shop whose lists a blend makes, and what happened."""
    model = Blend()
    for visit in Shop(seed, every=20).visits(count):
        listed = [item for item, _ in model.top(visit.user, PLACES, {"timestamp": visit.time})]
        # Half of each list is drawn at random, so that the log does not only know what the blend liked.
        rng = np.random.default_rng([seed, len(visit.appeals), int(visit.time)])
        drawn = [f"i{item}" for item in rng.choice(len(visit.appeals), PLACES, replace=False)]
        mixed = list(dict.fromkeys(item for pair in zip(listed, drawn, strict=False) for item in pair)) or drawn
        mixed = mixed[:PLACES]
        events = visit.look(mixed)
        clicks = [each for each in events if each.y > 0.0]
        shown = [
            Example(visit.user, item, -0.05, visit.time + 1.0, {"event": "impression", "place": place})
            for place, item in enumerate(mixed)
        ]
        for example in (*shown, *clicks):
            model.step_many([example], 0)
        yield visit, [*shown, *clicks]


def replayed(model: Recommender, change: Change, log: Sequence[tuple[Visit, list[Example]]]) -> tuple[float, float]:
    """Return the hit rate of the clicks of a log's second half, and how many items a user would take from its lists."""
    positions: list[int] = []
    worth: list[float] = []
    for number, (visit, events) in enumerate(log):
        if 2 * number >= len(log):
            listed = [item for item, _ in model.top(visit.user, PLACES, {"timestamp": visit.time})]
            worth.append(visit.worth(listed))
            positions += [int(each.item in listed) for each in events if each.y > 0.0]
        changed = [change(each) for each in events]
        model.step_many([each for each in changed if each is not None], 0)
    return mean(positions), 100.0 * mean(worth)


def write_shops(visits: int, seeds: int) -> None:
    """Print the hit rate and the worth of each way on simulated logs."""
    sys.stdout.write("| way | hit rate @10 | against left out | items taken per 100 visits | against left out |\n")
    sys.stdout.write("|---|---|---|---|---|\n")
    logs = [list(logged(seed, visits)) for seed in range(seeds)]
    first: list[tuple[float, float]] = []
    for name, (build, change) in WAYS.items():
        found = [replayed(build(), change, log) for log in logs]
        first = first or found
        cells = []
        for column, digits in ((0, 4), (1, 2)):
            gains = [now[column] - before[column] for now, before in zip(found, first, strict=True)]
            error = stdev(gains) / len(gains) ** 0.5 if len(gains) > 1 else 0.0
            cells += [
                f"{mean(each[column] for each in found):.{digits}f}",
                f"{mean(gains):+.{digits}f} ± {error:.{digits}f}",
            ]
        sys.stdout.write(f"| {name} | {' | '.join(cells)} |\n")
        sys.stdout.flush()


def open_bandit(wheel: Path, campaign: str) -> list[Example]:
    """Read both logs of a campaign as one. A user is a combination of the four features of users."""
    rows = [row for policy in ("random", "bts") for row in read_rows(wheel, policy, campaign)]
    examples = []
    for row in sorted(rows, key=lambda row: row["timestamp"]):
        user = "/".join(row[f"user_feature_{number}"][:6] for number in range(4))
        time, place = float(np.datetime64(row["timestamp"][:23], "ms").astype(int)) / 1e3, int(row["position"]) - 1
        examples.append(Example(user, row["item_id"], -0.05, time, {"event": "impression", "place": place}))
        if row["click"] == "1":
            examples.append(Example(user, row["item_id"], 1.0, time, {"event": "click", "place": place}))
    return examples


def write_open_bandit(wheel: Path) -> None:
    """Print the hits of each way on the logs of Open Bandit: clicked items among the first ten."""
    logs = [open_bandit(wheel, campaign) for campaign in CAMPAIGNS]
    sys.stdout.write(f"\n| way | {' | '.join(CAMPAIGNS)} |\n|---|---|---|---|\n")
    for name, (build, change) in WAYS.items():
        cells = []
        for log in logs:
            model, hits = build(), []
            for example in log:
                if example.y > 0.0:
                    listed = model.top(example.user, PLACES, {"timestamp": example.timestamp})
                    hits.append(example.item in [item for item, _ in listed])
                changed = change(example)
                if changed is not None:
                    model.step_many([changed], 0)
            cells.append(f"{sum(hits)} of {len(hits)}")
        sys.stdout.write(f"| {name} | {' | '.join(cells)} |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
