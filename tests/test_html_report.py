"""The HTML report as a browser renders it: what stands on the page, where, in which colours, and that it is alone."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("altair", reason="the report's libraries are not here; pip install 'freshrank[report]'")
pytest.importorskip("vl_convert", reason="the report's libraries are not here; pip install 'freshrank[report]'")

from flows.html_report import ReportError, write_html
from flows.latency import BUCKETS, LOWEST, PER_DOUBLING
from flows.model_watch import Look
from flows.report.measured import Listed, Measured, Sample
from tests.browser import Page, browse, find_browser

WIDTHS, SCHEMES = (1280, 390), ("light", "dark")
EVENTS = 6_000
HOSTILE = "</script><script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"
"""A title as somebody might put it into a catalogue."""
FIGURES = ["time", "served", "cpu", "weights", "ranks", "latency", "users", "items", "popularity"]


def planted(name: str, rate: float, cpu: float, weighs: bool = False) -> Measured:
    """A replay whose hit rate doubles in the middle, with all that a report can show."""
    random = np.random.default_rng(len(name))
    chance = np.repeat([rate, 2 * rate], EVENTS // 2)
    position = np.where(random.random(EVENTS) < chance, random.integers(0, 10, EVENTS), -1).astype(np.int32)
    served = np.where(random.random(EVENTS) < 0.5, position, -1).astype(np.int32)
    latency = np.zeros(BUCKETS, np.int64)
    latency[round(PER_DOUBLING * np.log2(0.001 / LOWEST))] = EVENTS  # one millisecond each
    numbers = {
        "log": {"path": "somewhere/clicks.csv", "users": 400, "items": 300},
        "metrics": {"hit_rate@10": float((position >= 0).mean()), "ndcg@10": 0.1, "mrr@10": 0.1},
        "scored": EVENTS,
        "cpu_seconds": cpu,
        "events_per_second": 1_000.0,
        "latency_us": {"p50": 1_000.0, "p99": 1_000.0, "max": 1_000.0},
        "peak_rss_mb": 100.0,
    }
    column = {"number": np.arange(EVENTS), "time": np.arange(EVENTS, dtype=np.float64)}
    seen = random.integers(0, 300, (2, EVENTS)).astype(np.int32)
    looks = [Look(n, {"popular": 1.0, "follows": n / 1_000}) for n in range(64, EVENTS, 64)]
    return Measured(
        name=name,
        numbers=numbers,
        k=10,
        outcomes={**column, "position": position, "served": served, "user_events": seen[0], "item_events": seen[1]},
        latency=latency,
        looks=looks if weighs else [],
        listed={f"i{n}": 1_000 // (n + 1) for n in range(300)},
        touched={f"i{n}": 300 - n for n in range(300)},
        samples=[Sample("ann", ["i1"], [Listed("i2", 1.5, {"follows": 1.2, "popular": 0.3}), Listed("i3", 0.2, {})])],
    )


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    browser = find_browser()
    if browser is None:
        pytest.skip("there is no Chromium here; apt-get install chromium, or set FRESHRANK_TEST_BROWSER")
    with browse(browser) as opened:
        yield opened


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("reports")
    blend, other = planted("blend", 0.2, 4.0, weighs=True), planted("popularity(half_life=300.0)", 0.1, 0.5)
    sets = {"one": [blend], "two": [blend, other], "many": [replace(other, name="x") for _ in range(10)]}
    for name, results in sets.items():
        write_html(
            folder / f"{name}.html",
            results,
            f"freshrank replay {name}",
            titles={"i2": "Tea", "i3": HOSTILE},
            sentences=["blend is better by 0.100 ± 0.010."],
        )
    return {name: folder / f"{name}.html" for name in sets}


def opened(page: Page, path: Path, width: int = 1280, scheme: str = "light") -> None:
    page.open(path, width, scheme)
    page.evaluate("window.ready.then(() => document.fonts.ready).then(() => 0)")


MARKS = """
[...document.querySelectorAll("figure")].map(figure => ({
  name: figure.id,
  marks: [...figure.querySelectorAll("svg g[class*=mark-][role=graphics-object] > *, svg g.mark-rect > *")].map(mark => {
    const box = mark.getBoundingClientRect();
    const drawn = getComputedStyle(mark);
    return {kind: mark.parentNode.getAttribute("class").split(" ")[0], tag: mark.tagName, width: box.width,
            height: box.height, left: box.left, right: box.right, top: box.top, fill: drawn.fill, stroke: drawn.stroke,
            text: mark.textContent};
  }),
  svg: (({width, height, left, right}) => ({width, height, left, right}))(
    figure.querySelector("svg").getBoundingClientRect()),
}))
"""


def marks(page: Page) -> dict[str, list[dict[str, Any]]]:
    return {figure["name"]: figure["marks"] for figure in page.evaluate(MARKS)}


def of_kind(found: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [mark for mark in found if mark["kind"] == f"mark-{kind}"]
