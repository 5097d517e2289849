"""Fields of JSON records are found under other names and in nested objects."""

import json

import pytest

from flows.errors import UsageError
from flows.formats.json_events import JsonDecoder
from flows.formats.reasons import Reason
from flows.formats.times import TimeFormat
from flows.messages import Forget, Interaction, ItemEvent, Raw, Rejected

NESTED = {"user": "actor.id", "item": "objects.0.sku", "timestamp": "meta.at", "event": "kind", "context": "device"}


def decode(decoder: JsonDecoder, **record: object) -> object:
    return decoder(Raw("events", 0, 7, json.dumps(record).encode()), 0.0)


def test_nested_fields_lists_and_numbers() -> None:
    decoder = JsonDecoder(fields=NESTED, times=TimeFormat("ms"))
    found = decode(
        decoder,
        actor={"id": 17},
        objects=[{"sku": "A"}, {"sku": "B"}],
        meta={"at": 1_500},
        kind="buy",
        device={"os": "x"},
        user="not this one",
    )
    assert found == Interaction("17", "A", 1.5, "buy", context={"os": "x"}, at=("events", 0, 7), has_value=False)


def test_a_key_with_dots_comes_before_a_path() -> None:
    decoder = JsonDecoder(fields={"user": "actor.id"})
    found = decode(decoder, **{"actor.id": "flat", "actor": {"id": "deep"}, "item": "i", "timestamp": 1})
    assert isinstance(found, Interaction)
    assert found.user == "flat"


@pytest.mark.parametrize("actor", [None, 7, "ann", [], {}, {"id": None}])
def test_a_path_that_leads_nowhere_is_a_missing_field(actor: object) -> None:
    found = decode(JsonDecoder(fields={"user": "actor.id"}), actor=actor, item="i", timestamp=1)
    assert isinstance(found, Rejected)
    assert (found.reason, found.field) == (Reason.MISSING_FIELD, "user")


def test_item_events_and_erasures_are_mapped_too() -> None:
    decoder = JsonDecoder(fields={"user": "uid", "item": "sku", "features": "about", "kind": "type"})
    assert decode(decoder, type="item", sku=9, timestamp=1, about={"price": 3}) == ItemEvent(
        "9", 1.0, None, {"price": 3}, ("events", 0, 7)
    )
    assert decode(decoder, type="forget", uid=9, timestamp=1) == Forget("9", 1.0, ("events", 0, 7), 0.0)
    rejected = decode(decoder, type=["item"], sku=9, timestamp=1)
    assert isinstance(rejected, Rejected)
    assert (rejected.reason, rejected.field) == (Reason.WRONG_TYPE, "kind")


def test_an_empty_path_turns_a_field_off() -> None:
    found = decode(JsonDecoder(fields={"id": ""}), user="u", item="i", timestamp=1, id="order-7")
    assert isinstance(found, Interaction)
    assert found.id is None


@pytest.mark.parametrize(
    ("fields", "said"), [({"users": "uid"}, "expected one of the fields user"), ({"user": ""}, "found nothing")]
)
def test_a_mapping_that_cannot_be_used_is_refused(fields: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        JsonDecoder(fields=fields)
