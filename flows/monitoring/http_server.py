"""HTTP server for `/metrics` and `/healthz`. By default it listens on this machine only."""

import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import AF_INET6
from socketserver import TCPServer
from typing import Any

import orjson
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from typing_extensions import override

from flows.errors import UsageError
from flows.monitoring.instrumented_source import InstrumentedSource

logger = logging.getLogger(__name__)


class PortError(UsageError):
    """Metrics cannot be served at the address of the settings."""


def health(watched: InstrumentedSource, stalled_seconds: float) -> dict[str, Any]:
    """Return the health of the job.

    Args:
        watched: The job's source.
        stalled_seconds: Seconds without progress after which the job is not alive.

    Returns:
        `ready`: the state is loaded and the flow polls for records. `alive`: it polled lately, or it is not ready yet,
        since loading may take long. `since_progress`: seconds since the last poll, or null.
    """
    asked = watched.asked
    idle = None if asked is None else time.monotonic() - asked
    return {"ready": asked is not None, "alive": idle is None or idle < stalled_seconds, "since_progress": idle}


@contextmanager
def serve_http(
    host: str, port: int, registry: CollectorRegistry, watched: InstrumentedSource, stalled_seconds: float
) -> Iterator[str | None]:
    """Serve metrics and health over HTTP while the block runs.

    `/healthz` answers 200 if the job is ready and alive, else 503. `/healthz/ready` and `/healthz/alive` answer for one
    of the two.

    Args:
        host: The address to listen on.
        port: The port. 0: serve nothing.
        registry: The metrics.
        watched: The job's source.
        stalled_seconds: Time without progress after which the job is not alive.

    Yields:
        The base URL, `http://host:port`, or None.

    Raises:
        PortError: The address is in use, or is not one of this machine.
    """
    if not port:
        yield None
        return
    handler = type("_Bound", (_Handler,), {"registry": registry, "watched": watched, "stalled": stalled_seconds})
    try:
        server = (_Server6 if ":" in host else _Server)((host, port), handler)
    except OSError as error:
        raise PortError(
            f"expected to listen on {host}:{port} for metrics; {error.strerror or error}. Set `metrics_port` to a free "
            "port, or to 0 for none, and `metrics_host` to an address of this machine."
        ) from None
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    try:
        yield f"http://{f'[{host}]' if ':' in host else host}:{port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    @override
    def server_bind(self) -> None:
        TCPServer.server_bind(self)  # HTTPServer's own asks the name service for the host's name, and may wait for it
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    @override
    def handle_error(self, request: Any, client_address: Any) -> None:
        if isinstance(sys.exception(), ConnectionError):  # the client closed before the answer
            return
        logger.warning("a request from %s was not answered", client_address, exc_info=True)


class _Server6(_Server):
    address_family = AF_INET6


class _Handler(BaseHTTPRequestHandler):
    registry: CollectorRegistry
    watched: InstrumentedSource
    stalled: float
    timeout = 10.0
    """Timeout of a client's request in seconds."""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/metrics":
            encode, content_type = choose_encoder(self.headers.get("Accept", ""))
            self._answer(200, content_type, encode(self.registry))
        elif path in ("/healthz", "/healthz/ready", "/healthz/alive"):
            found = health(self.watched, self.stalled)
            asked = [path.removeprefix("/healthz/")] if path != "/healthz" else ["ready", "alive"]
            status = 200 if all(found[name] for name in asked) else 503
            self._answer(status, "application/json", orjson.dumps(found))
        else:
            self._answer(404, "text/plain; charset=utf-8", b"There are /metrics and /healthz.\n")

    def _answer(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    @override
    def version_string(self) -> str:
        return "freshrank"

    @override
    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: a line for each scrape would hide the job's own lines."""
