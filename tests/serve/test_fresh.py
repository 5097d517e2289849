"""Fresh lists on request, through the input and output topics."""

import threading

import orjson
import pytest
from confluent_kafka import Consumer, TopicPartition

from flows.settings import Settings
from tests.support.serving import Topics, running_server

pytestmark = pytest.mark.kafka


def next_request(topics: Topics) -> dict[str, str]:
    consumer = Consumer({"bootstrap.servers": topics.bootstrap, "group.id": "reader"})
    consumer.assign([TopicPartition(topics.events, 0, 0)])
    message = consumer.poll(120)
    consumer.close()
    assert message is not None
    return dict(orjson.loads(message.value() or b""))


def test_answer_to_the_request_is_the_list(topics: Topics) -> None:
    topics.write_list("u1", ["held"])
    asked: list[dict[str, str]] = []

    def answer_as_the_job_does() -> None:
        request = next_request(topics)
        asked.append(request)
        topics.write_list("u1", ["other"], request="somebody else's")
        topics.write_list("u1", ["fresh"], request=request["request"])

    with running_server(topics.job, fresh_wait=10.0) as server:
        server.wait_ready()
        thread = threading.Thread(target=answer_as_the_job_does)
        thread.start()
        found = server.list_of("u1", fresh=True)
        thread.join()
    assert (found["kind"], found["items"][0]["item"], found["fresh"]) == ("own", "fresh", True)
    assert (asked[0]["kind"], asked[0]["user"], asked[0]["timestamp"]) == ("request", "u1", 100.0)


def test_request_carries_the_time_of_a_visit_that_is_given(topics: Topics) -> None:
    with running_server(topics.job, fresh_wait=0.05) as server:
        server.wait_ready()
        server.list_of("u1", fresh=True, at=1_382_021_321.5)
        assert next_request(topics)["timestamp"] == 1_382_021_321.5
        assert server.http.get("/v1/users/u1/list", params={"fresh": True, "at": "soon"}).status_code == 400


def test_held_list_is_given_where_the_job_is_down(topics: Topics) -> None:
    topics.write_list("u1", ["held"])
    with running_server(topics.job, fresh_wait=0.05) as server:
        server.wait_ready()
        found = server.list_of("u1", fresh=True)
        assert (found["items"][0]["item"], found["fresh"]) == ("held", False)
        assert found["fresh_fault"] == "the job did not answer in time"
        assert "fresh" not in server.list_of("u1")


def test_brokers_that_never_come_leave_look_ups_and_say_why() -> None:
    job = Settings(bootstrap="127.0.0.1:1")
    with running_server(job, delivery_timeout=1.0) as server:
        assert server.list_of("u1")["kind"] == "none"
        assert server.list_of("u1", fresh=True)["fresh"] is False
        assert server.http.get("/healthz").status_code == 503
        answer = server.http.post("/v1/events", content=b'{"user": "u1", "item": "i1", "timestamp": 1}')
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
