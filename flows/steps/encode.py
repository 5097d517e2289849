"""Encode: turns a list into the JSON message of its user."""

import time

import bytewax.operators as op
import orjson
from bytewax.dataflow import Stream, operator
from bytewax.operators import KeyedStream

from flows.messages import Decided, Outgoing, Ranked, Request
from flows.monitoring.counters import Counters
from flows.monitoring.histogram import LatencyHistogram


@operator
def encode(
    step_id: str, up: Stream[Decided], model: str, top: int, counters: Counters, latency: LatencyHistogram
) -> KeyedStream[Outgoing]:
    """Encode every list that is sent, record its latency since the event arrived, and count hits.

    Args:
        step_id: Id of the step.
        up: Lists with the decision whether they are sent.
        model: Name and version of the model.
        top: Length of a list, within which a position counts as a hit.
        counters: Counts lists, scored events and hits.
        latency: Histogram of the time from an event's arrival to its encoded list.
    """

    def encode_batch(batch: list[Decided]) -> list[tuple[str, Outgoing]]:
        positions = [ranked.position for ranked, _ in batch if ranked.position is not None]
        counters.scored += len(positions)
        counters.hits += sum(0 <= position < top for position in positions)  # a model may rank more items than `top`
        if counters.held:
            counters.redelivered += sum(counters.is_redelivered(ranked.event.at) for ranked, out in batch if out)
        messages = [(ranked.event.user, encode_list(ranked, model)) for ranked, is_emitted in batch if is_emitted]
        now = time.perf_counter()
        for ranked, is_emitted in batch:
            if is_emitted:
                latency.add(now - ranked.event.arrived)
        return messages

    return op.flat_map_batch("messages", up, encode_batch)


def encode_list(ranked: Ranked, model: str) -> Outgoing:
    """Encode one list, or a tombstone for an erased user. The answer to a request has the request's id in a header.

    The fallback list has the ages of a user's own list from which it serves better, if they are known.

    Args:
        ranked: The list and the event that it follows.
        model: Name and version of the model.

    >>> from flows.messages import Interaction
    >>> event = Interaction("u1", "i9", 1382021321.5, at=("events", 0, 4711))
    >>> encode_list(Ranked(event, None, ["i4"], [0.93]), "blend/1").value.decode()
    '{"user":"u1","items":[{"item":"i4","score":0.93}],"event_time":1382021321.5,"source":"events/0/4711","model":"blend/1"}'
    >>> from flows.messages import Request
    >>> encode_list(Ranked(Request("u1", 1382021321.5, "r-18"), None, [], []), "blend/1").headers
    (('request', b'r-18'),)
    >>> why = encode_list(Ranked(event, None, ["i4"], [0.93], [{"had often": 2.5}]), "blend/1").value
    >>> why[:69]
    b'{"user":"u1","items":[{"item":"i4","score":0.93,"why":{"had often":2.'
    """
    event = ranked.event
    if ranked.items is None or ranked.scores is None:
        return Outgoing(event.user.encode(), None)
    items = [{"item": item, "score": score} for item, score in zip(ranked.items, ranked.scores, strict=True)]
    if ranked.why is not None:
        items = [{**item, "why": why} for item, why in zip(items, ranked.why, strict=True)]
    fields = {
        "user": event.user,
        "items": items,
        "event_time": event.timestamp,
        "source": event.source,
        "model": model if ranked.exposed is None else ranked.exposed.model,
    }
    if ranked.exposed is not None:
        fields["variant"] = ranked.exposed.variant
    if ranked.ages is not None:
        fields |= {name: age for name, age in ranked.ages._asdict().items() if age is not None}
    value = orjson.dumps(fields)
    headers = (("request", event.request.encode()),) if isinstance(event, Request) else ()
    return Outgoing(event.user.encode(), value, headers)
