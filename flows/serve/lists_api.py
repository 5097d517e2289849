"""`/v1/users/{user}/list`: a user's list."""

from typing import Annotated

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from flows.serve.endpoints import Endpoint, id_of, query_of
from flows.serve.http_errors import HttpError
from flows.serve.limits import read_body
from flows.serve.selection import Selection
from flows.serve.service import Service

MAX_EXCLUDED = 10_000
"""Most items that one look-up may leave out."""

_encode = msgspec.json.Encoder().encode


class ListQuery(msgspec.Struct):
    """Parameters of a look-up."""

    n: Annotated[int, Meta(ge=0, le=1_000, description="Most items; not given: all of the list.")] | None = None
    exclude: Annotated[list[str], Meta(description="Items to leave out, separated by commas; may be repeated.")] = (
        msgspec.field(default_factory=list)
    )
    tag: Annotated[list[str], Meta(description="Only items that have one of these tags.")] = msgspec.field(
        default_factory=list
    )
    fresh: Annotated[
        bool, Meta(description="Ask the job for a list first; after 25 ms (`fresh_wait`) the held list is given.")
    ] = False
    at: (
        Annotated[
            float,
            Meta(
                description="With `fresh`: Unix seconds of the visit, for a recorded log. Not given: now.",
                ge=0,
                le=1e11,
            ),
        ]
        | None
    ) = None


class ListBody(msgspec.Struct):
    """What a look-up by POST leaves out: ids with commas, or many."""

    exclude: list[str] = msgspec.field(default_factory=list)


_read_body = msgspec.json.Decoder(ListBody).decode


def list_endpoints(service: Service) -> list[Endpoint]:
    """Return the endpoints of lists."""

    async def answer(user: str, query: ListQuery) -> Response:
        if len(query.exclude) > MAX_EXCLUDED:
            raise HttpError(400, f"exclude: expected at most {MAX_EXCLUDED:,} items; got {len(query.exclude):,}")
        accepts = service.catalogue.accepts(query.tag) if query.tag else None
        exclude = frozenset(query.exclude)
        found = await service.lookup.find(user, query.n, exclude, accepts, is_fresh=query.fresh, at=query.at)
        return Response(_encode(found), media_type="application/json")

    async def get(request: Request) -> Response:
        return await answer(id_of(request, "user"), query_of(request, ListQuery))

    async def post(request: Request) -> Response:
        user, query = id_of(request, "user"), query_of(request, ListQuery)
        body = await read_body(request, service.settings.max_body)
        try:
            query.exclude += _read_body(body or b"{}").exclude
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise HttpError(400, f'expected a body such as {{"exclude": ["i1"]}}; {error}') from None
        return await answer(user, query)

    shared = {"role": "read", "query": ListQuery, "answer": Selection}
    errors = {400: "A parameter is not what it must be.", 503: "The store does not answer."}
    path = "/v1/users/{user:id}/list"
    return [
        Endpoint("GET", path, "Return a user's list.", get, errors=errors, **shared),  # type: ignore[arg-type]
        Endpoint(
            "POST",
            path,
            "Return a user's list without the items that the body names.",
            post,
            body={"application/json": ListBody},
            errors=errors,
            **shared,  # type: ignore[arg-type]
        ),
    ]
