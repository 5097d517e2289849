"""Related and trending items, from the events on the input topic."""

import pytest

from flows.serve.related import DEPTH, MAX_LINKS, RelatedItems
from tests.support.kafka_fixtures import AnyBroker, NewTopic, until
from tests.support.serving import Topics, running_server


def items_of(related: RelatedItems, item: str, n: int = 10) -> list[str]:
    return [each.item for each in related.of(item, n)]


def test_items_that_are_taken_together_are_related_both_ways() -> None:
    related = RelatedItems()
    for group in ("a", "b"):
        for user in range(20):
            for place in range(3):
                related.add(f"{group}{user}", f"{group}-item-{(place + user) % 3}")
    for group in ("a", "b"):
        for place in range(3):
            found = items_of(related, f"{group}-item-{place}")
            assert sorted(found) == sorted(f"{group}-item-{other}" for other in range(3) if other != place)


def test_link_from_the_earlier_to_the_later_item_is_stronger() -> None:
    related = RelatedItems()
    for user in range(5):
        related.add(f"u{user}", "first")
        related.add(f"u{user}", "second")
    assert related.of("first", 1)[0].score > related.of("second", 1)[0].score


def test_links_are_bounded_and_a_new_one_has_its_chance() -> None:
    related = RelatedItems()
    for number in range(10 * MAX_LINKS):
        related.add(f"u{number}", "hub")
        related.add(f"u{number}", f"i{number}")
    found = items_of(related, "hub", 10 * MAX_LINKS)
    assert len(found) <= 2 * MAX_LINKS
    assert f"i{10 * MAX_LINKS - 1}" in found


def test_forgotten_user_links_nothing_more() -> None:
    related = RelatedItems()
    related.add("u1", "a")
    related.forget("u1")
    related.add("u1", "b")
    assert items_of(related, "a") == []


def test_repeats_do_not_push_other_items_out() -> None:
    related = RelatedItems()
    related.add("u1", "a")
    for _ in range(2 * DEPTH):
        related.add("u1", "b")
    related.add("u1", "c")
    assert items_of(related, "a") == ["b", "c"]


@pytest.mark.kafka
def test_related_and_trending_items_are_served(broker: AnyBroker, new_topic: NewTopic) -> None:
    topics = Topics(broker, new_topic)
    with running_server(topics.job) as server:
        rows = [b'{"kind": "item", "item": "cup", "timestamp": 1, "features": {"title": "A cup", "tags": ["china"]}}']
        for user in range(3):
            for item in ("a/tea", "cup"):
                rows.append(b'{"user": "u%d", "item": "%s", "timestamp": 1}' % (user, item.encode()))
        rows.append(b'{"user": "u9", "item": "cup", "timestamp": 1, "event": "return"}')
        assert server.http.post("/v1/events", content=b"\n".join(rows)).json()["refused"] == 0
        until(
            lambda: (
                server.http.get("/v1/trending").json()["items"][:1] == [{"item": "cup", "score": 4.0, "title": "A cup"}]
            )
        )
        found = server.http.get("/v1/items/a%2Ftea/related").json()["items"]
        assert [(each["item"], each["title"]) for each in found] == [("cup", "A cup")]
        assert server.http.get("/v1/trending", params={"tag": "china"}).json()["items"][0]["item"] == "cup"
        assert server.http.get("/v1/trending", params={"tag": "none"}).json() == {"items": []}
        assert server.http.get("/v1/items/unknown/related").json() == {"items": []}
        assert server.http.get("/v1/trending", params={"n": "1000"}).status_code == 400
