"""A real broker for a benchmark: the tests' own, in a directory that is deleted at the end."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from bench.report import Section
from tests.support.kafka_broker import Broker, NoBrokerError

START_SECONDS = 300.0
"""A busy machine may take long to start a broker."""


def on_a_broker(section: Section, measure: Callable[[Broker, Path], None]) -> Section:
    """Start a broker, measure, and stop it. Where there can be none, the section says why.

    Args:
        section: The section to fill.
        measure: Called with the broker and a directory for files.
    """
    with tempfile.TemporaryDirectory(prefix="freshrank-bench-") as directory:
        try:
            broker = Broker(Path(directory) / "broker")
            broker.start(START_SECONDS)
        except NoBrokerError as reason:
            section.notes.append(f"Skipped: {reason}.")
            return section
        try:
            measure(broker, Path(directory))
        finally:
            broker.stop()
    return section
