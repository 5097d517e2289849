"""Backfill on a real broker: the job begins in the topic where the past ends, by position, by id and by time."""

from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest

from flows.errors import UsageError
from flows.files.recording import record
from flows.job.past_request import Backfill
from flows.job.run import run
from flows.kafka.topic_range import TopicRange, read_range
from flows.monitoring.counters import Counters
from flows.replay import replay
from flows.settings import Settings
from tests.support.flow import event, sample_records
from tests.support.kafka_fixtures import AnyBroker, NewTopic
from tests.support.kafka_jobs import consume, produce

pytestmark = pytest.mark.kafka

START = 1_400_000_000.0
SAID = {"model": "history", "fallback": False, "hold_back": 0.0}


class Job:
    """Topics, and a job between them in this process."""

    def __init__(self, broker: AnyBroker, new_topic: NewTopic, directory: Path) -> None:
        self.broker = broker
        self.directory = directory
        self.events = new_topic()
        self.settings = Settings.model_validate(
            {
                **SAID,
                "bootstrap": broker.bootstrap,
                "input_topic": self.events,
                "output_topic": f"{self.events}-lists",
                "dead_letter_topic": f"{self.events}-rejects",
                "group": self.events,
                "recovery": directory / "state",
            }
        )

    def run(self, **asked: Any) -> Counters:
        return run(self.settings, stop_at_end=True, backfill=Backfill(**{"active_days": 36_500.0, **asked}))

    def sources(self) -> list[str]:
        """Return the positions that the lists answer, in order."""
        return [orjson.loads(message.value() or b"")["source"] for message in self.messages()]

    def messages(self) -> list[Any]:
        return consume(self.broker, f"{self.events}-lists")

    def final_lists(self) -> dict[str, Any]:
        return {each["user"]: each["items"] for each in (orjson.loads(m.value() or b"") for m in self.messages())}


@pytest.fixture
def job(broker: AnyBroker, new_topic: NewTopic, tmp_path: Path) -> Job:
    return Job(broker, new_topic, tmp_path)


def write(path: Path, records: list[bytes]) -> str:
    path.write_bytes(b"".join(each + b"\n" for each in records))
    return str(path)


def expected(tmp_path: Path, records: list[bytes]) -> dict[str, Any]:
    replay(write(tmp_path / "all.jsonl", records), Settings.model_validate(SAID), out=tmp_path / "all-lists.jsonl")
    lists = map(orjson.loads, (tmp_path / "all-lists.jsonl").read_bytes().splitlines())
    return {each["user"]: each["items"] for each in lists}


def clicks(first: int, end: int, ids: bool = False) -> list[bytes]:
    more = [{"id": f"e{n}"} if ids else {} for n in range(end)]
    return [event(f"u{n % 7}", f"i{n * n % 11}", START + n, **more[n]) for n in range(first, end)]


def live_sources(job: Job, first: int, end: int) -> list[str]:
    return [f"{job.events}/0/{offset}" for offset in range(first, end)]


def test_files_then_topic_are_learned_as_one(job: Job, tmp_path: Path) -> None:
    produce(job.broker, job.events, clicks(60, 100))
    counters = job.run(paths=(write(tmp_path / "past.jsonl", clicks(0, 60)),))
    assert counters.learned == 40
    sources = job.sources()
    assert Counter(sources[:7]) == {"past/0/59": 7}, "one list for each of the seven users"
    assert sources[7:] == live_sources(job, 0, 40)
    lists = expected(tmp_path, clicks(0, 100))
    found = job.final_lists()
    assert {user: found[user] for user in lists} == lists
    produce(job.broker, job.events, clicks(100, 110))
    assert job.run(paths=(str(tmp_path / "past.jsonl"),)).learned == 10, "the past is not learned again"


def test_recording_of_the_topic_is_followed_by_position(job: Job, tmp_path: Path) -> None:
    produce(job.broker, job.events, [*clicks(0, 50), b"nothing"])
    log = tmp_path / "kept.jsonl"
    record(job.events, read_range(job.settings.client(), job.events, TopicRange()), log)
    produce(job.broker, job.events, clicks(50, 80))
    assert job.run(paths=(str(log),)).learned == 30
    assert job.sources()[7:] == live_sources(job, 51, 81)
    assert len(consume(job.broker, f"{job.events}-rejects")) == 1, "the reject of the past is not read again"


def test_events_in_both_are_learned_once_by_their_ids(job: Job, tmp_path: Path) -> None:
    produce(job.broker, job.events, clicks(30, 80, ids=True))
    counters = job.run(paths=(write(tmp_path / "past.jsonl", clicks(0, 60, ids=True)),))
    assert (counters.learned, counters.duplicate) == (20, 30)
    assert job.sources()[7:] == live_sources(job, 30, 50)


def test_overlap_is_refused_and_can_be_cut_by_time(job: Job, tmp_path: Path) -> None:
    produce(job.broker, job.events, clicks(30, 80))
    past = write(tmp_path / "past.jsonl", clicks(0, 60))
    with pytest.raises(UsageError, match=r"30 events may be in both. Add --backfill-until 2014-05-13T16:53:50Z"):
        job.run(paths=(past,))
    counters = job.run(paths=(past,), until=START + 30.0)
    assert counters.learned == 50
    assert job.sources()[7:] == live_sources(job, 0, 50)
    lists = expected(tmp_path, clicks(0, 80))
    found = job.final_lists()
    assert {user: found[user] for user in lists} == lists


def test_group_that_has_read_before_asks_for_a_choice(job: Job, tmp_path: Path) -> None:
    produce(job.broker, job.events, clicks(60, 80))
    run(job.settings.model_copy(update={"recovery": tmp_path / "other"}), stop_at_end=True)
    past = (write(tmp_path / "past.jsonl", clicks(0, 60)),)
    with pytest.raises(UsageError, match=r"has read .* to offset 20 before. Add --from-start"):
        job.run(paths=past)
    produce(job.broker, job.events, clicks(80, 90))
    asked = Backfill(paths=past, active_days=0.0)
    assert run(job.settings, stop_at_end=True, begin_from="group", backfill=asked).learned == 10


def test_backfill_with_start_at_the_end_is_refused(job: Job, tmp_path: Path) -> None:
    job.settings = job.settings.model_copy(update={"start": "latest"})
    with pytest.raises(UsageError, match="setting start: expected earliest with a backfill"):
        job.run(paths=(write(tmp_path / "past.jsonl", clicks(0, 60)),))


def test_another_topic_is_learned_first(job: Job, new_topic: NewTopic, tmp_path: Path) -> None:
    history = new_topic()
    produce(job.broker, history, clicks(0, 60))
    produce(job.broker, job.events, clicks(60, 100))
    counters = job.run(topic=history)
    assert counters.learned == 40
    assert Counter(job.sources()[:7]) == {f"{history}/0/59": 7}
    assert job.sources()[7:] == live_sources(job, 0, 40)
    lists = expected(tmp_path, clicks(0, 100))
    found = job.final_lists()
    assert {user: found[user] for user in lists} == lists


def test_topic_that_ends_after_the_other_begins_is_refused(job: Job, new_topic: NewTopic) -> None:
    history = new_topic()
    produce(job.broker, history, clicks(0, 60))
    produce(job.broker, job.events, clicks(50, 100))
    with pytest.raises(UsageError, match=f"topic {history}: expected a backfill that ends before {job.events} begins"):
        job.run(topic=history)
    with pytest.raises(UsageError, match="expected a topic that the job does not read"):
        job.run(topic=job.events)
    assert job.run(topic=history, until=START + 50.0).learned == 50


def test_topic_alone_is_caught_up_silently(job: Job, tmp_path: Path) -> None:
    records = sample_records(100)
    produce(job.broker, job.events, records)
    job.run(is_silent=True)
    users = {orjson.loads(each)["user"] for each in records}
    assert Counter(job.sources()) == {f"{job.events}/0/99": len(users)}
    produce(job.broker, job.events, records[:5])
    assert run(job.settings, stop_at_end=True).learned == 5
    assert job.sources()[len(users) :] == live_sources(job, 100, 105)


def test_state_of_a_replayed_recording_goes_on_in_the_topic(job: Job, tmp_path: Path) -> None:
    produce(job.broker, job.events, clicks(0, 50))
    log = tmp_path / "kept.jsonl"
    record(job.events, read_range(job.settings.client(), job.events, TopicRange()), log)
    produce(job.broker, job.events, clicks(50, 80))
    replay(log, Settings.model_validate({**SAID, "recovery": tmp_path / "replayed"}))
    assert job.run(state=tmp_path / "replayed").learned == 30
    assert job.sources()[7:] == live_sources(job, 50, 80)
    lists = expected(tmp_path, clicks(0, 80))
    found = job.final_lists()
    assert {user: found[user] for user in lists} == lists


def test_state_that_ends_after_the_topic_begins_is_refused(job: Job, tmp_path: Path) -> None:
    produce(job.broker, job.events, clicks(30, 80))
    kept = tmp_path / "replayed"
    replay(write(tmp_path / "past.jsonl", clicks(0, 60)), Settings.model_validate({**SAID, "recovery": kept}))
    with pytest.raises(UsageError, match="expected a backfill that ends before"):
        job.run(state=kept)
