"""Lists of related and of trending items: what the job writes beside the lists of users."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest

from flows.errors import UsageError
from flows.evaluation.item_list_scorer import ItemListScorer
from flows.messages import Interaction, ItemList, ItemListRequest, Outgoing, Prepared, Ranked
from flows.monitoring.counters import Counters
from flows.replay import replay
from flows.settings import Settings, SettingsError, load_settings
from flows.steps.ask_items import ROUND, ItemAsker, ItemLists
from flows.steps.item_lists import ItemListEmitter
from tests.support.flow import Flow, event, sample_records

SHOP = [
    orjson.dumps({"kind": "item", "item": item, "timestamp": 0, "features": {"tags": [tag]}})
    for item, tag in (("tea", "Drinks"), ("cup", "China"), ("nail", "Tools"), ("hammer", "Tools"))
]
"""Items, two of which go together, and then the other two."""


def visits(count: int) -> list[bytes]:
    """Users who take tea and then a cup, and others who take a nail and then a hammer."""
    made = []
    for number in range(count):
        pair = ("tea", "cup") if number % 2 else ("nail", "hammer")
        made += [event(f"u{number}", item, 2.0 * number + place) for place, item in enumerate(pair)]
    return made


def newest(sent: list[tuple[str, Outgoing]]) -> dict[str, Any]:
    return {key: message.value and orjson.loads(message.value) for key, message in sent}


def items(message: dict[str, Any]) -> list[str]:
    return [each["item"] for each in message["items"]]


def test_related_items_are_those_taken_together_in_either_order() -> None:
    flow = Flow([*SHOP, *visits(40)], related=2.0)
    lists = newest(flow.related)
    assert {key: items(message)[0] for key, message in lists.items()} == {
        "tea": "cup",
        "cup": "tea",
        "nail": "hammer",
        "hammer": "nail",
    }
    assert set(lists["tea"]) == {"item", "items", "event_time", "source", "model"}
    assert lists["tea"]["item"] == "tea"


def test_trending_items_are_listed_overall_and_by_tag() -> None:
    flow = Flow([*SHOP, *visits(80), *(event(f"new{n}", "hammer", 1_000.0 + n) for n in range(40))], trending=0.5)
    lists = newest(flow.trending)
    assert items(lists[""])[0] == "hammer"
    assert items(lists["tools"]) == ["hammer", "nail"]
    assert items(lists["drinks"]) == ["tea"]
    assert lists["tools"]["tag"] == "tools"


def test_lists_of_users_are_the_same_with_and_without() -> None:
    records = sample_records(600)
    plain, more = Flow(records), Flow(records, related=1.0, trending=0.25)
    assert more.everything == plain.everything
    assert (plain.related, plain.trending) == ([], [])
    assert more.related
    assert more.trending


@pytest.mark.parametrize("rate", [0.1, 1.0, 3.0])
def test_lists_are_at_most_as_many_as_the_setting_says(rate: float) -> None:
    records = sample_records(400)
    flow = Flow(records, related=rate, trending=rate)
    assert 0 < len(flow.related) <= rate * len(records)
    assert 0 < len(flow.trending) <= rate * len(records)


def test_lists_do_not_depend_on_batches() -> None:
    records = sample_records(300)
    one, other = (Flow(records, batch=batch, related=1.0, trending=0.25) for batch in (1, 64))
    assert (one.related, one.trending) == (other.related, other.trending)


def test_list_that_has_not_changed_does_not_go_out() -> None:
    flow = Flow([*SHOP, *visits(200)], related=1.0)
    for key in ("tea", "cup"):
        lists = [orjson.loads(message.value or b"") for name, message in flow.related if name == key]
        assert all(items(one) != items(other) for one, other in pairwise(lists))
    assert len(flow.related) < 40


def test_hidden_item_leaves_the_lists() -> None:
    hide = orjson.dumps({"kind": "item", "item": "cup", "timestamp": 200, "available": False})
    more = [event(f"v{n}", "tea", 300.0 + n) for n in range(2 * ROUND)]
    more += [event(f"v{n}", "nail", 400.0 + n) for n in range(2 * ROUND)]
    lists = newest(Flow([*SHOP, *visits(40), hide, *more], related=2.0).related)
    assert "cup" not in items(lists["tea"])


def test_list_without_items_becomes_a_tombstone_once() -> None:
    emitter = ItemListEmitter(Counters(), is_scored=False)
    request = ItemListRequest("related", "tea", 1.0)
    answers = [ItemList(request, "tea", listed, [1.0] * len(listed)) for listed in ([], ["cup"], [], [])]
    assert [[made.items for made in emitter.process([answer])] for answer in answers] == [[], [["cup"]], [[]], []]


def test_related_and_trending_lists_of_one_key_are_not_mixed_up() -> None:
    emitter = ItemListEmitter(Counters(), is_scored=False)
    asked = [ItemListRequest(kind, "tea", 1.0) for kind in ("related", "trending")]
    assert len(emitter.process([ItemList(request, "tea", ["cup"], [1.0]) for request in asked])) == 2


@pytest.mark.parametrize("place", [0, 3, ROUND, 20])
def test_asker_goes_on_where_it_was_saved(place: int) -> None:
    rules = ItemLists(related=0.5, trending=0.25, max_users=100)
    events = [Prepared(Interaction(f"u{n % 7}", f"i{n * n % 11}", float(n)), None) for n in range(40)]
    whole, first, second = ItemAsker(rules), ItemAsker(rules), ItemAsker(rules)
    expected = whole.process(events)
    made = first.process(events[:place])
    if saved := first.dump():
        second.load(saved)
    assert made + second.process(events[place:]) == expected


@pytest.mark.slow
def test_resumed_replay_writes_and_measures_the_same(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_bytes(b"\n".join(sample_records(900)) + b"\n")

    def run(directory: Path, limits: list[int | None], **more: Any) -> tuple[dict[str, Any], bytes, bytes]:
        directory.mkdir()
        out = directory / "related.jsonl", directory / "trending.jsonl"
        settings = Settings(related=1.0, trending=0.25, **more)
        for limit in limits:
            result = replay(log, settings, limit=limit, related_out=out[0], trending_out=out[1])
        report = result.report()
        return {kind: report[kind] for kind in ("related", "trending")}, out[0].read_bytes(), out[1].read_bytes()

    kept = {"recovery": tmp_path / "state", "epoch_seconds": 0.01}
    assert run(tmp_path / "a", [None]) == run(tmp_path / "b", [100, 555, None], **kept)


def test_report_has_the_hit_rates_of_both(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_bytes(b"\n".join([*SHOP, *visits(100)]) + b"\n")
    report = replay(log, Settings(related=1.0, trending=0.25)).report()
    assert report["related"]["scored"] == 100
    assert report["related"]["hit_rate@10"] > 0.8
    assert report["trending"]["scored"] == 200
    assert report["trending"]["hit_rate@10"] > 0.5
    assert set(replay(log, Settings()).report()) & {"related", "trending"} == set()


def test_scorer_counts_the_list_that_was_out_before_the_event() -> None:
    scorer = ItemListScorer(k=1)
    taken = [Ranked(Interaction("ann", item, 1.0), -1, [], []) for item in ("tea", "cup", "tea", "jam")]
    listed = ItemList(ItemListRequest("related", "tea", 1.0), "tea", ["cup", "jam"], [0.6, 0.4])
    scorer.process([taken[0], taken[1], listed, taken[2], taken[3]])
    assert (scorer.related.scored, scorer.related.hits) == (3, 0), "jam is second, and the first of cup came too early"


def test_erased_user_says_nothing_more() -> None:
    forget = orjson.dumps({"kind": "forget", "user": "ann", "timestamp": 2})
    records = [event("ann", "tea", 1), forget, *(event("ann", "cup", 3 + n) for n in range(ROUND))]
    assert newest(Flow(records, related=3.0).related) == {}


@pytest.mark.parametrize("model", ["river:reco.Baseline", "popularity", "contextual"])
def test_model_that_knows_no_related_items_is_refused(model: str) -> None:
    with pytest.raises(SettingsError, match="expected a model that knows related"):
        load_settings(model=model, related=1.0)


def test_file_for_lists_that_are_not_made_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--related-out"):
        replay(tmp_path / "log.csv", Settings(), related_out=tmp_path / "out.jsonl")
