"""The live page in a real browser, and its endpoints."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import orjson
import pytest

from flows.monitoring.challenge import Challenge
from tests.support.browser import Page
from tests.support.kafka_fixtures import AnyBroker, NewTopic, until
from tests.support.monitored_flow import watching
from tests.support.serving import RunningServer, Topics, bearer, running_server, tokens_file

pytestmark = [pytest.mark.kafka, pytest.mark.browser]

HOSTILE = "</script><script>window.broken = 1</script><img src=x onerror='window.broken = 1'>"


def look(page: Page, url: str, width: int = 1280, scheme: str = "light") -> None:
    page.complaints, page.requests = [], []
    page.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600)
    page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    page.call("Page.navigate", url=url)


def see(page: Page, script: str) -> Any:
    """Wait until an expression of the page is true, and return it."""
    found: list[Any] = []

    def holds() -> bool:
        found.append(page.evaluate(f"!!({script})"))
        return bool(found[-1])

    until(holds)
    return found[-1]


def send(server: RunningServer, *events: dict[str, Any]) -> None:
    answer = server.http.post("/v1/events", content=b"\n".join(map(orjson.dumps, events)))
    assert answer.status_code == 200, answer.text


def click(user: str, item: str, **more: Any) -> dict[str, Any]:
    return {"user": user, "item": item, "timestamp": 100.0, "event": "click", **more}


@contextmanager
def busy(topics: Topics, **settings: Any) -> Iterator[RunningServer]:
    """A server whose topics hold events, titles, lists and rejects, and scripts in every field of them."""
    with running_server(topics.job, **settings) as server:
        server.wait_ready()
        until(lambda: all(each.caught_up for each in server.service.live.events))
        send(server, {"kind": "item", "item": "i1", "timestamp": 1, "features": {"title": HOSTILE, "tags": [HOSTILE]}})
        send(server, *[click(HOSTILE, each, event=HOSTILE) for each in ("i1", HOSTILE, "i2")])
        topics.write_list(HOSTILE, ["i1", HOSTILE], source=HOSTILE, model=HOSTILE)
        topics.write(topics.rejects, "", HOSTILE.encode(), {"reason": HOSTILE, "field": HOSTILE, "source": HOSTILE})
        until(lambda: server.service.reader.changed and server.service.live.histories.of_item("i2"))
        yield server


def test_scripts_in_every_field_are_shown_as_text(topics: Topics, page: Page) -> None:
    with busy(topics) as server:
        look(page, f"{server.url}/")
        see(page, "document.querySelector('#trending .link')")
        page.evaluate("document.querySelector('#trending .link').click()")
        page.evaluate(f"watchUser({orjson.dumps(HOSTILE).decode()})")
        page.evaluate(f"showItem({orjson.dumps(HOSTILE).decode()})")
        see(page, "document.querySelectorAll('#user-list li').length === 2")
        see(page, "document.querySelector('#item-found h3')")
        see(page, "document.querySelector('#rejects pre')")
        assert HOSTILE in page.evaluate("document.querySelector('#rejects pre').textContent")
        assert HOSTILE in page.evaluate("document.querySelector('#user-list').textContent")
        assert page.evaluate("window.broken === undefined && document.querySelectorAll('img').length === 0")
        assert page.complaints == []
        assert {urlsplit(each).netloc for each in page.requests} <= {urlsplit(server.url).netloc, ""}


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_fits_its_window(topics: Topics, page: Page, width: int, scheme: str) -> None:
    with busy(topics) as server:
        look(page, f"{server.url}/", width, scheme)
        see(page, "document.querySelector('#trending .link')")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.complaints == []


def test_page_says_whether_the_challenger_of_the_job_is_better(topics: Topics, page: Page) -> None:
    challenge = Challenge()
    for number in range(2_000):
        challenge.hits.update(number % 10 == 0, number % 5 == 0)
    job = watching([], challenge=challenge)
    with job.serve() as url, running_server(topics.job, job_metrics=f"{url}/metrics") as server:
        server.wait_ready()
        look(page, f"{server.url}/")
        see(page, "document.querySelector('#challenger')?.hidden === false")
        said = page.evaluate("document.querySelector('#challenger').textContent")
        assert said.startswith("Challenger less champion: +10.00 points")
        assert said.endswith("The challenger is better.")
        assert page.complaints == []


def test_watched_list_changes_within_a_second_of_its_event(topics: Topics, page: Page) -> None:
    with busy(topics) as server:
        look(page, f"{server.url}/")
        see(page, "document.querySelector('#trending .link')")
        page.evaluate(f"watchUser({orjson.dumps(HOSTILE).decode()})")
        see(page, "document.querySelectorAll('#user-list li').length === 2")
        topics.write_list(HOSTILE, ["fresh", "i1"])
        see(page, "document.querySelector('#user-list').textContent.includes('fresh')")


def test_tag_of_an_item_shows_what_trends_with_it_as_text(
    broker: AnyBroker, new_topic: NewTopic, topics: Topics, page: Page
) -> None:
    topic = new_topic(cleanup_policy="compact")
    topics.job = topics.job.model_copy(update={"trending": 1.0, "trending_topic": topic})
    for key, item in (("", "i7"), (HOSTILE.casefold(), HOSTILE)):
        topics.write(topic, key, orjson.dumps({"tag": key, "items": [{"item": item, "score": 2.5}]}))
    with busy(topics) as server:
        look(page, f"{server.url}/")
        see(page, "document.querySelector('#trending')?.textContent.includes('i7')")
        page.evaluate("showItem('i1')")
        see(page, "document.querySelector('#item-found .said .link')")
        page.evaluate("document.querySelector('#item-found .said .link').click()")
        see(page, "document.querySelector('#trending .link')?.textContent.includes('script')")
        assert page.evaluate("document.getElementById('trending-title').textContent") == f"Trending: {HOSTILE}"
        assert page.evaluate("window.broken === undefined && document.querySelectorAll('img').length === 0")
        page.evaluate("document.getElementById('trending-all').click()")
        see(page, "document.querySelector('#trending')?.textContent.includes('i7')")
        assert page.complaints == []


def test_page_is_used_by_keyboard(topics: Topics, page: Page) -> None:
    with busy(topics) as server:
        look(page, f"{server.url}/")
        see(page, "document.querySelector('#trending .link')")
        page.evaluate("document.getElementById('item').focus()")
        page.call("Input.insertText", text="i1")
        page.call(
            "Input.dispatchKeyEvent", type="keyDown", key="Enter", code="Enter", windowsVirtualKeyCode=13, text="\r"
        )
        see(page, "document.querySelector('#item-found h3')")
        unnamed = "[...document.querySelectorAll('input')].filter(each => !each.labels.length).length"
        assert page.evaluate(unnamed) == 0


def test_page_asks_for_a_token_where_one_is_needed(topics: Topics, page: Page, tmp_path: Path) -> None:
    with running_server(topics.job, tokens=tokens_file(tmp_path)) as server:
        look(page, f"{server.url}/")
        see(page, "document.getElementById('ask')?.hidden === false")
        assert server.http.get("/v1/users/u1").status_code == 401
        assert server.http.get("/v1/users/u1", headers=bearer("read")).status_code == 200
        page.evaluate(f"document.getElementById('token').value = '{bearer('read')['Authorization'][7:]}'")
        page.evaluate("document.querySelector('#token-form button').click()")
        see(page, "document.getElementById('ask').hidden")


def test_policy_names_what_may_run(topics: Topics) -> None:
    with running_server(topics.job) as server:
        for path in ("/", "/docs"):
            policy = server.http.get(path).headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy


def test_api_page_needs_nothing_from_outside(topics: Topics, page: Page) -> None:
    with running_server(topics.job) as server:
        look(page, f"{server.url}/docs", 390)
        see(page, "document.querySelectorAll('section').length > 10")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert page.complaints == []
        assert {urlsplit(each).path for each in page.requests} <= {"/docs", "/favicon.ico"}


def test_user_has_history_list_and_titles(topics: Topics) -> None:
    with busy(topics) as server:
        found = server.http.get(f"/v1/users/{quote(HOSTILE, safe='')}").json()
        assert [each["item"] for each in found["history"]] == ["i2", HOSTILE, "i1"]
        assert found["list"]["items"][0]["title"] == HOSTILE
        item = server.http.get("/v1/items/i1").json()
        assert (item["tags"], item["takers"][0]["user"]) == ([HOSTILE], HOSTILE)
        assert item["related"] is None, "the job makes no such lists"


def test_list_is_filtered_by_tag(topics: Topics) -> None:
    with busy(topics) as server:
        query = {"tag": HOSTILE}
        answer = server.http.get(f"/v1/users/{quote(HOSTILE, safe='')}/list", params=query)
        assert [each["item"] for each in answer.json()["items"]] == ["i1"]


def test_hits_of_the_list_that_was_held_are_counted(topics: Topics) -> None:
    with running_server(topics.job) as server:
        server.wait_ready()
        until(lambda: all(each.caught_up for each in server.service.live.events))
        topics.write_list("u1", ["a", "b"], source=f"{topics.events}/0/0")
        topics.write_list("", ["c"], source=f"{topics.events}/0/0")
        until(lambda: server.service.reader.changed == 2)
        send(server, click("u0", "z"), click("u1", "a"), click("u1", "x"), click("u2", "c"))

        def counted() -> tuple[list[int], list[int]]:
            buckets = list(server.service.live.rates.buckets)
            return (
                [sum(bucket.scored[place] for bucket in buckets) for place in range(3)],
                [sum(bucket.hits[place] for bucket in buckets) for place in range(3)],
            )

        until(lambda: counted()[0][1] >= 4)
        scored, hits = counted()
        assert (scored[1], hits[1]) == (4, 2)
        assert hits[2] == 1


def test_slow_reader_of_the_stream_holds_nobody_up(topics: Topics) -> None:
    with busy(topics) as server, server.http.stream("GET", "/v1/live") as slow:
        assert next(slow.iter_raw(100)).startswith(b"event: snapshot")
        until(lambda: len(server.service.live.snapshot()["points"]) > 3)  # which this reader does not take
        assert server.list_of(HOSTILE)["kind"] == "own"
