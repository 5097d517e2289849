"""A job on a real broker whose topics have different envelopes, and tombstones."""

import uuid

import orjson
import pytest
from confluent_kafka import Producer

from flows.job.run import run
from flows.settings import Settings
from tests.support.kafka_broker import make_topic
from tests.support.kafka_fixtures import AnyBroker
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
        assert producer.flush(20) == 0
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
