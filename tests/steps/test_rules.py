"""Rules in the stream: the table, what is wrong with it, and the lists that go out."""

import logging
from pathlib import Path
from typing import Any

import orjson
import pytest

from flows.messages import ItemEvent, Prepared
from flows.monitoring.counters import Counters
from flows.replay import replay
from flows.sample import EVENTS
from flows.settings import Settings
from flows.settings.loading import SettingsError, load_settings
from flows.steps.feature_conditions import parse_features
from flows.steps.learn import Learner
from flows.steps.rules import RuleError, parse_rules
from tests.support.flow import Flow, event


def item(name: str, **features: object) -> bytes:
    return orjson.dumps({"kind": "item", "item": name, "timestamp": 0, "features": features})


GOODS = [
    item("tea", brand="own", price=3),
    item("jam", brand="acme", price=4),
    item("pie", brand="acme", price=5),
    item("gin", brand="best", price=20, adult=True),
]
CLICKS = [
    event(f"u{user}", name, 10.0 * place + user)
    for place, name in enumerate(("tea", "jam", "pie", "gin"))
    for user in range(6 - place)
]


def last(*records: bytes, **settings: Any) -> list[str]:
    return Flow([*GOODS, *CLICKS, *(records or [event("eve", "tea", 99.0)])], **settings).items(-1)


@pytest.mark.parametrize(
    ("text", "values", "expected"),
    [
        ("brand == 'acme'", {"brand": "acme"}, True),
        ("brand != 'acme'", {}, False),
        ("not brand == 'acme'", {}, True),
        ("price < 5", {"price": "4.5"}, True),
        ("price < 5", {"price": "dear"}, False),
        ("price < 5", {"price": True}, False),
        ("3 <= price < 5", {"price": 5}, False),
        ("5 > price", {"price": 4}, True),
        ("tags == 'red'", {"tags": ["blue", "red"]}, True),
        ("tags in ['red', 'green']", {"tags": ["blue"]}, False),
        ("tags not in ['red', 'green']", {"tags": "blue"}, True),
        ("adult", {"adult": True}, True),
        ("adult", {"adult": "yes"}, False),
        ("adult == false or price > 1", {"adult": False}, True),
        ("adult == true", {"adult": 1}, False),
    ],
)
def test_a_condition_on_features_is_met(text: str, values: dict[str, Any], expected: bool) -> None:
    assert parse_features(text)(values) is expected


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"a": {"exclude": "brand =< 3"}}, "rules.a.exclude: column 7"),
        ({"a": {"exclude": "1 == 1"}}, "expected a name to compare; got 1"),
        ({"a": {"exclude": "brand == other"}}, "expected a number, 'text', true or false; got other"),
        ({"a": {"exclude": "f(x)"}}, "expected a comparison"),
        ({"a": {"exclude": 3}}, "rules.a.exclude: expected a text; got 3"),
        ({"a": {}}, "rules.a: expected one of exclude, require, boost, at_most, pin; got none"),
        ({"a": {"exclude": "b", "require": "c"}}, "got exclude and require. Make one rule of each"),
        ({"a": "brand"}, "rules.a: expected a table"),
        ({"a": {"at_most": 2}}, "at_most needs `per` beside it"),
        ({"a": {"at_most": 0, "per": "brand"}}, "expected a whole number from 1 to 1,000; got 0"),
        ({"a": {"pin": "tea", "place": 11}}, "rules.a.place: expected a whole number from 1 to 10; got 11"),
        ({"a": {"boost": "b", "by": 0}}, "rules.a.by: expected a number from 1e-06"),
        ({"a": {"exclude": "b", "wen": "c"}}, "rules.a.wen: a rule of exclude has no such key. The nearest is when"),
        ({"a": {"exclude": "b", "unless": "c"}}, "rules.a.unless: there is no rule 'c'"),
        (
            {"a": {"exclude": "b", "unless": "c"}, "c": {"exclude": "d", "unless": "a"}},
            "these wait for each other: a unless c unless a",
        ),
        ({"a": {"exclude": "b", "unless": "a"}}, "these wait for each other: a unless a"),
        ({"a": {"exclude": "b"}, "c": {"require": "b"}}, "a and c exclude and require the same"),
        ({"a": {"require": "b == 'x'"}, "c": {"require": "b == 'y'"}}, "a and c require different values of b"),
        ({"a": {"require": "p < 3"}, "c": {"require": "p > 4 and b == 'x'"}}, "require different values of p"),
        ({"a": {"require": "p < 3 and p > 4"}}, "a requires of p what no value can be"),
        ({"a": {"pin": "x", "place": 1}, "c": {"pin": "y", "place": 1}}, "a and c pin two items at place 1"),
        ({"a": {"pin": "x", "place": 1}, "c": {"pin": "x", "place": 2}}, "a and c pin 'x' at two places"),
        ({"a": {"pin": "x", "place": 1}, "c": {"exclude": "item == 'x'"}}, "c keeps out 'x', which a pins"),
        ({"a": {"at_most": 1, "per": "b"}, "c": {"at_most": 2, "per": "b"}}, "a and c both limit items per b"),
        ({f"r{n}": {"pin": f"i{n}", "place": 1, "when": f"k == {n}"} for n in range(63)}, "at most 62 rules; got 63"),
    ],
)
def test_a_wrong_table_is_refused_in_one_line(table: dict[str, Any], said: str) -> None:
    with pytest.raises(RuleError) as refused:
        parse_rules(table, top=10)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    with pytest.raises(SettingsError, match=r"^rules"):
        load_settings(rules=table)


def test_rules_of_different_contexts_do_not_contradict() -> None:
    table = {
        "a": {"require": "market == 'de'", "when": "country == 'de'"},
        "b": {"require": "market == 'fr'", "when": "country == 'fr'"},
        "c": {"pin": "x", "place": 1, "when": "hour < 12"},
        "d": {"pin": "y", "place": 1, "when": "hour >= 12"},
        "e": {"at_most": 2, "per": "tags"},
    }
    assert [rule.name for rule in parse_rules(table, top=10)] == list(table)


def test_lists_follow_the_table() -> None:
    assert set(last()) == {"tea", "jam", "pie", "gin"}
    assert set(last(rules={"a": {"exclude": "adult"}})) == {"tea", "jam", "pie"}
    assert set(last(rules={"a": {"require": "price < 4.5"}})) == {"tea", "jam"}
    assert last(rules={"a": {"pin": "gin", "place": 1}})[0] == "gin"
    assert len({"jam", "pie"} & set(last(rules={"a": {"at_most": 1, "per": "brand"}}))) == 1


def test_a_rule_follows_the_context_of_the_event() -> None:
    rules = {"a": {"exclude": "adult", "when": "country == 'x' and hour < 6 and event == 'view'"}}
    shown = {"event": "view", "context": {"country": "x"}}
    assert "gin" not in last(event("eve", "tea", 99.0, **shown), rules=rules)
    assert "gin" in last(event("eve", "tea", 99.0, event="view"), rules=rules)
    assert "gin" in last(event("eve", "tea", 8 * 3600.0, **shown), rules=rules)


def test_a_request_and_the_fallback_list_follow_the_rules() -> None:
    asked = orjson.dumps({"kind": "request", "user": "eve", "timestamp": 99.0, "request": "r1"})
    assert set(last(asked, rules={"a": {"exclude": "adult"}})) == {"tea", "jam", "pie"}
    many = [event(f"u{n}", "gin", 100.0 + n) for n in range(60)]
    fallback = Flow([*GOODS, *CLICKS, *many], rules={"a": {"exclude": "adult"}}).fallbacks[-1]
    assert {each["item"] for each in fallback["items"]} == {"tea", "jam", "pie"}


def test_a_hidden_item_leaves_the_list_at_once_and_comes_back_when_shown() -> None:
    events = [event("eve", "jam", 99.0, event="hide"), event("eve", "tea", 100.0)]
    settings: dict[str, Any] = {"hide": ["hide"], "unhide": ["unhide"]}
    flow = Flow([*GOODS, *CLICKS, *events, event("eve", "jam", 101.0, event="unhide")], **settings)
    assert ["jam" in flow.items(index) for index in (-3, -2, -1)] == [False, False, True]
    assert flow.decided[-1].ranked.is_target is False


def test_a_hide_event_counts_against_its_item_unless_a_reward_says_more() -> None:
    assert Settings(hide=["hide"], unhide=["show"], rewards={"buy": 1.0}).rewards == {
        "hide": -1.0,
        "show": 0.0,
        "buy": 1.0,
    }
    assert Settings(hide=["hide"], rewards={"hide": -3.0}).rewards == {"hide": -3.0}
    for wrong in ({"rewards": {"hide": 1.0}}, {"unhide": ["hide"]}, {"undo": {"hide": "like"}}):
        with pytest.raises(SettingsError, match=r"^hide: expected .* \w+\.$"):
            load_settings(hide=["hide"], **wrong)
    with pytest.raises(SettingsError, match=r"^unhide: expected a type in hide"):
        load_settings(unhide=["show"])


def test_reasons_in_the_message_name_the_rule() -> None:
    rules = {"week": {"pin": "gin", "place": 1, "when": "hour == 0"}}
    made = Flow([*GOODS, *CLICKS, event("eve", "tea", 99.0)], rules=rules, why=True).lists[-1]
    assert made["items"][0]["item"] == "gin"
    assert made["items"][0]["why"]["rule week"] == 1.0
    assert made["model"] == "blend/1+rules"


def test_a_list_that_rules_empty_is_said_aloud(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        flow = Flow([*GOODS, *CLICKS], rules={"none": {"require": "brand == 'nobody'"}})
    assert all(made["items"] == [] for made in flow.lists)
    assert "rules have emptied 1 list" in caplog.text
    tally = flow.connections.counters.rules
    assert tally is not None
    assert tally.emptied == len(CLICKS) + len(flow.fallbacks)
    assert "lists that rules left shorter" in flow.connections.counters.sentence()


def test_lists_with_an_item_that_comes_under_a_rule_are_made_anew() -> None:
    rules = {"stock": {"require": "stock > 0"}}
    goods = [item(name, stock=3) for name in ("tea", "jam", "pie", "gin")]
    flow = Flow([*goods, *CLICKS, item("tea", stock=0), event("u0", "jam", 99.0)], rules=rules)
    holders = {made["user"]: [each["item"] for each in made["items"]] for made in flow.lists}
    assert flow.connections.counters.refreshed == 6
    assert not any("tea" in items for items in holders.values())


def test_state_with_rules_is_read_without_and_the_other_way_round() -> None:
    def learner(**settings: Any) -> Learner:
        return Learner(Settings(**settings).learning(), Counters())

    ruled = learner(hide=["hide"], model="popularity")
    ruled.process([Prepared(ItemEvent("tea", 0.0, features={"brand": "own"}), None)])
    for pair in ((ruled, learner(model="popularity")), (learner(model="popularity"), ruled)):
        pair[1].load(pair[0].dump())


@pytest.mark.slow
def test_replay_tells_what_diversity_costs_and_gains(tmp_path: Path) -> None:
    results = {
        batch: replay(
            EVENTS, Settings(diversity=0.4, repeats="exclude"), limit=1_500, batch=batch, out=tmp_path / f"{batch}"
        )
        for batch in (1, 50)
    }
    assert (tmp_path / "1").read_bytes() == (tmp_path / "50").read_bytes()
    told = results[1].report()["rules"]
    assert told["diversity"] > told["diversity_without"]
    assert told["hit_rate"] == results[1].metrics["hit_rate@10"]
    plain = replay(EVENTS, Settings(repeats="exclude"), limit=1_500)
    assert told["hit_rate_without"] == plain.metrics["hit_rate@10"]
    assert "rules" not in plain.report()
