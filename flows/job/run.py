"""Run: Kafka in, Kafka out, until stopped."""

import logging
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Any

from flows.engine import run_flow
from flows.errors import UsageError
from flows.job.backfill import Past
from flows.job.connections import connector_of, serve_metrics
from flows.job.connector import Connector
from flows.job.model_change import applicable_change
from flows.job.past_request import Backfill
from flows.job.slow_metrics import SlowCollector
from flows.kafka.start_offsets import BeginFrom
from flows.monitoring.attribution import Attribution
from flows.monitoring.challenge import Challenge
from flows.monitoring.counters import Counters
from flows.monitoring.periodic import called_every
from flows.pipeline import build_flow
from flows.settings import Settings
from flows.state.recovery import recovery_in
from flows.trainer.beside import trainers_of

logger = logging.getLogger(__name__)

SAY_SECONDS = 30.0
"""Time between two lines that say how far the job is."""


def run(
    settings: Settings,
    stop_at_end: bool = False,
    begin_from: BeginFrom | None = None,
    connector: Connector | None = None,
    backfill: Backfill | None = None,
) -> Counters:
    """Run the job until a signal stops it, and return its counters.

    Args:
        settings: Everything.
        stop_at_end: End where the input topics ended when the job began.
        begin_from: Where to begin, if the operator has chosen: at the recovery state, at the group's offsets, or at the
            first record.
        connector: The systems at both ends. None: those that the settings name, Kafka by default.
        backfill: What to learn silently first. None: what is left of an earlier backfill.

    Raises:
        KafkaJobError: A topic, a broker or a right is missing.
        UsageError: A topic is both read and written.
        PortError: Metrics cannot be served where the settings say.
        StartError: The recovery directory is empty though the group has read, or the group's offsets were changed.
        RecoveryError: The recovery directory cannot be used.
        UsageError: The backfill does not fit the topic or the recovery directory.
        TooManyRejectsError: More records are rejected than the settings allow.
    """
    settings = settings.of_shard().after_promotion()
    connector = connector or connector_of(settings, begin_from)
    connector.prepare()
    job = {
        "model": settings.model,
        "repeats": settings.repeats,
        "input": connector.input_name,
        "shard": settings.own_shard and str(settings.own_shard),
    }
    with (
        stopped_by_signals() as stop,
        recovery_in(settings.recovery, job, applicable_change, settings.challenger) as recovery,
        ExitStack() as stack,
    ):
        if settings.own_shard is not None and backfill is not None:
            raise UsageError(
                "setting shard: a shard has no backfill: it would learn the past of all users. Backfill one process, "
                "and deal its state out by freshrank rescale."
            )
        if recovery is not None:
            past = Past(settings, connector, recovery, backfill or Backfill(), begin_from, stop)
            if not past.learn():
                return Counters()
        elif backfill is not None:
            raise UsageError(
                "expected the setting `recovery` with a backfill or --silent, so that a stopped job goes on where it "
                "was. Set it to a directory."
            )
        connections = connector.connect(stop, stop_at_end)
        if recovery is not None:
            connections.store, connections.roles = recovery.store, recovery.roles
        else:
            logger.warning("no `recovery` directory is set: what is learned is lost when the job stops")
        trainers = stack.enter_context(trainers_of(settings.recovery, settings.trainer_limits()))
        connections.prepare_model = trainers.prepare
        connections.collectors.append(SlowCollector(trainers.figures))
        flow = build_flow(settings, connections)
        logger.info("%s: reading %s at %s", settings.model, connector.input_name, connector.place)
        connections.counters.held = connections.answered()
        measured: list[Challenge | Attribution] = []
        measured += [] if settings.challenger is None else [connections.challenge]
        measured += [connections.attribution] if settings.attribution_window else []
        with serve_metrics(settings, connections), _logged_regularly(connections.counters, measured):
            run_flow(flow, recovery, settings.epoch_seconds)
            connections.challenge.finish()
        connections.close()
        logger.info("stopped: %s", connections.counters.sentence(), extra=connections.counters.counts())
        _log_measured(measured)
    return connections.counters


@contextmanager
def stopped_by_signals() -> Iterator[threading.Event]:
    """Give an event that SIGTERM and SIGINT set. A second signal ends the process at once."""
    stop = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, signal.SIG_DFL)
        logger.info("%s: finishing; once more to end at once", signal.Signals(number).name)
        stop.set()

    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _logged_regularly(counters: Counters, measured: Sequence[Challenge | Attribution]) -> Iterator[None]:
    last, then = counters.read, time.monotonic()

    def log() -> None:
        nonlocal last, then
        read, now = counters.read, time.monotonic()
        rate = (read - last) / (now - then)
        counts = {"events_per_second": round(rate, 1), **counters.counts()}
        logger.info("%.0f events/s; so far %s", rate, counters.sentence(), extra=counts)
        last, then = read, now
        _log_measured(measured)

    with called_every(SAY_SECONDS, log, "progress"):
        yield


def _log_measured(measured: Sequence[Challenge | Attribution]) -> None:
    for each in measured:
        logger.info("%s", each.sentence(), extra={each.name: each.report()})
