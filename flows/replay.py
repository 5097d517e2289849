"""Replay: run a recorded log through the flow, and measure."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bytewax.outputs import Sink

from flows.engine import run_flow
from flows.errors import UsageError
from flows.evaluation.calibration import Reliability
from flows.evaluation.evaluator import ProtocolEvaluator
from flows.evaluation.item_list_scorer import ItemListScorer
from flows.evaluation.log_scan import scan_log
from flows.evaluation.model_observer import ModelObserver
from flows.evaluation.protocol import Protocol
from flows.evaluation.scorer import PrequentialScorer
from flows.evaluation.stateful_metrics import StatefulMetrics
from flows.files.distinct_files import expect_distinct_files
from flows.files.inputs import find_files, open_logs
from flows.files.record_source import Progress
from flows.files.sinks import Discard, ListFile, RejectFile
from flows.formats.file_format import FileOptions
from flows.messages import ItemListKind, Outgoing
from flows.monitoring.counters import Counters
from flows.monitoring.histogram import LatencyHistogram
from flows.monitoring.instrumented_source import InstrumentedSource
from flows.pipeline import Connections, build_flow
from flows.replay_result import ReplayResult
from flows.settings import Settings
from flows.shards.simulation import NOT_STORED, ROUND, SimulatedShards
from flows.state.recovery import recovery_in
from flows.steps.active_users import ActiveUsers
from flows.steps.item_lists import KEY_FIELDS

if TYPE_CHECKING:
    pass

__all__ = ["ReplayResult", "replay"]

BATCH = 8
"""Records taken at once: a list waits for its whole batch, so that a small one is fresh and a large one fast."""


def replay(
    log: str | Path | Sequence[str | Path],
    settings: Settings | None = None,
    *,
    columns: Mapping[str, str] | None = None,
    file_options: Sequence[tuple[str, FileOptions]] = (),
    limit: int | None = None,
    out: str | Path | None = None,
    rejects: str | Path | None = None,
    related_out: str | Path | None = None,
    trending_out: str | Path | None = None,
    progress: Progress | None = None,
    batch: int = BATCH,
    scores: PrequentialScorer | None = None,
    watch: ModelObserver | None = None,
    protocol: Protocol | None = None,
    sort: bool = False,
    shards: int = 1,
    round_events: int = ROUND,
    tell: Callable[[str], object] = lambda sentence: None,
) -> ReplayResult:
    """Run a recorded log through the flow: for each event ask for the list, score it, learn the event, emit the list.

    Args:
        log: CSV or JSON, plain, `.gz` or `.zst`, or Parquet. Several, or a pattern, are merged by time.
        settings: The model and the policies; those about Kafka are not used.
        columns: The name of a field's column or JSON field, where the two differ.
        file_options: How files are read, by patterns of their names. It comes before what the settings say.
        limit: Number of records to read from the start. None: all.
        out: File of the lists, as JSON Lines. None: there is none.
        rejects: File of rejected records. None: they are only counted.
        related_out: File of the lists of related items. The setting `related` makes them.
        trending_out: File of the lists of trending items. The setting `trending` makes them.
        progress: Called after each batch, as in `flows.files.record_source.RecordSource`.
        batch: Records taken at once; it never changes a list.
        scores: The scorer. The caller can read it while the replay runs. None: one for k = 10, or `top` if it is less.
        watch: Observer of the model, for a report. None: there is none.
        protocol: Rules of scoring. None: every event is scored against the list of ten, or `top` if it is less.
        sort: Sort the log by time first.
        shards: Number of shards to simulate (`flows.shards.simulation`).
        round_events: Number of events of the log between two rounds of their deltas.
        tell: Called with a sentence about each file that says how it is read.

    Raises:
        LogError: The log cannot be read.
        OutputFileError: `out` or `rejects` cannot be written.
        RecoveryError: The recovery directory cannot be used.
        UsageError: The protocol cannot be resumed, but there is a recovery directory. Or a file is given for lists that
            the settings do not make. Or the settings do not go with shards.
        TooManyRejectsError: More records are rejected than the settings allow.

    >>> from flows.sample import EVENTS
    >>> result = replay(EVENTS, Settings(repeats="exclude", model="popularity"), limit=2_000)
    >>> result.counters.learned, len(result.outcomes)
    (2000, 2000)
    """
    settings = (settings or Settings()).after_promotion()
    is_plain, protocol = protocol is None, protocol or Protocol(ks=(min(10, settings.top),))
    if settings.recovery is not None and not protocol.is_resumable:
        raise UsageError(
            "--recovery: a replay that resumes keeps no account of a protocol; of its switches only --k and --window "
            "go with it. Leave --recovery out, or the others."
        )
    simulated = simulated_shards(settings, shards, round_events) if shards > 1 else None
    item_outs = {"related": related_out, "trending": trending_out}
    for kind, path in item_outs.items():
        if path is not None and not getattr(settings, kind):
            raise UsageError(f"--{kind}-out: the setting {kind} is 0, so there are no such lists. Add --{kind} 1.")
    written = [("out", out), ("rejects", rejects), *((f"{kind}-out", path) for kind, path in item_outs.items())]
    expect_distinct_files([("the log", file) for file in find_files(log)], written)
    every = [*file_options, *settings.file_options]
    opened = open_logs(log, columns, file_options=every, sort=sort, batch_size=batch, limit=limit, progress=progress)
    for sentence in opened.source.said:
        tell(sentence)
    scores = scores or PrequentialScorer(k=protocol.ks[0])
    if scores.reliability is None and settings.model_info.scores_are_probabilities:
        scores.reliability = Reliability()
    counters, latency = Counters(), LatencyHistogram()
    for _, path in written:
        if path is not None:
            ListFile(path).check()
    asker = None
    if not is_plain:
        looked = scan_log(opened, settings, protocol) if protocol.needs_scan else None
        asker = ProtocolEvaluator(protocol, settings.top, looked)
        scores.targets = asker.targets
        scores.with_requests = protocol.requests != "none"
    job = {
        "model": settings.model,
        "repeats": settings.repeats,
        "input": ", ".join(str(file.resolve()) for file in find_files(log)) + (" sorted" if sort else ""),
    }
    with recovery_in(settings.recovery, job, challenger=settings.challenger) as recovery:
        connections = Connections(
            source=InstrumentedSource(opened.source, counters, settings.max_reject_rate),
            decoder=opened.decoder,
            lists=Discard() if out is None else ListFile(out),
            dead_letters=Discard() if rejects is None else RejectFile(rejects),
            dead_letter=lambda rejected: rejected,
            scores=scores,
            counters=counters,
            latency=latency,
            watch=watch,
            build_model=None if simulated is None else lambda: simulated,
            is_positive=protocol.is_positive,
            is_selected=protocol.is_selected,
            asker=asker,
            requests_before_visits=protocol.requests == "visits",
            related=_sink(related_out, "related"),
            trending=_sink(trending_out, "trending"),
            item_scores=ItemListScorer(protocol.ks[0]) if settings.makes_item_lists else None,
            challenge_length=protocol.ks[0],
            challenge_asker=None if asker is None else ProtocolEvaluator(protocol, settings.top, asker.statistics),
        )
        measures = StatefulMetrics(scores, counters)
        if recovery is not None:
            connections.store, connections.metrics_state = recovery.store, measures
            connections.roles = recovery.roles
            connections.active = ActiveUsers(settings.max_users)  # for a job that goes on with this state
        flow = build_flow(settings, connections)
        started, cpu_started = time.perf_counter(), time.process_time()
        run_flow(flow, recovery, settings.epoch_seconds)
        connections.challenge.finish()
        seconds = measures.seconds + time.perf_counter() - started
        cpu_seconds = measures.cpu_seconds + time.process_time() - cpu_started
    return ReplayResult(
        path=str(log) if isinstance(log, str | Path) else ", ".join(map(str, log)),
        settings=settings,
        counters=counters,
        users=len(scores.users) + scores.erased,
        items=len(scores.items),
        outcomes=scores.outcomes,
        latency=latency,
        seconds=seconds,
        cpu_seconds=cpu_seconds,
        last_lists=scores.last_lists(3),
        damage=opened.source.damage,
        protocol=protocol,
        calibration=None if scores.reliability is None else scores.reliability.calibration,
        filled=scores.filled,
        item_lists=connections.item_scores,
        challenge=None if settings.challenger is None else connections.challenge,
        attribution=connections.attribution if settings.attribution_window else None,
        exchange=None if simulated is None else simulated.exchange,
        first_measured=0 if measures.is_resumed else opened.source.resumed_at,
    )


def simulated_shards(settings: Settings, shards: int, round_events: int = ROUND) -> SimulatedShards:
    """Return shards with the model of the settings.

    Raises:
        UsageError: The settings do not go with shards.
    """
    if settings.recovery is not None:
        raise UsageError(NOT_STORED)
    if settings.takes_back:
        named = ", ".join(settings.undo)
        raise UsageError(f"--shards: shards do not take events back, but undo names {named}. Set undo to nothing.")
    return SimulatedShards(settings.build_model, shards, round_events)


def _sink(path: str | Path | None, kind: ItemListKind) -> Sink[tuple[str, Outgoing]]:
    return Discard() if path is None else ListFile(path, KEY_FIELDS[kind])
