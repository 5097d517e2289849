"""What exploration earns and costs: `python -m bench.exploration open-bandit FILE`, or `… shop`.

`open-bandit` reads the sample of the Open Bandit Dataset (CC BY 4.0) in the wheel of obp 0.4.1:
`pip download obp==0.4.1 --no-deps` brings it. Events of its random policy have known propensities. Policies that learn
from shown and taken are estimated on them by IPS, SNIPS and doubly robust, each before it learns the events.

`shop` simulates a shop that shows lists, and whose users take what they like and see. So here the lists decide the log.

Source of the data: Saito, Aihara, Matsutani and Narita, Open Bandit Dataset and Pipeline, NeurIPS Datasets 2021.
"""

import argparse
import csv
import io
import random
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recmodels import Blend, Example, Popularity
from recmodels.base import Recommender
from recmodels.evaluation.off_policy import Estimates, estimate
from recmodels.exploration.explorer import Explorer
from recmodels.exploration.thompson import ThompsonBandit

KINDS: Final[dict[str, Callable[[], Recommender]]] = {"popularity": Popularity, "blend": Blend}
CAMPAIGNS: Final = ("all", "men", "women")
ROUND: Final = 100
"""Events between two updates of the policies."""
DRAWS: Final = 2_000
"""Draws from which the probabilities of Thompson sampling are counted."""


def main() -> None:
    """Run one of the two, and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    off_policy = parts.add_parser("open-bandit", help="off-policy estimates")
    off_policy.add_argument("wheel", type=Path, help="obp-0.4.1-py3-none-any.whl")
    shop = parts.add_parser("shop", help="a simulated shop")
    shop.add_argument("--visits", type=int, default=20_000)
    shop.add_argument("--seeds", type=int, default=5)
    shop.add_argument("--model", action="append", choices=tuple(KINDS), help="one of the models; default: each")
    asked = parser.parse_args()
    if asked.part == "open-bandit":
        write_estimates(asked.wheel)
    else:
        write_shops(asked.visits, asked.seeds, asked.model or tuple(KINDS))


class Log(NamedTuple):
    """Shown items of a log, in order of time."""

    items: NDArray[np.int64]
    """[events] numbers from 0."""
    taken: NDArray[np.float64]
    """[events] 1 for a click, else 0."""
    propensities: NDArray[np.float64]
    """[events] probability with which the logging policy chose the item."""


def read_log(wheel: Path, policy: str, campaign: str) -> Log:
    """Read a log of Open Bandit from obp's wheel.

    Args:
        wheel: The file.
        policy: `random` or `bts`.
        campaign: One of `CAMPAIGNS`.
    """
    rows = read_rows(wheel, policy, campaign)
    return Log(
        np.array([int(row["item_id"]) for row in rows]),
        np.array([float(row["click"]) for row in rows]),
        np.array([float(row["propensity_score"]) for row in rows]),
    )


def read_rows(wheel: Path, policy: str, campaign: str) -> list[dict[str, str]]:
    """Read the rows of a log of Open Bandit, in order of time."""
    with zipfile.ZipFile(wheel) as packed, packed.open(f"obp/dataset/obd/{policy}/{campaign}/{campaign}.csv") as file:
        return sorted(csv.DictReader(io.TextIOWrapper(file, "utf-8")), key=lambda row: row["timestamp"])


Policy = Callable[[ThompsonBandit, Sequence[str], NDArray[np.int64], np.random.Generator], NDArray[np.float64]]
"""Gives the probability of each item, [items], from the outcomes so far and the number of times each was taken."""


def thompson(
    bandit: ThompsonBandit, items: Sequence[str], taken: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return how often the draw of each item is the highest."""
    a, b = np.array([bandit.posterior(item) for item in items]).T
    best = rng.beta(a, b, (DRAWS, len(items))).argmax(1)
    chances: NDArray[np.float64] = np.bincount(best, minlength=len(items)) / DRAWS
    return chances


def certain(place: int, count: int) -> NDArray[np.float64]:
    """Return the probabilities of a policy that always shows one of some items, [items]."""
    chances = np.zeros(count)
    chances[place] = 1.0
    return chances


def best_mean(
    bandit: ThompsonBandit, items: Sequence[str], taken: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Always show the item with the highest posterior mean."""
    a, b = np.array([bandit.posterior(item) for item in items]).T
    return certain(int((a / (a + b)).argmax()), len(items))


def most_taken(
    bandit: ThompsonBandit, items: Sequence[str], taken: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Always show the item that was taken most often, whatever was not taken."""
    return certain(int(taken.argmax()), len(items))


POLICIES: Final[dict[str, Policy]] = {
    "most taken": most_taken,
    "best mean": best_mean,
    "Thompson": thompson,
}


def estimates_of(
    log: Log, policy: Policy, explored: float = 1.0, before: Log | None = None, seed: int = 0
) -> Estimates:
    """Estimate a policy on a log of a policy with known propensities. It learns each round after it is estimated.

    Args:
        log: The log. Every item has the same propensity.
        policy: The policy.
        explored: Share of places that the policy gets. `most_taken` gets the others.
        before: A log that the policy learns first. None: it begins with nothing.
        seed: Seed of the draws.
    """
    count = int(log.items.max()) + 1
    items = [str(number) for number in range(count)]
    bandit = ThompsonBandit(most=count, most_slots=1)
    for item in items:
        bandit.add(item)
    rng, clicks = np.random.default_rng(seed), np.zeros(count, np.int64)
    weights, expected, of_policy = (np.empty(len(log.items)) for _ in range(3))
    if before is not None:
        for item, was_taken in zip(before.items.tolist(), before.taken.tolist(), strict=True):
            bandit.count(items[item], was_chosen=was_taken > 0)
            clicks[item] += was_taken > 0
    for start in range(0, len(log.items), ROUND):
        part = slice(start, start + ROUND)
        chances = explored * policy(bandit, items, clicks, rng) + (1.0 - explored) * most_taken(
            bandit, items, clicks, rng
        )
        a, b = np.array([bandit.posterior(item) for item in items]).T
        rates = a / (a + b)
        shown = log.items[part]
        weights[part] = chances[shown] / log.propensities[part]
        expected[part], of_policy[part] = rates[shown], float(chances @ rates)
        for item, was_taken in zip(shown.tolist(), log.taken[part].tolist(), strict=True):
            bandit.count(items[item], was_chosen=was_taken > 0)
            clicks[item] += was_taken > 0
    return estimate(log.taken, weights, expected, of_policy, seed)


def write_estimates(wheel: Path) -> None:
    """Print the estimates of each policy on each campaign, in clicks per 1,000 shown items."""
    sys.stdout.write("| campaign | policy | IPS | SNIPS | doubly robust |\n|---|---|---|---|---|\n")
    for campaign in CAMPAIGNS:
        log = read_log(wheel, "random", campaign)
        served = read_log(wheel, "bts", campaign)
        for name, taken in (("random (as logged)", log.taken), ("Thompson of the shop (as logged)", served.taken)):
            error = 1.96 * float(taken.std()) / len(taken) ** 0.5
            rate = float(taken.mean())
            sys.stdout.write(f"| {campaign} | {name} | {1e3 * rate:.1f} ± {1e3 * error:.1f} | | |\n")
        asked: list[tuple[str, Policy, float, Log | None]]
        asked = [(name, policy, 1.0, None) for name, policy in POLICIES.items()]
        asked.append(("5 % Thompson, else most taken", thompson, 0.05, None))
        asked += [(f"{name}, after the shop's log", policy, 1.0, served) for name, policy in POLICIES.items()]
        for name, policy, share, before in asked:
            found = estimates_of(log, policy, share, before)
            cells = " | ".join(f"{1e3 * e.mean:.1f} ({1e3 * e.low:.1f} to {1e3 * e.high:.1f})" for e in found)
            sys.stdout.write(f"| {campaign} | {name} | {cells} |\n")
            sys.stdout.flush()


class Visit(NamedTuple):
    """A visit of a user, who sees a list."""

    time: float
    number: int
    """The user."""
    taste: int
    appeals: list[tuple[int, float]]
    """By item: its taste, and the probability with which users of this taste take it when they see it."""
    coins: list[tuple[float, float]]
    """By place: random numbers that decide whether the user takes the item, and whether they stop there."""
    searched: str | None
    """An item that the user takes without seeing it in a list."""
    stops: float

    @property
    def user(self) -> str:
        """Id of the user."""
        return f"u{self.number}"

    def chance(self, item: str) -> float:
        """Return the probability with which the user takes an item that they see."""
        kind, appeal = self.appeals[int(item[1:])]
        return appeal * (1.0 if kind == self.taste else 0.25)

    def worth(self, listed: Sequence[str]) -> float:
        """Return how many items of a list the user takes, as a mean."""
        return sum(self.chance(item) * (1.0 - self.stops) ** place for place, item in enumerate(listed))

    def look(self, listed: Sequence[str]) -> list[Example]:
        """Return what happens: an impression of each item that the user sees, and clicks. `x` has the place, from 0."""
        events = []
        for place, (item, (likes, stops)) in enumerate(zip(listed, self.coins, strict=False)):
            events.append(Example(self.user, item, -0.05, self.time + 1.0, {"event": "impression", "place": place}))
            if likes < self.chance(item):
                events.append(Example(self.user, item, 1.0, self.time + 2.0, {"event": "click", "place": place}))
            if stops < self.stops:
                break
        if self.searched is not None:
            events.append(Example(self.user, self.searched, 1.0, self.time + 3.0, {"event": "click"}))
        return events


@dataclass
class Shop:
    """A shop with users of some tastes and a stream of new items. A few of them are good.

    A user looks at the list from the first place on, and stops after each item with some probability. They take an item
    that they see by its appeal to their taste. On some visits they also take something that they did not see in a
    list, mostly known items.

    Source: the cascade model of Craswell, Zoeter, Taylor and Ramsey, WSDM 2008.
    """

    seed: int
    tastes: int = 4
    users: int = 500
    start: int = 100
    """Number of items at the start."""
    every: int = 100
    """Visits between two new items."""
    stops: float = 0.15
    """Probability that a user stops after an item."""
    searches: float = 0.3
    """Probability that a visit brings an interaction with an item of no list."""
    top: int = 10

    def appeal(self, draw: random.Random) -> float:
        """Draw the probability with which users of its taste take an item that they see."""
        return draw.betavariate(0.6, 14.0)

    def visits(self, count: int) -> Iterator[Visit]:
        """Yield visits, 60 s apart. The same seed gives the same visits, whatever is shown.

        Args:
            count: Number of visits.
        """
        draw = random.Random(self.seed)
        appeals: list[tuple[int, float]] = []
        for visit in range(count):
            while len(appeals) < self.start + visit // self.every:
                appeals.append((draw.randrange(self.tastes), self.appeal(draw)))
            number = draw.randrange(self.users)
            coins = [(draw.random(), draw.random()) for _ in range(self.top)]
            searched, place = draw.random(), draw.random() ** 2
            item = f"i{int(place * self.start)}" if searched < self.searches else None
            yield Visit(60.0 * visit, number, number % self.tastes, appeals, coins, item, self.stops)

    def run(self, model: Recommender, visits: int) -> tuple[float, float]:
        """Return the items taken from lists per visit, of the second half, and the share of them that was new.

        Args:
            model: Learns from the start, and makes the lists.
            visits: Number of visits.
        """
        taken = new = items = 0
        for number, visit in enumerate(self.visits(visits)):
            for item in range(items, len(visit.appeals)):
                model.learn_item(f"i{item}", {"title": "…"})
            items = len(visit.appeals)
            listed = [item for item, _ in model.top(visit.user, self.top, {"timestamp": visit.time})]
            if isinstance(model, Explorer):
                model.note_sent(visit.user, listed, visit.time)
            events = visit.look(listed)
            for example in events:
                model.step_many([example], 0)
            if 2 * number >= visits:
                clicked = [each.item for each in events if each.y > 0.0 and each.item != visit.searched]
                taken += len(clicked)
                new += sum(int(item[1:]) >= items - 50 for item in clicked)
        return taken / (visits - visits // 2), new / max(taken, 1)


def write_shops(visits: int, seeds: int, names: Sequence[str]) -> None:
    """Print what lists of some models earn with each share of exploration, over some seeds."""
    sys.stdout.write(
        "| model | explore | outcomes | items taken per 100 visits | against none ± standard error | newest 50 |\n"
        "|---|---|---|---|---|---|\n"
    )
    for name in names:
        kind = KINDS[name]
        plain: list[float] = []
        for share, window in ((0.0, 0.0), (0.05, 0.0), (0.05, 3600.0), (0.2, 0.0), (0.2, 3600.0)):
            results = [
                Shop(seed).run(Explorer(kind(), share, window=window) if share else kind(), visits)
                for seed in range(seeds)
            ]
            earned = [100.0 * taken for taken, _ in results]
            plain = plain or earned
            gains = [now - before for now, before in zip(earned, plain, strict=True)]
            error = stdev(gains) / len(gains) ** 0.5 if len(gains) > 1 and share else 0.0
            outcomes = "" if not share else "shown and taken" if window else "next interaction"
            sys.stdout.write(
                f"| {name} | {share} | {outcomes} | {mean(earned):.1f} | {mean(gains):+.2f} ± {error:.2f} "
                f"| {100 * mean(share for _, share in results):.1f} % |\n"
            )
            sys.stdout.flush()


if __name__ == "__main__":
    main()
