"""Events from a site: each accepted or refused with its reason, and on the input topic before the answer."""

import time
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import Message

from tests.support.kafka_fixtures import AnyBroker
from tests.support.kafka_jobs import consume
from tests.support.serving import RunningServer, Topics, bearer, running_server, tokens_file

pytestmark = pytest.mark.kafka

CLICK = {"user": "u1", "item": "i1", "timestamp": 12.5, "event": "click"}


def events_on(broker: AnyBroker, topics: Topics) -> list[dict[str, Any]]:
    messages: list[Message] = consume(broker, topics.events)
    return [orjson.loads(message.value() or b"") for message in messages]


def post(server: RunningServer, body: bytes, status: int = 200, **headers: str) -> dict[str, Any]:
    answer = server.http.post("/v1/events", content=body, headers=headers)
    assert answer.status_code == status, answer.text
    return dict(answer.json())


def test_event_is_on_the_topic_when_it_is_answered(broker: AnyBroker, topics: Topics) -> None:
    with running_server(topics.job) as server:
        found = post(server, orjson.dumps(CLICK))
        assert found == {
            "accepted": 1,
            "refused": 0,
            "results": [{"status": "accepted", "source": f"{topics.events}/0/0"}],
        }
        assert events_on(broker, topics) == [CLICK]


@pytest.mark.parametrize("form", ["array", "lines"])
def test_many_events_are_taken_in_order(broker: AnyBroker, topics: Topics, form: str) -> None:
    events = [{**CLICK, "item": f"i{number}"} for number in range(50)]
    body = orjson.dumps(events) if form == "array" else b"\n".join(map(orjson.dumps, events))
    with running_server(topics.job) as server:
        assert post(server, body)["accepted"] == 50
    assert events_on(broker, topics) == events


def test_each_event_is_refused_with_its_reason_and_the_others_are_taken(broker: AnyBroker, topics: Topics) -> None:
    body = b"\n".join(
        [
            orjson.dumps(CLICK),
            b'{"user": "u1", "timestamp": 1}',
            b'{"user": "", "item": "i1", "timestamp": 1}',
            b'{"user": "u\xff", "item": "i1", "timestamp": 1}',
            b"not JSON",
            b'{"user": "u1", "item": "i1", "timestamp": "soon"}',
            b'{"kind": "party", "user": "u1", "timestamp": 1}',
        ]
    )
    with running_server(topics.job) as server:
        found = post(server, body)
    assert [(each["status"], each.get("reason"), each.get("field")) for each in found["results"]] == [
        ("accepted", None, None),
        ("refused", "missing field", "item"),
        ("refused", "empty id", "user"),
        ("refused", "not UTF-8", None),
        ("refused", "not JSON", None),
        ("refused", "not a time", "timestamp"),
        ("refused", "unknown kind", "kind"),
    ]
    assert events_on(broker, topics) == [CLICK]


def test_intake_of_only_refused_events_has_a_status_of_its_own(topics: Topics) -> None:
    with running_server(topics.job) as server:
        assert post(server, b'{"user": 1.5}', 422)["refused"] == 1


def test_event_sent_again_is_not_written_again(broker: AnyBroker, topics: Topics) -> None:
    body = orjson.dumps({**CLICK, "id": "e-1"})
    with running_server(topics.job) as server:
        first, again = post(server, body), post(server, body)
    assert [first["results"][0]["status"], again["results"][0]["status"]] == ["accepted", "repeated"]
    assert first["results"][0]["source"] == again["results"][0]["source"]
    assert len(events_on(broker, topics)) == 1


def test_events_are_read_with_the_jobs_own_names(broker: AnyBroker, topics: Topics) -> None:
    job = topics.job.model_copy(update={"fields": {"user": "who.id", "timestamp": "at"}, "time_unit": "ms"})
    event = {"who": {"id": "u1"}, "item": "i1", "at": 1_382_021_321_500}
    with running_server(job) as server:
        assert post(server, orjson.dumps(event))["accepted"] == 1
        assert post(server, orjson.dumps(CLICK), 422)["results"][0]["field"] == "user"
    assert events_on(broker, topics) == [event]


def test_large_bodies_and_many_events_are_refused(topics: Topics) -> None:
    with running_server(topics.job, max_body=10_000, max_events=10) as server:
        post(server, b"x" * 10_001, 413)
        post(server, b"x" * 10_000_000, 413)
        post(server, b"\n".join([orjson.dumps(CLICK)] * 11), 413)
        post(server, b"", 400)
        post(server, b"[1,", 400)
        assert post(server, orjson.dumps(CLICK))["accepted"] == 1


def test_body_without_a_declared_length_is_cut_off_at_the_limit(topics: Topics) -> None:
    with running_server(topics.job, max_body=10_000) as server:
        answer = server.http.post("/v1/events", content=(b"x" * 1_000 for _ in range(100)))
        assert answer.status_code == 413


def test_roles_decide_what_may_be_sent(topics: Topics, tmp_path: Path) -> None:
    erasure = b'{"kind": "forget", "user": "u1", "timestamp": 1}'
    with running_server(topics.job, tokens=tokens_file(tmp_path)) as server:
        post(server, orjson.dumps(CLICK), 401)
        post(server, orjson.dumps(CLICK), 401, Authorization="Bearer wrong")
        post(server, orjson.dumps(CLICK), 403, **bearer("read"))
        assert post(server, orjson.dumps(CLICK), **bearer("write"))["accepted"] == 1
        assert "admin" in post(server, erasure, 422, **bearer("write"))["results"][0]["reason"]
        assert post(server, erasure, **bearer("admin"))["accepted"] == 1
        assert server.http.get("/v1/users/u1/list", headers=bearer("write")).status_code == 403
        assert server.http.get("/v1/users/u1/list", headers=bearer("read")).status_code == 200
        assert server.http.get("/healthz/alive").status_code == 200


def test_page_of_another_site_may_send_only_if_it_is_allowed(topics: Topics) -> None:
    with running_server(topics.job, origins=["https://shop.example"]) as server:
        body = orjson.dumps(CLICK)
        post(server, body, 403, Origin="https://evil.example")
        answer = server.http.post("/v1/events", content=body, headers={"Origin": "https://shop.example"})
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "https://shop.example"
        post(server, body, 200, Origin=server.url)
        asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
        assert "access-control-allow-origin" not in server.http.options("/v1/events", headers=asked).headers


def test_rate_of_a_client_is_limited(topics: Topics) -> None:
    with running_server(topics.job, rate=0.001) as server:
        assert server.http.get("/v1/users/u1/list").status_code == 200
        refused = server.http.get("/v1/users/u1/list")
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) > 1


def test_served_list_is_an_impression_for_each_item(broker: AnyBroker, topics: Topics) -> None:
    topics.write_list("u1", ["a", "b"], event_time=time.time())
    with running_server(topics.job, impressions=True) as server:
        server.wait_ready()
        shown = server.list_of("u1", n=1)
    (event,) = events_on(broker, topics)
    assert (event["user"], event["item"], event["event"], event["list"]) == ("u1", "a", "impression", shown["source"])
