"""A job with a challenger and attribution: what it logs, what its metrics say, and how it resumes."""

import logging
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from flows.inspection.promotion import promote
from flows.job.connections import connector_of, gather
from flows.job.run import run
from flows.monitoring.metrics import registry_of
from flows.settings import Settings
from tests.support.flow import event

MODEL, CHALLENGER = "popularity", "covisitation"


def settings_of(shop: Path, **more: Any) -> Settings:
    chosen = {"model": MODEL, "challenger": CHALLENGER, "attribution_window": 60.0, "challenger_users": 0.5, **more}
    return Settings(connector="shop:Shop", recovery=shop / "state", epoch_seconds=0.01, **chosen)


def write(shop: Path, name: str, start: int, stop: int) -> None:
    records = [event(f"u{n % 7}", f"i{n * n % 11}", float(n)) for n in range(start, stop)]
    (shop / "events" / name).write_bytes(b"".join(record + b"\n" for record in records))


def test_job_says_what_it_measured_and_resumes_with_it(shop: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    write(shop, "1.jsonl", 0, 100)
    assert run(settings_of(shop), stop_at_end=True).learned == 100
    write(shop, "2.jsonl", 100, 150)
    assert run(settings_of(shop), stop_at_end=True).learned == 50
    said = [message for message in caplog.messages if message.startswith(("challenger", "attribution"))]
    assert "on 100 events" in said[0]
    assert "lists sent" in said[1]
    assert "on 150 events" in said[2]
    assert said[2].startswith("challenger covisitation")
    promote(shop / "state")
    write(shop, "3.jsonl", 150, 160)
    run(settings_of(shop), stop_at_end=True)
    assert "covisitation was promoted, and popularity is the challenger" in caplog.text
    assert caplog.messages[-2].startswith("challenger popularity")
    assert "on 10 events" in caplog.messages[-2]


def test_metrics_have_the_numbers(shop: Path) -> None:
    settings = settings_of(shop)
    connections = connector_of(settings).connect(None, True)
    for number in range(1_000):
        connections.challenge.hits.update(number % 5 == 0, number % 2 == 0)
    connections.challenge.learned = 1_000
    connections.attribution.add_shown(2, True, "history", ["own"])
    connections.attribution.unattributed["other_user"] += 3
    connections.attribution.prefer(1, 2)
    text = generate_latest(registry_of(gather(settings, connections))).decode()
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert found["freshrank_challenger_scored_total",] == 1_000
    assert found["freshrank_challenger_hits_total", "challenger"] == 500
    assert found["freshrank_challenger_difference", "mean"] == pytest.approx(0.3)
    assert (
        0.0 < found["freshrank_challenger_difference", "low"] < 0.3 < found["freshrank_challenger_difference", "high"]
    )
    assert found["freshrank_challenger_failed",] == 0.0
    assert found["freshrank_unattributed_total", "other_user"] == 3
    assert found["freshrank_shown_rate", "mean", "click_rate", "own"] == 1.0
    assert found["freshrank_shown_items_total", "taken", "3"] == 1
    assert found["freshrank_preference", "mean"] == 1.0
    off = generate_latest(registry_of(gather(settings_of(shop, challenger=None, challenger_users=0.0), connections)))
    assert b"freshrank_challenger" not in off
