"""A stand-in for a schema registry: an HTTP server on 127.0.0.1 that serves the schemas a test gives it."""

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import orjson


class Registry:
    """Schemas by their ids, and how often each was asked for."""

    def __init__(self) -> None:
        self.schemas: dict[int, dict[str, str]] = {}
        self.asked: list[str] = []
        self.url = ""

    def add(self, kind: str, schema: object) -> int:
        number = len(self.schemas) + 1
        self.schemas[number] = {"schemaType": kind, "schema": orjson.dumps(schema).decode()}
        return number


@contextmanager
def schema_registry() -> Iterator[Registry]:
    """Serve a registry while the block runs."""
    registry = Registry()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            registry.asked.append(self.path)
            number = int(self.path.partition("/schemas/ids/")[2].partition("?")[0] or 0)
            found = registry.schemas.get(number)
            answer: object = found or {"error_code": 40403, "message": "Schema not found"}
            body = orjson.dumps(answer)
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    registry.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield registry
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


AVRO = {
    "type": "record",
    "name": "Click",
    "fields": [
        {"name": "user", "type": "string"},
        {"name": "item", "type": "long"},
        {"name": "timestamp", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "value", "type": ["null", "double"], "default": None},
    ],
}


def framed(number: int, data: bytes) -> bytes:
    return b"\0" + number.to_bytes(4, "big") + data


def avro(row: dict[str, object]) -> bytes:
    from fastavro import parse_schema, schemaless_writer

    out = io.BytesIO()
    schemaless_writer(out, parse_schema(AVRO), row)
    return out.getvalue()
