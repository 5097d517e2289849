"""The browser snippet, in a page of another origin in a real browser."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson
import pytest

from tests.support.browser import Page
from tests.support.kafka_fixtures import AnyBroker, until
from tests.support.kafka_jobs import consume
from tests.support.serving import Topics, running_server

pytestmark = [pytest.mark.kafka, pytest.mark.browser]


@contextmanager
def shop() -> Iterator[ThreadingHTTPServer]:
    """A site that gives `server.page` at every address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(getattr(self.server, "page", b""))

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def open_shop(page: Page, site: ThreadingHTTPServer, url: str, user: str) -> str:
    """Open a page of the site that loads the snippet, and return its origin."""
    script = f'<script src="{url}/v1/snippet.js" data-user="{user}" defer></script>'
    site.page = f"<!doctype html><title>shop</title>{script}".encode()  # type: ignore[attr-defined]
    origin = f"http://127.0.0.1:{site.server_address[1]}"
    page.call("Page.navigate", url=f"{origin}/tea")
    until(lambda: page.evaluate("typeof window.freshrank === 'function'"))
    return origin


def written(topics: Topics, broker: AnyBroker) -> list[dict[str, Any]]:
    return [orjson.loads(message.value() or b"") for message in consume(broker, topics.events)]


def test_events_of_a_page_are_sent_together_with_the_list_that_was_shown(
    topics: Topics, broker: AnyBroker, page: Page
) -> None:
    with shop() as site:
        origin = f"http://127.0.0.1:{site.server_address[1]}"
        with running_server(topics.job, origins=[origin]) as server:
            open_shop(page, site, server.url, "ann")
            page.evaluate("freshrank('click', 'i9', {list: 'events/0/7', session: 's3'})")
            page.evaluate("freshrank('buy', 'a \"quoted\" </script>/ü')")
            until(lambda: server.service.intake.accepted == 2)
            latencies = server.service.latencies["POST /v1/events"]
            assert latencies.cumulative([60.0])[1] == 1, "both came in one request"
    first, second = written(topics, broker)
    assert {name: first[name] for name in ("user", "item", "event", "list", "session")} == {
        "user": "ann",
        "item": "i9",
        "event": "click",
        "list": "events/0/7",
        "session": "s3",
    }
    assert (second["item"], second["event"]) == ('a "quoted" </script>/ü', "buy")
    assert first["id"] != second["id"]
    assert page.complaints == []


def test_event_on_the_way_out_of_a_page_is_not_lost(topics: Topics, broker: AnyBroker, page: Page) -> None:
    with shop() as site:
        origin = f"http://127.0.0.1:{site.server_address[1]}"
        with running_server(topics.job, origins=[origin]) as server:
            open_shop(page, site, server.url, "ann")
            page.evaluate("(freshrank('click', 'i9'), location.assign('/next'))")
            until(lambda: server.service.intake.accepted == 1)
    assert [event["item"] for event in written(topics, broker)] == ["i9"]


def test_page_of_a_site_that_is_not_named_writes_nothing(topics: Topics, broker: AnyBroker, page: Page) -> None:
    with shop() as site, running_server(topics.job, origins=["http://shop.example"]) as server:
        open_shop(page, site, server.url, "ann")
        page.evaluate("freshrank('click', 'i9')")
        until(lambda: server.service.statuses.get(("POST /v1/events", 403)))
    assert written(topics, broker) == []
