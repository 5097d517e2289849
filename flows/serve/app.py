"""The ASGI application: routes, with the checks of token, origin and rate before each."""

import logging
import time
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from flows.monitoring.histogram import LatencyHistogram
from flows.serve.endpoints import Endpoint
from flows.serve.http_errors import ErrorAnswer, HttpError, json_response
from flows.serve.service import Service
from flows.serve.store import ListStoreError

logger = logging.getLogger(__name__)

HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
"""Headers of every answer. An answer may override the last one."""
_RAW_HEADERS: Final = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]


class RawPath:
    """Routes by the path as it was sent, so that an id may hold a slash as `%2F`."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http" and "raw_path" in scope:
            raw = scope["raw_path"].partition(b"?")[0]
            if raw.isascii():
                scope = {**scope, "path": raw.decode("ascii")}
        await self.app(scope, receive, send)


def build_app(service: Service, endpoints: Sequence[Endpoint]) -> Starlette:
    """Make the application.

    Args:
        service: Store, readers and producers.
        endpoints: The table of endpoints.
    """
    routes = [
        Route(each.path, _guarded(service, each), methods=[each.method, *(["HEAD"] if each.method == "GET" else [])])
        for each in endpoints
    ]
    middleware = [Middleware(RawPath)]
    if service.settings.origins:
        middleware.append(
            Middleware(
                CORSMiddleware,
                allow_origins=service.settings.origins,
                allow_methods=["GET", "POST"],
                allow_headers=["Authorization", "Content-Type"],
                max_age=3600,
            )
        )
    handlers: Any = {404: _not_found, 405: _not_allowed}
    return Starlette(routes=routes, middleware=middleware, exception_handlers=handlers)


def _guarded(service: Service, endpoint: Endpoint) -> Any:
    """Wrap a handler with the checks of token, origin and rate, and with the headers and metrics of every answer."""
    access, rate = service.access, service.rate
    name = f"{endpoint.method} {endpoint.name}"
    latency = service.latencies.setdefault(name, LatencyHistogram())
    origins = {origin.rstrip("/") for origin in service.settings.origins}

    async def answer(request: Request) -> Response:
        began = time.perf_counter()
        try:
            if endpoint.role is not None:
                role = access.role_of(request.headers.get("authorization"))
                if not access.allows(role, endpoint.role):
                    raise _unauthorized(role, endpoint)
                request.scope["freshrank.role"] = role
                if rate.rate and (wait := rate.wait(_client(request))):
                    raise HttpError(
                        429,
                        f"expected at most {rate.rate:g} requests a second; send fewer",
                        {"Retry-After": str(int(wait) + 1)},
                    )
            if endpoint.method == "POST":
                _check_origin(request, origins)
            response = await endpoint.handler(request)
        except HttpError as error:
            response = error.response()
        except ListStoreError as error:
            logger.warning("%s", error)
            response = HttpError(503, "the store of the lists does not answer", {"Retry-After": "2"}).response()
        except UnicodeDecodeError:
            response = HttpError(400, "expected UTF-8; the request holds other bytes").response()
        except Exception:
            logger.exception("%s was not answered", name)
            response = HttpError(500, "the server failed to answer; its log says why").response()
        if "cache-control" in response.headers:
            response.raw_headers.extend(_RAW_HEADERS[:-1])
        else:
            response.raw_headers.extend(_RAW_HEADERS)
        latency.add(time.perf_counter() - began)
        key = (name, response.status_code)
        service.statuses[key] = service.statuses.get(key, 0) + 1
        return response

    return answer


def _unauthorized(role: str | None, endpoint: Endpoint) -> HttpError:
    if role is None:
        return HttpError(
            401,
            "expected a header `Authorization: Bearer TOKEN` with a token that the server knows",
            {"WWW-Authenticate": "Bearer"},
        )
    return HttpError(403, f"expected a token of the role {endpoint.role}; this one has the role {role}")


def _client(request: Request) -> str:
    """Return the key of a client for the rate limit: its token, else its address."""
    given = request.headers.get("authorization")
    return given or (request.client.host if request.client else "")


def _check_origin(request: Request, origins: set[str]) -> None:
    """Refuse requests of pages of other sites, since browsers send simple requests without a preflight."""
    origin = request.headers.get("origin")
    if origin is None or origin in origins or "*" in origins:
        return
    if urlsplit(origin).netloc == request.headers.get("host"):
        return
    raise HttpError(403, f"origin {origin[:100]!r}: not in the list of allowed origins. Add it to `serve.origins`.")


async def _not_found(request: Request, error: Exception) -> Response:
    return json_response(ErrorAnswer("there is nothing at this address; /docs lists what there is"), 404, HEADERS)


async def _not_allowed(request: Request, error: Exception) -> Response:
    headers = getattr(error, "headers", None) or {}
    return json_response(
        ErrorAnswer("this address takes another method; /docs lists them"), 405, {**HEADERS, **headers}
    )
