"""A flow that is watched, and what is read of it over HTTP: shared by the tests of metrics."""

import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import orjson
from bytewax.testing import TestingSink, TestingSource
from prometheus_client.parser import text_string_to_metric_families

from flows.engine import run_flow
from flows.formats.json_events import JsonDecoder
from flows.messages import Raw
from flows.monitoring.counters import Counters
from flows.monitoring.http_server import serve_http
from flows.monitoring.instrumented_source import InstrumentedSource
from flows.monitoring.metrics import MetricSources, registry_of
from flows.pipeline import Connections, build_flow
from flows.settings import Settings
from flows.state.recovery import Recovery
from tests.support.flow import event, sample_records

Scraped = dict[tuple[str, str], float]
"""Values by name and the value of the one label, if there is one."""


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=120) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def scrape(url: str) -> Scraped:
    status, text = get(f"{url}/metrics")
    assert status == 200
    return {
        (sample.name, next(iter(sample.labels.values()), "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@dataclass
class MonitoredFlow:
    """A flow between lists, that is watched."""

    connections: Connections
    watched: InstrumentedSource
    gathered: MetricSources
    sent: list[Any]
    letters: list[Any]

    @contextmanager
    def serve(self, stalled_seconds: float = 300.0) -> Iterator[str]:
        registry = registry_of(self.gathered)
        with serve_http("127.0.0.1", free_port(), registry, self.watched, stalled_seconds) as url:
            assert url is not None
            yield url

    def run(self, recovery: Recovery | None = None, epoch_seconds: float = 10.0, **settings: Any) -> None:
        run_flow(build_flow(Settings(**settings), self.connections), recovery, epoch_seconds)


def watching(records: list[bytes], batch: int = 10, max_reject_rate: float = 1.0, **more: Any) -> MonitoredFlow:
    raw = [Raw("events", 0, offset, record) for offset, record in enumerate(records)]
    counters, sent, letters = Counters(), [], []
    watched = InstrumentedSource(TestingSource(raw, batch_size=batch), counters, max_reject_rate)
    connections = Connections(
        source=watched,
        decoder=JsonDecoder(),
        lists=TestingSink(sent),
        dead_letters=TestingSink(letters),
        dead_letter=lambda rejected: rejected,
        counters=counters,
    )
    return MonitoredFlow(
        connections, watched, MetricSources(counters, connections.latency, watched, **more), sent, letters
    )


def mixed(count: int) -> list[bytes]:
    """Records of every kind."""
    good = sample_records(count)
    return [
        *good,
        b"garbage",
        b"garbage",
        event("", "tea", 1),
        event("u", "tea", 2e9, id="e1"),
        event("u", "tea", 2e9 + 1, id="e1"),
        event("v", "tea", 1, id="e2"),
        orjson.dumps({"kind": "item", "item": "tea", "timestamp": 3, "available": False}),
        orjson.dumps({"kind": "forget", "user": "u", "timestamp": 5}),
    ]
