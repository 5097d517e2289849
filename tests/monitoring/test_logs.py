"""Logs: lines for people or JSON for machines, and no secret in either."""

import io
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import pytest
from prometheus_client import generate_latest

from flows.cli import FAILED, WRONG
from flows.job.connections import gather, kafka_connections
from flows.kafka.errors import secrets_in
from flows.monitoring.logging_setup import LogFormat, are_logs_json, set_up_logging
from flows.monitoring.metrics import registry_of
from flows.replay import replay
from flows.settings import Settings
from tests.support.cli import freshrank
from tests.support.flow import sample_records

SECRET = 'hun"ter2\\é'
FORMATS: list[LogFormat] = ["text", "json"]


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, hook = root.handlers[:], root.level, sys.excepthook
    yield
    root.handlers[:], root.level, sys.excepthook = handlers, level, hook
    logging.captureWarnings(False)


def logged(log_format: LogFormat, secrets: list[str] | None = None) -> io.StringIO:
    stream = io.StringIO()
    set_up_logging(log_format, secrets or [], stream)
    return stream


def test_text_is_one_readable_line() -> None:
    stream = logged("text")
    logging.getLogger("flows.job.run").info("%d lists", 7, extra={"emitted": 7})
    assert stream.getvalue().endswith(" INFO 7 lists\n")
    assert not are_logs_json()


def test_json_is_one_object_a_line_with_the_counts_as_fields() -> None:
    stream = logged("json")
    logging.getLogger("flows.job.run").warning("two\nlines", extra={"emitted": 7, "rejected": {"not JSON": 1}})
    (line,) = map(orjson.loads, stream.getvalue().splitlines())
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "WARNING",
        "logger": "flows.job.run",
        "message": "two\nlines",
        "emitted": 7,
        "rejected": {"not JSON": 1},
    }
    assert are_logs_json()


def test_json_has_the_traceback_and_takes_any_extra() -> None:
    stream = logged("json")
    try:
        raise ValueError("no more paper")
    except ValueError:
        logging.getLogger("x").exception("failed", extra={"where": Path("a"), "by": {1: {2}}})
    line = orjson.loads(stream.getvalue())
    assert "no more paper" in line["exception"]
    assert line["where"] == "a"


@pytest.mark.parametrize("log_format", FORMATS)
def test_log_lines_hide_secrets_in_messages_arguments_extras_and_tracebacks(log_format: LogFormat) -> None:
    stream = logged(log_format, [SECRET])
    log = logging.getLogger("x")
    log.info("password " + SECRET)
    log.info("password %s", SECRET, extra={"config": {"sasl.password": SECRET}})
    try:
        raise RuntimeError(f"refused {SECRET}")
    except RuntimeError:
        log.exception("failed")
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
    said = stream.getvalue()
    assert SECRET not in said
    assert "ter2" not in said
    assert said.count("***") >= 4


def test_every_secret_of_the_settings_is_known(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("from-a-file\n")
    kafka = {"ssl.key.password": "key", "ssl.key.pem": "pem", "sasl.oauthbearer.client.secret": "client"}
    assert set(secrets_in(Settings(kafka=kafka, kafka_password_file=file).client())) == {
        "key", "pem", "client", "from-a-file",
    }  # fmt: skip


@pytest.mark.parametrize(("command", "log_format"), [("check", "text"), ("run", "text"), ("run", "json")])
@pytest.mark.slow
def test_the_command_says_no_secret_where_kafka_is_not(command: str, log_format: str) -> None:
    done = freshrank(
        command,
        FRESHRANK_BOOTSTRAP="127.0.0.1:1",
        FRESHRANK_KAFKA='{"sasl.username": "me", "security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN"}',
        FRESHRANK_KAFKA_PASSWORD="hunter2",
        FRESHRANK_LOG_FORMAT=log_format,
    )
    assert done.returncode == WRONG
    assert "127.0.0.1:1" in done.stderr
    assert "hunter2" not in done.stdout + done.stderr
    if command == "run" and log_format == "json":
        lines = [orjson.loads(line) for line in done.stderr.splitlines()]
        assert lines[-1]["level"] == "CRITICAL"


@pytest.mark.process
def test_an_exception_that_nobody_expected_is_a_json_line_too() -> None:
    script = (
        "from flows.monitoring.logging_setup import set_up_logging\n"
        "set_up_logging('json', ['hunter2'])\n"
        "import warnings; warnings.warn('old')\n"
        "raise KeyError('hunter2')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    warned, failed = map(orjson.loads, done.stderr.splitlines())
    assert "old" in warned["message"]
    assert "KeyError" in failed["exception"]
    assert "hunter2" not in done.stderr
    assert done.returncode == FAILED


def test_reports_and_metrics_hold_no_secret(write_log: Callable[..., Path]) -> None:
    settings = Settings(model="popularity", kafka={"ssl.key.password": "hunter2"}, kafka_password="hunter3")
    log = write_log(record.decode() for record in sample_records(50))
    assert b"hunter" not in orjson.dumps(replay(log, settings).report())
    connections = kafka_connections(settings)
    exported = generate_latest(registry_of(gather(settings, connections))).decode()
    assert 'model="popularity/1"' in exported
    assert "hunter" not in exported + repr(connections.counters)
