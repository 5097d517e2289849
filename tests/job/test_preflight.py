"""Preflight: faults that `freshrank check` and the start of a job find before a record is read."""

import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest
from confluent_kafka import Producer

from flows.cli import main
from flows.errors import UsageError
from flows.job.connections import connections_for_engine
from flows.job.feed import feed
from flows.job.preflight import Findings, inspect_job, require_brokers, topic_faults
from flows.job.run import run
from flows.kafka.admin import connect
from flows.kafka.probe import probe
from flows.sample import EVENTS
from flows.settings import Settings
from tests.support.kafka_fixtures import AnyBroker, NewTopic

ROLES = ("input_topic", "output_topic", "dead_letter_topic")


@pytest.mark.parametrize(("one", "other"), [(ROLES[0], ROLES[1]), (ROLES[0], ROLES[2]), (ROLES[1], ROLES[2])])
def test_a_topic_with_two_roles_is_refused_by_check_and_by_both_ways_to_run(one: str, other: str) -> None:
    settings = Settings.model_validate({one: "same", other: "same", "bootstrap": "127.0.0.1:1"})
    [said] = topic_faults(settings)
    assert f"`{one}`" in said
    assert f"`{other}`" in said
    assert inspect_job(settings) == Findings([said], [])
    for start in (run, connections_for_engine):
        with pytest.raises(UsageError, match="'same'"):
            start(settings)


@pytest.mark.parametrize("role", [*ROLES, "trending_topic"])
def test_topic_of_items_has_no_other_role(role: str) -> None:
    settings = Settings.model_validate({role: "same", "related_topic": "same", "related": 1, "trending": 1})
    [said] = topic_faults(settings)
    assert "`related_topic`" in said
    assert f"`{role}`" in said
    assert topic_faults(settings.model_copy(update={"related": 0.0, "trending": 0.0})) == []


def test_check_names_conflicting_settings_without_a_broker() -> None:
    settings = Settings(bootstrap="127.0.0.1:1", kafka={"acks": 1})
    [said] = inspect_job(settings).faults
    assert "`acks`" in said


@pytest.fixture
def unreachable() -> Iterator[str]:
    """A broker that answers at its bootstrap address and advertises a port where nobody listens.

    It is librdkafka's mock cluster behind a proxy that writes another port of the same length into each answer.
    """
    owner = Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "none", "log_level": 2})
    owner.list_topics("events", timeout=10)
    [broker] = owner.list_topics(timeout=10).brokers.values()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = free.getsockname()[1]
    listener = socket.create_server(("127.0.0.1", 0))
    opened = [listener]
    real, wrong = broker.port.to_bytes(4, "big"), closed.to_bytes(4, "big")

    def pump(source: socket.socket, sink: socket.socket, old: bytes, new: bytes) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                sink.sendall(data.replace(old, new) if old else data)
            sink.shutdown(socket.SHUT_RDWR)

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:  # closed: the test is over
                return
            server = socket.create_connection(("127.0.0.1", broker.port))
            opened.extend((client, server))
            for ends in ((client, server, b"", b""), (server, client, real, wrong)):
                threading.Thread(target=pump, args=ends, daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    yield f"127.0.0.1:{listener.getsockname()[1]}"
    for each in opened:
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()
    owner.flush()


def test_an_advertised_listener_that_does_not_answer_is_named(unreachable: str) -> None:
    settings = Settings(bootstrap=unreachable)
    for [said] in (probe(settings.client(), {"input_topic": "events"}), inspect_job(settings).faults):
        assert "tells clients to connect to 127.0.0.1:" in said
    with pytest.raises(UsageError, match=r"does not answer from here .*advertised\.listeners"):
        require_brokers(settings, {"input_topic": "events"})
    with pytest.raises(UsageError, match=r"advertised\.listeners"):
        feed(EVENTS, settings, "events")


def job(broker: AnyBroker, events: str, **settings: object) -> Settings:
    names = {"output_topic": f"{events}-lists", "dead_letter_topic": f"{events}-rejects", "group": events}
    return Settings.model_validate({"bootstrap": broker.bootstrap, "input_topic": events, **names, **settings})


@pytest.mark.kafka
def test_topics_with_the_wrong_cleanup_policy_are_named(broker: AnyBroker, new_topic: NewTopic) -> None:
    plain, compacted = new_topic(), new_topic(cleanup_policy="compact")
    assert inspect_job(job(broker, plain)) == Findings([], [])
    [said] = inspect_job(job(broker, compacted)).faults
    assert f"{compacted!r} (`input_topic`) has cleanup.policy=compact" in said
    assert inspect_job(job(broker, compacted, compacted_input=True)) == Findings([], [])
    [said] = inspect_job(job(broker, plain, dead_letter_topic=compacted)).faults
    assert f"{compacted!r} (`dead_letter_topic`) has cleanup.policy=compact" in said
    other = new_topic()
    faults, warnings = inspect_job(job(broker, plain, output_topic=other))
    assert faults == []
    assert f"{other!r} (`output_topic`) has cleanup.policy=delete" in warnings[0]
    assert "\n" not in said + warnings[0]


@pytest.mark.kafka
def test_check_says_all_is_well_only_if_it_is(
    broker: AnyBroker, new_topic: NewTopic, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def check() -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["freshrank", "check"])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), " ".join(capsys.readouterr().err.split())

    events, uncompacted = new_topic(), new_topic()
    for name, value in (("BOOTSTRAP", broker.bootstrap), ("INPUT_TOPIC", events)):
        monkeypatch.setenv(f"FRESHRANK_{name}", value)
    status, said = check()
    assert status == 0
    assert "All is well" in said
    monkeypatch.setenv("FRESHRANK_OUTPUT_TOPIC", uncompacted)
    status, said = check()
    assert status == 0
    assert "All is well" not in said
    assert "Warning: Topic" in said
    monkeypatch.setenv("FRESHRANK_DEAD_LETTER_TOPIC", events)
    status, said = check()
    assert status == 2
    assert "without end" in said


@pytest.mark.kafka
def test_check_creates_missing_topics_where_it_is_asked_to(
    broker: AnyBroker, new_topic: NewTopic, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = job(broker, new_topic())
    for name in ("bootstrap", "input_topic", "output_topic", "dead_letter_topic"):
        monkeypatch.setenv(f"FRESHRANK_{name.upper()}", str(getattr(settings, name)))

    def topics_after(*options: str) -> set[str]:
        monkeypatch.setattr(sys, "argv", ["freshrank", "check", *options])
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code
        return connect(settings.client(), 10.0)[1].topics.keys() & {settings.output_topic, settings.dead_letter_topic}

    assert topics_after() == set()
    assert topics_after("--create") == {settings.output_topic, settings.dead_letter_topic}
