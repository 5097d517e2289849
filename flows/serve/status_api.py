"""`/healthz` and `/metrics`: how the server is."""

from collections.abc import Iterator
from typing import Final

import msgspec
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import override

from flows.monitoring.metrics import EDGES
from flows.serve.endpoints import Endpoint
from flows.serve.http_errors import json_response
from flows.serve.service import Service

_PREFIX: Final = "freshrank_serve"


class Health(msgspec.Struct):
    """How the server is."""

    ready: bool
    """Whether everything that the output topic held at the start is in the store."""
    lag: int | None
    """Messages of the output topic that are not in the store yet; null: unknown."""
    faults: list[str]
    """What is wrong now. Look-ups are answered from the store all the same."""


def health_of(service: Service) -> Health:
    """Say how a server is."""
    reader = service.reader
    faults = [reader.follower.fault, reader.store_fault, service.events.fault]
    faults += [each.follower.fault for each in service.item_lists.values()]
    return Health(reader.is_ready, reader.follower.lag, [fault for fault in faults if fault])


def status_endpoints(service: Service) -> list[Endpoint]:
    """Return the endpoints of health and metrics."""
    registry = CollectorRegistry()
    registry.register(_Collector(service))
    ProcessCollector(registry=registry)

    async def healthz(request: Request) -> Response:
        found = health_of(service)
        return json_response(found, 200 if found.ready else 503)

    async def alive(request: Request) -> Response:
        return json_response(health_of(service))

    async def metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"Content-Type": content_type})

    unready = {503: "The output topic is not read to its end yet; the answer says what is wrong."}
    return [
        Endpoint("GET", "/healthz", "Say whether the server is ready.", healthz, answer=Health, errors=unready),
        Endpoint("GET", "/healthz/alive", "Say how the server is; always 200.", alive, answer=Health),
        Endpoint("GET", "/metrics", "Return metrics for Prometheus.", metrics, "read", answer="text/plain"),
    ]


class _Collector(Collector):
    """Makes metrics of what a server has counted."""

    def __init__(self, service: Service) -> None:
        self._service = service

    @override
    def collect(self) -> Iterator[Metric]:
        service = self._service
        health = health_of(service)
        yield _gauge("ready", "1 once the output topic was read to its end.", float(health.ready))
        yield _gauge("lag_messages", "Messages of the output topic that are not in the store yet.", health.lag)
        for name, said, value in (
            ("lists_read", "Lists and tombstones read from the output topic.", service.reader.changed),
            ("unreadable", "Messages of the output topic that are no lists.", service.reader.unreadable),
            ("events_accepted", "Events that the brokers have.", service.intake.accepted),
            ("fresh_requests", "Requests sent to the job.", service.lookup.fresh.asked),
            ("fresh_late", "Requests whose list did not come in time.", service.lookup.fresh.late),
        ):
            yield CounterMetricFamily(f"{_PREFIX}_{name}", said, value)
        sizes = GaugeMetricFamily(f"{_PREFIX}_item_lists", "Lists of items that are held.", labels=["kind"])
        for kind, lists in service.item_lists.items():
            sizes.add_metric([kind], len(lists))
        yield sizes
        yield _labelled("events_refused", "Events refused.", "reason", service.intake.refused)
        yield _labelled("lists_served", "Look-ups answered.", "kind", service.lookup.kinds)
        answers = CounterMetricFamily(f"{_PREFIX}_answers", "Answers.", labels=["endpoint", "status"])
        for (endpoint, status), count in dict(service.statuses).items():
            answers.add_metric([endpoint, str(status)], count)
        yield answers
        seconds = HistogramMetricFamily(f"{_PREFIX}_answer_seconds", "Time of an answer.", labels=["endpoint"])
        for endpoint, histogram in service.latencies.items():
            buckets, count, total = histogram.cumulative(EDGES)
            named = [(repr(edge), float(below)) for edge, below in buckets]
            seconds.add_metric([endpoint], [*named, ("+Inf", float(count))], total)
        yield seconds


def _gauge(name: str, said: str, value: float | None) -> Metric:
    family = GaugeMetricFamily(f"{_PREFIX}_{name}", said)
    if value is not None:
        family.add_metric([], value)
    return family


def _labelled(name: str, said: str, label: str, counts: "dict[str, int]") -> Metric:
    family = CounterMetricFamily(f"{_PREFIX}_{name}", said, labels=[label])
    for value, count in dict(counts).items():
        family.add_metric([value], count)
    return family
