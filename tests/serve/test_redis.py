"""Lists in a real Redis."""

from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
import redis

from tests.support.kafka_fixtures import until
from tests.support.redis_server import RedisServer
from tests.support.serving import Topics, running_server

pytestmark = pytest.mark.kafka


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    try:
        found = RedisServer(tmp_path)
    except FileNotFoundError as reason:
        pytest.skip(str(reason))
    found.start()
    yield found
    found.stop()


def test_site_reads_lists_by_the_documented_keys(topics: Topics, server: RedisServer) -> None:
    topics.write_list("u1", ["a", "b"])
    topics.write_list("", ["x"])
    topics.write_list("gone", ["a"])
    topics.write(topics.lists, "gone", None)
    with running_server(topics.job, store=server.url) as serving:
        serving.wait_ready()
        assert serving.items_of("u1") == ["a", "b"]
        assert serving.list_of("nobody")["kind"] == "fallback"
    client = redis.Redis.from_url(server.url)
    value = client.get(f"freshrank:{topics.lists}:user:u1")
    assert isinstance(value, bytes)
    assert [each["item"] for each in orjson.loads(value)["items"]] == ["a", "b"]
    assert client.get(f"freshrank:{topics.lists}:user:") is not None
    assert client.get(f"freshrank:{topics.lists}:user:gone") is None
    client.close()


def test_second_server_reads_only_what_is_new(topics: Topics, server: RedisServer) -> None:
    for number in range(20):
        topics.write_list(f"u{number}", ["a"])
    with running_server(topics.job, store=server.url) as serving:
        serving.wait_ready()
    topics.write_list("u1", ["b"])
    with running_server(topics.job, store=server.url) as serving:
        serving.wait_ready()
        assert serving.service.reader.follower.read == 1
        assert (serving.items_of("u1"), serving.items_of("u2")) == (["b"], ["a"])


def test_redis_that_is_away_is_said_and_catches_up_when_it_is_back(topics: Topics, server: RedisServer) -> None:
    topics.write_list("u1", ["a"])
    with running_server(topics.job, store=server.url) as serving:
        serving.wait_ready()
        server.stop()
        answer = serving.http.get("/v1/users/u1/list")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        topics.write_list("u1", ["b"])
        until(lambda: serving.service.reader.store_fault)
        assert "Redis" in serving.http.get("/healthz/alive").json()["faults"][0]
        server.start()
        until(lambda: serving.http.get("/v1/users/u1/list").status_code == 200)
        until(lambda: serving.items_of("u1") == ["b"])


def test_other_keys_of_the_database_stay(topics: Topics, server: RedisServer) -> None:
    client = redis.Redis.from_url(server.url)
    client.set("freshrank:other:user:u1", "theirs")
    topics.write_list("u1", ["a"])
    with running_server(topics.job, store=server.url) as serving:
        serving.wait_ready()
    assert client.get("freshrank:other:user:u1") == b"theirs"
    client.close()
