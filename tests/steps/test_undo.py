"""Events that take an earlier one back: likes that are undone, returns, and rows that are deleted."""

from typing import Any

import orjson
import pytest

from flows.formats.envelopes.decoder import EnvelopeDecoder
from flows.formats.json_events import JsonDecoder
from flows.messages import Ignored, Interaction, Raw, Rejected
from flows.monitoring.counters import Counters
from flows.settings import Settings, SettingsError, load_settings
from flows.steps.clean import Cleaner
from flows.steps.features import prepare
from tests.support.flow import Flow, event

UNDO = {"unlike": "like", "return": "purchase"}


def liked(*, is_undone: bool, **more: Any) -> list[bytes]:
    """Ten users like the tea, of whom three also like the jam; then everybody undoes the tea."""
    records = [event(f"u{n}", "tea", n, event="like", **more) for n in range(10)]
    records += [event(f"u{n}", "jam", 20 + n, event="like", **more) for n in range(3)]
    if is_undone:
        records += [event(f"u{n}", "tea", 40 + n, event="unlike", **more) for n in range(10)]
    return [*records, event("eve", "pie", 60, event="like", **more)]


def test_undone_item_is_in_no_list() -> None:
    flow = Flow(liked(is_undone=True), undo=UNDO)
    assert set(flow.items(-1)) == {"jam", "pie"}
    assert flow.connections.counters.undone == 10
    assert "10 events taken back" in flow.connections.counters.sentence()
    assert set(Flow(liked(is_undone=False)).items(-1)) == {"tea", "jam", "pie"}


def test_item_that_was_returned_may_be_recommended_again() -> None:
    records = liked(is_undone=False)
    had = Flow([*records, event("u5", "jam", 90, event="like")], repeats="exclude", undo=UNDO)
    back = Flow([*records, event("u5", "tea", 90, event="unlike")], repeats="exclude", undo=UNDO)
    assert "tea" not in had.items(-1)
    assert "tea" in back.items(-1)


@pytest.mark.parametrize("batch", [1, 7])
def test_batches_do_not_show_in_what_is_taken_back(batch: int) -> None:
    records = liked(is_undone=True)
    assert Flow(records, batch=batch, undo=UNDO).everything == Flow(records, batch=100, undo=UNDO).everything


def test_undo_takes_back_the_type_that_it_names() -> None:
    records = [event("ann", "tea", 1, event="view"), event("ann", "tea", 2, event="return")]
    flow = Flow(records, undo=UNDO)
    assert (flow.connections.counters.undone, flow.connections.counters.not_undone) == (0, 1)
    assert "1 that were to take one back and found none" in flow.connections.counters.sentence()


def test_model_that_cannot_undo_says_so_once_and_learns_against_the_item(caplog: pytest.LogCaptureFixture) -> None:
    flow = Flow(liked(is_undone=True), undo=UNDO, model="river:reco.BiasedMF(n_factors=4, seed=1)")
    counters = flow.connections.counters
    assert (counters.learned, counters.undone, counters.not_undone) == (24, 0, 10)
    said = [record.getMessage() for record in caplog.records if "take an event back" in record.getMessage()]
    assert said == ["river.BiasedMF cannot take an event back: 'unlike' is learned as an event against its item"]


def test_domains_say_what_takes_back() -> None:
    assert Settings(domain="ecommerce").undo["return"] == "purchase"
    assert Settings(domain="social", undo={"unlike": "", "unfollow": "follow"}).undo == {"unfollow": "follow"}, (
        "an empty text turns it off"
    )
    assert Settings().undo == {}
    click = Interaction("u", "i", 1.0, event="remove_from_cart")
    example = prepare(click, Settings(domain="ecommerce").meaning()).example
    assert example is not None
    assert (example.undoes, example.y) == ("cart", -0.6), "it takes back what the cart gave"


@pytest.mark.parametrize(
    ("undo", "said"),
    [
        ({"unhide": "hide"}, "expected a type with a reward above 0; unhide takes back hide, whose reward is -1"),
        ({"a": "b", "b": "c"}, "expected a type that takes nothing back; a takes back b"),
    ],
)
def test_undo_that_cannot_work_is_refused(undo: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        load_settings(domain="social", undo=undo)


def change(op: str, user: str | None = "u1", **more: object) -> Raw:
    row = {"user": user, "item": "tea", "timestamp": 5, "event": "like", "id": "r-1", **more}
    return Raw("likes", 0, 0, orjson.dumps({"op": op, "before" if op == "d" else "after": row, "ts_ms": 1_000}))


def test_deleted_row_of_an_interaction_takes_it_back() -> None:
    decode = EnvelopeDecoder(JsonDecoder(), "debezium")
    made, deleted = decode(change("c"), 0.0), decode(change("d"), 0.0)
    assert isinstance(made, Interaction)
    assert isinstance(deleted, Interaction)
    assert (made.is_deleted, deleted.is_deleted) == (False, True)
    assert Cleaner(100, Counters()).process([made, deleted, deleted]) == [made, deleted], "its id is no repeat"
    example = prepare(deleted, Settings().meaning()).example
    assert example is not None
    assert (example.undoes, example.y) == ("like", -1.0)
    assert Settings(envelope="debezium").takes_back
    assert not Settings().takes_back


def test_deleted_row_that_does_not_say_whose_it_was_is_counted() -> None:
    decode = EnvelopeDecoder(JsonDecoder(), "debezium")
    found = decode(change("d", user=None), 0.0)
    assert type(found) is Ignored
    assert type(decode(change("c", user=None), 0.0)) is Rejected
