"""With several input topics, the server reads them all and says which one it writes to."""

import orjson
import pytest

from flows.errors import UsageError
from flows.formats.envelopes.topic_format import TopicFormat
from flows.serve.input_topics import events_topic
from flows.settings import Settings
from tests.support.cli import freshrank
from tests.support.kafka_fixtures import AnyBroker, NewTopic, until
from tests.support.kafka_jobs import consume
from tests.support.serving import Topics, running_server


def test_events_go_to_the_first_topic_or_to_the_one_that_is_chosen() -> None:
    job = Settings(input_topic="clicks,shop.items", topic_formats={"shop.*": TopicFormat(kind="item")})
    assert events_topic(job, "") == "clicks"
    assert events_topic(Settings(input_topic="^shop[.].*"), "shop.clicks") == "shop.clicks"
    for settings, chosen, said in (
        (Settings(input_topic="^shop[.].*"), "", "`input_topic` is a pattern"),
        (job, "lists", "expected `events_topic` to be an input topic of the job"),
        (job, "shop.items", "shop.items holds records of the kind item"),
        (Settings(envelope="debezium"), "", "events has the envelope debezium"),
        (Settings(schema_registry={"url": "http://127.0.0.1:1"}), "", "events has the schema registry's frame"),
    ):
        with pytest.raises(UsageError, match=said):
            events_topic(settings, chosen)


@pytest.mark.parametrize("command", ["feed", "record"])
def test_several_topics_are_asked_about(command: str) -> None:
    arguments = ["out.jsonl"] if command == "record" else []
    done = freshrank(command, *arguments, FRESHRANK_INPUT_TOPIC="clicks,items")
    assert done.returncode == 2
    assert "`input_topic` names several topics (clicks,items): name one with" in done.stderr


@pytest.mark.kafka
def test_histories_hold_events_of_every_topic(broker: AnyBroker, new_topic: NewTopic) -> None:
    topics, more = Topics(broker, new_topic), new_topic()
    formats = {more: TopicFormat(fields={"user": "who", "item": "sku"})}
    job = topics.job.model_copy(update={"input_topic": f"{topics.events},{more}", "topic_formats": formats})
    topics.write(topics.events, "u1", orjson.dumps({"user": "u1", "item": "tea", "timestamp": 5}))
    topics.write(more, "u1", orjson.dumps({"who": "u1", "sku": "jam", "timestamp": 6}))
    with running_server(job) as server:
        live = server.service.live
        until(lambda: live.histories.of_item("tea") and live.histories.of_item("jam"))
        event = {"who": "u2", "sku": "pie", "timestamp": 7}
        assert server.http.post("/v1/events", content=orjson.dumps(event)).json()["refused"] == 1
    with running_server(job, events_topic=more) as server:
        assert server.http.post("/v1/events", content=orjson.dumps(event)).json()["accepted"] == 1
    assert orjson.loads(consume(broker, more)[-1].value() or b"") == event
