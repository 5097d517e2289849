"""`/v1/items/{item}/related` and `/v1/trending`: lists that belong to no user."""

from typing import Annotated

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from flows.serve.endpoints import Endpoint, id_of, query_of
from flows.serve.http_errors import json_response
from flows.serve.service import Service


class RelatedQuery(msgspec.Struct):
    """Parameters of related items."""

    n: Annotated[int, Meta(ge=0, le=100, description="Most items.")] = 10
    tag: Annotated[list[str], Meta(description="Only items that have one of these tags.")] = msgspec.field(
        default_factory=list
    )


class TrendingQuery(RelatedQuery):
    """Parameters of trending items."""


class ScoredItem(msgspec.Struct, omit_defaults=True):
    """An item of a list."""

    item: str
    score: float
    title: str | None = None


class ItemsAnswer(msgspec.Struct):
    """A list that belongs to no user, the best item first."""

    items: list[ScoredItem]


def item_endpoints(service: Service) -> list[Endpoint]:
    """Return the endpoints of related and trending items."""
    view, catalogue = service.live, service.catalogue

    async def related(request: Request) -> Response:
        query = query_of(request, RelatedQuery)
        found = view.related.of(id_of(request, "item"), 100)
        accepts = catalogue.accepts(query.tag) if query.tag else None
        kept = [each for each in found if accepts is None or accepts(each.item)][: query.n]
        return json_response(ItemsAnswer([ScoredItem(*each, catalogue.title(each.item)) for each in kept]))

    async def trending(request: Request) -> Response:
        query = query_of(request, TrendingQuery)
        found = view.histories.trending(query.n, catalogue.accepts(query.tag) if query.tag else None)
        items = [ScoredItem(each.item, float(each.events), catalogue.title(each.item)) for each in found]
        return json_response(ItemsAnswer(items))

    errors = {400: "A parameter is not what it must be."}
    return [
        Endpoint(
            "GET",
            "/v1/items/{item:id}/related",
            "Return the items that users take before and after an item.",
            related,
            "read",
            query=RelatedQuery,
            answer=ItemsAnswer,
            errors=errors,
        ),
        Endpoint(
            "GET",
            "/v1/trending",
            "Return the items with most events among the newest 2,000, of all items or of a tag.",
            trending,
            "read",
            query=TrendingQuery,
            answer=ItemsAnswer,
            errors=errors,
        ),
    ]
