"""Imputation of missing values and context fields from earlier events."""

import random
from pathlib import Path
from typing import Any

import pytest

from flows.formats.csv_events import CsvDecoder
from flows.formats.json_events import JsonDecoder
from flows.messages import Forget, Interaction, ItemEvent, Prepared, Raw
from flows.settings import Settings, SettingsError, load_settings
from flows.state.store import Store
from flows.steps.features import Meaning, prepare
from flows.steps.impute import WORDS, Imputer
from recmodels.base import Recommender
from tests.support.flow import Flow, event


def filled(filler: Imputer, *said: dict[str, Any]) -> list[dict[str, Any]]:
    """What the model is told of events with these contexts; `value` is the event's own."""
    events = []
    for context in said:
        value = context.pop("value", None)
        has_value = value is not None
        events.append(Interaction("u", "i", 1.0, value=value or 1.0, has_value=has_value, context=context))
    made = filler.process([prepare(event, Meaning(rewards={})) for event in events])
    return [dict(example.x or {}) for _, example in made if example is not None]


def test_a_mean_and_a_mode_of_what_was_said_before() -> None:
    filler = Imputer({"price": "mean", "device": "mode"})
    told = filled(
        filler,
        {"price": 2, "device": "phone"},
        {"price": 4.0, "device": "desk"},
        {"price": None, "device": "desk"},
        {"device": None},
        {"price": 9, "device": None},
        {},
    )
    assert [each["price"] for each in told] == [2, 4.0, 3.0, 3.0, 9, 5.0]
    assert [each["device"] for each in told] == ["phone", "desk", "desk", "desk", "desk", "desk"]


def test_nothing_is_imputed_before_a_first_value() -> None:
    filler = Imputer({"price": "mean", "device": "mode", "value": "mean"})
    (told,) = filled(filler, {"price": None})
    assert told == {"event": "interaction", "value": 1.0, "price": None}


def test_a_value_that_is_not_said_is_filled_and_one_of_1_is_not() -> None:
    filler = Imputer({"value": "mean"})
    told = filled(filler, {"value": 5.0}, {"value": 1.0}, {}, {"value": 2.0})
    assert [each["value"] for each in told] == [5.0, 1.0, 3.0, 2.0]


@pytest.mark.parametrize(
    "record", [b'{"user":"u","item":"i","timestamp":1,"value":null}', b'{"user":"u","item":"i","timestamp":1}']
)
def test_null_and_absent_are_the_same(record: bytes) -> None:
    decoded = JsonDecoder()(Raw("events", 0, 0, record), 0.0)
    assert isinstance(decoded, Interaction)
    assert (decoded.value, decoded.has_value) == (1.0, False)


@pytest.mark.parametrize(("row", "has_value"), [(b"u,i,1,click,", False), (b"u,i,1,click,1", True)])
def test_an_empty_column_is_missing(row: bytes, has_value: bool) -> None:
    decoded = CsvDecoder(["user", "item", "timestamp", "event", "value"])(Raw("events", 0, 0, row), 0.0)
    assert isinstance(decoded, Interaction)
    assert (decoded.value, decoded.has_value) == (1.0, has_value)


def test_values_of_the_wrong_type_are_neither_learned_nor_replaced() -> None:
    filler = Imputer({"price": "mean", "device": "mode"})
    odd = ["dear", True, [1], {"a": 1}, 1e300, -(10**400)]
    told = filled(filler, {"price": 7, "device": "desk"}, *({"price": each} for each in odd), {"price": None})
    assert [each["price"] for each in told] == [7, *odd, 7.0]
    assert filler.dump(), "what was learned can be written down"
    devices = [[1], {"a": 1}, 0.5, "x" * 1_000, 2**70]
    told = filled(filler, *({"device": each} for each in devices), {"device": None})
    assert [each["device"] for each in told] == [*devices, "desk"]
    assert filler.dump(), "what was learned can be written down"


def test_memory_is_bounded_whatever_comes() -> None:
    filler = Imputer({"device": "mode"})
    filled(filler, *({"device": f"d{number}"} for number in range(10_000)))
    assert filler.dump()["fields"].nbytes < 20 * WORDS


def test_other_events_than_interactions_pass() -> None:
    filler, others = (
        Imputer({"device": "mode"}),
        [Prepared(ItemEvent("i", 1.0), None), Prepared(Forget("u", 1.0), None)],
    )
    assert filler.process(others) == others


@pytest.mark.parametrize("seed", range(3))
def test_resumed_step_continues_bit_for_bit(tmp_path: Path, seed: int) -> None:
    draw, fields = random.Random(seed), {"price": "mean", "device": "mode"}
    unbroken, resumed, store = Imputer(fields), Imputer(fields), Store(tmp_path)  # type: ignore[arg-type]
    store.load(resumed, None)
    for _ in range(40):
        said = [
            {"price": draw.choice([None, draw.random()]), "device": draw.choice([None, "a", "b", 3])} for _ in range(9)
        ]
        assert filled(unbroken, *map(dict, said)) == filled(resumed, *map(dict, said))
        pointer = store.save(resumed)
        resumed, store = Imputer(fields), Store(tmp_path)  # type: ignore[arg-type]
        store.load(resumed, pointer)
    assert resumed.dump()["fields"].tobytes() == unbroken.dump()["fields"].tobytes()


def test_a_field_whose_filling_has_changed_begins_anew() -> None:
    before, after = Imputer({"price": "mean", "device": "mode"}), Imputer({"price": "mode", "device": "mode"})
    filled(before, {"price": 5, "device": "desk"})
    after.load(before.dump())
    (told,) = filled(after, {"price": None, "device": None})
    assert (told["price"], told["device"]) == (None, "desk")


class Devices(Recommender):
    """Notes what it is told."""

    told: list[Any] = []  # noqa: RUF012

    def learn_one(self, user: str, item: str, y: float = 1.0, x: Any = None) -> None:
        self.register(user, item)
        self.told.append(x.get("device"))

    def predict_one(self, user: str, item: str, x: Any = None) -> float:
        return 0.0


def test_the_flow_fills_what_the_settings_name_and_else_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Devices, "told", [])
    contexts = [{"device": "desk"}, {"device": None}, None]
    records = [event("u", f"i{n}", n, context=context) for n, context in enumerate(contexts)]
    Flow(records, model="tests.steps.test_impute:Devices", fill={"device": "mode"})
    Flow(records, model="tests.steps.test_impute:Devices")
    assert Devices.told == ["desk", "desk", "desk", "desk", None, None]


def test_other_fillings_are_refused() -> None:
    assert Settings().fill == {}
    with pytest.raises(SettingsError, match=r"setting fill\.device: .*'mean' or 'mode'.*got 'median'"):
        load_settings(fill={"device": "median"})
