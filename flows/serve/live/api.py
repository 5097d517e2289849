"""Endpoints of the live page."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from flows.serve.endpoints import Endpoint, id_of
from flows.serve.http_errors import HttpError, json_response
from flows.serve.live.stream import EventStream, event_of
from flows.serve.pages import page_of
from flows.serve.service import Service

MAX_STREAMS: Final = 200
"""Largest number of readers of streams at a time."""
PAUSE: Final = 0.25
"""Least seconds between two events of a user's stream."""


def live_endpoints(service: Service) -> list[Endpoint]:
    """Return the endpoints of the live page."""
    view = service.live
    html = page_of(Path(__file__).parent / "live.html")
    streams: set[object] = set()

    def stream(events: AsyncIterator[bytes]) -> Response:
        if len(streams) >= MAX_STREAMS:
            raise HttpError(503, f"{MAX_STREAMS} readers watch already", {"Retry-After": "10"})
        return EventStream(_counted(events))

    async def _counted(events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        mark = object()
        streams.add(mark)
        try:
            async for event in events:
                yield event
        finally:
            streams.discard(mark)

    async def page(request: Request) -> Response:
        return html.response()

    async def live(request: Request) -> Response:
        return stream(ticks())

    async def ticks() -> AsyncIterator[bytes]:
        yield event_of("snapshot", view.snapshot())
        while not service.stopping.is_set():
            async with view.ticked:
                await view.ticked.wait()
            yield event_of("tick", view.tick)

    async def user(request: Request) -> Response:
        return json_response(await view.user(id_of(request, "user")))

    async def watch(request: Request) -> Response:
        return stream(changes(id_of(request, "user")))

    async def changes(user: str) -> AsyncIterator[bytes]:
        with view.watching(user) as changed:
            while not service.stopping.is_set():
                changed.clear()
                yield event_of("user", await view.user(user))
                try:
                    async with asyncio.timeout(10.0):
                        await changed.wait()
                except TimeoutError:
                    yield b": still here\n\n"
                await asyncio.sleep(PAUSE)

    async def item(request: Request) -> Response:
        return json_response(view.item(id_of(request, "item")))

    told: dict[str, Any] = {"type": "object"}
    many = {503: "Too many readers watch already."}
    events = "text/event-stream"
    return [
        Endpoint("GET", "/", "Show the live page.", page, answer="text/html"),
        Endpoint(
            "GET",
            "/v1/live",
            "Stream what the live page shows, once a second.",
            live,
            "read",
            answer=events,
            errors=many,
        ),
        Endpoint(
            "GET", "/v1/users/{user:id}", "Return a user's history and list, with reasons.", user, "read", answer=told
        ),
        Endpoint(
            "GET",
            "/v1/users/{user:id}/stream",
            "Stream a user's history and list whenever they change.",
            watch,
            "read",
            answer=events,
            errors=many,
        ),
        Endpoint("GET", "/v1/items/{item:id}", "Return an item, and who took it lately.", item, "read", answer=told),
    ]
