"""Runs the HTTP server until a signal stops it."""

import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from flows.errors import JobError
from flows.monitoring.http_server import PortError
from flows.serve.access import Access, read_tokens
from flows.serve.app import build_app
from flows.serve.docs_api import docs_endpoints
from flows.serve.endpoints import Endpoint
from flows.serve.events_api import event_endpoints
from flows.serve.items_api import item_endpoints
from flows.serve.lists_api import list_endpoints
from flows.serve.live.api import live_endpoints
from flows.serve.live.job_metrics import check_url
from flows.serve.opening import open_store
from flows.serve.service import Service, start_service
from flows.serve.settings import ServeSettings
from flows.serve.status_api import status_endpoints
from flows.serve.store import ListStore
from flows.settings import Settings

logger = logging.getLogger(__name__)

GRACE_SECONDS = 5
"""Seconds for open requests once the server is to stop."""


def all_endpoints(service: Service) -> list[Endpoint]:
    """Return the table of all endpoints. With `sync_only` it has only health and metrics."""
    if service.settings.sync_only:
        return status_endpoints(service)
    found = [
        *list_endpoints(service),
        *event_endpoints(service),
        *item_endpoints(service),
        *live_endpoints(service),
        *status_endpoints(service),
    ]
    return [*found, *docs_endpoints(found)]


class Application:
    """The application, made on the event loop: the readers and producers need the loop."""

    def __init__(self, settings: ServeSettings, job: Settings, access: Access, store: ListStore) -> None:
        self._settings = settings
        self._job = job
        self._access = access
        self._store = store
        self._app: Starlette | None = None
        self.service: Service | None = None

    @asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        """Run the service from before the first request until after the last."""
        service = start_service(self._settings, self._job, self._access, self._store)
        self.service = service
        self._app = build_app(service, all_endpoints(service))
        try:
            yield
        finally:
            await service.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await Starlette(lifespan=self.lifespan)(scope, receive, send)
        elif self._app is not None:
            await self._app(scope, receive, send)


class Server(uvicorn.Server):
    """Tells the streams to end before it waits for them."""

    def __init__(self, config: uvicorn.Config, application: Application) -> None:
        super().__init__(config)
        self._application = application

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams, then wait for the other requests."""
        service = self._application.service
        if service is not None:
            service.stopping.set()
        await super().shutdown(sockets)


def uvicorn_config(application: Application) -> uvicorn.Config:
    """Return uvicorn's configuration."""
    return uvicorn.Config(
        application,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
        timeout_keep_alive=30,
        h11_max_incomplete_event_size=65_536,
        limit_concurrency=2_000,
    )


def serve(settings: ServeSettings, job: Settings) -> None:
    """Serve until a signal stops the server. Open requests are answered first.

    Args:
        settings: The server's own.
        job: The job's: brokers, topics, field names.

    Raises:
        PortError: The address is taken, or none of this machine's.
        ListStoreError: The store cannot be opened.
        TokensError: The tokens cannot be read.
    """
    check_url(settings.job_metrics)
    access = read_tokens(settings.tokens)
    listener = listen(settings)
    port = listener.getsockname()[1]
    application = Application(settings, job, access, open_store(settings.store, job.output_topic, port))
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    logger.info("serving lists of topic %r at http://%s:%d", job.output_topic, host, port)
    server = Server(uvicorn_config(application), application)
    try:
        server.run(sockets=[listener])
        if not server.started:
            raise JobError("the server did not start; its log says why.")
    finally:
        listener.close()


def listen(settings: ServeSettings) -> socket.socket:
    """Open the socket to listen on.

    Raises:
        PortError: The address is in use, or is not one of this machine.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        raise PortError(
            f"expected to listen on {settings.host}:{settings.port}; {error.strerror or error}. Set `serve.port` to a "
            "free port, and `serve.host` to an address of this machine."
        ) from None
    return listener
