"""Replay: run a recorded log through the flow, and measure."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.engine import recovery_in, run_flow
from flows.file_sinks import ListFile, RejectFile
from flows.latency import LatencyHistogram
from flows.log_file import open_log
from flows.log_reader import Progress
from flows.outcomes import Outcomes
from flows.peak_memory import peak_rss_mb
from flows.recommend import Ends, build_flow
from flows.scoring import Discard, Scores
from flows.settings import Settings
from flows.tally import Tally
from recmodels.evaluate import RankingMetrics

BATCH = 8
"""Records taken at once: a list waits for its whole batch, so that a small one is fresh and a large one fast."""


@dataclass(frozen=True)
class ReplayResult:
    """What a replay found."""

    path: str
    settings: Settings
    tally: Tally
    users: int
    items: int
    fresh: RankingMetrics
    served: RankingMetrics
    outcomes: Outcomes
    latency: LatencyHistogram
    seconds: float
    cpu_seconds: float
    """Of all threads of the process, while the flow ran."""
    last_lists: Mapping[str, Sequence[str]]
    """The lists of the users who came last, the newest first."""
    damage: str | None
    """What was wrong with the log's file, if it broke off."""

    @property
    def metrics(self) -> dict[str, float]:
        """The measures of quality, by their names."""
        fresh, served = self.fresh, self.served
        return {
            f"hit_rate@{fresh.k}": fresh.hit_rate,
            f"ndcg@{fresh.k}": fresh.ndcg,
            f"mrr@{fresh.k}": fresh.mrr,
            f"served_hit_rate@{fresh.k}": served.hit_rate,
        }

    def report(self) -> dict[str, Any]:
        """Return everything as the report file says it."""
        rejected = self.tally.rejected.total()
        events = self.tally.read - rejected
        to_us = 1e6
        return {
            "log": {
                "path": self.path,
                "events": events,
                "rejected": rejected,
                "users": self.users,
                "items": self.items,
            },
            "model": self.settings.model,
            "repeats": self.settings.repeats,
            "top": self.settings.top,
            "scored": self.fresh.scored,
            "metrics": self.metrics,
            "seconds": self.seconds,
            "events_per_second": events / self.seconds if self.seconds else 0.0,
            "cpu_seconds": self.cpu_seconds,
            "latency_us": {
                "p50": self.latency.quantile(0.5) * to_us,
                "p99": self.latency.quantile(0.99) * to_us,
                "max": self.latency.highest * to_us,
            },
            "peak_rss_mb": peak_rss_mb(),
        }


def replay(
    log: str | Path,
    settings: Settings | None = None,
    *,
    columns: Mapping[str, str] | None = None,
    limit: int | None = None,
    out: str | Path | None = None,
    rejects: str | Path | None = None,
    progress: Progress | None = None,
    batch: int = BATCH,
    scores: Scores | None = None,
) -> ReplayResult:
    """Run a recorded log through the flow: for each event ask for the list, score it, learn the event, emit the list.

    Args:
        log: CSV or JSON Lines, plain, `.gz` or `.zst`.
        settings: The model and the policies; those about Kafka are not used.
        columns: For CSV, the header's name of a field's column where the two differ.
        limit: Only the first so many records.
        out: Where the lists go, as JSON Lines; None: nowhere.
        rejects: Where rejected records go; None: they are only counted.
        progress: Told how far the reading is.
        batch: Records taken at once; it never changes a list.
        scores: Measures here: who keeps hold of it can look in while the replay runs. None: at k 10, or `top` if less.

    Raises:
        LogError: The log cannot be read.
        OutputFileError: `out` or `rejects` cannot be written.
        RecoveryError: The recovery directory cannot be used.

    >>> from flows.sample import EVENTS
    >>> result = replay(EVENTS, Settings(repeats="exclude", model="popularity"), limit=2_000)
    >>> result.tally.learned, result.fresh.scored
    (2000, 2000)
    """
    settings = settings or Settings()
    opened = open_log(log, columns, batch_size=batch, limit=limit, progress=progress)
    scores = scores or Scores(k=min(10, settings.top))
    tally, latency = Tally(), LatencyHistogram()
    for path in (out, rejects):
        if path is not None:
            ListFile(path).check()
    job = {"model": settings.model, "repeats": settings.repeats, "input": str(Path(log).resolve())}
    with recovery_in(settings.recovery, job) as recovery:
        ends = Ends(
            source=opened.source,
            decoder=opened.decoder,
            lists=Discard() if out is None else ListFile(out),
            dead_letters=Discard() if rejects is None else RejectFile(rejects),
            dead_letter=lambda rejected: rejected,
            scores=scores,
            tally=tally,
            latency=latency,
        )
        if recovery is not None:
            ends.store = recovery.store
        flow = build_flow(settings, ends)
        started, cpu_started = time.perf_counter(), time.process_time()
        run_flow(flow, recovery, settings.epoch_seconds)
        seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
    return ReplayResult(
        path=str(log),
        settings=settings,
        tally=tally,
        users=len(scores.users),
        items=len(scores.items),
        fresh=scores.fresh,
        served=scores.served,
        outcomes=scores.outcomes,
        latency=latency,
        seconds=seconds,
        cpu_seconds=cpu_seconds,
        last_lists=scores.last_lists(3),
        damage=opened.source.damage,
    )
