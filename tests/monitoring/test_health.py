"""Health: readiness and liveness of a job, and the address of the server."""

import json
import socket

import pytest

from flows.monitoring.http_server import PortError, serve_http
from flows.monitoring.metrics import registry_of
from flows.settings import Settings
from tests.support.monitored_flow import get, watching


def test_health_before_during_and_after_a_stall() -> None:
    job = watching([])
    with job.serve(stalled_seconds=60) as url:
        status, body = get(f"{url}/healthz")
        assert (status, json.loads(body)) == (503, {"ready": False, "alive": True, "since_progress": None})
        assert [get(f"{url}/healthz/{asked}")[0] for asked in ("ready", "alive")] == [503, 200]
        job.watched.note_question()
        assert [get(f"{url}/healthz{asked}")[0] for asked in ("", "/ready", "/alive")] == [200, 200, 200]
        assert job.watched.asked is not None
        job.watched.asked -= 61
        assert [get(f"{url}/healthz{asked}")[0] for asked in ("", "/ready", "/alive")] == [503, 200, 503]
        assert json.loads(get(f"{url}/healthz")[1])["since_progress"] > 60
        assert get(f"{url}/elsewhere")[0] == 404


def test_metrics_port_is_off_by_default_and_local_when_on() -> None:
    assert Settings().metrics_port == 0
    assert Settings().metrics_host == "127.0.0.1"
    job = watching([])
    with serve_http("127.0.0.1", 0, registry_of(job.gathered), job.watched, 1.0) as url:
        assert url is None
    with job.serve() as url:
        port = int(url.rpartition(":")[2])
        with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.2", port), timeout=5):
            pass
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), timeout=5):
        pass


def test_a_port_that_is_taken_is_named_with_what_to_set() -> None:
    job = watching([])
    with job.serve() as url:
        port = int(url.rpartition(":")[2])
        with (
            pytest.raises(PortError, match=rf"listen on 127.0.0.1:{port} .*in use.*`metrics_port`"),
            serve_http("127.0.0.1", port, registry_of(job.gathered), job.watched, 1.0),
        ):
            pass
