"""Runs generated events through the flow like the Kafka job, without scoring, and drops the lists."""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from bench.streams import Generated
from flows.engine import run_flow
from flows.files.sinks import Discard
from flows.formats.json_events import JsonDecoder
from flows.messages import Outgoing
from flows.pipeline import Connections, build_flow
from flows.settings import Settings
from recmodels import Recommender, build_model


class Given(Settings):
    """Settings whose model is built once, so that the benchmark can inspect it."""

    def build_model(self) -> Recommender:
        """Return the one model."""
        return made(self.model, self.repeats)


@cache
def made(specification: str, repeats: str) -> Recommender:
    """Build a model, or return the one built before."""
    return build_model(specification, repeats)


def run_through(
    records: Iterator[bytes],
    count: int,
    settings: Settings,
    *,
    batch: int = 8,
    told: Callable[[int], Any] = lambda taken: None,
) -> Connections:
    """Run records through the whole flow, and return its connections with their counters.

    Raises:
        AssertionError: A record was not learned, or got no list.
    """
    connections = Connections(
        source=Generated(records, count, batch, told),
        decoder=JsonDecoder(),
        lists=Discard(),
        dead_letters=Discard(),
        dead_letter=lambda rejected: Outgoing(None, rejected.raw),
    )
    run_flow(build_flow(settings, connections), None, epoch_seconds=5.0)
    counters = connections.counters
    assert counters.learned == counters.emitted - counters.fallbacks == count, counters.sentence()
    return connections
