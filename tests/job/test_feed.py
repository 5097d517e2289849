"""`freshrank feed`: the topic gets the events that a replay of the file reads."""

from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.errors import UsageError
from flows.files.open_log import LogError, open_log
from flows.formats.file_format import FileOptions
from flows.formats.json_events import JsonDecoder, encode_event
from flows.job.decoder import decoder_of
from flows.job.feed import Fed, feed
from flows.job.run import run
from flows.kafka.source import KafkaSource
from flows.messages import Event, Forget, Interaction, ItemEvent, Raw, Rejected, Request
from flows.replay import replay
from flows.sample import EVENTS
from flows.settings import Settings
from tests.support.kafka_fixtures import AnyBroker, NewTopic, config
from tests.support.kafka_fixtures import run as read

WriteLog = Callable[[Iterable[str]], Path]

LINES = [
    '{"user": "ann", "item": "tea", "timestamp": 1382021321.123456, "value": 0.1, "id": "e-1", "session": "s"}',
    '{"user": "bob", "item": "jam", "timestamp": "2013-10-17T16:48:42+02:00", "context": {"n": [1234567890123456789]}}',
    '{"user": "bob"}',
    '{"kind": "item", "item": "jam", "timestamp": 1382021323, "available": false, "features": {"tags": ["sweet"]}}',
    '{"kind": "forget", "user": "ann", "timestamp": 1382021324}',
    '{"kind": "request", "user": "ann", "timestamp": 1382021325, "request": "r-18", "context": {"device": "phone"}}',
]


def decoded(log: Path, settings: Settings | None = None) -> list[Event | Rejected]:
    source, decoder = open_log(log, file_options=settings.file_options if settings else ())
    part = source.build_part("test", "log", None)
    events: list[Event | Rejected] = []
    while True:
        try:
            events += [decoder(raw, 0.0) for raw in part.next_batch()]
        except StopIteration:
            return events


def over_the_wire(offset: int, event: Event, topic: str = "events") -> Event | Rejected:
    return JsonDecoder()(Raw(topic, 0, offset, encode_event(event).value), 0.0)


def test_the_bundled_log_survives_the_wire() -> None:
    events = decoded(EVENTS)
    assert len(events) == 30_000
    assert [over_the_wire(n, event) for n, event in enumerate(events) if not isinstance(event, Rejected)] == events


def test_every_kind_of_event_survives_the_wire(write_log: WriteLog) -> None:
    events = [event for event in decoded(write_log(LINES)) if not isinstance(event, Rejected)]
    assert [type(event) for event in events] == [Interaction, Interaction, ItemEvent, Forget, Request]
    for event in events:
        offset = int(event.source.rpartition("/")[2])
        assert over_the_wire(offset, event) == event
    assert [encode_event(event).key for event in events] == [b"ann", b"bob", b"jam", b"ann", b"ann"]


@given(
    st.floats(0.0, 4e9),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(codec="utf-8"), max_size=9),
)
def test_every_float_and_every_text_survives_the_wire(timestamp: float, value: float, text: str) -> None:
    event = Interaction(f"u{text}".replace("\0", ""), "i", timestamp, value=value, at=("events", 0, 0))
    assert over_the_wire(0, event) == event


def test_only_good_events_go_in_order(mock_broker: str, write_log: WriteLog) -> None:
    settings = Settings(bootstrap=mock_broker, create_topics=False)
    log = write_log(LINES)
    assert feed(log, settings, "fed", rate=1e6) == Fed(5, 1)
    records = read(KafkaSource(config(mock_broker), "fed", stop_at_end=True))
    good = [encode_event(event).value for event in decoded(log) if not isinstance(event, Rejected)]
    assert sorted(record.value or b"" for record in records) == sorted(value or b"" for value in good)


def test_a_topic_that_has_held_events_is_left_alone_if_so_wished(mock_broker: str, write_log: WriteLog) -> None:
    settings, log = Settings(bootstrap=mock_broker, create_topics=False), write_log(LINES)
    feed(log, settings, "once")
    assert feed(log, settings, "once", if_empty=True) == Fed(0, 0, skipped=True)
    assert feed(log, settings, "once") == Fed(5, 1)


def test_a_rate_spreads_the_events_evenly(
    mock_broker: str, write_log: WriteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr("flows.job.feed.time.monotonic", lambda: 100.0)
    monkeypatch.setattr("flows.job.feed.time.sleep", slept.append)
    feed(write_log(LINES), Settings(bootstrap=mock_broker, create_topics=False), "slow", rate=2.0)
    assert slept == [0.5, 1.0, 1.5, 2.0, 2.5, 3.0]


def test_columns_of_other_names_are_mapped(mock_broker: str, tmp_path: Path) -> None:
    log = tmp_path / "events.csv"
    log.write_text("who,item,timestamp\nann,tea,1\n")
    settings = Settings(bootstrap=mock_broker, create_topics=False)
    assert feed(log, settings, "mapped", file_options=[("*", FileOptions({"user": "who"}))]).delivered == 1


NAMED = [
    '{"userId": "ann", "what": {"id": "tea"}, "at": 1382021321500, "kind": "view", "id": "e-1", "value": 0.5}',
    '{"userId": "bob", "what": {"id": "jam"}, "at": 1382021322000, "kind": "click", "context": {"page": 3}}',
]


def of_topic(**format: object) -> dict[str, object]:
    return {"topic_formats": {"named-*": format}}


RENAMES = {"user": "userId", "item": "what.id", "timestamp": "at", "event": "kind", "id": ""}


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        (NAMED, {"fields": RENAMES, "time_unit": "ms"}),
        (LINES, of_topic(fields={"item": "sku", "kind": "type", "timestamp": "at"})),
        (LINES, of_topic(time_format="%d.%m.%Y %H:%M:%S.%f", time_zone="+02:00")),
        (LINES, of_topic(fields={"user": "who"}, time_unit="us")),
    ],
)
def test_job_reads_what_was_fed_whatever_its_fields_and_times_are_named(
    mock_broker: str, write_log: WriteLog, lines: list[str], named: dict[str, object]
) -> None:
    topic, log = "named-events", write_log(lines)
    settings = Settings.model_validate({"bootstrap": mock_broker, "create_topics": False, **named})
    events = [each for each in decoded(log, settings) if not isinstance(each, Rejected)]
    assert feed(log, settings, topic).delivered == len(events)
    decode = decoder_of(settings)
    found = [decode(raw, 0.0) for raw in read(KafkaSource(config(mock_broker), topic, stop_at_end=True))]
    assert sorted(map(as_read, found)) == sorted(map(as_read, events))


def as_read(event: Event | Rejected) -> str:
    """Return an event without its position, and its time to the microsecond."""
    assert not isinstance(event, Rejected), event
    return repr(msgspec.structs.replace(event, at=None, timestamp=round(event.timestamp, 6)))


def test_item_event_that_the_job_cannot_tell_from_an_interaction_is_not_fed(
    mock_broker: str, write_log: WriteLog
) -> None:
    settings = Settings.model_validate(
        {"bootstrap": mock_broker, "create_topics": False, **of_topic(fields={"event": "kind"})}
    )
    with pytest.raises(UsageError, match=r"expected an interaction, since the setting `fields` gives the name `kind`"):
        feed(write_log(LINES[3:]), settings, "named-kinds")


def test_a_log_that_breaks_off_is_an_error_after_what_was_whole_has_gone(mock_broker: str, tmp_path: Path) -> None:
    log = tmp_path / "events.csv.gz"
    log.write_bytes(EVENTS.read_bytes()[:100_000])
    with pytest.raises(LogError, match=r"expected a whole file.* events were delivered to 'broken'"):
        feed(log, Settings(bootstrap=mock_broker, create_topics=False), "broken")


@pytest.mark.slow
def test_a_broker_that_is_not_there_is_an_error() -> None:
    settings = Settings(bootstrap="127.0.0.1:1", kafka={"message.timeout.ms": "300"}, create_topics=False)
    with pytest.raises(UsageError, match="Is a broker running at `bootstrap`"):
        feed(EVENTS, settings, "events")


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan")])
def test_a_rate_is_above_zero(rate: float) -> None:
    with pytest.raises(ValueError, match="rate: expected events per second, above 0"):
        feed(EVENTS, Settings(), "events", rate=rate)


@pytest.mark.kafka
def test_lists_through_kafka_are_those_of_a_replay(broker: AnyBroker, new_topic: NewTopic, tmp_path: Path) -> None:
    topic = f"{new_topic()}-events"  # not there yet: feed creates it
    log, out = tmp_path / f"{topic}.csv", tmp_path / "lists.jsonl"
    rows = [f"u{n % 7},i{n * n % 11},{1e9 + n / 3!r},view,{0.1 * (n % 5)!r}" for n in range(300)]
    log.write_text("\n".join(["user,item,timestamp,event,value", *rows, ""]))
    settings = Settings(
        bootstrap=broker.bootstrap,
        input_topic=topic,
        output_topic=f"{topic}-lists",
        dead_letter_topic=f"{topic}-rejects",
        group=topic,
        fallback=False,
    )
    assert feed(log, settings, topic, if_empty=True) == Fed(300, 0)
    run(settings, stop_at_end=True)
    replay(log, Settings(fallback=False), out=out)
    lists = read(
        KafkaSource(
            {**config(broker.bootstrap), "group.id": f"{topic}-reader"}, settings.output_topic, stop_at_end=True
        )
    )
    assert [record.value for record in lists] == out.read_bytes().splitlines()
