"""A job on a real broker whose topics have different envelopes, and tombstones."""

import uuid

import orjson
import pytest
from confluent_kafka import Producer

from flows.job.run import run
from flows.settings import Settings
from tests.support.kafka_broker import make_topic
from tests.support.kafka_fixtures import AnyBroker
from tests.support.kafka_jobs import consume
from tests.support.schema_registry import AVRO, avro, framed, schema_registry

pytestmark = pytest.mark.kafka

Headers = list[tuple[str, str | bytes | None]]


def test_a_job_reads_topics_of_several_formats_and_counts_tombstones(broker: AnyBroker) -> None:
    name = uuid.uuid4().hex[:8]
    clicks, items, orders = (f"{name}.{each}" for each in ("clicks", "items", "orders"))
    for topic in (clicks, items, orders):
        make_topic(broker.bootstrap, topic, 2)
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    with schema_registry() as registry:
        schema = registry.add("AVRO", AVRO)
        headers: Headers = [("ce_specversion", b"1.0"), ("ce_type", b"click"), ("ce_time", b"2013-10-17T14:48:41Z")]
        for number in range(4):
            data = orjson.dumps({"user": f"u{number}", "item": "9"})
            producer.produce(clicks, data, headers=[*headers, ("ce_id", b"%d" % number)])
            row = {"user": f"u{number}", "item": 7, "timestamp": 1382021321500, "value": None}
            producer.produce(orders, framed(schema, avro(row)))
        change = {"op": "d", "before": {"id": 7}, "after": None, "ts_ms": 1382021322000}
        producer.produce(items, orjson.dumps({"op": "c", "after": {"id": 9, "tags": ["tea"]}, "ts_ms": 1382021320000}))
        producer.produce(items, orjson.dumps(change), b"7")
        producer.produce(items, None, b"7")
        producer.produce(items, b"{}")
        assert producer.flush(120) == 0
        settings = Settings.model_validate(
            {
                "bootstrap": broker.bootstrap,
                "input_topic": rf"^{name}[.].*s",
                "output_topic": f"{name}-out",
                "dead_letter_topic": f"{name}-rejects",
                "group": name,
                "model": "popularity",
                "schema_registry": {"url": registry.url},
                "topic_formats": {
                    "*.clicks": {"envelope": "cloudevents", "is_framed": False},
                    "*.items": {"envelope": "debezium", "kind": "item", "fields": {"item": "id"}, "is_framed": False},
                },
            }
        )
        counters = run(settings, stop_at_end=True)
    assert counters.learned == 8
    assert counters.item_events == 2
    assert counters.ignored == {"tombstone": 1}
    assert counters.rejected == {"not in its envelope": 1}
    assert counters.read == 12
    assert "1 ignored (tombstone)" in counters.sentence()


def test_rows_that_debezium_inserts_updates_and_deletes_are_learned_and_taken_back(broker: AnyBroker) -> None:
    name = uuid.uuid4().hex[:8]
    orders, items, lists = (f"{name}.{each}" for each in ("orders", "items", "lists"))
    for topic in (orders, items):
        make_topic(broker.bootstrap, topic, 1, retention_ms="-1")
    producer, start = Producer({"bootstrap.servers": broker.bootstrap}), 1_382_021_320_000
    clock = iter(range(start, start + 100_000, 1_000))

    def change(topic: str, op: str, key: int | str, row: dict[str, object]) -> None:
        """Write a change event as Debezium does, and behind a deletion its tombstone."""
        now = next(clock)
        rows = {"before": row if op == "d" else None, "after": None if op == "d" else row}
        payload = {"op": op, **rows, "source": {"ts_ms": now}, "ts_ms": now + 5}
        producer.produce(topic, orjson.dumps({"schema": {}, "payload": payload}), f"{key}", timestamp=now)
        if op == "d":
            producer.produce(topic, None, f"{key}", timestamp=now)

    def order(op: str, number: int, user: str, item: str, pieces: int = 1) -> None:
        change(orders, op, number, {"id": number, "user": user, "item": item, "value": pieces})

    for item in ("tea", "jam", "pie", "ham"):
        change(items, "c", item, {"id": item, "tags": ["food"]})
    for number, (user, item) in enumerate([("bob", "tea"), ("bob", "jam"), ("eve", "pie"), ("eve", "tea")]):
        order("c", number, user, item)
    order("c", 10, "ann", "tea")
    order("c", 11, "ann", "pie")
    order("u", 11, "ann", "pie", 3)
    change(items, "u", "ham", {"id": "ham", "tags": ["food", "meat"]})
    change(items, "d", "jam", {"id": "jam", "tags": ["food"]})
    order("d", 10, "ann", "tea")
    assert producer.flush(120) == 0
    settings = Settings.model_validate(
        {
            "bootstrap": broker.bootstrap,
            "input_topic": f"{orders},{items}",
            "output_topic": lists,
            "dead_letter_topic": f"{name}-rejects",
            "group": name,
            "model": "popularity",
            "repeats": "exclude",
            "fallback": False,
            "envelope": "debezium",
            "topic_formats": {items: {"kind": "item", "fields": {"item": "id"}}},
        }
    )
    counters = run(settings, stop_at_end=True)
    assert (counters.item_events, counters.rejected.total()) == (6, 0)
    assert counters.ignored == {"tombstone": 2}
    assert (counters.learned, counters.duplicate) == (7, 1), "an updated row is the event that was learned before"
    assert (counters.undone, counters.not_undone) == (1, 0)
    newest = {(m.key() or b"").decode(): orjson.loads(m.value() or b"") for m in consume(broker, lists)}
    assert [each["item"] for each in newest["ann"]["items"]] == ["tea"], "tea may come back, and jam is gone"
