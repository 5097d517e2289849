"""Faults of a server: outages of brokers, and crashes."""

import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import httpx
import orjson
import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient  # type: ignore[attr-defined]

from tests.support.kafka_broker import make_topic
from tests.support.kafka_fixtures import AnyBroker, NewTopic, start_broker, until
from tests.support.kafka_jobs import ROOT, consume
from tests.support.serving import RunningServer, Topics, running_server

pytestmark = pytest.mark.kafka

CLICK = {"user": "u1", "item": "i1", "timestamp": 12.5}


def recreate(bootstrap: str, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.delete_topics([topic])[topic].result(120)
    until(lambda: topic not in admin.list_topics(timeout=5).topics)
    make_topic(bootstrap, topic, cleanup_policy="compact")


def test_recreated_topic_replaces_the_lists_of_the_old_one(topics: Topics, tmp_path: Path) -> None:
    topics.write_list("u1", ["a"])
    topics.write_list("u2", ["a"])
    with running_server(topics.job, store=str(tmp_path / "lists.sqlite")) as server:
        server.wait_ready()
        recreate(topics.bootstrap, topics.lists)
        topics.write_list("u1", ["b"])
        topics.write_list("u3", ["c"])
        topics.write_list("u3", ["d"])
        # Until the topic's identity has been asked for, within 5 s, the old lists are given.
        until(lambda: server.list_of("u2")["kind"] == "none")
        until(lambda: [server.items_of(user) for user in ("u1", "u3")] == [["b"], ["d"]])
        until(lambda: server.http.get("/healthz").status_code == 200)


def offsets_on(bootstrap: str, topic: str) -> list[int]:
    """The offsets that a topic of one partition still has."""
    settings = {"bootstrap.servers": bootstrap, "group.id": "looker", "enable.partition.eof": True}
    consumer = Consumer(settings)
    consumer.assign([TopicPartition(topic, 0, 0)])
    found: list[int] = []
    while True:
        for message in consumer.consume(10_000, timeout=0.5):
            if message.error() is not None:
                consumer.close()
                return found
            found.append(message.offset() or 0)


def test_topic_that_is_being_compacted_is_read_on_and_anew(
    broker: AnyBroker, new_topic: NewTopic, topics: Topics, tmp_path: Path
) -> None:
    often = {"segment_ms": "100", "min_cleanable_dirty_ratio": "0.01", "max_compaction_lag_ms": "1"}
    topics.lists = new_topic(cleanup_policy="compact", **often)
    job = topics.job.model_copy(update={"output_topic": topics.lists})
    store = str(tmp_path / "lists.sqlite")
    users = [f"u{number}" for number in range(20)]

    def newest(server: RunningServer) -> dict[str, str]:
        return {user: items[0] for user in users if (items := server.items_of(user))}

    with running_server(job, store=store) as server:
        for turn in range(30):
            for user in users:
                topics.write_list(user, [f"i{turn}"])
        until(lambda: set(newest(server).values()) == {"i29"})
        assert len(newest(server)) == len(users)
    read_to = server.service.store.progress().positions[0]

    def is_compacted() -> bool:
        """Say whether more than half is gone. What is written now begins a segment, and the ones before can go."""
        time.sleep(0.2)
        topics.write_list("u0", ["last"])
        return sum(offset < read_to for offset in offsets_on(broker.bootstrap, topics.lists)) < read_to // 2

    def has_no_lag(server: RunningServer) -> bool:
        return bool(server.http.get("/healthz").json()["lag"] == 0)

    until(is_compacted)
    for each in (store, "memory"):
        with running_server(job, store=each) as server:
            server.wait_ready()
            assert newest(server) == {**dict.fromkeys(users, "i29"), "u0": "last"}
            until(partial(has_no_lag, server))
            assert server.http.get("/healthz").json() == {"ready": True, "lag": 0, "faults": []}


def test_topic_that_comes_later_is_read(topics: Topics) -> None:
    job = topics.job.model_copy(update={"output_topic": f"{topics.lists}-later"})
    with running_server(job) as server:
        assert server.http.get("/healthz").status_code == 503
        make_topic(topics.bootstrap, job.output_topic)
        server.wait_ready()


def test_empty_topic_is_ready_and_has_no_lists(topics: Topics) -> None:
    with running_server(topics.job) as server:
        server.wait_ready()
        assert server.list_of("u1") == {"user": "u1", "kind": "none", "items": []}


def test_file_that_is_cut_off_while_it_is_used_is_made_anew(topics: Topics, tmp_path: Path) -> None:
    store = tmp_path / "lists.sqlite"
    for number in range(200):
        topics.write_list(f"u{number}", [f"item {number}" * 20])
    with running_server(topics.job, store=str(store)) as server:
        server.wait_ready()
        server.service.store.flush()
    store.write_bytes(store.read_bytes()[:9_000])
    with running_server(topics.job, store=str(store)) as server:
        server.wait_ready()
        until(lambda: server.http.get("/v1/users/u199/list").status_code == 200 and server.items_of("u199"))


def test_brokers_may_come_and_go(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    broker = start_broker(tmp_path_factory)

    def new_topic(partitions: int = 1, **config: str) -> str:
        topic = f"topic-{time.monotonic_ns()}"
        make_topic(broker.bootstrap, topic, partitions, **config)
        return topic

    topics = Topics(broker, new_topic)
    topics.write_list("u1", ["a"])
    store = str(tmp_path / "lists.sqlite")
    try:
        with running_server(topics.job, store=store, delivery_timeout=2.0) as server:
            server.wait_ready()
            broker.kill()
            assert server.items_of("u1") == ["a"]
            answer = server.http.post("/v1/events", content=orjson.dumps(CLICK))
            assert answer.status_code == 503
            assert server.list_of("u1", fresh=True)["fresh"] is False
            assert server.http.get("/healthz").status_code == 200, "look-ups go on, so it stays ready"
            until(lambda: server.http.get("/healthz").json()["faults"])
        with running_server(topics.job, store=store, delivery_timeout=2.0) as server:
            assert server.items_of("u1") == ["a"], "the file is there before the brokers are"
            assert server.http.get("/healthz").status_code == 503
            broker.start()
            server.wait_ready()
            until(lambda: server.http.post("/v1/events", content=orjson.dumps(CLICK)).status_code == 200)
            topics.write_list("u1", ["b"])
            until(lambda: server.items_of("u1") == ["b"])
    finally:
        broker.kill()


def test_killed_server_loses_no_event_that_it_has_answered(broker: AnyBroker, topics: Topics, tmp_path: Path) -> None:
    log = (tmp_path / "log").open("w+")
    settings = {
        "FRESHRANK_BOOTSTRAP": topics.bootstrap,
        "FRESHRANK_INPUT_TOPIC": topics.events,
        "FRESHRANK_OUTPUT_TOPIC": topics.lists,
        "FRESHRANK_DEAD_LETTER_TOPIC": topics.rejects,
    }
    command = [sys.executable, "-m", "flows.cli", "serve", "--port", "0", "--store", "memory"]
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **settings}, stderr=log)
    try:
        until(lambda: "startup complete" in (tmp_path / "log").read_text())
        url = (tmp_path / "log").read_text().partition(" at http://")[2].split()[0]
        accepted = 0
        with httpx.Client(base_url=f"http://{url}", trust_env=False, timeout=120) as client:
            for batch in range(20):
                events = [{**CLICK, "id": f"{batch}-{number}"} for number in range(50)]
                accepted += client.post("/v1/events", content=orjson.dumps(events)).json()["accepted"]
        process.kill()
        process.wait()
    finally:
        process.kill()
        log.close()
    assert accepted == 1_000
    written = {orjson.loads(message.value() or b"")["id"] for message in consume(broker, topics.events)}
    assert len(written) == 1_000


def test_signal_ends_the_server_and_its_streams(topics: Topics) -> None:
    with running_server(topics.job) as server:
        server.wait_ready()
        with server.http.stream("GET", "/v1/live") as stream:
            chunks = stream.iter_raw()
            next(chunks)
            server.server.should_exit = True
            for _ in chunks:
                pass  # it comes to an end
