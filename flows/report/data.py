"""The data of one replay for the report: numbers and arrays, which can be pickled."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flows.evaluation.model_observer import Look, ModelObserver
from flows.monitoring.histogram import BUCKETS
from flows.replay import ReplayResult
from recmodels.inspection.user_profile import user_profile

__all__ = ["Measured", "measured"]

SAMPLES: Final = 3
"""Number of users whose lists are shown."""
RECENT: Final = 5
"""Number of recent items that are shown for a user."""


class Listed(NamedTuple):
    """An item of a list, and why it is there."""

    item: str
    score: float
    parts: Mapping[str, float]
    """Contribution of each member to the item's score, largest first. See `recmodels.base.Why`."""


class Sample(NamedTuple):
    """A user's list at the end of the log."""

    user: str
    recent: Sequence[str]
    """The user's latest items, the newest first."""
    items: Sequence[Listed]


@dataclass(frozen=True)
class Measured:
    """The results of a replay, as the report shows them.

    Attributes:
        name: Name of the replay in the report: its model, unless several replays have the same.
        numbers: Result of `ReplayResult.report`.
        k: Length of the list that counts.
        outcomes: One row for each scored event, see `flows.evaluation.outcomes`.
        latency: Counts of durations, see `flows.monitoring.histogram.LatencyHistogram.counts`.
        touched, listed: (items,) how often each item was interacted with, and was in a list, those first that were
            interacted with most.
        looks: The model's weights over time.
        drifts: After how many events the model saw drift.
        samples: Some lists.
    """

    name: str
    numbers: Mapping[str, Any]
    k: int
    outcomes: Mapping[str, NDArray[Any]]
    latency: NDArray[np.int64]
    touched: NDArray[np.int64]
    listed: NDArray[np.int64]
    looks: Sequence[Look] = ()
    drifts: Sequence[int] = ()
    samples: Sequence[Sample] = ()

    @property
    def hits(self) -> NDArray[np.bool_]:
        """[rows] whether the item of each scored event was among the first k."""
        return _within(self.outcomes["position"], self.k)

    @property
    def served_hits(self) -> NDArray[np.bool_]:
        """[rows] the same for the list that the output topic held."""
        return _within(self.outcomes["served"], self.k)

    @property
    def hit_rate(self) -> float:
        """Share of hits, or 0 without scored events."""
        return float(self.hits.mean()) if len(self.hits) else 0.0

    def extras(self) -> dict[str, Any]:
        """Return the data that is in neither `numbers` nor `outcomes`, in a form for JSON."""
        some = np.flatnonzero(self.latency)
        return {
            "k": self.k,
            "latency": [some.tolist(), self.latency[some].tolist()],
            "looks": [[look.learned, dict(look.weights)] for look in self.looks],
            "drifts": list(self.drifts),
            "touched": self.touched.tolist(),
            "listed": self.listed.tolist(),
            "samples": [
                [sample.user, list(sample.recent), [[each.item, each.score, dict(each.parts)] for each in sample.items]]
                for sample in self.samples
            ],
        }

    @classmethod
    def kept(
        cls,
        name: str,
        numbers: Mapping[str, Any],
        outcomes: Mapping[str, NDArray[Any]],
        extras: Mapping[str, Any],
    ) -> "Measured":
        """Rebuild the data from the file of another process or an earlier command.

        Args:
            name: What to call it.
            numbers: What `ReplayResult.report` said.
            outcomes: The columns of its outcomes.
            extras: What `extras` returned.
        """
        latency = np.zeros(BUCKETS, np.int64)
        buckets, counts = extras["latency"]
        latency[buckets] = counts
        return cls(
            name=name,
            numbers=numbers,
            k=extras["k"],
            outcomes=outcomes,
            latency=latency,
            looks=tuple(Look(learned, weights) for learned, weights in extras["looks"]),
            drifts=tuple(extras["drifts"]),
            touched=np.array(extras["touched"], np.int64),
            listed=np.array(extras["listed"], np.int64),
            samples=tuple(
                Sample(user, recent, [Listed(*each) for each in items]) for user, recent, items in extras["samples"]
            ),
        )


def _within(positions: NDArray[Any], k: int) -> NDArray[np.bool_]:
    return np.asarray((positions >= 0) & (positions < k))


def measured(result: ReplayResult, watch: ModelObserver, name: str | None = None) -> Measured:
    """Collect the data of the report from a replay.

    Args:
        result: What `flows.replay.replay` returned.
        watch: The observer that the replay was given.
        name: Name in the report. None: the model's name.

    >>> from flows.replay import replay
    >>> from flows.sample import EVENTS
    >>> from flows.settings import Settings
    >>> watch = ModelObserver()
    >>> result = replay(EVENTS, Settings(model="popularity", repeats="exclude"), limit=500, watch=watch)
    >>> found = measured(result, watch)
    >>> found.name, len(found.hits), found.hit_rate == result.metrics["hit_rate@10"], len(found.samples)
    ('popularity', 500, True, 3)
    """
    result.latency.quantile(0.5)  # counts what still waits to be counted
    items = [item for item, _ in watch.touched.most_common()]
    items += [item for item in watch.listed if item not in watch.touched]
    return Measured(
        name=name or result.settings.model,
        numbers=result.report(),
        k=result.protocol.ks[0],
        outcomes=result.outcomes.arrays(),
        latency=result.latency.counts.copy(),
        looks=tuple(watch.looks),
        drifts=() if watch.model is None else tuple(watch.model.drift_moments),
        touched=np.array([watch.touched[item] for item in items], np.int64),
        listed=np.array([watch.listed[item] for item in items], np.int64),
        samples=_samples(result, watch),
    )


def _samples(result: ReplayResult, watch: ModelObserver) -> tuple[Sample, ...]:
    if watch.model is None:
        return ()
    samples = []
    for user in list(result.last_lists)[:SAMPLES]:
        why = watch.model.explain(user, result.settings.top)
        recent = user_profile(watch.model, user).recent[:RECENT]
        samples.append(Sample(user, recent, [Listed(*each) for each in why]))
    return tuple(samples)
