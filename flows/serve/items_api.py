"""`/v1/items/{item}/related` and `/v1/trending`: lists that belong to no user."""

from collections.abc import Callable
from itertools import islice
from typing import Annotated

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from flows.messages import ItemListKind
from flows.serve.endpoints import Endpoint, id_of, query_of
from flows.serve.http_errors import HttpError, json_response
from flows.serve.service import Service


class RelatedQuery(msgspec.Struct):
    """Parameters of related items."""

    n: Annotated[int, Meta(ge=0, le=1_000, description="Most items.")] = 10
    tag: Annotated[list[str], Meta(description="Only items that have one of these tags.")] = msgspec.field(
        default_factory=list
    )


class TrendingQuery(msgspec.Struct):
    """Parameters of trending items."""

    n: Annotated[int, Meta(ge=0, le=1_000, description="Most items.")] = 10
    tag: Annotated[str, Meta(description="Of items with this tag. Empty: of all items.")] = ""


class ScoredItem(msgspec.Struct, omit_defaults=True):
    """An item of a list."""

    item: str
    score: float | None = None
    title: str | None = None


class ItemsAnswer(msgspec.Struct):
    """A list that belongs to no user, the best item first."""

    items: list[ScoredItem]


def item_endpoints(service: Service) -> list[Endpoint]:
    """Return the endpoints of related and trending items."""
    catalogue = service.catalogue

    def answer_of(kind: ItemListKind, key: str, n: int, accepts: Callable[[str], bool] | None) -> Response:
        lists = service.item_lists.get(kind)
        if lists is None:
            raise HttpError(404, f"the job makes no lists of {kind} items. Set `{kind}` for the job and the server")
        shown = (each for each in lists.find(key) if catalogue.is_available(each.item))
        kept = islice((each for each in shown if accepts is None or accepts(each.item)), n)
        return json_response(
            ItemsAnswer([ScoredItem(each.item, each.score, catalogue.title(each.item)) for each in kept])
        )

    async def related(request: Request) -> Response:
        query = query_of(request, RelatedQuery)
        accepts = catalogue.accepts(query.tag) if query.tag else None
        return answer_of("related", id_of(request, "item"), query.n, accepts)

    async def trending(request: Request) -> Response:
        query = query_of(request, TrendingQuery)
        return answer_of("trending", query.tag.strip().casefold(), query.n, None)

    errors = {400: "A parameter is not what it must be.", 404: "The job makes no such lists."}
    return [
        Endpoint(
            "GET",
            "/v1/items/{item:id}/related",
            "Return the items that go with an item.",
            related,
            "read",
            query=RelatedQuery,
            answer=ItemsAnswer,
            errors=errors,
        ),
        Endpoint(
            "GET",
            "/v1/trending",
            "Return the items that are popular now, of all items or of a tag.",
            trending,
            "read",
            query=TrendingQuery,
            answer=ItemsAnswer,
            errors=errors,
        ),
    ]
