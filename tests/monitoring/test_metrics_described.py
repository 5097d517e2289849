"""Docs, dashboard and alerts name exactly the existing metrics."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from flows.job.past_progress import PastCollector
from flows.job.shard_metrics import ShardCollector
from flows.job.slow_metrics import SlowCollector
from flows.monitoring.attribution import Attribution
from flows.monitoring.challenge import Challenge
from flows.monitoring.metrics import registry_of
from flows.monitoring.weights import WeightsObserver
from flows.shards.identity import Shard
from flows.shards.link import ShardLink
from tests.support.monitored_flow import watching
from tests.support.shard_topic import Topic, TopicLog

ROOT = Path(__file__).parent.parent.parent

PAGE = ROOT / "docs" / "operations.md"

DASHBOARD = ROOT / "deploy" / "grafana" / "freshrank.json"

PROMETHEUS = ROOT / "deploy" / "prometheus"


def exported() -> dict[str, str]:
    """Names as they are scraped, and types."""
    names = {}
    link = ShardLink(Shard(0, 2), TopicLog(Topic(2), 0))
    named = (
        "age_events",
        "loss",
        "training_loss",
        "trusted",
        "swaps",
        "promoted",
        "rolled_back",
        "training",
        "failures",
    )
    figures = dict.fromkeys(named, 1.0)
    gathered = watching([], weights=WeightsObserver(), challenge=Challenge(), attribution=Attribution()).gathered
    for family in registry_of(
        replace(
            gathered, others=[ShardCollector(link), SlowCollector(lambda: figures), PastCollector("learning", int, int)]
        )
    ).collect():
        suffix = {"counter": "_total", "info": "_info"}.get(family.type, "")
        names[family.name + suffix] = "gauge" if family.type == "info" else family.type
    return names


def described() -> dict[str, str]:
    rows = re.findall(r"^\| `([a-z_]+)(?:\{[\w,]+\})?` \| (\w+) \|", PAGE.read_text(), re.MULTILINE)
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
    assert [variable["name"] for variable in board["templating"]["list"]] == ["datasource", "job", "shard"]


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
