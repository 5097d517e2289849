"""Metrics and health: scraped over HTTP from a running flow, and compared with what happened."""

import json
import math
import re
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bytewax.operators as op
import orjson
import prometheus_client
import pytest
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink, TestingSource
from confluent_kafka import Producer
from prometheus_client.parser import text_string_to_metric_families

from flows.decode import JsonDecoder
from flows.engine import Recovery, recovery_in, run_flow
from flows.health import PortError, served
from flows.kafka_held import last_answered
from flows.kafka_lag import Lag
from flows.kafka_source import KafkaSource
from flows.latency import LatencyHistogram
from flows.messages import Raw
from flows.metrics import EDGES, Gathered, registry_of
from flows.recommend import Ends, build_flow
from flows.settings import Settings
from flows.tally import Tally
from flows.watch import REJECT_WINDOW, TooManyRejectsError, Watched
from tests.kafka_fixtures import NewTopic, config, until
from tests.kafka_jobs import Job, consume, produce
from tests.test_flow import event, sample_records

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "operations.md"
DASHBOARD = ROOT / "deploy" / "grafana" / "freshrank.json"
PROMETHEUS = ROOT / "deploy" / "prometheus"

Scraped = dict[tuple[str, str], float]
"""Values by name and the value of the one label, if there is one."""


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def scrape(url: str) -> Scraped:
    status, text = get(f"{url}/metrics")
    assert status == 200
    return {
        (sample.name, next(iter(sample.labels.values()), "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@dataclass
class Watching:
    """A flow between lists, that is watched."""

    ends: Ends
    watched: Watched
    gathered: Gathered
    sent: list[Any]
    letters: list[Any]

    @contextmanager
    def served(self, stalled_seconds: float = 300.0) -> Iterator[str]:
        registry = registry_of(self.gathered)
        with served("127.0.0.1", free_port(), registry, self.watched, stalled_seconds) as url:
            assert url is not None
            yield url

    def run(self, recovery: Recovery | None = None, epoch_seconds: float = 10.0, **settings: Any) -> None:
        run_flow(build_flow(Settings(**settings), self.ends), recovery, epoch_seconds)


def watching(records: list[bytes], batch: int = 10, max_reject_rate: float = 1.0, **more: Any) -> Watching:
    raw = [Raw("events", 0, offset, record) for offset, record in enumerate(records)]
    tally, sent, letters = Tally(), [], []
    watched = Watched(TestingSource(raw, batch_size=batch), tally, max_reject_rate)
    ends = Ends(
        source=watched,
        decoder=JsonDecoder(),
        lists=TestingSink(sent),
        dead_letters=TestingSink(letters),
        dead_letter=lambda rejected: rejected,
        tally=tally,
    )
    return Watching(ends, watched, Gathered(tally, ends.latency, watched, **more), sent, letters)


def mixed(count: int) -> list[bytes]:
    """Records of every kind."""
    good = sample_records(count)
    return [
        *good,
        b"garbage",
        b"garbage",
        event("", "tea", 1),
        event("u", "tea", 2e9, id="e1"),
        event("v", "tea", 2e9 + 1, id="e1"),
        event("v", "tea", 1, id="e2"),
        orjson.dumps({"kind": "item", "item": "tea", "timestamp": 3, "available": False}),
        orjson.dumps({"kind": "forget", "user": "u", "timestamp": 5}),
    ]


def test_what_is_scraped_is_what_happened() -> None:
    job = watching(mixed(500))
    with job.served() as url:
        job.run(emit="changed", repeats="exclude")
        told = scrape(url)
    tally = job.ends.tally
    assert told["freshrank_received_total", ""] == tally.read == 508
    assert told["freshrank_learned_total", ""] == tally.learned == 502
    assert told["freshrank_rejected_total", "not JSON"] == 2
    assert told["freshrank_rejected_total", "empty id"] == 1
    assert told["freshrank_rejected_total", "not UTF-8"] == 0, "a reason that has not been met is there from the start"
    assert told["freshrank_duplicate_total", ""] == told["freshrank_item_events_total", ""] == 1
    assert told["freshrank_forgotten_total", ""] == 1
    assert told["freshrank_late_total", ""] == tally.late > 0
    assert told["freshrank_ahead_total", ""] == tally.ahead == 1
    assert told["freshrank_emitted_total", ""] + told["freshrank_suppressed_total", ""] == 503
    assert told["freshrank_suppressed_total", ""] == tally.suppressed
    assert 0 < told["freshrank_hits_total", ""] == tally.hits < told["freshrank_scored_total", ""] == tally.scored
    assert told["freshrank_list_latency_seconds_count", ""] == tally.emitted
    assert told["freshrank_list_latency_seconds_bucket", "+Inf"] == tally.emitted
    assert told["freshrank_event_age_seconds", ""] == pytest.approx(time.time() - (tally.event_time or 0), abs=60)
    assert 0 <= told["freshrank_since_progress_seconds", ""] < 60
    assert told["freshrank_epoch_pause_seconds_count", ""] >= 0


def test_hits_are_the_hit_rate_that_a_replay_measures(write_log: Callable[..., Path]) -> None:
    from flows.replay import replay

    records = sample_records(3_000)
    job = watching(records)
    job.run(repeats="exclude")
    fresh = replay(write_log(record.decode() for record in records), Settings(repeats="exclude")).fresh
    assert job.ends.tally.scored == fresh.scored
    assert job.ends.tally.hits / job.ends.tally.scored == pytest.approx(fresh.hit_rate, abs=1e-12)


def test_snapshots_and_state_are_measured(tmp_path: Path) -> None:
    job = watching(sample_records(3_000), state=tmp_path / "state")
    with recovery_in(tmp_path, {"model": "blend"}) as recovery, job.served() as url:
        assert recovery is not None
        job.ends.store = recovery.store
        job.run(recovery, epoch_seconds=0.01)
        told = scrape(url)
    for step in ("clean", "learn"):
        on_disk = sum(path.stat().st_size for path in (tmp_path / "state" / step).iterdir())
        assert told["freshrank_state_bytes", step] == on_disk > 0
    assert told["freshrank_epoch_pause_seconds_count", ""] > 0
    assert 0 < told["freshrank_last_epoch_pause_seconds", ""] < told["freshrank_epoch_pause_seconds_sum", ""] + 1e-9


def test_a_pause_is_from_the_first_partitions_snapshot_to_the_next_question() -> None:
    watched = watching([]).watched
    for epoch in (1, 2):
        watched.note_question()
        watched.note_snapshot("0", 5)
        watched.note_snapshot("1", {1: 7, 2: 9})
        assert watched.pauses.cumulative(EDGES)[1] == epoch - 1
        for _ in range(3):
            watched.note_question()
        assert watched.pauses.cumulative(EDGES)[1] == epoch
    assert watched.positions == {0: 5, 1: 7, 2: 9}


def test_the_watched_flow_is_the_same_flow() -> None:
    records = mixed(300)
    watched, plain = watching(records), watching(records)
    plain.ends.source = plain.watched.source
    watched.run()
    plain.run()
    assert watched.sent == plain.sent
    assert len(watched.sent) > 300
    assert watched.watched.positions == {0: len(records)}


# --- health ---


def test_health_before_during_and_after_a_stall() -> None:
    job = watching([])
    with job.served(stalled_seconds=60) as url:
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


def test_nothing_listens_unless_it_is_told_to_and_then_on_this_machine_alone() -> None:
    assert Settings().metrics_port == 0
    assert Settings().metrics_host == "127.0.0.1"
    job = watching([])
    with served("127.0.0.1", 0, registry_of(job.gathered), job.watched, 1.0) as url:
        assert url is None
    with job.served() as url:
        port = int(url.rpartition(":")[2])
        with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.2", port), timeout=5):
            pass
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), timeout=5):
        pass


def test_a_port_that_is_taken_is_named_with_what_to_set() -> None:
    job = watching([])
    with job.served() as url:
        port = int(url.rpartition(":")[2])
        with (
            pytest.raises(PortError, match=rf"listen on 127.0.0.1:{port} .*in use.*`metrics_port`"),
            served("127.0.0.1", port, registry_of(job.gathered), job.watched, 1.0),
        ):
            pass


def test_the_engines_registry_is_left_alone() -> None:
    before = {family.name for family in prometheus_client.REGISTRY.collect()}
    registry_of(watching([]).gathered)
    after = {family.name for family in prometheus_client.REGISTRY.collect()}
    assert before == after
    assert not any(name.startswith("freshrank") for name in after)


# --- the histogram ---


def test_buckets_are_exact_from_50_microseconds_on() -> None:
    histogram = LatencyHistogram()
    durations = [edge * factor for edge in EDGES for factor in (0.99, 1.0, 1.01)]
    for seconds in durations:
        histogram.add(seconds)
    buckets, count, total = histogram.cumulative(EDGES)
    assert buckets[0] == (50e-6, 2)
    assert [below for _, below in buckets] == [sum(s <= edge for s in durations) for edge in EDGES]
    assert count == len(durations)
    assert total == pytest.approx(sum(durations))


def test_asking_changes_nothing_and_forgets_nothing() -> None:
    histogram = LatencyHistogram()
    for number in range(1, 10_001):
        histogram.add(number * 1e-5)
        if number % 1_000 == 0:
            _, count, total = histogram.cumulative([0.05])
            assert count == number
            assert total == pytest.approx(number * (number + 1) / 2 * 1e-5)
    assert math.isclose(histogram.quantile(0.5), 0.05, rel_tol=0.02)


# --- rejects above a rate ---


def bad(every: int, count: int) -> list[bytes]:
    return [b"garbage" if n % every == 0 else event("u", "tea", n) for n in range(count)]


def test_rejects_above_the_rate_stop_the_job_and_are_named() -> None:
    job = watching(bad(4, 5 * REJECT_WINDOW), max_reject_rate=0.2)
    with pytest.raises(TooManyRejectsError, match=r"at most 20.0% .* not JSON.*`max_reject_rate`"):
        job.run(model="popularity")
    assert job.ends.tally.received < 2 * REJECT_WINDOW
    assert len(job.letters) == job.ends.tally.rejected.total()


@pytest.mark.parametrize(("every", "rate"), [(4, 0.3), (1, 1.0), (10_000, 0.001)])
def test_rejects_up_to_the_rate_do_not(every: int, rate: float) -> None:
    job = watching(bad(every, 5 * REJECT_WINDOW), max_reject_rate=rate)
    job.run(model="popularity")
    assert job.ends.tally.read == 5 * REJECT_WINDOW


# --- Kafka ---


def test_lag_is_what_the_topic_holds_and_the_flow_has_not_been_given(mock_broker: str) -> None:
    producer = Producer({"bootstrap.servers": mock_broker})
    for part, count in enumerate((30, 0, 20, 10)):
        for _ in range(count):
            producer.produce("events", b"x", partition=part)
    assert producer.flush(10) == 0
    source, got = KafkaSource(config(mock_broker), "events", stop_at_end=True), []
    watched = Watched(source, Tally())
    lag = Lag({"bootstrap.servers": mock_broker}, "events", watched.positions)
    assert lag() == {}
    flow = Dataflow("test")
    op.output("out", op.input("in", flow, watched), TestingSink(got))
    run_flow(flow, None, epoch_seconds=0.05)
    source.close()
    assert len(got) == watched.tally.received == 60
    assert lag() == {0: 0, 1: 0, 2: 0, 3: 0}
    for _ in range(7):
        producer.produce("events", b"x", partition=2)
    assert producer.flush(10) == 0
    assert lag() == {0: 0, 1: 0, 2: 7, 3: 0}


def test_lag_of_a_topic_that_cannot_be_asked_is_not_told() -> None:
    lag = Lag({"bootstrap.servers": f"127.0.0.1:{free_port()}"}, "events", {0: 5})
    assert lag() == {}


def test_the_last_events_that_have_lists_are_found_and_lists_up_to_them_count_as_redelivered(mock_broker: str) -> None:
    producer = Producer({"bootstrap.servers": mock_broker})
    answered = ["events/0/5", "events/0/6", "events/1/3", None, "events/0/7"]
    for n, source in enumerate(answered):
        value = None if source is None else orjson.dumps({"source": source})
        producer.produce("lists", value, partition=n % 4)
    producer.produce("lists", b"[not ours]", partition=2)
    assert producer.flush(10) == 0
    held = last_answered({"bootstrap.servers": mock_broker}, "lists")
    assert held == {"events/0": 7, "events/1": 3}

    job = watching([event("u", f"i{n}", n) for n in range(20)])
    job.ends.tally.held = held
    job.run(model="popularity")
    assert (job.ends.tally.redelivered, job.ends.tally.emitted) == (8, 20)
    assert job.ends.tally.held == {"events/1": 3}


def test_an_output_topic_that_cannot_be_read_costs_only_the_count(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        assert last_answered({"bootstrap.servers": f"127.0.0.1:{free_port()}"}, "lists") == {}
    assert "will not be counted" in caplog.text


@pytest.mark.kafka
def test_a_job_on_a_real_broker_tells_its_lag_its_deliveries_and_what_it_repeats(new_job: Callable[..., Job]) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    job = new_job(METRICS_PORT=port, LOG_FORMAT="json", EPOCH_SECONDS=1.0)
    records = sample_records(20_000)
    produce(job.broker, job.events, [*records, b"garbage"])
    process = job.start()
    until(lambda: job.emitted() > 5_000, seconds=180)
    process.kill()
    process.communicate()

    process = job.start()
    until(lambda: is_ready(url), seconds=180)
    until(lambda: job.emitted() >= len(records) and scrape(url)["freshrank_lag_records", "0"] == 0)
    told = all_delivered(url)
    assert told["freshrank_redelivered_total", ""] == job.emitted() - len(records) > 0
    assert told["freshrank_delivered_total", "dead_letters"] == 1
    assert told["freshrank_received_total", ""] == told["freshrank_learned_total", ""] + 1
    assert told["freshrank_state_bytes", "learn"] > 0
    produce(job.broker, job.events, records[:10])
    until(lambda: all_delivered(url)["freshrank_emitted_total", ""] == told["freshrank_emitted_total", ""] + 10)
    process.terminate()
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 0, said
    last = [orjson.loads(line) for line in said.splitlines()][-1]
    assert last["learned"] == told["freshrank_learned_total", ""] + 10
    assert last["rejected"] == {"not JSON": 1}


@pytest.mark.kafka
def test_the_engines_own_command_tells_them_too(new_job: Callable[..., Job], new_topic: NewTopic) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    job = new_job(METRICS_PORT=port, LOG_FORMAT="json", TOP=100, TOO_LARGE="dead-letter")
    job.lists, job.rejects = new_topic(max_message_bytes="2500"), new_topic()
    job.variables |= {"OUTPUT_TOPIC": job.lists, "DEAD_LETTER_TOPIC": job.rejects}
    produce(job.broker, job.events, sample_records(1_000))
    process = job.start_by_engine()
    until(lambda: is_ready(url), seconds=180)
    until(lambda: scrape(url)["freshrank_learned_total", ""] == 1_000)
    until(lambda: job.emitted() + len(consume(job.broker, job.rejects)) == 1_000)
    told = scrape(url)
    assert 0 < told["freshrank_too_large_total", "lists"] == 1_000 - job.emitted()
    assert told["freshrank_delivered_total", "lists"] == job.emitted()
    process.kill()
    said = process.communicate()[1].splitlines()
    assert f"serving {url}/metrics" in " ".join(orjson.loads(line)["message"] for line in said if line[:1] == "{")


def is_ready(url: str) -> bool:
    try:
        return get(f"{url}/healthz")[0] == 200
    except OSError:
        return False


def all_delivered(url: str) -> Scraped:
    """What is scraped when everything that was emitted has arrived."""
    told: Scraped = {}

    def holds() -> bool:
        told.update(scrape(url))
        emitted, rejected = told["freshrank_emitted_total", ""], told["freshrank_rejected_total", "not JSON"]
        delivered = {to: told["freshrank_delivered_total", to] for to in ("lists", "dead_letters")}
        return delivered == {"lists": emitted, "dead_letters": rejected}

    until(holds)
    return told


# --- what is written about them ---


def exported() -> dict[str, str]:
    """Names as they are scraped, and types."""
    names = {}
    for family in registry_of(watching([]).gathered).collect():
        suffix = {"counter": "_total", "info": "_info"}.get(family.type, "")
        names[family.name + suffix] = "gauge" if family.type == "info" else family.type
    return names


def described() -> dict[str, str]:
    rows = re.findall(r"^\| `([a-z_]+)(?:\{\w+\})?` \| (\w+) \|", PAGE.read_text(), re.MULTILINE)
    assert len(rows) == len(dict(rows))
    return dict(rows)


def test_the_page_describes_every_metric_and_no_other() -> None:
    assert described() == exported()


def series() -> set[str]:
    return {
        name + suffix
        for name, kind in exported().items()
        for suffix in (("_bucket", "_sum", "_count") if kind == "histogram" else ("",))
    }


def names_in(expression: str) -> set[str]:
    return set(re.findall(r"\b(?:freshrank|process)_\w+", expression))


def test_the_dashboard_is_whole_and_shows_what_exists() -> None:
    board = json.loads(DASHBOARD.read_text())
    assert board["title"]
    assert board["uid"] == "freshrank"
    assert isinstance(board["schemaVersion"], int)
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    places: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        assert panel["type"] in ("timeseries", "stat")
        assert panel["title"]
        assert panel["description"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        at = panel["gridPos"]
        covered = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not places & covered
        assert max(x for x, _ in covered) < 24
        places |= covered
        assert panel["targets"]
        for target in panel["targets"]:
            assert names_in(target["expr"])
            assert names_in(target["expr"]) <= series()
            assert target["expr"].count("(") == target["expr"].count(")")
    assert [variable["name"] for variable in board["templating"]["list"]] == ["datasource"]


def test_alerts_are_about_what_exists_and_on_the_page() -> None:
    yaml = pytest.importorskip("ruamel.yaml", reason="ruamel.yaml comes with the dev extra's check-jsonschema")
    load = yaml.YAML(typ="safe").load
    (group,) = load(PROMETHEUS / "alerts.yml")["groups"]
    for rule in group["rules"]:
        assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
        assert names_in(rule["expr"]) <= series() | {"up"}
        assert names_in(rule["expr"]) or "up{" in rule["expr"]
        assert f"`{rule['alert']}`" in PAGE.read_text()
    scraped = load(PROMETHEUS / "prometheus.yml")
    assert scraped["rule_files"] == ["alerts.yml"]
    (job,) = scraped["scrape_configs"]
    assert job["job_name"] == "freshrank"
    assert 'up{job="freshrank"}' in " ".join(rule["expr"] for rule in group["rules"])
