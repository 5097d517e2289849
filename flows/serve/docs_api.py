"""`/docs` and `/openapi.json`: the description of the API."""

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from flows.serve.endpoints import Endpoint
from flows.serve.openapi import openapi
from flows.serve.pages import page_of


def docs_endpoints(others: Sequence[Endpoint]) -> list[Endpoint]:
    """Return the endpoints that describe all others, and themselves."""
    endpoints: list[Endpoint] = list(others)

    async def document(request: Request) -> Response:
        return Response(encoded, media_type="application/json")

    async def page(request: Request) -> Response:
        return html.response()

    found = [
        Endpoint("GET", "/openapi.json", "Return this description.", document, answer={"type": "object"}),
        Endpoint("GET", "/docs", "Show this description to a person.", page, answer="text/html"),
    ]
    described = openapi([*endpoints, *found], _version())
    encoded = msgspec.json.format(msgspec.json.encode(described), indent=1)
    html = page_of(Path(__file__).parent / "docs.html", api=described)
    return found


def _version() -> str:
    try:
        return version("freshrank")
    except PackageNotFoundError:  # run from a checkout
        return "unknown"
