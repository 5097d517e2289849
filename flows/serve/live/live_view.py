"""Data of the live page, collected once a second."""

import asyncio
import contextlib
import logging
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from flows.kafka.errors import Config
from flows.messages import FALLBACK_USER, Decoder, Event, Forget, Interaction, ItemEvent, ItemListKind
from flows.serve.catalogue import Catalogue
from flows.serve.input_topics import read_topics
from flows.serve.intake import Intake
from flows.serve.item_lists import ItemLists
from flows.serve.lists import UserList, parse_list
from flows.serve.live.held_lists import HeldLists, is_before
from flows.serve.live.histories import Histories, Trend
from flows.serve.live.hit_rates import HitRates
from flows.serve.live.job_metrics import JobNumbers, quantile, read_job_numbers
from flows.serve.live.topic_readers import Reject, follow_events, follow_rejects
from flows.serve.lookup import LookUp
from flows.serve.selection import select_list
from flows.settings import Settings

logger = logging.getLogger(__name__)

POINTS: Final = 300
"""Number of seconds for which rates are kept."""
WEIGHT_SECONDS: Final = 5
"""Seconds between two points of the weights."""
JOB_SECONDS: Final = 2.0
"""Seconds between two requests to the job."""
MAX_WEIGHTS: Final = 240
SHOWN: Final = 10
"""Largest number of items of a list on the page."""
MAX_SCORED: Final = 200
"""Largest number of events of one batch whose list is looked up, so that a flood of events cannot delay the page."""
REJECT_LOOKBACK: Final = 1_000


class LiveView:
    """The data of the page.

    Args:
        config: librdkafka settings with `bootstrap.servers`.
        job: The job's settings.
        decoder: The job's own.
        lookup: Finds lists.
        intake: Counts what is refused at the door.
        catalogue: Is taught titles and tags.
        item_lists: Lists of related and of trending items, as far as the job makes them.
        lookback: Records of each input partition that are read at the start.
        metrics_url: Address of the job's `/metrics`; empty: it is not asked.

    Attributes:
        ticked: Is notified when a second is over.
        tick: What is new since the second before.
    """

    def __init__(
        self,
        config: Config,
        job: Settings,
        decoder: Decoder,
        lookup: LookUp,
        intake: Intake,
        catalogue: Catalogue,
        item_lists: Mapping[ItemListKind, ItemLists],
        lookback: int,
        metrics_url: str,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.histories = Histories()
        self.rates = HitRates()
        self.ticked = asyncio.Condition()
        self.tick: dict[str, Any] = {}
        self.events = [follow_events(config, topic, lookback, decoder, loop, self._take) for topic in read_topics(job)]
        self.rejects = follow_rejects(config, job.dead_letter_topic, REJECT_LOOKBACK, loop, self._take_rejects)
        self.watchers: dict[str, set[asyncio.Event]] = {}
        """Events that are set when data of a user changes."""
        self._job = job
        self._lookup = lookup
        self._intake = intake
        self._catalogue = catalogue
        self._item_lists = item_lists
        self._url = metrics_url
        self._held = HeldLists()
        self._points: deque[list[float]] = deque(maxlen=POINTS)
        self._weights: deque[tuple[float, dict[str, float]]] = deque(maxlen=MAX_WEIGHTS)
        self._numbers: JobNumbers | None = None
        self._drifts: list[float] = []
        self._latency: tuple[float | None, float | None] = (None, None)
        self._reasons: Counter[str] = Counter()
        self._samples: OrderedDict[str, Reject] = OrderedDict()
        self._counts = (0, 0, 0)
        self._tasks: set[asyncio.Task[None]] = set()
        lookup.reader.listeners.append(self._take_lists)

    def start(self) -> None:
        """Begin to read and to tick."""
        for follower in self.events:
            follower.start()
        self.rejects.start()
        self._keep(self._tick_forever())
        if self._url:
            self._keep(self._ask_job_forever())

    async def close(self) -> None:
        """Stop reading."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*(asyncio.to_thread(follower.stop) for follower in (*self.events, self.rejects)))

    @contextlib.contextmanager
    def watching(self, user: str) -> Iterator[asyncio.Event]:
        """Yield an event that is set whenever data of a user changes."""
        changed = asyncio.Event()
        self.watchers.setdefault(user, set()).add(changed)
        try:
            yield changed
        finally:
            self.watchers[user].discard(changed)
            if not self.watchers[user]:
                del self.watchers[user]

    def snapshot(self) -> dict[str, Any]:
        """Return the first data of the page."""
        return {
            **self.tick,
            "points": list(self._points),
            "buckets": list(self.rates.buckets),
            "weight_points": list(self._weights),
            "drifts": self._drifts,
        }

    def named(self, item: str) -> dict[str, Any]:
        """Return an item with its title, if it has one."""
        title = self._catalogue.title(item)
        return {"item": item} if title is None else {"item": item, "title": title}

    async def user(self, user: str) -> dict[str, Any]:
        """Return a user's history and list."""
        found = await self._lookup.peek(user)
        items = [
            {**self.named(each.item), "score": each.score, **({"why": each.why} if each.why else {})}
            for each in found.items
        ]
        history = [
            {**self.named(past.item), "event": past.event, "time": past.time, "source": past.source}
            for past in self.histories.of_user(user)
        ]
        said = {name: getattr(found, name) for name in ("kind", "source", "model", "event_time", "age")}
        return {"user": user, "history": history, "list": {**said, "items": items}}

    def item(self, item: str) -> dict[str, Any]:
        """Return an item's title and tags, its latest users, and related items."""
        return {
            **self.named(item),
            "tags": self._catalogue.tags(item),
            "takers": [
                {"user": past.user, "event": past.event, "time": past.time} for past in self.histories.of_item(item)
            ],
            "related": self._listed("related", item),
        }

    def _listed(self, kind: ItemListKind, key: str) -> list[dict[str, Any]] | None:
        """Return a list of items with titles; None where the job makes none of this kind."""
        lists = self._item_lists.get(kind)
        if lists is None:
            return None
        shown = (each for each in lists.find(key) if self._catalogue.is_available(each.item))
        return [{**self.named(each.item), "score": each.score} for each in islice(shown, SHOWN)]

    def _keep(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _notify(self, users: Sequence[str]) -> None:
        for user in users:
            for changed in self.watchers.get(user, ()):
                changed.set()

    def _take(self, events: Sequence[Event], is_live: bool) -> None:
        scored = []
        for event in events:
            if isinstance(event, Interaction):
                if is_live and self._is_scored(event):
                    scored.append(event)
                self.histories.add(event)
            elif isinstance(event, ItemEvent):
                self._catalogue.learn(event)
            elif isinstance(event, Forget):
                self.histories.forget(event.user)
        if scored:
            self._keep(self._score(scored[:MAX_SCORED]))
        if self.watchers:
            self._notify([event.user for event in events if isinstance(event, Interaction | Forget)])

    def _is_scored(self, event: Interaction) -> bool:
        """Events that speak for an item are scored; with `exclude` only if it is new to the user, as far as known."""
        if self._job.rewards.get(event.event, 1.0) <= 0.0:
            return False
        return self._job.repeats == "allow" or not self.histories.has_had(event.user, event.item)

    async def _score(self, events: Sequence[Interaction]) -> None:
        """Count whether each event's item was in the list that a look-up gave just before the event."""
        now, top = time.time(), self._job.top
        unknown = [event.user for event in events if not self._held.is_known(event.user)]
        stored = await self._lookup.store.get([*unknown, FALLBACK_USER])
        lists = {
            user: parse_list(value)
            for user, value in zip([*unknown, FALLBACK_USER], stored, strict=True)
            if value is not None
        }
        for event in events:
            own, everybody = (self._before(user, event.source, lists) for user in (event.user, FALLBACK_USER))
            found = select_list(event.user, own, everybody, self._lookup.reader.newest, top)
            self.rates.add("served", any(each.item == event.item for each in found.items), now)
            if everybody is not None:
                self.rates.add("fallback", any(each.item == event.item for each in everybody.items[:top]), now)

    def _before(self, user: str, source: str, stored: "dict[str, UserList | None]") -> UserList | None:
        if self._held.is_known(user):
            return self._held.before(user, source)
        found = stored.get(user)
        return found if found is not None and is_before(found.source, source) else None

    def _take_lists(self, told: Sequence[tuple[str, UserList | None]]) -> None:
        for user, found in told:
            self._held.note(user, found)
        if self.watchers:
            self._notify([user for user, _ in told])

    def _take_rejects(self, rejects: list[Reject]) -> None:
        for reject in rejects:
            self._reasons[reject.reason] += 1
            self._samples[reject.reason] = reject

    async def _tick_forever(self) -> None:
        due = time.monotonic()
        while True:
            due = max(due + 1.0, time.monotonic())
            try:
                await self._tick()
            except Exception:  # a page without news is better than none
                logger.exception("the live page was not updated")
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def _ask_job_forever(self) -> None:
        while True:
            self._note(await asyncio.to_thread(read_job_numbers, self._url), round(time.time(), 1))
            await asyncio.sleep(JOB_SECONDS)

    async def _tick(self) -> None:
        now = round(time.time(), 1)
        reader = self._lookup.reader
        counts = (sum(each.read for each in self.events), reader.follower.read, sum(self._lookup.kinds.values()))
        rates = [new - old for new, old in zip(counts, self._counts, strict=True)]
        if not all(each.caught_up for each in self.events) or not reader.is_ready or not self._points:
            rates[:2] = [0, 0]
        self._counts = counts
        point = [now, *rates]
        self._points.append([float(number) for number in point])
        numbers = self._numbers
        self.tick = {
            "point": point,
            "ready": reader.is_ready,
            "faults": [
                fault
                for fault in (reader.follower.fault, *(each.fault for each in self.events), reader.store_fault)
                if fault
            ],
            "bucket": self.rates.buckets[-1] if self.rates.buckets else None,
            "job": None
            if numbers is None
            else {
                "model": numbers.model,
                "lag": numbers.lag,
                "learned": numbers.learned,
                "p50": self._latency[0],
                "p99": self._latency[1],
                "pause": numbers.epoch_pause,
                "difference": numbers.difference or None,
            },
            "weights": self._weights[-1] if self._weights else None,
            "newest": reader.newest or None,
            "top": self._job.top,
            "trending": self._listed("trending", ""),
            "most": [self._trend(each) for each in self.histories.most_taken(SHOWN)],
            "rising": [self._trend(each) for each in self.histories.rising(SHOWN)],
            "rejects": [
                {"reason": reason, "count": count, **self._samples[reason]._asdict()}
                for reason, count in self._reasons.most_common(SHOWN)
            ],
            "refused": [
                {"reason": reason, "count": count} for reason, count in self._intake.refused.most_common(SHOWN)
            ],
            "lists": reader.changed,
            "kinds": dict(self._lookup.kinds),
        }
        async with self.ticked:
            self.ticked.notify_all()

    def _trend(self, each: Trend) -> dict[str, Any]:
        return {**self.named(each.item), "count": each.events, "before": each.before}

    def _note(self, numbers: JobNumbers | None, now: float) -> None:
        """Note the job's numbers. After a restart of the job the counts start at 0 again."""
        before, self._numbers = self._numbers, numbers
        if numbers is None:
            return
        if before is not None and numbers.scored >= before.scored:
            if numbers.scored > before.scored:
                self.rates.add(
                    "fresh", False, now, scored=numbers.scored - before.scored, hits=numbers.hits - before.hits
                )
            p50, p99 = (quantile(before.latency, numbers.latency, q) for q in (0.5, 0.99))
            if p50 is not None:
                self._latency = (p50, p99)
            if numbers.newest_drift != before.newest_drift and numbers.newest_drift is not None:
                self._drifts.append(now)
        if numbers.weights and (not self._weights or now - self._weights[-1][0] >= WEIGHT_SECONDS):
            self._weights.append((now, {name: round(value, 4) for name, value in numbers.weights.items()}))
