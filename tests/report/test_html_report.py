"""The HTML report in a browser: content, places and colours, and no network requests."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

pytest.importorskip("altair", reason="the report's libraries are not here; pip install 'freshrank[report]'")
pytest.importorskip("vl_convert", reason="the report's libraries are not here; pip install 'freshrank[report]'")
from flows.report.data import Measured
from flows.report.page import ReportError, write_html
from tests.support.browser import Page
from tests.support.page_scripts import CONTRASTS, MARKS
from tests.support.planted_report import HOSTILE, planted

WIDTHS, SCHEMES = (1280, 390), ("light", "dark")

FIGURES = ["time", "served", "cpu", "weights", "ranks", "latency", "users", "items", "popularity"]


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


class Tags(HTMLParser):
    """What the tags of a page would fetch, its style sheet and its policy."""

    def __init__(self) -> None:
        super().__init__()
        self.fetching: list[str] = []
        self.style, self.policy, self._tag = "", "", ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._tag, told = tag, dict(attrs)
        self.fetching += [str(told[name]) for name in ("src", "href", "srcset", "action", "data") if name in told]
        if told.get("http-equiv") == "Content-Security-Policy":
            self.policy = str(told["content"])

    def handle_data(self, data: str) -> None:
        if self._tag == "style":
            self.style += data


def figures(page: Page) -> dict[str, Any]:
    return dict(page.evaluate(MARKS))


def of_kind(figure: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [mark for mark in figure["marks"] if mark["kind"] == kind]


@pytest.mark.browser
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["one", "two", "many"])
def test_the_page_looks_right(page: Page, reports: dict[str, Path], name: str, width: int, scheme: str) -> None:
    opened(page, reports[name], width, scheme)
    assert page.complaints == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width, "nothing overflows"
    for figure, found in figures(page).items():
        assert found["marks"], figure
        assert found["room"] - 1 <= found["width"] <= found["room"] + 1, f"{figure} fills its place"
        for mark in found["marks"]:
            assert mark["left"] > -1, f"a {mark['kind']} of {figure} leaves it"
            assert mark["right"] > -1, f"a {mark['kind']} of {figure} leaves it"
            assert mark["width"] > 0 or mark["height"] > 0 or mark["kind"] == "rule", f"a {mark['kind']} of {figure}"
        for one, other in combinations(found["labels"], 2):
            is_apart = one["right"] <= other["left"] + 1 or other["right"] <= one["left"] + 1
            assert is_apart or one["bottom"] <= other["top"] + 4 or other["bottom"] <= one["top"] + 4, figure
    for seen in page.evaluate(CONTRASTS):
        assert seen["contrast"] >= (4.5 if seen["kind"] == "text" else 3.0), seen
        assert seen["size"] >= 11, seen
    light = page.evaluate("getComputedStyle(document.body).backgroundColor").startswith("rgb(24")
    assert light == (scheme == "light")


@pytest.mark.browser
def test_every_figure_is_there(page: Page, reports: dict[str, Path]) -> None:
    opened(page, reports["two"])
    assert list(figures(page)) == FIGURES
    opened(page, reports["one"])
    assert list(figures(page)) == [name for name in FIGURES if name != "cpu"]
    empty = page.evaluate("document.getElementById('empty').innerText")
    assert "One model is one point: " in empty
    assert "for 4.0 CPU seconds" in empty


@pytest.mark.browser
def test_a_hit_rate_that_doubles_is_drawn_twice_as_high(page: Page, reports: dict[str, Path]) -> None:
    opened(page, reports["one"])
    dots = [dot["up"] for dot in of_kind(figures(page)["time"], "symbol")]
    assert len(dots) == 40
    assert np.mean(dots[20:]) / np.mean(dots[:20]) == pytest.approx(2.0, rel=0.1)
    band, line = (of_kind(figures(page)["time"], kind)[0] for kind in ("area", "line"))
    assert band["height"] > line["height"], "the band is around the line"


@pytest.mark.browser
def test_served_lies_below_fresh(page: Page, reports: dict[str, Path]) -> None:
    opened(page, reports["one"])
    fresh, served = of_kind(figures(page)["served"], "line")
    assert fresh["up"] / served["up"] == pytest.approx(2.0, rel=0.3)
    opened(page, reports["two"])
    dots = of_kind(figures(page)["served"], "symbol")
    assert [dot["x"] > other["x"] for dot, other in zip(dots[:2], dots[2:], strict=True)] == [True, True]


@pytest.mark.browser
def test_the_weights_move_as_they_did_and_the_drift_is_marked(page: Page, reports: dict[str, Path]) -> None:
    opened(page, reports["one"])
    found = figures(page)["weights"]
    popular, follows = of_kind(found, "line")
    assert popular["height"] < 2, "it stood still"
    assert follows["height"] > 150, "it grew"
    (drift,) = of_kind(found, "rule")
    middle = popular["left"] + popular["width"] / 2
    assert drift["left"] == pytest.approx(middle, abs=popular["width"] * 0.05)


@pytest.mark.browser
def test_bars_and_points_stand_where_the_numbers_are(page: Page, reports: dict[str, Path]) -> None:
    opened(page, reports["two"])
    found = figures(page)
    assert len(of_kind(found["ranks"], "rect")) == 20
    blend, other = of_kind(found["cpu"], "symbol")
    assert blend["x"] > other["x"], "it cost more"
    assert blend["up"] / other["up"] == pytest.approx(2.0, rel=0.1)
    opened(page, reports["one"])
    found = figures(page)
    heights = [bar["height"] for bar in of_kind(found["ranks"], "rect")]
    assert len(heights) == 10
    assert max(heights) / min(heights) < 1.6, "hits were spread over all places alike"
    bars = of_kind(found["latency"], "rect")
    assert sorted(bar["height"] > 200 for bar in bars)[-2:] == [False, True], "all took one millisecond"
    assert len(of_kind(found["users"], "symbol")) == len(of_kind(found["users"], "rule")) > 5
    choice, lists = of_kind(found["popularity"], "line")
    assert lists["height"] < choice["height"] + 1


@pytest.mark.browser
def test_the_page_asks_no_network_for_anything(page: Page, reports: dict[str, Path]) -> None:
    for path in reports.values():
        opened(page, path)
        assert page.requests == [path.as_uri()]
        tags = Tags()
        tags.feed(path.read_text())
        assert not tags.fetching
        assert not re.search(r"@import|url\(", tags.style)
        default, *_, script = tags.policy.split("; ")
        assert default == "default-src 'none'"
        assert script.startswith("script-src 'sha256-")
        assert "unsafe" not in script
        assert path.stat().st_size < 2_000_000


@pytest.mark.browser
def test_a_page_that_asks_the_network_would_be_noticed(page: Page, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text("<!doctype html><title>asks</title><img src='http://pictures.example/one.png'>")
    page.open(path, 1280, "light")
    assert "http://pictures.example/one.png" in page.requests
    tags = Tags()
    tags.feed(path.read_text())
    assert tags.fetching == ["http://pictures.example/one.png"]


@pytest.mark.browser
def test_a_hostile_title_is_only_text(page: Page, reports: dict[str, Path]) -> None:
    opened(page, reports["two"])
    assert page.evaluate("document.title") == "blend, popularity(half_life=300.0) on clicks.csv · freshrank"
    assert page.evaluate("document.querySelectorAll('img').length") == 0
    assert HOSTILE in page.evaluate("document.getElementById('lists').innerText")


@pytest.mark.browser
def test_a_hostile_name_is_only_text(page: Page, tmp_path: Path) -> None:
    write_html(tmp_path / "page.html", [replace(planted("blend", 0.2, 4.0, weighs=True), name=HOSTILE)], HOSTILE)
    opened(page, tmp_path / "page.html")
    assert page.complaints == []
    assert page.evaluate("document.title").startswith(HOSTILE)
    assert page.evaluate("document.querySelectorAll('img').length") == 0
    assert "time" in figures(page)


@pytest.mark.browser
def test_lists_say_why_and_the_command_is_there(page: Page, reports: dict[str, Path]) -> None:
    opened(page, reports["one"])
    said = page.evaluate("document.body.innerText")
    assert "Tea\nfollows +1.20 popular +0.30" in said
    assert "had last: i1" in said
    assert "blend is better by 0.100 ± 0.010." in said
    assert page.evaluate("document.querySelector('#command code').innerText") == "freshrank replay one"


@pytest.mark.browser
def test_models_of_one_name_are_told_apart(page: Page, reports: dict[str, Path]) -> None:
    opened(page, reports["many"])
    assert page.evaluate("document.querySelectorAll('#time .keys li').length") == 10
    assert "x #10" in page.evaluate("document.getElementById('summary').innerText")


@pytest.mark.browser
def test_missing_figure_says_why(page: Page, tmp_path: Path) -> None:
    blend = planted("blend", 0.2, 4.0)
    nothing = {name: column[:0] for name, column in blend.outcomes.items()}
    bare = replace(
        blend,
        outcomes=nothing,
        latency=blend.latency * 0,
        touched=blend.touched * 0,
        listed=blend.listed * 0,
        samples=(),
    )
    write_html(tmp_path / "bare.html", [bare], "freshrank replay")
    opened(page, tmp_path / "bare.html")
    assert page.complaints == []
    assert page.evaluate("document.querySelectorAll('figure').length") == 0
    empty = page.evaluate("document.getElementById('empty').innerText")
    for title in (
        "Hit rate over the log",
        "Served against fresh",
        "Accuracy against CPU time",
        "Weights of the blend",
        "Rank of the hits",
        "Latency",
        "Cold start of users",
        "Cold start of items",
        "Popularity bias",
    ):
        assert title in empty


@pytest.mark.slow
def test_stored_results_give_the_same_page(tmp_path: Path) -> None:
    blend = planted("blend", 0.2, 4.0, weighs=True)
    kept = Measured.kept("blend", blend.numbers, blend.outcomes, orjson.loads(orjson.dumps(blend.extras())))
    for name, result in (("first", blend), ("second", kept)):
        write_html(tmp_path / name, [result], "freshrank replay")
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


def test_the_same_results_give_the_same_page(tmp_path: Path) -> None:
    for name in ("first", "second"):
        write_html(tmp_path / name, [planted("blend", 0.2, 4.0, weighs=True)], "freshrank replay")
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


@pytest.mark.slow
def test_missing_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ReportError, match="expected a file to write"):
        write_html(tmp_path / "no" / "such" / "place", [planted("blend", 0.2, 4.0)], "")
    with pytest.raises(ReportError, match="at least one result"):
        write_html(tmp_path / "page.html", [], "")
    monkeypatch.setattr("flows.report.page.find_spec", lambda name: None)
    with pytest.raises(ReportError, match=r"pip install 'freshrank\[report\]'"):
        write_html(tmp_path / "page.html", [planted("blend", 0.2, 4.0)], "")
