"""Comparison of models on the same events of one log, with confidence intervals of the differences."""

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from flows.evaluation.ranking_metrics import Columns, event_values, mean_value, metric_names
from flows.experiments.cache import ReplayCache
from flows.experiments.interval_text import interval_text, mirrored
from flows.experiments.job import Job, ProgressMessage, ReplayOutput, read_replayed, run_job
from recmodels.evaluation.bootstrap import Interval, mean_interval

OnProgress = Callable[[str, ProgressMessage], object]
"""Called with a model's name and a progress message of its process."""


@dataclass(frozen=True)
class Difference:
    """Difference of two models in one metric, over the events that both were scored on."""

    model: str
    other: str
    measure: str
    events: int
    interval: Interval

    def sentence(self) -> str:
        """Return the difference as a sentence.

        >>> Difference("b", "a", "hit_rate@10", 900, Interval(0.012, 0.008, 0.016)).sentence()
        'b is better than a by 0.0120 ± 0.0040 in hit_rate@10.'
        >>> Difference("b", "a", "mrr@10", 900, Interval(-0.003, -0.007, -0.001)).sentence()
        'b is worse than a by 0.0030 (0.0010 to 0.0070) in mrr@10.'
        >>> Difference("b", "a", "mrr@10", 900, Interval(-0.001, -0.004, 0.002)).sentence()
        'No difference between b and a can be told in mrr@10: -0.0010 ± 0.0030.'
        """
        found = self.interval
        if not self.events:
            return f"No event was scored that counts in {self.measure}: nothing can be told of {self.model}."
        if found.holds_zero:
            return (
                f"No difference between {self.model} and {self.other} can be told in {self.measure}: "
                f"{interval_text(found)}."
            )
        word, size = ("better", found) if found.mean > 0 else ("worse", mirrored(found))
        return f"{self.model} is {word} than {self.other} by {interval_text(size)} in {self.measure}."


@dataclass(frozen=True)
class ModelResult:
    """A model and its measurements."""

    model: str
    values: Mapping[str, float]
    """Metrics by name."""
    report: Mapping[str, Any]
    """The report, as `freshrank replay --report` writes it."""
    from_cache: bool
    """Whether the result, speed included, comes from an earlier command."""
    outcomes: Columns
    """Columns of outcomes, one row for each scored event."""
    figures: Mapping[str, Any]
    """Further data for the report, if the job was observed."""


@dataclass(frozen=True)
class Comparison:
    """Several models on one log."""

    contenders: Sequence[ModelResult]
    differences: Sequence[Difference]
    """Difference of each model from the first, in each metric."""
    metric: str
    """Metric of the sentences."""
    leads: Sequence[Difference] = ()
    """Difference of the best model from each other model, in the metric of the sentences."""

    def of(self, model: str, measure: str) -> Difference:
        """Return the difference of a model from the first, in a metric."""
        return next(found for found in self.differences if (found.model, found.measure) == (model, measure))

    @property
    def best(self) -> ModelResult:
        """The model with the highest value of the metric, the first of equals."""
        return max(self.contenders, key=lambda one: one.values[self.metric])

    def sentences(self) -> list[str]:
        """Say what the metric tells: each model against the first, the best against the others, and which is best."""
        first = self.contenders[0].model
        of_first = [each for each in self.differences if each.measure == self.metric]
        of_best = [each for each in self.leads if first not in (each.model, each.other)]
        return [*(each.sentence() for each in (*of_first, *of_best)), self.verdict()]

    def verdict(self) -> str:
        """Say which model is best, and from which others it cannot be told."""
        best, value = self.best.model, self.best.values[self.metric]
        open_ones = [each.other for each in self.leads if not each.interval.low > 0.0]
        if len({one.values[self.metric] for one in self.contenders}) == 1:
            return f"Best in {self.metric}: none, as all have {value:.4f}."
        if not open_ones:
            return f"Best in {self.metric}: {best}, {value:.4f}. It is better than each of the others."
        return f"Best in {self.metric}: {best}, {value:.4f}. It cannot be told from {' and '.join(open_ones)}."

    def report(self) -> dict[str, Any]:
        """Return the content of the JSON file."""
        return {
            "best": {
                "metric": self.metric,
                "model": self.best.model,
                "better_than": [each.other for each in self.leads if each.interval.low > 0.0],
                "not_told_from": [each.other for each in self.leads if not each.interval.low > 0.0],
                "sentences": self.sentences(),
            },
            "log": self.contenders[0].report["log"],
            "models": [
                {"model": one.model, "was_kept": one.from_cache, "values": dict(one.values), "report": dict(one.report)}
                for one in self.contenders
            ],
            "differences": [
                {
                    "model": found.model,
                    "against": found.other,
                    "metric": found.measure,
                    "events": found.events,
                    **{name: value if found.events else None for name, value in found.interval._asdict().items()},
                    "sentence": found.sentence(),
                }
                for found in self.differences
            ],
        }


def replay_all(
    jobs: Mapping[str, Job], cache: ReplayCache, *, processes: int, on_progress: OnProgress, anew: bool = False
) -> dict[str, tuple[ReplayOutput, bool]]:
    """Replay jobs, each in a process of its own. Jobs with a cached result are not run.

    Args:
        jobs: Jobs by name.
        cache: Cache of results.
        processes: Number of jobs that run at a time.
        on_progress: Called with the name and each progress message of a job.
        anew: Whether to run jobs with a cached result again.

    Returns:
        Result of each job by name, and whether it comes from the cache.

    Raises:
        UsageError, ReplayFailedError: As in `flows.experiments.job.run_job`. Then the other jobs are stopped. Finished
            results stay in the cache.
    """
    stopped = threading.Event()

    def run(name: str, job: Job) -> tuple[ReplayOutput, bool]:
        kept = None if anew else cache.find(job)
        if kept is None:
            run_job(job, cache.path(job), lambda told: on_progress(name, told), stopped.is_set)
        found = read_replayed(cache.path(job)) if kept is None else kept
        on_progress(name, ProgressMessage(share=1.0, events=found.report["log"]["events"]))
        return found, kept is not None

    with ThreadPoolExecutor(processes) as pool:
        futures = {name: pool.submit(run, name, job) for name, job in jobs.items()}
        try:
            wait(futures.values(), return_when=FIRST_EXCEPTION)
            failed = [future for future in futures.values() if future.done() and future.exception() is not None]
            if failed:
                failed[0].result()
            return {name: future.result() for name, future in futures.items()}
        finally:
            stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)


def compare(
    job: Job,
    contenders: Mapping[str, Mapping[str, Any]],
    cache: ReplayCache,
    *,
    metric: str | None = None,
    processes: int = 1,
    on_progress: OnProgress = lambda model, told: None,
    anew: bool = False,
    seed: int = 0,
) -> Comparison:
    """Replay a log with each contender, and compare each with the first, and the best with each other one.

    Args:
        job: Log, settings and protocol.
        contenders: By name, the settings that replace those of the job: the model, and others that are compared.
        cache, processes, on_progress, anew: As in `replay_all`.
        metric: Metric of the sentences. None: the first that the protocol measures.
        seed: Seed of the bootstrap.

    Raises:
        UsageError: The log or a setting cannot be used.
        ReplayFailedError: A model failed while it ran.
    """
    jobs = {
        name: msgspec.structs.replace(job, settings={**job.settings, **changed}) for name, changed in contenders.items()
    }
    found = replay_all(jobs, cache, processes=processes, on_progress=on_progress, anew=anew)
    first, *others = found
    names = metric_names(job.protocol.ks, job.protocol.requests)
    metric = metric or names[0]

    def compared(model: str, other: str, name: str) -> Difference:
        return Difference(
            model, other, name, *difference(name, found[other][0].outcomes, found[model][0].outcomes, seed)
        )

    best = max(found, key=lambda model: mean_value(metric, found[model][0].outcomes))
    return Comparison(
        [
            ModelResult(
                model,
                {**{name: mean_value(name, replayed.outcomes) for name in names}, **replayed.report["lists"]},
                replayed.report,
                from_cache,
                replayed.outcomes,
                replayed.figures,
            )
            for model, (replayed, from_cache) in found.items()
        ],
        [compared(model, first, name) for model in others for name in names],
        metric,
        [compared(best, other, metric) for other in found if other != best],
    )


def difference(name: str, first: Columns, second: Columns, seed: int = 0) -> tuple[int, Interval]:
    """Return the second model's lead over the first in a metric, over the events that both were scored on.

    Args:
        name: Name of the metric, as in `ndcg@10`.
        first, second: Outcomes on the same log.
        seed: Seed of the bootstrap.

    Returns:
        The number of events, and the mean difference with its 95 % interval.

    >>> items = np.array([7, 8, 7, 9])
    >>> first = {"number": np.array([1, 2, 3, 5]), "position": np.array([0, -1, -1, 0]), "item_digest": items}
    >>> second = {"number": np.array([2, 3, 4, 5]), "position": np.array([1, -1, 0, 0]), "item_digest": items}
    >>> events, interval = difference("hit_rate@10", first, second)
    >>> events, round(interval.mean, 3)
    (3, 0.333)
    """
    _, in_first, in_second = np.intersect1d(first["number"], second["number"], assume_unique=True, return_indices=True)
    counts, before = event_values(name, {column: values[in_first] for column, values in first.items()})
    _, after = event_values(name, {column: values[in_second] for column, values in second.items()})
    items = first["item_digest"][in_first][counts]
    return len(before), mean_interval(after - before, seed=seed, groups=items)
