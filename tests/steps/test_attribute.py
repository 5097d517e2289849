"""Attribution: outcomes find their lists, and each that does not is counted by its reason."""

from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from flows.formats.csv_events import CsvDecoder
from flows.formats.json_events import JsonDecoder, encode_event
from flows.messages import Decided, Forget, Interaction, Ranked, Raw, Refresh
from flows.monitoring.attribution import Attribution
from flows.state.store import MOST_SNAPSHOTS, Store
from flows.steps.attribute import Attributing, Attributor
from tests.support.flow import Flow, event

WINDOW = 60.0
LISTED = ["tea", "jam", "pie"]


class Shop:
    """Users, their lists and their events, one record after the other."""

    def __init__(self, most: int = 1_000) -> None:
        self.figures = Attribution()
        self.attributor = Attributor(Attributing(window=WINDOW, most=most, top=3), self.figures)
        self.offset = 0

    def happen(
        self, user: str, item: str, time: float, kind: str = "click", source: str | None = None, **more: Any
    ) -> str:
        """Process an event, and return the position that its new list has."""
        at = ("events", 0, self.offset)
        self.offset += 1
        happened = Interaction(user, item, time, kind, at=at, source_list=source)
        ranked = Ranked(happened, None, LISTED, [0.3, 0.2, 0.1], is_target=kind == "click", **more)
        self.attributor.process([Decided(ranked, True)])
        return happened.source

    def outcomes(self) -> dict[str, int]:
        return {name: count for name, count in self.figures.outcomes.items() if count}


def test_outcomes_are_joined_to_the_list_that_they_name() -> None:
    shop = Shop()
    first = shop.happen("ann", "milk", 0.0)
    shop.happen("ann", "rye", 1.0)
    shop.happen("ann", "tea", 2.0, "impression", first)
    shop.happen("ann", "jam", 2.0, "impression", first)
    shop.happen("ann", "jam", 3.0, "click", first)
    shop.happen("ann", "oil", 1_000.0)
    assert shop.outcomes() == {"not_in_list": 1, "shown": 2, "taken": 1}
    report = shop.figures.report()
    assert (report["shown_lists"], report["hit_rate"]["all"]["mean"], report["click_rate"]["own"]["mean"]) == (
        1,
        1.0,
        0.5,
    )
    assert report["positions"] == [{"shown": 1, "taken": 0}, {"shown": 1, "taken": 1}]
    assert report["lists"] == 6
    assert shop.figures.unattributed == {"no_list": 2}, "the first event, and the one after the window"
    assert report["closed"] == 5
    assert report["unanswered"] == 4


def test_an_outcome_without_a_list_belongs_to_the_newest_list_of_its_user() -> None:
    shop = Shop()
    assert shop.happen("ann", "milk", 0.0)
    shop.happen("ann", "tea", 10.0)
    shop.happen("bob", "tea", 11.0)
    assert shop.outcomes() == {"taken": 1}
    assert shop.figures.unattributed == {"no_list": 2}
    assert shop.figures.report()["served_hit_rate"]["all"]["mean"] == 1.0


def test_users_without_a_list_have_the_fallback_list() -> None:
    shop = Shop()
    fallback = Ranked(Refresh("", 5.0, ("events", 0, 9)), None, ["tea"], [1.0])
    shop.attributor.process([Decided(fallback, True)])
    shop.happen("ann", "tea", 10.0, "impression", "events/0/9")
    shop.happen("bob", "tea", 11.0)
    shop.happen("ann", "x", 200.0)
    report = shop.figures.report()
    assert report["click_rate"]["fallback"]["of"] == 1
    assert report["served_hit_rate"]["fallback"] == report["served_hit_rate"]["all"]


def test_each_outcome_that_belongs_to_no_list_has_a_reason() -> None:
    shop = Shop(most=64)
    old = shop.happen("ann", "milk", 0.0)
    for number in range(100):
        shop.happen(f"u{number}", "milk", 1.0)
    newest = shop.happen("ann", "milk", 20.0)
    before = dict(shop.figures.unattributed)
    assert before == {"no_list": 102}, "the first list of ann is remembered no more"
    for source, time in (
        ("nonsense", 21.0),
        ("clicks/0/1", 21.0),
        ("events/0/999", 21.0),
        (old, 21.0),
        ("events/0/99", 21.0),
        (newest, 19.0),
    ):
        shop.happen("ann", "tea", time, "impression", source)
    found = dict(shop.figures.unattributed)
    del found["no_list"]
    assert found == {"unknown_list": 2, "list_to_come": 1, "list_gone": 1, "other_user": 1, "before_list": 1}
    assert shop.outcomes() == {}


def test_late_and_repeated_outcomes_are_counted_and_change_no_rate() -> None:
    shop = Shop()
    source = shop.happen("ann", "milk", 0.0)
    for _ in range(3):
        shop.happen("ann", "tea", 1.0, "impression", source)
        shop.happen("ann", "tea", 1.0, "click", source)
    shop.happen("ann", "tea", WINDOW + 1.0, "click", source)
    assert shop.outcomes() == {"shown": 1, "taken": 1, "repeated": 4, "late": 1}
    assert shop.figures.report()["click_rate"]["all"] == pytest.approx(
        {"mean": 1.0, "low": 0.0, "high": 1.0, "level": 0.95, "of": 1}
    )


def test_members_that_spoke_for_an_item_have_its_outcome() -> None:
    shop = Shop()
    why = [{"factors": 1.0, "history": 0.5}, {"history": 2.0}, {}]
    source = shop.happen("ann", "milk", 0.0, why=why)
    for item in LISTED:
        shop.happen("ann", item, 1.0, "impression", source)
    shop.happen("ann", "jam", 2.0, "click", source)
    shop.happen("ann", "x", 100.0)
    assert shop.figures.report()["members"] == {
        "factors": {"shown": 1, "taken": 0},
        "history": {"shown": 1, "taken": 1},
    }


def test_an_erased_user_is_forgotten() -> None:
    shop = Shop()
    source = shop.happen("ann", "milk", 0.0)
    shop.attributor.process([Decided(Ranked(Forget("ann", 1.0, ("events", 0, 1)), None, None, None), True)])
    shop.offset = 2
    shop.happen("ann", "tea", 2.0, "impression", source)
    assert shop.figures.unattributed == {"no_list": 1, "list_gone": 1}
    assert orjson.loads(shop.attributor.dump()["lists.names"].tobytes()) == [None, "events/0/2\tann"]


def random_events(count: int) -> list[Decided]:
    random = np.random.default_rng(5)
    made = []
    for number in range(count):
        user, item, kind = f"u{random.integers(30)}", random.choice([*LISTED, "oil"]), random.random()
        if kind < 0.02:
            made.append(Decided(Ranked(Forget(user, float(number), ("events", 0, number)), None, None, None), True))
            continue
        if kind < 0.04:
            withdrawal = Refresh(user, float(number), ("events", 0, number), withdraw=True)
            made.append(Decided(Ranked(withdrawal, None, None, None), True))
            continue
        source = f"events/0/{number - random.integers(-2, 200)}" if kind < 0.3 else None
        event_type = "impression" if kind < 0.6 else "click"
        happened = Interaction(user, str(item), float(number), event_type, at=("events", 0, number), source_list=source)
        ranked = Ranked(happened, None, LISTED, [0.3, 0.2, 0.1], is_target=event_type == "click")
        made.append(Decided(ranked, bool(random.random() < 0.8)))
    return made


@pytest.mark.slow
def test_figures_survive_a_stop_at_any_snapshot(tmp_path: Path) -> None:
    decided = random_events(3_000)
    whole = Attribution()
    Attributor(Attributing(window=WINDOW, most=300, top=3), whole).process(decided)
    assert len(whole.unattributed) >= 3
    pointer = None
    for start in range(0, 3_000, 3_000 // (2 * MOST_SNAPSHOTS)):
        figures = Attribution()
        part, store = Attributor(Attributing(window=WINDOW, most=300, top=3), figures), Store(tmp_path)
        store.load(part, pointer)
        part.process(decided[start : start + 3_000 // (2 * MOST_SNAPSHOTS)])
        pointer = store.save(part)
    assert figures.report() == whole.report()


def test_memory_is_bounded() -> None:
    attributor = Attributor(Attributing(window=1e9, most=300, top=3), Attribution())
    attributor.process(random_events(5_000))
    assert len(attributor._lists) <= 300
    assert sum(map(len, attributor._rows.values())) == len(attributor._lists)
    assert sum(attributor._users.values()) == len(attributor._lists)
    assert len(attributor._open) <= 300


def test_the_flow_reads_the_list_of_an_event_and_sends_the_same_lists() -> None:
    records = [event(f"u{n % 5}", f"i{n % 7}", float(n)) for n in range(60)]
    shown = [event("u4", item, 61.0, event="impression", list="events/0/59") for item in ("i0", "i1")]
    settings = {"model": "popularity", "fallback": False}
    plain = Flow([*records, *shown], **settings)
    joined = Flow([*records, *shown], attribution_window=3_600.0, **settings)
    assert joined.everything == plain.everything
    figures = joined.connections.attribution
    assert figures.lists == 62
    assert figures.outcomes["shown"] == 2
    assert plain.connections.attribution.lists == 0


@pytest.mark.parametrize("given", [None, ["a"], {"a": 1}, 7.5, "", "x" * 10_000])
def test_a_list_that_is_no_text_makes_no_reject(given: Any) -> None:
    decoded = JsonDecoder()(Raw("events", 0, 0, event("ann", "tea", 1.0, list=given)), 0.0)
    assert isinstance(decoded, Interaction)
    assert decoded.source_list is None


def test_the_list_of_an_event_is_read_from_json_and_csv_and_written() -> None:
    for record in (event("ann", "tea", 1.0, list="events/0/7"), event(7, "tea", 1.0, list="events/0/7")):  # type: ignore[arg-type]
        decoded = JsonDecoder()(Raw("events", 0, 0, record), 0.0)
        assert isinstance(decoded, Interaction)
        assert decoded.source_list == "events/0/7"
        assert b'"list":"events/0/7"' in (encode_event(decoded).value or b"")
    read = CsvDecoder(["user", "item", "timestamp", "list"])(Raw("log", 0, 0, b"ann,tea,1,events/0/7"), 0.0)
    assert isinstance(read, Interaction)
    assert read.source_list == "events/0/7"
    mapped = JsonDecoder(fields={"list": "from.list"})
    decoded = mapped(Raw("events", 0, 0, b'{"user":"a","item":"b","timestamp":1,"from":{"list":"e/0/1"}}'), 0.0)
    assert isinstance(decoded, Interaction)
    assert decoded.source_list == "e/0/1"
