"""Tune settings on the first part of a log, and report them on the rest."""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np

from flows.errors import UsageError
from flows.evaluation.log_scan import scan_log
from flows.evaluation.ranking_metrics import Columns, event_values, mean_value
from flows.experiments.cache import ReplayCache
from flows.experiments.compare import Difference, OnProgress, difference, replay_all
from flows.experiments.job import (
    Job,
    ProgressMessage,
    ReplayFailedError,
    ReplayOutput,
    StoppedError,
    file_options_of,
    read_replayed,
    run_job,
)
from flows.experiments.search_space import Space
from flows.experiments.trials import Study, Trial
from flows.files.inputs import open_logs
from flows.settings import Settings

BEFORE, TUNED = "the settings as they were", "the tuned settings"
"""The names of the two that are compared."""
FIRST = "the first part"
STEPS = 20
"""An early look at a trial is taken after each such part of the events it is tuned on."""


@dataclass(frozen=True)
class Tuned:
    """Result of tuning."""

    settings: Mapping[str, Any]
    """The best on the first part, the settings that were not tuned with them."""
    is_other: bool
    """Whether they are others than the settings as they were: if not, no trial was better."""
    metric: str
    split: int
    """Number of interactions of the first part."""
    scored: int
    """Number of them that the metric counts."""
    first: Mapping[str, float]
    """The metric on the first part, before and tuned: the best of many trials, and so too good."""
    rest: Mapping[str, float]
    """The metric on the rest, which no trial has seen, before and tuned."""
    difference: Difference
    """On the rest."""
    trials: list[Trial]


def tune(
    job: Job,
    space: Space,
    study: Study,
    cache: ReplayCache,
    *,
    metric: str,
    trials: int,
    share: float = 0.5,
    processes: int = 1,
    on_progress: OnProgress = lambda name, told: None,
    ended: Callable[[Trial], object] = lambda trial: None,
) -> Tuned:
    """Try settings on the first part of a log. Replay the whole log with the best, and score the rest.

    The model keeps learning through the rest, as in production. Only the scored events are kept apart.

    Args:
        job: The log, the protocol, and the settings as they are.
        space: The values to try.
        study: The trials. Earlier ones count.
        cache: Where results of replays are kept.
        metric: The metric to maximise, such as `hit_rate@10`.
        trials: Number of trials.
        share: Share of the log's records, from the first, to tune on.
        processes: Number of replays that run at a time. With one, the same seed gives the same trials.
        on_progress: Called with each progress message of a replay.
        ended: Called with each finished trial.

    Raises:
        UsageError: The log or a setting cannot be used, or the first part or the rest has no event that is scored.
        ReplayFailedError: A replay of the settings as they were failed, or every trial did.
    """
    before = _replayed(BEFORE, job, cache, on_progress)
    first_job, warmup = first_part(job, share, before)
    first = _replayed(FIRST, first_job, cache, on_progress)
    split = first.report["interactions"]
    rest = _rest(before.outcomes, split)
    if not (len(first.outcomes["number"]) and len(rest["number"])):
        raise UsageError(
            f"--share {share:g}: expected scored events in both parts of the log; the first has "
            f"{len(first.outcomes['number'])}, the rest {len(rest['number'])}. Choose another share, or a longer log."
        )
    every = max(1, (split - warmup) // STEPS)
    looked_at = msgspec.structs.replace(first_job, interim=metric, interim_from=warmup, interim_every=every)
    run_trials(looked_at, space, study, cache, metric, trials, processes, on_progress, ended)
    best, value_before = study.best(), mean_value(metric, first.outcomes)
    is_other = best is not None and best.value > value_before
    settings = {**job.settings, **best.settings} if best is not None and is_other else job.settings
    after = _replayed(TUNED, msgspec.structs.replace(job, settings=settings), cache, on_progress)
    tuned_rest = _rest(after.outcomes, split)
    return Tuned(
        settings=settings,
        is_other=is_other,
        metric=metric,
        split=split,
        scored=len(event_values(metric, first.outcomes)[1]),
        first={BEFORE: value_before, TUNED: best.value if best is not None and is_other else value_before},
        rest={BEFORE: mean_value(metric, rest), TUNED: mean_value(metric, tuned_rest)},
        difference=Difference(TUNED, BEFORE, metric, *difference(metric, rest, tuned_rest)),
        trials=study.trials(),
    )


def first_part(job: Job, share: float, whole: ReplayOutput) -> tuple[Job, int]:
    """Return the job of the first part of a log, and how many of its interactions are warm-up: those of the whole log.

    The part is all that its replays see. The catalogue and the sessions of a protocol are those of the part.

    Args:
        job: Job of the whole log.
        share: Share of the records.
        whole: The result of the job.

    Raises:
        UsageError: There is nothing in the part but warm-up.
    """
    log, protocol = whole.report["log"], job.protocol
    records = log["events"] + log["rejected"] + whole.report["left_out"]
    part = msgspec.structs.replace(job, limit=int(share * records))
    if not protocol.warmup:
        return part, 0
    warmup = int(
        protocol.warmup * whole.report["interactions"]
    )  # as `flows.evaluation.evaluator.ProtocolEvaluator` counts
    opened = open_logs(part.logs, file_options=file_options_of(part), sort=part.sort, limit=part.limit)
    events = scan_log(opened, Settings(**job.settings), protocol).events
    if warmup >= events:
        raise UsageError(
            f"--warmup {protocol.warmup:g}: expected it to end within the first part of the log, which is tuned on; it "
            f"takes {warmup:,} interactions, and the part has {events:,}. Choose a smaller one, or a larger --share."
        )
    share_of_part = (warmup + 0.5) / events  # the half keeps it from being rounded to one less
    return msgspec.structs.replace(part, protocol=replace(protocol, warmup=share_of_part)), warmup


def run_trials(
    job: Job,
    space: Space,
    study: Study,
    cache: ReplayCache,
    metric: str,
    trials: int,
    processes: int = 1,
    on_progress: OnProgress = lambda name, told: None,
    ended: Callable[[Trial], object] = lambda trial: None,
) -> None:
    """Make trials until the study has `trials`. The arguments are those of `tune`. The job covers the first part."""
    stopped = threading.Event()
    failures: list[ReplayFailedError] = []

    def work() -> None:
        while not stopped.is_set() and (asked := study.ask(space, trials)) is not None:
            number, drawn = asked
            trial_job = msgspec.structs.replace(job, settings={**job.settings, **drawn})
            try:
                ended(_run_trial(number, trial_job, study, cache, metric, on_progress, stopped))
            except ReplayFailedError as error:
                failures.append(error)
                ended(study.end(number, "failed"))

    with ThreadPoolExecutor(processes) as pool:
        workers = [pool.submit(work) for _ in range(processes)]
        try:
            wait(workers, return_when=FIRST_EXCEPTION)
        finally:
            stopped.set()
    errors = [error for worker in workers if (error := worker.exception()) is not None]
    for error in sorted(errors, key=lambda error: isinstance(error, StoppedError)):  # these stopped for another's sake
        raise error
    if failures and study.best() is None:
        raise failures[-1]


def _run_trial(
    number: int,
    job: Job,
    study: Study,
    cache: ReplayCache,
    metric: str,
    on_progress: OnProgress,
    stopped: threading.Event,
) -> Trial:
    is_poor = False

    def look(told: ProgressMessage) -> None:
        nonlocal is_poor
        if told.step is not None and told.value is not None:
            is_poor = study.is_poor(number, told.step, told.value)
        on_progress(f"trial {number}", told)

    found = cache.find(job)
    if found is None:
        try:
            run_job(job, cache.path(job), look, lambda: is_poor or stopped.is_set())
        except StoppedError:
            if not is_poor:
                raise
            return study.end(number, "stopped early")
        found = read_replayed(cache.path(job))
    return study.end(number, "finished", mean_value(metric, found.outcomes))


def _replayed(name: str, job: Job, cache: ReplayCache, on_progress: OnProgress) -> ReplayOutput:
    return replay_all({name: job}, cache, processes=1, on_progress=on_progress)[name][0]


def _rest(outcomes: Columns, split: int) -> Columns:
    row = int(np.searchsorted(outcomes["number"], split))
    return {name: column[row:] for name, column in outcomes.items()}


def conclusion(tuned: Tuned) -> list[str]:
    """Return the conclusion in plain sentences."""
    values = [trial.value for trial in tuned.trials if trial.state == "finished"]
    if len(values) > 1 and len(set(values)) == 1:
        return [
            f"All {len(values)} finished trials gave {tuned.metric} {values[0]:.4f}: nothing in this space changes it. "
            f"Keep {BEFORE}, or try other settings or another metric."
        ]
    if not tuned.is_other:
        return [f"No trial was better than {BEFORE}: they stay."]
    events, sentence = tuned.difference.events, tuned.difference.sentence().replace(" is ", " are ", 1)
    said = [
        f"On the first {tuned.split:,} interactions, {tuned.scored:,} scored events, which they were chosen on: "
        f"{TUNED} reach {tuned.metric} {tuned.first[TUNED]:.4f}; {BEFORE}, {tuned.first[BEFORE]:.4f}.",
        f"On the rest, {events:,} scored events that no trial has seen: {tuned.rest[TUNED]:.4f}; "
        f"{BEFORE}, {tuned.rest[BEFORE]:.4f}.",
        sentence[0].upper() + sentence[1:],
    ]
    is_better = tuned.difference.events > 0 and tuned.difference.interval.low > 0.0
    return said if is_better else [*said, f"Nothing speaks for a change: keep {BEFORE}."]
