"""Related and trending items, as the job writes them on topics of their own."""

from typing import Any

import httpx
import orjson
import pytest

from flows.settings import Settings
from tests.support.kafka_fixtures import AnyBroker, NewTopic, until
from tests.support.serving import RunningServer, Topics, running_server

pytestmark = pytest.mark.kafka

HOSTILE = "</script><script>window.broken = 1</script>\"'/ü"


class ItemTopics(Topics):
    """Topics of lists of items, too."""

    def __init__(self, broker: AnyBroker, new_topic: NewTopic) -> None:
        super().__init__(broker, new_topic)
        self.related = new_topic(cleanup_policy="compact")
        self.trending = new_topic(cleanup_policy="compact")
        own = self.job.model_dump(exclude_defaults=True)
        asked = {"related": 1.0, "trending": 0.25, "related_topic": self.related, "trending_topic": self.trending}
        self.job = Settings(**own, **asked)

    def write_items(self, topic: str, key: str, *items: str) -> None:
        listed = [{"item": item, "score": 1.0 / place} for place, item in enumerate(items, start=1)]
        self.write(topic, key, orjson.dumps({"items": listed, "event_time": 1.0, "source": "events/0/1"}))


@pytest.fixture
def topics(broker: AnyBroker, new_topic: NewTopic) -> ItemTopics:
    return ItemTopics(broker, new_topic)


def related(server: RunningServer, item: str = "tea", **query: Any) -> list[str]:
    return [each["item"] for each in server.http.get(f"/v1/items/{item}/related", params=query).json()["items"]]


def trending(server: RunningServer, **query: Any) -> list[str]:
    return [each["item"] for each in server.http.get("/v1/trending", params=query).json()["items"]]


def test_related_and_trending_items_are_served_with_titles(topics: ItemTopics) -> None:
    topics.write_items(topics.related, "a/tea", "cup", "jam")
    topics.write_items(topics.trending, "", "jam", "cup")
    topics.write_items(topics.trending, "china", "cup")
    with running_server(topics.job) as server:
        item = b'{"kind": "item", "item": "cup", "timestamp": 1, "features": {"title": "A cup", "tags": ["china"]}}'
        assert server.http.post("/v1/events", content=item).json()["refused"] == 0
        until(lambda: related(server, "a%2Ftea") == ["cup", "jam"])
        until(lambda: trending(server) == ["jam", "cup"] and trending(server, tag="china") == ["cup"])  # topics differ
        until(lambda: "title" in server.http.get("/v1/trending").json()["items"][1])
        assert server.http.get("/v1/trending").json()["items"] == [
            {"item": "jam", "score": 1.0},
            {"item": "cup", "score": 0.5, "title": "A cup"},
        ]
        assert trending(server, tag=" China") == ["cup"]
        assert trending(server, tag="none") == []
        assert related(server, "a%2Ftea", tag="china") == ["cup"]
        assert related(server, "a%2Ftea", n=0) == []
        assert related(server, "unknown") == []
        assert server.http.get("/v1/trending", params={"n": "2000"}).status_code == 400


def test_list_changes_with_its_topic_and_leaves_with_a_tombstone(topics: ItemTopics) -> None:
    with running_server(topics.job) as server:
        topics.write_items(topics.related, "tea", "cup")
        until(lambda: related(server) == ["cup"])
        topics.write_items(topics.related, "tea", "jam", "cup")
        until(lambda: related(server) == ["jam", "cup"])
        topics.write(topics.related, "tea", None)
        until(lambda: related(server) == [])


def test_unavailable_item_is_left_out(topics: ItemTopics) -> None:
    topics.write_items(topics.trending, "", "tea", "cup")
    with running_server(topics.job) as server:
        until(lambda: trending(server) == ["tea", "cup"])
        for available, expected in ((False, ["cup"]), (True, ["tea", "cup"])):
            event = {"kind": "item", "item": "tea", "timestamp": 1, "available": available}
            server.http.post("/v1/events", content=orjson.dumps(event))
            until(lambda expected=expected: trending(server) == expected)  # type: ignore[misc]


def test_messages_that_are_no_lists_are_passed_over(topics: ItemTopics) -> None:
    for value in (b"", b"[]", b"\xff", b'{"items": 3}'):
        topics.write(topics.trending, "", value)
    topics.write_items(topics.trending, HOSTILE.casefold(), HOSTILE)
    with running_server(topics.job) as server:
        until(lambda: trending(server, tag=HOSTILE) == [HOSTILE])
        assert trending(server) == []
        assert server.service.item_lists["trending"].unreadable == 4


def test_server_of_a_job_without_such_lists_says_which_setting_makes_them(topics: ItemTopics) -> None:
    job = topics.job.model_copy(update={"related": 0.0, "trending": 0.0})
    with running_server(job) as server:
        for path, setting in (("/v1/items/tea/related", "`related`"), ("/v1/trending", "`trending`")):
            answer: httpx.Response = server.http.get(path)
            assert answer.status_code == 404
            assert setting in answer.json()["error"]


def test_topic_that_is_not_there_is_a_fault_and_holds_up_nothing(topics: ItemTopics, new_topic: NewTopic) -> None:
    topics.write_list("u1", ["a"])
    with running_server(topics.job.model_copy(update={"related_topic": "no-such-related"})) as server:
        server.wait_ready()
        assert server.items_of("u1") == ["a"]
        assert related(server) == []
        until(lambda: any("no-such-related" in fault for fault in server.http.get("/healthz").json()["faults"]))
