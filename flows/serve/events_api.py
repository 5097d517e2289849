"""`/v1/events` and `/v1/snippet.js`: events from a site."""

from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from flows.serve.endpoints import Endpoint
from flows.serve.http_errors import json_response
from flows.serve.intake import IntakeAnswer, split_events
from flows.serve.limits import read_body
from flows.serve.service import Service

SNIPPET = Path(__file__).parent / "snippet.js"


def event_endpoints(service: Service) -> list[Endpoint]:
    """Return the endpoints of events."""
    snippet = SNIPPET.read_bytes()

    async def post(request: Request) -> Response:
        body = await read_body(request, service.settings.max_body)
        events = split_events(body, service.settings.max_events)
        may_administer = service.access.allows(request.scope.get("freshrank.role"), "admin")
        answer = await service.intake.take(events, may_administer)
        return json_response(answer, 200 if answer.accepted else 422)

    async def get_snippet(request: Request) -> Response:
        return Response(snippet, media_type="text/javascript", headers={"Cache-Control": "public, max-age=3600"})

    event: dict[str, Any] = {"type": "object", "description": "An event, as on the input topic."}
    return [
        Endpoint(
            "POST",
            "/v1/events",
            "Take one event or many in, and answer when the brokers have them.",
            post,
            "write",
            body={
                "application/json": {"oneOf": [event, {"type": "array", "items": event}]},
                "application/x-ndjson": {"type": "string", "description": "One event on each line."},
            },
            answer=IntakeAnswer,
            errors={
                400: "The body is neither JSON nor NDJSON.",
                413: "The body, or the number of events, is too large.",
                422: "Every event was refused; the answer says why.",
                503: "The brokers do not take events now. Send all again after `Retry-After` seconds.",
            },
        ),
        Endpoint(
            "GET",
            "/v1/snippet.js",
            "Return a script that sends a page's events.",
            get_snippet,
            None,
            answer="text/javascript",
        ),
    ]
