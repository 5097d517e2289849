"""Decode: turns bytes into typed events, and separates the records that it cannot decode."""

import time
from dataclasses import dataclass
from typing import TypeGuard

import bytewax.operators as op
from bytewax.dataflow import Stream, operator

from flows.messages import Decoder, Event, Ignored, Raw, Rejected
from flows.monitoring.counters import Counters


@dataclass(frozen=True)
class DecodeOut:
    """The two output streams of `decode`, each in the order of the records."""

    events: Stream[Event]
    rejected: Stream[Rejected]


@operator
def decode(step_id: str, up: Stream[Raw], decoder: Decoder, counters: Counters | None = None) -> DecodeOut:
    """Decode every record of a stream to an event or a reject. Ignored records, such as tombstones, are only counted.

    Rejects are counted here and not at the sink, so that all later steps see the count. All records of a batch share
    one arrival time.

    Args:
        step_id: Id of the step.
        up: Undecoded records.
        decoder: Decodes a record. It never raises.
        counters: Counts records and rejects. None: they are not counted.
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
    # branch() narrows the type of the first stream only
    return DecodeOut(parted.trues, parted.falses)  # type: ignore[arg-type]


def _is_event(decoded: Event | Rejected) -> TypeGuard[Event]:
    return type(decoded) is not Rejected
