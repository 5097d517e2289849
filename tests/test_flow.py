"""The whole flow, without Kafka: lists in, lists out."""

from pathlib import Path

import orjson

from flows.evaluation.scorer import PrequentialScorer
from flows.messages import Outgoing
from flows.replay import replay
from flows.sample import EVENTS
from flows.settings import Settings
from tests.support.flow import Flow, event, sample_records


def test_every_event_gets_one_list_keyed_by_its_user_with_its_position() -> None:
    flow = Flow([event("ann", "tea", 1), event("bob", "tea", 2), event("bob", "jam", 3), event("ann", "pie", 4)])
    assert [key for key, _ in flow.sent] == ["ann", "bob", "bob", "ann"]
    assert [message.key for _, message in flow.sent] == [b"ann", b"bob", b"bob", b"ann"]
    assert [made["source"] for made in flow.lists] == [f"events/0/{offset}" for offset in range(4)]
    assert [made["event_time"] for made in flow.lists] == [1, 2, 3, 4]
    assert set(flow.lists[0]) == {"user", "items", "event_time", "source", "model"}
    assert sorted(flow.items(3)) == ["jam", "pie", "tea"]


def test_followers_of_an_item_are_recommended_after_it() -> None:
    pairs = [(f"u{n}", item) for n in range(20) for item in (("tea", "milk") if n % 2 else ("jam", "bread"))]
    records = [event(user, item, n) for n, (user, item) in enumerate(pairs)]
    flow = Flow([*records, event("new", "tea", 100), event("other", "jam", 101)], repeats="exclude")
    assert flow.items(-2)[0] == "milk"
    assert flow.items(-1)[0] == "bread"


def test_excluded_repeats_are_learned_but_neither_listed_nor_scored() -> None:
    flow = Flow([event("ann", "tea", 1), event("bob", "jam", 2), event("ann", "tea", 3)], repeats="exclude")
    assert flow.items(2) == ["jam"]
    assert [decided.ranked.position for decided in flow.decided] == [-1, -1, None]


def test_a_reject_is_a_dead_letter_and_costs_no_event() -> None:
    flow = Flow([event("ann", "tea", 1), b"garbage", event("bob", "jam", 2), event("", "jam", 3)])
    assert len(flow.sent) == 2
    assert [(letter.source, letter.reason, letter.field) for _, letter in flow.letters] == [
        ("events/0/1", "not JSON", ""),
        ("events/0/3", "empty id", "user"),
    ]
    assert flow.letters[0][1].raw == b"garbage"
    assert flow.connections.counters.rejected == {"not JSON": 1, "empty id": 1}
    assert flow.connections.counters.read == 4


def test_a_repeated_event_id_is_dropped_and_counted() -> None:
    flow = Flow([event("ann", "tea", 1, id="e1"), event("ann", "tea", 1, id="e1"), event("ann", "jam", 2, id="e2")])
    assert len(flow.sent) == 2
    assert flow.connections.counters.duplicate == 1


def test_a_late_event_is_learned_and_counted() -> None:
    flow = Flow([event("ann", "tea", 10), event("bob", "jam", 5)])
    assert len(flow.sent) == 2
    assert flow.connections.counters.late == 1


def test_an_item_event_gives_no_list_and_hides_an_item() -> None:
    hide = orjson.dumps({"kind": "item", "item": "tea", "timestamp": 3, "available": False})
    show = orjson.dumps({"kind": "item", "item": "tea", "timestamp": 5, "available": True})
    flow = Flow(
        [event("ann", "tea", 1), event("bob", "jam", 2), hide, event("cat", "jam", 4), show, event("d", "jam", 6)]
    )
    assert len(flow.sent) == 4
    assert "tea" in flow.items(1)
    assert "tea" not in flow.items(2)
    assert "tea" in flow.items(3)
    assert flow.connections.counters.item_events == 2


def test_a_forgotten_user_gets_a_tombstone_and_starts_as_a_stranger() -> None:
    forget = orjson.dumps({"kind": "forget", "user": "ann", "timestamp": 5})
    records = [event("ann", "tea", 1), event("bob", "jam", 2), forget, event("ann", "tea", 6)]
    flow = Flow(records, repeats="exclude")
    assert flow.sent[2] == ("ann", Outgoing(b"ann", None))
    assert flow.decided[3].ranked.position is not None, "a stranger's event is no repeat"


def test_a_return_is_learned_as_such_and_not_scored() -> None:
    flow = Flow([event("ann", "tea", 1), event("ann", "jam", 2), event("ann", "tea", 3, event="return")])
    assert [decided.ranked.position for decided in flow.decided] == [-1, -1, None]
    assert len(flow.sent) == 3


def test_changed_emits_only_lists_that_are_new() -> None:
    records = [event("ann", "tea", 1), event("ann", "tea", 2), event("ann", "tea", 3), event("ann", "jam", 4)]
    flow = Flow(records, emit="changed")
    assert [decided.is_emitted for decided in flow.decided] == [True, False, False, True]
    assert flow.connections.counters.suppressed == 2


def test_an_interval_limits_how_often_a_user_gets_a_list() -> None:
    flow = Flow([event("ann", "tea", t) for t in (0, 5, 10, 19, 20)] + [event("bob", "tea", 20)], emit_interval=10)
    assert [decided.is_emitted for decided in flow.decided] == [True, False, True, False, True, True]


def test_batches_never_show_in_the_lists() -> None:
    records = sample_records(1_500)
    whole = Flow(records, batch=1_000, repeats="exclude")
    for batch in (1, 7):
        assert Flow(records, batch=batch, repeats="exclude").sent == whole.sent
    assert len(whole.sent) == 1_500


def test_a_river_model_runs_in_the_flow() -> None:
    flow = Flow(sample_records(60), model="river:reco.BiasedMF(n_factors=4, seed=1)", repeats="exclude", top=3)
    assert len(flow.sent) == 60
    assert flow.lists[-1]["model"] == "river.BiasedMF/1"
    assert len(flow.items(-1)) == 3


def test_served_is_scored_against_the_list_that_went_out() -> None:
    scores = PrequentialScorer(k=10)
    for decided in Flow([event("ann", "tea", 1), event("ann", "jam", 2), event("bob", "jam", 3)]).decided:
        scores.add(decided)
    assert len(scores.outcomes) == 3
    assert scores.served_hit_rate == 0.0, "ann's list held only tea, and bob had none"
    assert scores.hit_rate == 1 / 3, "bob would have been shown jam"


def test_lists_say_why_and_are_the_same_lists(tmp_path: Path) -> None:
    said = {}
    for why in (False, True):
        out = tmp_path / f"{why}.jsonl"
        replay(EVENTS, Settings(repeats="exclude", why=why, fallback=False), out=out, limit=400)
        said[why] = [orjson.loads(line) for line in out.read_bytes().splitlines()]
    bare = [{**line, "items": [{"item": i["item"], "score": i["score"]} for i in line["items"]]} for line in said[True]]
    assert bare == said[False]
    reasons = [item["why"] for item in said[True][-1]["items"]]
    assert all(1 <= len(why) <= 3 and list(why.values()) == sorted(why.values(), reverse=True) for why in reasons)
