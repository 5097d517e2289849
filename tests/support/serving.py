"""`freshrank serve` in a thread of the test's process, between topics that a test fills and reads."""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import orjson
import uvicorn
from confluent_kafka import Producer

from flows.serve.access import read_tokens
from flows.serve.opening import open_store
from flows.serve.server import Application, Server, listen, uvicorn_config
from flows.serve.service import Service
from flows.serve.settings import load_serve_settings
from flows.settings import Settings
from tests.support.kafka_fixtures import AnyBroker, NewTopic, until


class RunningServer:
    """A server that runs.

    Attributes:
        url: Its address.
        http: A client of it.
        service: What is behind it.
    """

    def __init__(self, url: str, http: httpx.Client, service: Service, server: uvicorn.Server) -> None:
        self.url = url
        self.http = http
        self.service = service
        self.server = server

    def wait_ready(self) -> None:
        until(lambda: self.http.get("/healthz").status_code == 200)

    def list_of(self, user: str, **query: Any) -> dict[str, Any]:
        answer = self.http.get(f"/v1/users/{quote(user, safe='')}/list", params=query)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def items_of(self, user: str, **query: Any) -> list[str]:
        return [each["item"] for each in self.list_of(user, **query)["items"]]


@contextmanager
def running_server(job: Settings, **settings: Any) -> Iterator[RunningServer]:
    """Start a server on a free port, and end it as a signal would."""
    own = load_serve_settings({}, **{"port": 0, "store": "memory", "job_metrics": "", **settings})
    listener = listen(own)
    port = listener.getsockname()[1]
    application = Application(own, job, read_tokens(own.tokens), open_store(own.store, job.output_topic, port))
    server = Server(uvicorn_config(application), application)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    until(lambda: server.started or not thread.is_alive())
    assert application.service is not None
    url = f"http://127.0.0.1:{port}"
    try:
        with httpx.Client(base_url=url, timeout=120.0, trust_env=False) as http:
            yield RunningServer(url, http, application.service, server)
    finally:
        server.should_exit = True
        thread.join(120)
        assert not thread.is_alive(), "the server did not end"


class Topics:
    """An input and an output topic of new names, and the settings of a job between them."""

    def __init__(self, broker: AnyBroker, new_topic: NewTopic, partitions: int = 1) -> None:
        self.bootstrap = broker.bootstrap
        self.events = new_topic(partitions)
        self.lists = new_topic(partitions, cleanup_policy="compact")
        self.rejects = new_topic()
        self.job = Settings(
            bootstrap=self.bootstrap,
            input_topic=self.events,
            output_topic=self.lists,
            dead_letter_topic=self.rejects,
        )
        self._producer = Producer({"bootstrap.servers": self.bootstrap})

    def write(self, topic: str, key: str, value: bytes | None, headers: Mapping[str, str] | None = None) -> None:
        said = [(name, each.encode()) for name, each in (headers or {}).items()]
        self._producer.produce(topic, value, key.encode(), headers=said or None)
        assert self._producer.flush(120) == 0

    def write_list(
        self, user: str, items: Sequence[str], event_time: float = 100.0, request: str | None = None, **more: Any
    ) -> None:
        """Write a list as the job does."""
        listed = [{"item": item, "score": 1.0 - place / 10} for place, item in enumerate(items)]
        value = {"user": user, "items": listed, "event_time": event_time, "source": f"{self.events}/0/7", "model": "m"}
        self.write(self.lists, user, orjson.dumps(value | more), {"request": request} if request else None)


def wait_for_lists(server: RunningServer, count: int) -> None:
    """Wait until a server has read a number of lists."""
    until(lambda: server.service.reader.changed >= count)
    time.sleep(0)  # let the event loop's thread have its turn


def tokens_file(directory: Path) -> Path:
    """Write a file with one token of each role: `read-` and so on, with zeros behind."""
    path = directory / "tokens"
    path.write_text("# role token\n" + "".join(f"{role} {token(role)}\n" for role in ("read", "write", "admin")))
    return path


def token(role: str) -> str:
    return f"{role}-{'0' * 16}"


def bearer(role: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token(role)}"}
