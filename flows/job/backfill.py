"""Backfill: a job learns the past silently, sends one list for each active user, and then goes on live.

The past is files, another topic, the state of a replay, or what the input topic itself holds. Each stretch is a flow of
its own with the same steps and the same recovery directory. A plan in that directory says which one is next. So a job
that is killed at any point resumes there.
"""

import logging
import math
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from bytewax.inputs import FixedPartitionedSource
from bytewax.testing import TestingSource

from flows.engine import run_flow
from flows.errors import LogError, UsageError
from flows.files.inputs import find_files, open_logs
from flows.files.open_log import Log
from flows.files.record_source import Progress
from flows.job.announcement import AnnouncementSource
from flows.job.connections import KafkaConnector, serve_metrics
from flows.job.connector import Connector, JobConnections
from flows.job.decoder import decoder_of
from flows.job.past_join import TopicJoin
from flows.job.past_plan import USERS_NAME, PastPlan, PastUsers, load_plan, load_users
from flows.job.past_progress import Look, PastCollector, told_progress
from flows.job.past_request import Backfill
from flows.job.past_scan import StoppedError, scan_past, time_text
from flows.job.stoppable import Stoppable
from flows.kafka.lag import Lag
from flows.kafka.outage import OutagePolicy
from flows.kafka.source import KafkaSource
from flows.kafka.start_offsets import BeginFrom
from flows.kafka.topic_begin import ends_of
from flows.kafka.topics import TopicChoice
from flows.messages import Decoder, Raw
from flows.monitoring.instrumented_source import InstrumentedSource
from flows.pipeline import build_announcement, build_flow
from flows.settings import Settings
from flows.state.recovery import Recovery
from flows.state.taken_over import check_source, has_snapshots, take_over
from flows.steps.active_users import ActiveUsers
from flows.steps.conditions import Condition

logger = logging.getLogger(__name__)

BATCH: Final = 256
"""Records of the past that are taken at once. No list waits for its batch."""
DAY: Final = 86_400.0


class Past:
    """The silent stretches before a job is live.

    Args:
        settings: Everything.
        connector: The systems at both ends. Its `begin_at` is set, if it is Kafka's.
        recovery: The recovery directory.
        asked: What to learn.
        begin_from: Where to begin in the input topics, if the operator has chosen.
        stop: Ends the job when it is set.

    Raises:
        UsageError: From `learn`: the past does not fit the recovery directory or the topic.
        LogError: From `learn`: the files cannot be read, or are not sorted.
    """

    def __init__(
        self,
        settings: Settings,
        connector: Connector,
        recovery: Recovery,
        asked: Backfill,
        begin_from: BeginFrom | None,
        stop: threading.Event,
    ) -> None:
        self.settings = settings
        self.connector = connector
        self.recovery = recovery
        self.directory = recovery.directory
        self.asked = asked
        self.stop = stop
        self._is_resumed = False
        self.join = TopicJoin(settings, asked.until, begin_from) if isinstance(connector, KafkaConnector) else None

    def learn(self) -> bool:
        """Go through the stretches that are left. Return False if the job was stopped meanwhile."""
        try:
            plan = self._plan()
        except StoppedError:
            logger.info("stopped while it looked at the past; nothing is learned yet")
            return False
        if plan is None:
            return True
        kafka = self.connector if isinstance(self.connector, KafkaConnector) else None
        if kafka is not None and (plan.is_done or plan.what or self._is_resumed):
            kafka.begin_from = None  # the plan or the state says where, and this once is over
        stages = {
            "import": self._take_over,
            "learn": self._learn,
            "catch up": self._catch_up,
            "announce": self._announce,
        }
        while not plan.is_done:
            stages[plan.stage](plan)
            if self.stop.is_set():
                logger.info("stopped before the past is learned; the same command goes on there")
                return False
            plan.save(self.directory)
        if kafka is not None:
            kafka.begin_at = plan.begin_at
            kafka.begin_from = None
        return True

    def _plan(self) -> PastPlan | None:
        kept, what = load_plan(self.directory), self.asked.what
        self._is_resumed = kept is not None and not kept.is_done
        if kept is not None and not kept.is_done:
            if what != kept.what and (what or kept.stage in ("import", "learn")):
                raise UsageError(
                    f"{self.directory}: expected to go on with the backfill that began there ({kept.what or 'none'}); "
                    f"got {what or 'none'}. Start the job with the same options, or set `recovery` to a new directory."
                )
            logger.info("going on with the backfill: %s", kept.stage)
            return kept
        if what and (kept is None or kept.what != what):
            if kept is not None or has_snapshots(self.directory):
                raise UsageError(
                    f"{self.directory}: expected a new recovery directory for a backfill; this one holds what a job "
                    f"has learned{f' ({kept.what})' if kept is not None and kept.what else ''}. The past comes first: "
                    "set `recovery` to a new directory."
                )
            kept = self._begin(what)
        elif self.asked.is_silent:
            kept = PastPlan(
                cycle=kept.cycle + 1 if kept else 0,
                stage="catch up",
                what=kept.what if kept else "",
                starts=kept.starts if kept else {},
            )
        elif what:
            logger.info("the backfill is learned already: %s", what)
            return kept
        else:
            return kept
        kept.save(self.directory)
        return kept

    def _begin(self, what: str) -> PastPlan:
        """Look at the past and at the topic before anything is learned."""
        if self.asked.state is not None:
            job = {"model": self.settings.model, "repeats": self.settings.repeats}
            check_source(self.asked.state, self.directory, job, self.settings.challenger)
            return PastPlan(stage="import", what=what)
        if self.asked.topic is not None:
            if self.join is None:
                raise UsageError("--backfill-topic: only a job on Kafka has it. Give files: --backfill.")
            found, starts = self.join.with_topic(what, self.asked.topic)
            return PastPlan(stage="learn", what=what, records=found.records, starts=starts)
        files = [str(file.resolve()) for file in find_files(self.asked.paths)]
        look = Look()
        log, starts = self._open(files, look.note), dict[str, int]()
        for sentence in log.source.said:
            logger.info("read as: %s", sentence)
        with told_progress("looking at the past", "records", look.done, look.left):
            if self.join is not None:
                found, starts = self.join.with_log(what, log, self.stop)
            else:
                found = scan_past(log, self.asked.until, None, 0, self.stop)
                logger.info("the backfill ends at %s", time_text(found.ends))
        return PastPlan(stage="learn", what=what, files=files, records=found.records, starts=starts)

    def _open(self, files: list[str], progress: Progress | None = None) -> Log:
        options, sort = self.settings.file_options, self.asked.sort
        return open_logs(files, file_options=options, sort=sort, batch_size=BATCH, progress=progress)

    def _take_over(self, plan: PastPlan) -> None:
        assert self.asked.state is not None
        read = take_over(self.asked.state, self.directory)
        if self.join is not None:
            logs = [Path(path) for path in read.removesuffix(" sorted").split(", ")]
            plan.starts = self.join.with_positions(plan.what, logs)
        plan.stage = "learn"

    def _learn(self, plan: PastPlan) -> None:
        """Learn the past without sending a list."""
        step = f"past_{plan.cycle}"
        if self.asked.state is not None:
            active = self._run_silently(plan, step, TestingSource([]), decoder_of(self.settings))
            if not math.isfinite(active.newest):
                logger.warning("%s: an older version wrote it; it does not say who is active, nor its end", plan.what)
            elif self.join is not None:
                self.join.check_end(plan.what, active.newest, plan.begin_at)
        elif self.asked.topic is not None:
            active = self._learn_topic(plan, step, self.asked.topic)
        else:
            log = self._open(plan.files)
            active = self._run_silently(
                plan,
                step,
                Stoppable(log.source, self.stop),
                log.decoder,
                lambda connections: plan.records - log.source.resumed_at - connections.counters.received,
            )
            if log.source.damage:
                raise LogError(log.source.damage)
        if self.asked.is_silent:
            plan.stage = "catch up"
        else:
            self._end(plan, active)

    def _learn_topic(self, plan: PastPlan, step: str, name: str) -> ActiveUsers:
        config = {**self.settings.client(), "group.id": self.settings.group, "auto.offset.reset": "earliest"}
        source = KafkaSource(
            config,
            name,
            batch_size=BATCH,
            stop=self.stop,
            stop_at_end=True,
            patience=OutagePolicy(self.settings.broker_patience, self.stop),
            begin_at={place: each.low for place, each in ends_of(config, TopicChoice(name)).items()},
        )

        def left(connections: JobConnections) -> int:
            return sum(Lag(config, connections.watched.positions)().values())

        active = self._run_silently(plan, step, source, decoder_of(self.settings), left)
        source.close()
        return active

    def _catch_up(self, plan: PastPlan) -> None:
        """Learn the input topic up to its present end without sending a list."""
        if isinstance(self.connector, KafkaConnector):
            self.connector.begin_at = plan.begin_at
        connections = self.connector.connect(self.stop, True)
        active = self._run(plan, connections, "catching up", lambda: sum(connections.lags().values()))
        self._end(plan, active)

    def _run_silently(
        self,
        plan: PastPlan,
        step: str,
        source: FixedPartitionedSource[Raw, Any],
        decoder: Decoder,
        left: Callable[[JobConnections], int] = lambda connections: 0,
    ) -> ActiveUsers:
        connections = self.connector.connect(self.stop, False)
        watched = InstrumentedSource(source, connections.counters, self.settings.max_reject_rate)
        connections.source = connections.watched = watched
        connections.decoder, connections.source_step, connections.lags = decoder, step, dict
        connections.is_selected = _before(self.asked.until)
        return self._run(plan, connections, "learning the past", lambda: max(0, left(connections)))

    def _run(self, plan: PastPlan, connections: JobConnections, doing: str, left: Callable[[], int]) -> ActiveUsers:
        active = ActiveUsers(self.settings.max_users)
        connections.store, connections.roles = self.recovery.store, self.recovery.roles
        connections.is_silent = True
        connections.active, connections.active_step = active, f"active_{plan.cycle}"
        counters = connections.counters
        flow = build_flow(self.settings, connections)
        connections.collectors.append(PastCollector(doing, lambda: counters.received, left))
        with serve_metrics(self.settings, connections), told_progress(doing, "events", lambda: counters.received, left):
            run_flow(flow, self.recovery, self.settings.epoch_seconds)
        connections.close()
        logger.info("%s: %s", doing, counters.sentence(), extra=counters.counts())
        return active

    def _end(self, plan: PastPlan, active: ActiveUsers) -> None:
        """Note who gets a list, unless the job was stopped before all was learned."""
        if self.stop.is_set():
            return
        days = self.asked.active_days
        users = active.since(active.newest - days * DAY) if days and math.isfinite(active.newest) else []
        if users:
            PastUsers(newest=active.newest, last=active.last, users=users).save(self.directory)
        plan.stage = "announce"

    def _announce(self, plan: PastPlan) -> None:
        """Send a list to each active user."""
        shutil.rmtree(self.directory / "state" / f"active_{plan.cycle}", ignore_errors=True)  # it names users
        if (users := load_users(self.directory)) is not None:
            connections = self.connector.connect(self.stop, False)
            connections.store, connections.roles = self.recovery.store, self.recovery.roles
            source = AnnouncementSource(users, self.settings.makes_requests, self.stop)
            flow = build_announcement(self.settings, connections, f"announced_{plan.cycle}", source)
            with told_progress(
                "sending lists", "lists", lambda: connections.counters.emitted, lambda: len(source.users) - source.asked
            ):
                run_flow(flow, self.recovery, self.settings.epoch_seconds)
            connections.close()
        else:
            logger.info("no lists are sent: nobody is active")
        if not self.stop.is_set():
            (self.directory / USERS_NAME).unlink(missing_ok=True)
            plan.stage = "done"


def _before(time: float | None) -> Condition | None:
    return None if time is None else lambda event: event.timestamp < time
