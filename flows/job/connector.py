"""Interface of a connector: one class gives the source and the sinks of a job. Kafka's is one of several."""

import importlib
import inspect
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, cast

from bytewax.inputs import FixedPartitionedSource
from bytewax.outputs import Sink
from prometheus_client.registry import Collector

from flows.errors import UsageError
from flows.formats.json_events import JsonDecoder
from flows.messages import Decoder, Outgoing, Raw, Rejected
from flows.monitoring.counters import Counters
from flows.monitoring.instrumented_source import InstrumentedSource
from flows.monitoring.metrics import Writer
from flows.monitoring.weights import WeightsObserver
from flows.pipeline import Connections
from flows.settings import Settings
from flows.shards.link import ShardLink


class Findings(NamedTuple):
    """Findings of a check of a job's settings and systems, one line each with advice."""

    faults: list[str]
    """Faults: the job cannot run, or would lose records."""
    warnings: list[str]
    """Warnings: the job can run, but should not run like this."""


@dataclass(kw_only=True)
class JobConnections(Connections):
    """The ends of a flow that runs as a job, and what its metrics ask for. Make it with `connections_of`."""

    watched: InstrumentedSource
    weights: WeightsObserver | None = None
    """Watches the weights of the model, where metrics are served."""
    writers: Mapping[str, Writer] = field(default_factory=dict)
    """Sinks that count deliveries, by name: the label `to` of the metric `freshrank_delivered`."""
    lags: Callable[[], Mapping[tuple[str, int], int]] = dict
    """Asks how many records of each topic and partition the flow has not been given."""
    skipped: Mapping[tuple[str, int], int] = field(default_factory=dict)
    """Records that were gone before they were read."""
    answered: Callable[[], dict[tuple[str, int], int]] = dict
    """Asks for the offset of the last event that the output has a list for, by topic and partition."""
    link: ShardLink | None = None
    """Link to the other shards. None: there are none."""
    collectors: list[Collector] = field(default_factory=list)
    """Collectors of further metrics."""
    close: Callable[[], None] = lambda: None
    """Called once the flow has ended, its last snapshot too."""


class Connector(Protocol):
    """The systems at both ends of a job.

    Attributes:
        input_name: Names the input. A recovery directory belongs to one input.
        place: Where the systems are, for messages: an address, or a directory.
    """

    input_name: str
    place: str

    def inspect(self) -> Findings:
        """Look at settings and systems before the job starts, without changing anything."""

    def prepare(self) -> None:
        """Create missing topics, tables and the like, as far as the settings allow."""

    def connect(self, stop: threading.Event | None, stop_at_end: bool) -> JobConnections:
        """Connect the flow.

        Args:
            stop: Ends the flow when it is set: the source raises `StopIteration` at its next poll.
            stop_at_end: Whether the flow ends where the input ended when the job began.
        """


def connections_of(
    settings: Settings,
    source: FixedPartitionedSource[Raw, Any],
    lists: Sink[tuple[str, Outgoing]],
    dead_letters: Sink[tuple[str, Any]],
    dead_letter: Callable[[Rejected], Any] = lambda rejected: rejected,
    decoder: Decoder | None = None,
    **more: Any,
) -> JobConnections:
    """Connect a source and two sinks to the flow of a job, with counters and metrics.

    Args:
        settings: Those of the job.
        source: Gives records. Its partitions return from `snapshot` where they are, and resume there.
        lists: Takes each list with its user.
        dead_letters: Takes each rejected record, in the form that `dead_letter` gives.
        dead_letter: Turns a reject into that form.
        decoder: Decodes the records. None: JSON, as the settings of the input say.
        more: Further fields of `JobConnections`.
    """
    counters = Counters()
    watched = InstrumentedSource(source, counters, settings.max_reject_rate)
    weights = WeightsObserver() if settings.metrics_port else None
    return JobConnections(
        source=watched,
        watched=watched,
        decoder=decoder or JsonDecoder(fields=settings.fields, times=settings.times),
        lists=lists,
        dead_letters=dead_letters,
        dead_letter=dead_letter,
        counters=counters,
        watch=weights,
        weights=weights,
        **more,
    )


def load_connector(settings: Settings) -> Connector:
    """Make the connector that the setting `connector` names as `package.module:Class`. It is given the settings.

    Raises:
        UsageError: It cannot be imported, or is no class.
    """
    module_name, _, class_name = settings.connector.partition(":")
    expected = f"setting connector: expected `kafka` or `package.module:Class`; got {settings.connector!r}"
    try:
        made = getattr(importlib.import_module(module_name), class_name)
    except Exception as error:  # a module may raise anything while it is imported
        raise UsageError(f"{expected}, which cannot be imported ({type(error).__name__}: {error}).") from None
    if not inspect.isclass(made):
        raise UsageError(f"{expected}, which is no class.")
    connector: Connector = cast("Any", made)(settings)
    return connector
