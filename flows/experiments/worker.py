"""Process of one replay for `flows.experiments.job`: reads a job, reports progress, and writes the result to a file."""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from flows.errors import JobError, LogError, UnusableInputError
from flows.evaluation.beyond_accuracy import ListMetrics
from flows.evaluation.model_observer import ModelObserver
from flows.evaluation.ranking_metrics import mean_value
from flows.evaluation.scorer import PrequentialScorer
from flows.experiments.job import Job, ProgressMessage, ReplayOutput, write_replayed
from flows.monitoring.usability import why_unusable
from flows.replay import ReplayResult, replay
from flows.report.data import measured
from flows.settings import Settings
from recmodels.fused.warm_up import warm_up
from recmodels.own_code import own_line

PROGRESS_SECONDS: Final = 0.2
"""Seconds between two progress messages."""


def main() -> int:
    """Run the job from the standard input, and write its result to the path given as the argument."""
    messages = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # a model's own output is not a message

    def on_progress(message: ProgressMessage) -> None:
        messages.write(msgspec.json.encode(message) + b"\n")

    try:
        job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
        write_replayed(run(job, on_progress), Path(sys.argv[1]))
    except (KeyboardInterrupt, BrokenPipeError):
        return 1  # the parent process has ended, or has stopped the replay
    except UnusableInputError as error:
        on_progress(ProgressMessage(error=str(error), is_unusable=True))
        return 3
    except JobError as error:
        on_progress(ProgressMessage(error=str(error)))
        return 1
    except (LogError, ValueError) as error:
        on_progress(ProgressMessage(error=str(error), is_wrong_use=True))
        return 2
    except Exception as error:
        on_progress(ProgressMessage(error=own_line(error) or f"{type(error).__name__}: {error}"))
        return 1
    return 0


def run(job: Job, on_progress: Callable[[ProgressMessage], object]) -> ReplayOutput:
    """Run a job in this process.

    Args:
        job: The replay.
        on_progress: Called with each progress message.

    Raises:
        LogError: The log is damaged.
        UnusableInputError: The log has too few usable events.
    """
    settings = Settings(**job.settings)
    if settings.model_info.uses_kernels:
        warm_up(settings.takes_back)
    k = job.protocol.ks[0]
    scores = PrequentialScorer(k, ListMetrics(min(k, settings.top)))
    due, step = 0.0, 1

    def progress(done: int, total: int, records: int) -> None:
        nonlocal due, step
        while job.interim is not None and scores.events >= (due_at := job.interim_from + step * job.interim_every):
            on_progress(ProgressMessage(step=step, value=interim_value(scores, job.interim, due_at)))
            step += 1
        if time.monotonic() >= due:
            due = time.monotonic() + PROGRESS_SECONDS
            share = records / job.limit if job.limit else done / max(total, 1)
            on_progress(ProgressMessage(share=min(share, 1.0), events=records))

    watch = ModelObserver() if job.watched else None
    result = replay(
        job.logs,
        settings,
        file_options=job.file_options,
        limit=job.limit,
        sort=job.sort,
        protocol=job.protocol,
        progress=progress,
        scores=scores,
        watch=watch,
    )
    if result.damage:
        raise LogError(result.damage)
    if (problem := why_unusable(result.counters)) is not None:
        raise UnusableInputError(problem)
    figures = {} if watch is None else measured(result, watch).extras()
    return ReplayOutput(_report(result, scores), result.outcomes.arrays(), figures)


def interim_value(scores: PrequentialScorer, measure: str, events: int) -> float:
    """Return a metric over exactly the first `events` interactions, although a few more may have been scored.

    Args:
        scores: The scorer of the replay.
        measure: Name of the metric, as in `ndcg@10`.
        events: Number of interactions, from the first.
    """
    outcomes = scores.outcomes.arrays()
    rows = int(outcomes["number"].searchsorted(events))
    return mean_value(measure, {name: column[:rows] for name, column in outcomes.items()})


def _report(result: ReplayResult, scores: PrequentialScorer) -> dict[str, object]:
    lists = {} if scores.lists is None else scores.lists.values(scores.items)
    return {**result.report(), "lists": lists, "interactions": scores.events}


if __name__ == "__main__":
    sys.exit(main())
