"""A request is answered with the user's list of that moment, and teaches the model nothing."""

from typing import Any

import orjson
import pytest

from flows.messages import Interaction, Prepared, Ranked, Request
from flows.monitoring.counters import Counters
from flows.steps.clean import Cleaner
from flows.steps.emit import Emission, Emitter
from flows.steps.encode import encode_list
from tests.support.flow import Flow, event, sample_records


def ask(user: str, timestamp: float, request: str = "r-1", **fields: object) -> bytes:
    asked = {"kind": "request", "user": user, "timestamp": timestamp, "request": request, **fields}
    return orjson.dumps(asked)


def listed(flow: Flow) -> list[Any]:
    """Lists that answer no request, without their positions: requests move these."""
    return [
        {**made, "source": ""}
        for (_, message), made in zip(flow.sent, flow.lists, strict=True)
        if not dict(message.headers)
    ]


def test_request_is_answered_with_users_list_and_its_id() -> None:
    records = [event("ann", "tea", 1), event("bob", "jam", 2), ask("ann", 3, "r-18")]
    flow = Flow(records, repeats="exclude")
    assert [message.key for _, message in flow.sent] == [b"ann", b"bob", b"ann"]
    assert [message.headers for _, message in flow.sent] == [(), (), (("request", b"r-18"),)]
    assert flow.items(2) == ["jam"], "ann has had the tea"
    assert (flow.lists[2]["event_time"], flow.lists[2]["source"]) == (3, "events/0/2")
    assert set(flow.lists[2]) == set(flow.lists[1])


@pytest.mark.slow
@pytest.mark.parametrize("model", ["blend", "popularity", "contextual", "river:reco.BiasedMF(n_factors=4, seed=1)"])
def test_model_learns_nothing_from_requests(model: str) -> None:
    records = sample_records(300)
    with_requests = [r for n, each in enumerate(records) for r in (ask(f"u{n % 9}", 880_000_000.0 + n), each)]
    assert listed(Flow(with_requests, model=model)) == listed(Flow(records, model=model))


def test_unknown_user_gets_the_list_for_new_users() -> None:
    records = [event(f"u{n}", "tea", n) for n in range(5)] + [ask("new", 9), event("other", "jam", 10)]
    flow = Flow(records)
    assert flow.sent[5][0] == "new"
    assert flow.items(5) == ["tea"]


def test_request_before_the_first_event_is_answered_with_an_empty_list() -> None:
    flow = Flow([ask("ann", 1), event("ann", "tea", 2)])
    assert [made["items"] for made in flow.lists[:1]] == [[]]
    assert len(flow.sent) == 2


def test_answers_stand_in_order_between_the_lists_of_one_user() -> None:
    records = [event("ann", "tea", 1), ask("ann", 2, "r-1"), event("ann", "jam", 3), ask("ann", 4, "r-2")]
    for batch in (1, 2, 10):
        flow = Flow(records, batch=batch)
        assert [made["source"] for made in flow.lists] == [f"events/0/{offset}" for offset in range(4)]
        assert [dict(message.headers).get("request") for _, message in flow.sent] == [None, b"r-1", None, b"r-2"]


@pytest.mark.parametrize("policy", [{"emit": "changed"}, {"emit_interval": 1_000.0}, {"min_score": 0.999}])
def test_answer_goes_out_whatever_the_emission_policy(policy: dict[str, Any]) -> None:
    records = [event("ann", "tea", 1), event("ann", "tea", 2), ask("ann", 3), ask("ann", 4)]
    flow = Flow(records, **policy)
    assert sum(bool(message.headers) for _, message in flow.sent) == 2


def test_emitter_remembers_the_list_of_an_answer() -> None:
    emitter = Emitter(Emission(policy="changed", max_users=1_000), Counters())
    answer = Ranked(Request("ann", 1.0, "r-1"), None, ["tea"], [1.0])
    same = Ranked(Interaction("ann", "tea", 2.0), None, ["tea"], [1.0])
    assert [decided.is_emitted for decided in emitter.process([answer, same])] == [True, False]


def test_bad_request_is_a_dead_letter_and_good_events_go_on() -> None:
    bad = orjson.dumps({"kind": "request", "user": "ann", "timestamp": 2})
    flow = Flow([event("ann", "tea", 1), bad, event("ann", "jam", 3)])
    assert len(flow.sent) == 2
    assert [(letter.reason, letter.field) for _, letter in flow.letters] == [("missing field", "request")]


def test_requests_are_counted_and_read() -> None:
    flow = Flow([event("ann", "tea", 1), ask("ann", 2), ask("bob", 3)])
    counters = flow.connections.counters
    assert (counters.learned, counters.requests, counters.emitted, counters.read) == (1, 2, 3, 3)
    assert "2 of them answers to requests" in counters.sentence()


def test_time_of_a_request_moves_no_clock() -> None:
    cleaner = Cleaner(100, Counters())
    wrong = Request("eve", 4e9, "r-1")
    given = [Interaction("ann", "tea", 10.0), wrong, Interaction("bob", "jam", 12.0)]
    passed = cleaner.process([*given])
    assert [each.timestamp for each in passed] == [10.0, 10.0, 12.0]
    assert cleaner.time.newest == 12.0
    assert cleaner.counters.late == 0
    [soon] = cleaner.process([Request("ann", 3_600.0, "r-2")])
    assert soon.timestamp == 3_600.0, "a quiet topic is no reason to doubt the time"


def test_answer_says_why_if_lists_do() -> None:
    records = [*(event(f"u{n}", item, n) for n in range(30) for item in ("tea", "jam")), ask("u3", 40)]
    flow = Flow(records, why=True)
    assert all(entry["why"] for entry in flow.lists[-1]["items"])


def test_context_of_a_request_reaches_the_model() -> None:
    drinks = [("phone", "tea"), ("desk", "milk")] * 60
    records = [event(f"u{n}", item, n, context={"device": device}) for n, (device, item) in enumerate(drinks)]
    asks = [ask("new", 200, device, context={"device": device}) for device in ("phone", "desk")]
    flow = Flow([*records, *asks], model="contextual")
    scores = [{entry["item"]: entry["score"] for entry in made["items"]} for made in flow.lists[-2:]]
    assert scores[0]["tea"] > scores[1]["tea"]
    assert scores[0]["milk"] < scores[1]["milk"]


def test_list_without_a_request_has_no_header() -> None:
    made = encode_list(Ranked(Interaction("ann", "tea", 1.0), None, ["tea"], [1.0]), "blend/1")
    assert made.headers == ()
    assert Prepared(Request("ann", 1.0, "r-1"), None).example is None
