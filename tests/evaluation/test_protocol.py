"""Protocols: scored events and their candidates, with planted truths."""

import gzip
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from flows.evaluation.log_scan import scan_log
from flows.evaluation.protocol import Protocol
from flows.evaluation.ranking_metrics import metrics_at
from flows.files.inputs import open_logs
from flows.replay import ReplayResult, replay
from flows.sample import EVENTS
from flows.settings import Settings
from recmodels.evaluation.metrics import RankingMetrics

ALL_TIME = "popularity(half_life=1e300)"
WriteLog = Callable[[Iterable[str]], Path]


def run(log: Path, model: str = ALL_TIME, repeats: str = "exclude", top: int = 10, **protocol: Any) -> ReplayResult:
    settings = Settings(model=model, repeats=repeats, top=top)  # type: ignore[arg-type]
    return replay(log, settings, protocol=Protocol(**protocol))


def column(result: ReplayResult, name: str) -> list[int]:
    values: list[int] = result.outcomes.arrays()[name].tolist()
    return values


@pytest.fixture
def log(tmp_path: Path) -> Callable[..., Path]:
    """Write events `user item value` as a log, one second after the other."""

    def write(*events: str, seconds: float = 1.0) -> Path:
        path = tmp_path / "events.csv"
        rows = [
            f"{user},{item},{n * seconds},click,{value}" for n, (user, item, value) in enumerate(map(str.split, events))
        ]
        path.write_text("\n".join(["user,item,timestamp,event,value", *rows, ""]))
        return path

    return write


def test_the_defaults_score_what_a_plain_replay_scores() -> None:
    plain = replay(EVENTS, Settings(repeats="exclude"), limit=2_000)
    same = replay(EVENTS, Settings(repeats="exclude"), limit=2_000, protocol=Protocol())
    assert plain.metrics == same.metrics
    assert column(plain, "position") == column(same, "position")


def test_the_metrics_are_those_of_the_running_count() -> None:
    result = replay(EVENTS, Settings(repeats="exclude", model="popularity"), limit=2_000)
    running, served = RankingMetrics(k=10), RankingMetrics(k=10)
    for metrics, name in ((running, "position"), (served, "served")):
        for place in column(result, name):
            metrics.update(place)
    assert result.metrics["hit_rate@10"] == running.hit_rate > 0.0
    assert result.metrics["ndcg@10"] == pytest.approx(running.ndcg)
    assert result.metrics["mrr@10"] == pytest.approx(running.mrr)
    assert result.metrics["served_hit_rate@10"] == served.hit_rate


def test_where_condition_removes_events_without_a_trace(log: Callable[..., Path]) -> None:
    some = log("ann tea 5", "bob jam 1", "bob tea 5", "cat jam 2", "cat tea 5")
    result = run(some, where="value == 5")
    assert (result.counters.learned, result.counters.left_out, result.items) == (3, 2, 1)
    assert column(result, "number") == [0, 1, 2]
    assert column(result, "position") == [-1, 0, 0], "nobody knows that there is jam"


def test_negative_event_is_in_its_users_history_only(log: Callable[..., Path]) -> None:
    some = log("ann tea 5", "bob tea 1", "bob jam 5", "bob tea 5", "cat jam 5", "cat tea 5")
    result = run(some, positive="value >= 4")
    assert result.counters.learned == 6
    assert column(result, "number") == [0, 2, 4, 5], "a 1 is not scored, and tea is no news to bob"
    assert column(result, "position") == [-1, -1, 1, 0], "tea was first, and bob's 1 counts for neither"


def test_warmup_is_learned_and_not_scored(log: Callable[..., Path]) -> None:
    some = log(*(f"u{n} tea 1" for n in range(10)))
    assert column(run(some, warmup=0.35), "number") == [3, 4, 5, 6, 7, 8, 9]
    assert column(run(some, warmup=0.35), "position") == [0] * 7


def test_warmup_counts_the_events_that_there_are(log: Callable[..., Path]) -> None:
    some = log(*(f"u{n} tea {n % 2}" for n in range(20)))
    assert column(run(some, where="value == 1", warmup=0.5), "number") == [5, 6, 7, 8, 9]


def test_events_of_bots_count_neither_for_warmup_nor_for_sessions(tmp_path: Path) -> None:
    # A thousand people take one item each, then a bot hurries through a hundred of its own; then eve has a session.
    rows = [f"u{n},i{n % 50},{n}" for n in range(1_000)] + [f"bot,b{n},{1_000 + n / 10}" for n in range(100)]
    rows += ["eve,pie,2000", "eve,jam,2001", "ann,jam,9000", "eve,i1,9001"]
    path = tmp_path / "events.csv"
    path.write_text("\n".join(["user,item,timestamp", *rows]))
    for where in (None, "item != 'b7'"):
        result = run(path, warmup=0.5, where=where)
        assert result.counters.held_back > 10
        looked = scan_log(open_logs(path), Settings(), Protocol(where=where, target="session"))
        assert looked.events == result.counters.learned
        assert column(result, "number")[0] == result.counters.learned // 2
        last = looked.events - 4
        assert [looked.rest_of_session(last + n) for n in range(4)] == [["pie", "jam"], ["jam"], ["jam"], ["i1"]]


@pytest.mark.slow
def test_the_seed_draws_which_events_are_scored(tmp_path: Path) -> None:
    short = tmp_path / "events.csv"
    short.write_bytes(b"".join(gzip.decompress(EVENTS.read_bytes()).splitlines(keepends=True)[:6_001]))
    first, again, other = (run(short, score_every=7, seed=seed) for seed in (1, 1, 2))
    drawn = [column(result, "number") for result in (first, again, other)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert all(6_000 / 7 * 0.9 < len(numbers) < 6_000 / 7 * 1.1 for numbers in drawn)
    everything = run(short)
    place = dict(zip(column(everything, "number"), column(everything, "position"), strict=True))
    assert column(first, "position") == [place[number] for number in drawn[0]]


def test_several_lengths_of_list_are_scored_at_once(log: Callable[..., Path]) -> None:
    # Each of 30 items is taken once more often than the next; then one stranger takes each.
    rows = [f"u{n}-{item} i{item} 1" for item in range(30) for n in range(40 - item)]
    strangers = [f"s{item} i{item} 1" for item in (0, 4, 5, 9, 10, 19, 20)]
    result = run(log(*rows, *strangers), top=3, ks=(5, 10, 20), warmup=len(rows) / (len(rows) + 7) + 1e-9)
    served = {f"served_hit_rate@{k}": 1 for k in (5, 10, 20)}  # the first of the fallback list's three items
    assert column(result, "position") == [0, 4, 5, 9, 10, 19, -1]
    assert {name: round(value * 7) for name, value in result.metrics.items() if "hit" in name} == {
        "hit_rate@5": 2, "hit_rate@10": 4, "hit_rate@20": 6,
        **served, **{name.replace("rate", "rate_any_age"): 1 for name in served},
    }  # fmt: skip


@pytest.mark.parametrize(
    "protocol",
    [{"ks": (5, 20)}, {"ks": (200,)}, {"candidates": "catalogue"}, {"target": "session"}, {"score_every": 3}],
    ids=str,
)
@pytest.mark.parametrize("model", ["blend", "river:reco.BiasedMF(n_factors=4, seed=1)"])
def test_protocol_never_changes_the_lists(tmp_path: Path, protocol: dict[str, Any], model: str) -> None:
    plain, asked = tmp_path / "plain.jsonl", tmp_path / "asked.jsonl"
    settings, limit = Settings(model=model, repeats="exclude", top=7, fallback=False), 300
    replay(EVENTS, settings, limit=limit, out=plain)
    replay(EVENTS, settings, limit=limit, out=asked, protocol=Protocol(**protocol))
    assert asked.read_bytes() == plain.read_bytes()
    assert plain.read_bytes().count(b"\n") == limit


class TestCatalogue:
    def test_a_new_item_has_a_place(self, log: Callable[..., Path]) -> None:
        some = log("ann tea 1", "bob tea 1", "bob jam 1", "cat pie 1")
        assert column(run(some), "position") == [-1, 0, -1, -1]
        places = column(run(some, candidates="catalogue"), "position")
        assert places[1] == 0, "tea is the only one that somebody has had"
        assert places[2] in (0, 1), "tea is behind bob: jam and pie are alike"
        assert places[3] == 2, "after tea and jam"

    def test_the_order_of_the_log_gives_nothing_away(self, log: Callable[..., Path]) -> None:
        some = log(*(f"u{n} i{n} 1" for n in range(200)))
        places = [column(run(some, candidates="catalogue", seed=seed), "position") for seed in (0, 0, 1)]
        assert places[0] == places[1] != places[2]
        # Event n has 200 - n unseen items behind n seen ones; its own stands anywhere among them.
        depth = [(place - n) / (200 - n) for n, place in enumerate(places[0])]
        assert all(0.0 <= share < 1.0 for share in depth)
        assert 0.4 < sum(depth) / len(depth) < 0.6

    def test_users_own_items_are_no_candidates_where_repeats_are_excluded(self, log: Callable[..., Path]) -> None:
        some = log("ann tea 1", "ann jam 1", "bob tea 1", "bob jam 1", "bob tea 1", "eve tea 1")
        excluded = run(some, candidates="catalogue")
        assert column(excluded, "number") == [0, 1, 2, 3, 5]
        assert column(excluded, "position")[1:] == [0, 0, 0, 0]
        allowed = run(some, repeats="allow", candidates="catalogue")
        assert column(allowed, "number") == [0, 1, 2, 3, 4, 5]
        assert column(allowed, "position")[1:] == [1, 0, 1, 0, 0], "their own tea is before jam"

    def test_hidden_item_takes_no_rank_in_the_catalogue(self, write_log: WriteLog) -> None:
        some = write_log(
            [
                '{"user": "ann", "item": "tea", "timestamp": 1}',
                '{"user": "bob", "item": "tea", "timestamp": 2}',
                '{"user": "bob", "item": "jam", "timestamp": 3}',
                '{"kind": "item", "item": "tea", "timestamp": 4, "available": false}',
                '{"user": "cat", "item": "jam", "timestamp": 5}',
                '{"user": "dan", "item": "tea", "timestamp": 6}',
            ]
        )
        assert column(run(some, candidates="catalogue"), "position")[-2:] == [0, 0], "it was taken all the same"


class TestSession:
    def test_any_later_item_of_the_session_is_a_hit(self, log: Callable[..., Path]) -> None:
        rows = ["ann tea 1", "bob tea 1", "cat jam 1", "eve pie 1", "eve jam 1", "eve tea 1"]
        assert column(run(log(*rows)), "position") == [-1, 0, -1, -1, 1, 0]
        assert column(run(log(*rows), target="session"), "position") == [-1, 0, -1, 0, 0, 0]

    def test_session_ends_after_half_an_hour(self, log: Callable[..., Path]) -> None:
        rows = ["ann tea 1", "bob tea 1", "eve pie 1", "eve tea 1"]
        assert column(run(log(*rows, seconds=1_800.0), target="session"), "position") == [-1, 0, 0, 0]
        assert column(run(log(*rows, seconds=1_801.0), target="session"), "position") == [-1, 0, -1, 0]

    def test_a_session_that_is_named_ends_with_its_name(self, write_log: WriteLog) -> None:
        rows = [("ann", "tea", "a"), ("bob", "tea", "b"), ("eve", "pie", "c"), ("eve", "jam", "d"), ("eve", "tea", "c")]
        some = write_log(
            f'{{"user": "{user}", "item": "{item}", "timestamp": {n * 9_000}, "session": "{session}"}}'
            for n, (user, item, session) in enumerate(rows)
        )
        assert column(run(some, target="session"), "position") == [-1, 0, 0, -1, 0]

    def test_served_list_is_scored_against_the_session_too(self, log: Callable[..., Path]) -> None:
        some = log("ann tea 1", "bob jam 1", "bob pie 1", "bob tea 1")
        assert column(run(some, target="session"), "served") == [-1, -1, 0, 0]


@pytest.mark.slow
def test_a_window_is_a_point_of_the_series() -> None:
    result = run(EVENTS, window=10_000, ks=(5, 10), warmup=0.1)
    report = result.report()
    points = report["series"]
    assert [point["scored"] for point in points] == [10_000, 10_000, 7_000]
    assert [point["first"] for point in points] == [3_000, 13_000, 23_000]
    assert points[0]["time"] < points[1]["time"] < points[2]["time"]
    for name in ("hit_rate@5", "mrr@10", "served_hit_rate@10"):
        united = sum(point[name] * point["scored"] for point in points) / 27_000
        assert united == pytest.approx(report["metrics"][name])
    assert report["protocol"]["warmup"] == 0.1


def test_replay_without_a_scored_event_is_no_error() -> None:
    assert run(EVENTS, where="value > 1000", window=10).report()["series"] == []
    assert set(metrics_at([10], dict.fromkeys(("position", "served"), column_of_nothing())).values()) == {0.0}


def column_of_nothing() -> Any:
    import numpy as np

    return np.zeros(0, np.int32)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"warmup": 1.0}, "--warmup"),
        ({"warmup": float("nan")}, "--warmup"),
        ({"ks": ()}, "--k"),
        ({"ks": (5, 5)}, "--k"),
        ({"ks": (0,)}, "--k"),
        ({"score_every": 0}, "--score-every"),
        ({"seed": -1}, "--seed"),
        ({"window": 0}, "--window"),
        ({"candidates": "all"}, "--candidates: expected seen or catalogue; got 'all'"),
        ({"target": "last"}, "--target"),
        ({"positive": "value"}, "--positive: column 1"),
        ({"where": "valu > 1"}, "--where: column 1"),
    ],
    ids=str,
)
def test_invalid_protocol_is_refused_by_the_name_of_its_option(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Protocol(**wrong)


def test_a_replay_that_may_resume_keeps_no_account_of_a_protocol(tmp_path: Path) -> None:
    settings = Settings(recovery=tmp_path / "state")
    with pytest.raises(ValueError, match="--recovery: a replay that resumes"):
        replay(EVENTS, settings, protocol=Protocol(warmup=0.1))
    replay(EVENTS, settings, limit=100, protocol=Protocol(ks=(5, 20), window=10))


def test_the_published_set_up_of_flurs_is_reproduced(real_log: Callable[[str], Path]) -> None:
    """FluRS on MovieLens 100K: 21,201 ratings of 5, the first 30 % for training, popularity recall@10 of 0.1057."""
    result = run(real_log("ml-100k"), where="value == 5", warmup=0.3, candidates="catalogue")
    assert (result.counters.learned, len(result.outcomes)) == (21_201, 14_841)
    assert result.metrics["hit_rate@10"] == pytest.approx(0.1057, abs=0.002)
