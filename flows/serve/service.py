"""Service behind the HTTP server: the store, the readers and the producers."""

import asyncio
import logging
import time
from dataclasses import dataclass, field
from typing import Final

from flows.formats.json_events import JsonDecoder
from flows.formats.record_writer import RecordWriter
from flows.job.decoder import decoder_of, format_of
from flows.kafka.awaited_producer import AwaitedProducer
from flows.messages import ItemListKind
from flows.monitoring.histogram import LatencyHistogram
from flows.serve.access import Access
from flows.serve.catalogue import Catalogue
from flows.serve.fresh import FreshLists
from flows.serve.impressions import Impressions
from flows.serve.input_topics import events_topic
from flows.serve.intake import Intake
from flows.serve.item_lists import ItemLists
from flows.serve.limits import RateLimit
from flows.serve.lists_reader import ListsReader
from flows.serve.live.live_view import LiveView
from flows.serve.lookup import LookUp
from flows.serve.settings import ServeSettings
from flows.serve.store import ListStore
from flows.settings import Settings

logger = logging.getLogger(__name__)

REQUEST_TIMEOUT: Final = 2.0
"""Seconds after which an undelivered request is dropped, since no caller waits for it any more."""


@dataclass
class Service:
    """Objects that the endpoints use. `start_service` makes it inside the event loop."""

    settings: ServeSettings
    job: Settings
    access: Access
    rate: RateLimit
    store: ListStore
    reader: ListsReader
    events: AwaitedProducer
    requests: AwaitedProducer
    intake: Intake
    lookup: LookUp
    catalogue: Catalogue
    live: LiveView
    item_lists: dict[ItemListKind, ItemLists]
    """Lists of related and of trending items, as far as the job makes them."""
    latencies: dict[str, LatencyHistogram] = field(default_factory=dict)
    """Time of an answer by endpoint."""
    statuses: dict[tuple[str, int], int] = field(default_factory=dict)
    """Answers by endpoint and status."""
    started: float = field(default_factory=time.time)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the server is told to stop: streams end."""

    async def close(self) -> None:
        """Stop reading, deliver pending messages, and close the store."""
        self.reader.close()
        await self.live.close()
        await asyncio.gather(*(asyncio.to_thread(each.follower.stop) for each in self.item_lists.values()))
        await asyncio.gather(asyncio.to_thread(self.events.close), asyncio.to_thread(self.requests.close))
        await self.store.close()
        logger.info(
            "stopped: %s lists read, %s events taken in", f"{self.reader.changed:,}", f"{self.intake.accepted:,}"
        )


def start_service(settings: ServeSettings, job: Settings, access: Access, store: ListStore) -> Service:
    """Start the readers. While brokers are away, look-ups are still answered.

    Args:
        settings: The server's own.
        job: The job's: brokers, topics, field names.
        access: Tokens and roles.
        store: Store of the lists.
    """
    client = job.client()
    reader = ListsReader(client, job.output_topic, store, asyncio.get_running_loop())
    writes = not settings.sync_only
    topic = events_topic(job, settings.events_topic) if writes else job.topics.main or job.input_topic
    events = AwaitedProducer(client, topic, timeout=settings.delivery_timeout)
    requests = AwaitedProducer(client, topic, timeout=REQUEST_TIMEOUT, linger=0.0)
    decoder = JsonDecoder(fields=format_of(job, topic).fields, times=format_of(job, topic).times)
    writer = RecordWriter(decoder.fields, decoder.times)
    fresh = FreshLists(requests, writer, reader, settings.fresh_wait)
    impressions = Impressions(events, writer) if settings.impressions else None
    intake = Intake(events, decoder, topic)
    lookup = LookUp(store, reader, fresh, impressions)
    catalogue = Catalogue()
    kinds: tuple[ItemListKind, ...] = ("related", "trending")
    item_lists = {kind: ItemLists(client, getattr(job, f"{kind}_topic")) for kind in kinds if getattr(job, kind)}
    live = LiveView(
        client, job, decoder_of(job), lookup, intake, catalogue, item_lists, settings.lookback, settings.job_metrics
    )
    service = Service(
        settings,
        job,
        access,
        RateLimit(settings.rate),
        store,
        reader,
        events,
        requests,
        intake,
        lookup,
        catalogue,
        live,
        item_lists,
    )
    reader.start()
    if not settings.sync_only:
        live.start()
        for each in item_lists.values():
            each.follower.start()
    return service
