"""Decode: the step that turns bytes into typed events, and sets apart what it cannot take."""

import time
from dataclasses import dataclass
from typing import TypeGuard

import bytewax.operators as op
from bytewax.dataflow import Stream, operator

from flows.messages import Decoder, Event, Ignored, Raw, Rejected
from flows.monitoring.counters import Counters


@dataclass(frozen=True)
class DecodeOut:
    """The two streams that leave `decode`, each in the order of the records."""

    events: Stream[Event]
    rejected: Stream[Rejected]


@operator
def decode(step_id: str, up: Stream[Raw], decoder: Decoder, counters: Counters | None = None) -> DecodeOut:
    """Decode every record of a stream; each comes out as an event or as a reject, or is ignored and counted.

    Rejects are counted here, and not where they leave the flow: what is counted is then known to all steps below.

    All records of one batch share one arrival time: they came together.
    """

    def decode_batch(batch: list[Raw]) -> list[Event | Rejected]:
        arrived = time.perf_counter()
        decoded = [decoder(raw, arrived) for raw in batch]
        has_ignored = False
        for each in decoded:
            if type(each) is Rejected:
                if counters is not None:
                    counters.note_reject(each.source, str(each.reason), each.field, each.raw)
            elif type(each) is Ignored:
                has_ignored = True
                if counters is not None:
                    counters.ignored[each.reason] += 1
        return [each for each in decoded if type(each) is not Ignored] if has_ignored else decoded

    decoded = op.flat_map_batch("records", up, decode_batch)
    parted = op.branch("accepted", decoded, _is_event)
    # branch() narrows the type of what is accepted, not of what is left
    return DecodeOut(parted.trues, parted.falses)  # type: ignore[arg-type]


def _is_event(decoded: Event | Rejected) -> TypeGuard[Event]:
    return type(decoded) is not Rejected
