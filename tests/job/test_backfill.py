"""Backfill: the past is learned silently, active users get one list each, and the job goes on live."""

import re
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

import flows.job.backfill
from flows.cli import app
from flows.errors import LogError, UsageError
from flows.job.connections import connections_for_engine
from flows.job.past_join import TopicBegin, expect_no_overlap
from flows.job.past_plan import USERS_NAME, PastPlan, load_plan
from flows.job.past_request import Backfill
from flows.job.past_scan import PastFacts, identity
from flows.job.run import run
from flows.messages import Interaction
from flows.replay import replay
from flows.settings import Settings
from flows.state.recovery import RecoveryError
from tests.support.file_connector import FileConnector
from tests.support.flow import event, sample_records
from tests.support.monitored_flow import Scraped, free_port, scrape

DAY = 86_400.0
START = 1_400_000_000.0
"""A number that can only be seconds."""
ASKED = {"model": "history", "fallback": False, "hold_back": 0.0}


class Shop:
    """A past and a topic, both files, and the job between them."""

    def __init__(self, directory: Path, past: list[bytes], live: list[bytes], **settings: Any) -> None:
        self.directory = directory
        self.past = write(directory / "past.jsonl", past)
        self.live = write(directory / "live.jsonl", live)
        self.settings = Settings(**{**ASKED, "recovery": directory / "state", "epoch_seconds": 60.0, **settings})

    def run(self, backfill: Backfill | None = None, **asked: Any) -> None:
        backfill = backfill or Backfill(**{"paths": (str(self.past),), "active_days": 36_500.0, **asked})
        run(self.settings, True, connector=FileConnector(self.settings, self.live, self.directory), backfill=backfill)

    def lists(self, topic: str | None = None) -> list[dict[str, Any]]:
        """Return the lists, or those of events of one file."""
        path = self.directory / "lists.jsonl"
        found = [orjson.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []
        return [each for each in found if topic is None or each.get("source", "").startswith(f"{topic}/")]


def write(path: Path, records: list[bytes]) -> Path:
    path.write_bytes(b"".join(record + b"\n" for record in records))
    return path


def told(lists: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [(each["user"], each["items"], each["event_time"]) for each in lists]


def replayed(directory: Path, records: list[bytes], **settings: Any) -> list[dict[str, Any]]:
    log, out = write(directory / "all.jsonl", records), directory / "expected.jsonl"
    replay(log, Settings(**{**ASKED, **settings}), out=out)
    return [orjson.loads(line) for line in out.read_bytes().splitlines()]


@pytest.fixture
def shop(tmp_path: Path) -> Callable[..., Shop]:
    return lambda past, live, **settings: Shop(tmp_path, past, live, **settings)


@pytest.mark.parametrize(("model", "challenger"), [("history", None), ("blend", None), ("blend", "popularity")])
def test_lists_behind_a_backfill_equal_those_of_one_log(
    shop: Callable[..., Shop], tmp_path: Path, model: str, challenger: str | None
) -> None:
    records = sample_records(600)
    job = shop(records[:400], records[400:], model=model, challenger=challenger)
    job.run()
    assert told(job.lists("live")) == told(replayed(tmp_path, records, model=model)[400:])


def test_each_active_user_gets_one_list_the_newest_first(shop: Callable[..., Shop]) -> None:
    past = [event(f"u{n % 5}", f"i{n}", START + n * DAY) for n in range(50)]
    job = shop(past, [])
    job.run(active_days=2.5)
    assert [each["user"] for each in job.lists()] == ["u4", "u3", "u2"]
    assert {each["source"] for each in job.lists()} == {"past/0/49"}, "the last event of the past"
    assert not (job.directory / "state" / USERS_NAME).exists(), "no list of users stays behind"
    assert not (job.directory / "state" / "state" / "active_0").exists()


def test_fallback_list_is_sent_with_the_lists_of_users(shop: Callable[..., Shop]) -> None:
    job = shop([event("ann", "tea", START + 1.0), event("bob", "jam", START + 2.0)], [], fallback=True)
    job.run()
    assert [each["user"] for each in job.lists()] == ["", "bob", "ann"]


def test_nobody_gets_a_list_where_none_is_wanted(shop: Callable[..., Shop]) -> None:
    job = shop(sample_records(50), [])
    job.run(active_days=0.0)
    assert job.lists() == []


def test_past_is_learned_once_whatever_becomes_of_its_files(shop: Callable[..., Shop], tmp_path: Path) -> None:
    records = sample_records(90)
    job = shop(records[:50], records[50:70])
    job.run()
    job.past.unlink()
    write(job.live, records[50:])
    job.run()
    assert told(job.lists("live")) == told(replayed(tmp_path, records)[50:])


def test_past_is_cut_where_it_is_told_to(shop: Callable[..., Shop], tmp_path: Path) -> None:
    records = [event(f"u{n % 5}", f"i{n % 7}", START + n) for n in range(60)]
    job = shop(records, records[40:])
    job.run(until=START + 40.0)
    assert told(job.lists("live")) == told(replayed(tmp_path, records)[40:])


def test_erased_user_of_the_past_gets_a_tombstone_and_no_list(shop: Callable[..., Shop]) -> None:
    erasure = orjson.dumps({"kind": "forget", "user": "ann", "timestamp": START + 3.0})
    request = orjson.dumps({"kind": "request", "user": "bob", "timestamp": START + 4.0, "request": "r-1"})
    job = shop([event("ann", "tea", START + 1.0), event("bob", "jam", START + 2.0), erasure, request], [])
    job.run()
    assert [(each["user"], each["items"] is None) for each in job.lists()] == [("ann", True), ("bob", False)]


def test_rejected_records_of_the_past_are_dead_letters(shop: Callable[..., Shop]) -> None:
    job = shop([event("ann", "tea", START + 1.0), b"nothing"], [])
    job.run()
    letters = [orjson.loads(line) for line in (job.directory / "rejects.jsonl").read_bytes().splitlines()]
    assert [(each["source"], each["reason"]) for each in letters] == [("past.jsonl:2", "not JSON")]


def test_job_that_is_silent_sends_one_list_each_when_it_has_caught_up(shop: Callable[..., Shop]) -> None:
    records = sample_records(120)
    job = shop([], records[:80])
    job.run(Backfill(is_silent=True, active_days=36_500.0))
    users = {orjson.loads(record)["user"] for record in records[:80]}
    assert Counter(each["user"] for each in job.lists()) == dict.fromkeys(users, 1)
    write(job.live, records)
    job.run(Backfill(is_silent=True, active_days=36_500.0))
    late = {orjson.loads(record)["user"] for record in records[80:]}
    assert Counter(each["user"] for each in job.lists()) == Counter([*users, *late]), "only the users of the new events"


def test_job_goes_on_with_the_state_of_a_replay(shop: Callable[..., Shop], tmp_path: Path) -> None:
    records = sample_records(120)
    job = shop(records[:80], records[80:], emit="changed")
    kept = tmp_path / "replayed"
    replay(job.past, job.settings.model_copy(update={"recovery": kept}))
    job.run(Backfill(state=kept, active_days=36_500.0))
    users = {orjson.loads(record)["user"] for record in records[:80]}
    assert Counter(each["user"] for each in job.lists("past")) == dict.fromkeys(users, 1), "none counts as sent before"
    expected = {each["user"]: each["items"] for each in replayed(tmp_path, records)}
    found = {each["user"]: each["items"] for each in job.lists()}
    late = {orjson.loads(record)["user"] for record in records[80:]}
    assert {user: found[user] for user in late} == {user: expected[user] for user in late}


def test_state_of_another_model_is_refused(shop: Callable[..., Shop], tmp_path: Path) -> None:
    job = shop(sample_records(40), [])
    replay(job.past, Settings(model="popularity", recovery=tmp_path / "replayed"))
    with pytest.raises(RecoveryError, match="expected the state of a replay with model 'history'; found 'popularity'"):
        job.run(Backfill(state=tmp_path / "replayed"))
    with pytest.raises(RecoveryError, match="expected the recovery directory of a replay"):
        job.run(Backfill(state=tmp_path / "nowhere"))


def test_unsorted_backfill_is_refused_before_anything_is_learned(shop: Callable[..., Shop]) -> None:
    job = shop([event("ann", "tea", START + 5.0), event("bob", "jam", START + 3.0)], [event("ann", "pie", START + 9.0)])
    with pytest.raises(LogError, match=r"past.jsonl:2: expected a backfill sorted by time.* Add --backfill-sort"):
        job.run()
    assert job.lists() == []
    job.run(sort=True)
    assert [each["user"] for each in job.lists()] == ["ann", "bob", "ann"]


def test_backfill_without_an_event_is_refused(shop: Callable[..., Shop]) -> None:
    job = shop([event("ann", "tea", START + 5.0)], [])
    with pytest.raises(LogError, match=re.escape("expected events to learn before 2014-05-13T16:53:24Z")):
        job.run(until=START + 4.0)


def test_backfill_behind_live_events_is_refused(shop: Callable[..., Shop], tmp_path: Path) -> None:
    job = shop(sample_records(20), sample_records(40)[20:])
    run(job.settings, True, connector=FileConnector(job.settings, job.live, tmp_path))
    with pytest.raises(UsageError, match="expected a new recovery directory for a backfill"):
        job.run()


def test_unfinished_backfill_is_not_left_for_another(
    shop: Callable[..., Shop], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = shop(sample_records(20), [])
    with monkeypatch.context() as patch:
        patch.setattr("flows.job.backfill.run_flow", lambda *arguments: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            job.run()
    with pytest.raises(UsageError, match=r"expected to go on with the backfill that began there.* got none"):
        run(job.settings, True, connector=FileConnector(job.settings, job.live, job.directory))
    job.run()
    assert job.lists()


def test_job_that_is_stopped_while_it_looks_at_the_past_has_learned_nothing(
    shop: Callable[..., Shop], monkeypatch: pytest.MonkeyPatch
) -> None:
    job, stop = shop(sample_records(20), []), threading.Event()
    stop.set()
    with monkeypatch.context() as patch:
        patch.setattr("flows.job.run.stopped_by_signals", lambda: nullcontext(stop))
        job.run()
    assert job.lists() == []
    assert load_plan(job.directory / "state") is None
    job.run()
    assert job.lists()


def test_engine_alone_does_not_go_live_before_the_past_is_learned(shop: Callable[..., Shop]) -> None:
    job = shop(sample_records(20), [])
    (job.directory / "state").mkdir()
    PastPlan(stage="learn", what="files past.jsonl").save(job.directory / "state")
    with pytest.raises(UsageError, match="expected a job that is live; a backfill is not finished there"):
        connections_for_engine(job.settings)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--backfill", "a.csv", "--backfill-topic", "b"], "--backfill and --backfill-topic each name one"),
        (["--backfill-sort"], "it belongs to --backfill, which names files"),
        (["--backfill-until", "2026-11-01"], "it belongs to --backfill or --backfill-topic"),
        (["--active-days", "3"], "it belongs to --silent or to a backfill"),
        (["--backfill", "a.csv", "--backfill-until", "soon"], "expected a date, a time with an offset"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: list[str], said: str) -> None:
    found = CliRunner().invoke(app, ["run", *options])
    assert said in str(found.exception)


def test_several_files_of_different_formats_are_one_past(shop: Callable[..., Shop], tmp_path: Path) -> None:
    records = [event(f"u{n % 5}", f"i{n % 7}", START + n) for n in range(60)]
    job = shop([], records[40:])
    (tmp_path / "history").mkdir()
    write(tmp_path / "history" / "b.jsonl", records[1:40:2])
    rows = [orjson.loads(record) for record in records[:40:2]]
    lines = [f"{row['user']};{row['item']};{row['timestamp']:.0f}" for row in rows]
    (tmp_path / "history" / "a.csv").write_text("\n".join(["user;item;timestamp", *lines, ""]))
    job.run(paths=(str(tmp_path / "history" / "*"),))
    assert told(job.lists("live")) == told(replayed(tmp_path, records)[40:])


def test_backfill_needs_a_recovery_directory(shop: Callable[..., Shop]) -> None:
    job = shop(sample_records(20), [], recovery=None)
    with pytest.raises(UsageError, match="expected the setting `recovery` with a backfill"):
        job.run()


def click(time: float, id: str | None = None, user: str = "ann") -> Interaction:
    return Interaction(user, "tea", time, id=id)


def joined(past: list[Interaction], topic: list[Interaction], window: int = 100) -> str:
    """Join a past with a topic, as its scan would find it."""
    begins, ends = min(each.timestamp for each in topic), max(each.timestamp for each in past)
    within = [each for each in past if each.timestamp >= begins]
    facts = PastFacts(
        events=len(past),
        ends=ends,
        at_end={identity(each) for each in past if each.timestamp == ends},
        ids={each.id for each in within if each.id is not None},
        overlapping=len(within),
        has_ids=all(each.id is not None for each in within),
    )
    return expect_no_overlap("past.csv", facts, TopicBegin(begins, topic), Settings(dedup_window=window))


def test_past_that_ends_before_the_topic_is_joined() -> None:
    assert joined([click(1.0)], [click(2.0)]) == (
        "the backfill ends at 1970-01-01T00:00:01Z, and events begins at 1970-01-01T00:00:02Z."
    )
    assert "begins at" in joined([click(2.0, user="bob")], [click(2.0)]), "two events of one second"


def test_past_that_overlaps_the_topic_is_refused_with_the_way_out() -> None:
    with pytest.raises(
        UsageError, match=r"it ends at .*:05Z, and the topic begins at .*:02Z.*--backfill-until 1970-01-01T00:00:02Z"
    ):
        joined([click(1.0), click(3.0), click(5.0)], [click(2.0), click(9.0)])
    with pytest.raises(UsageError, match="both hold the event of user 'ann' with item 'tea'"):
        joined([click(2.0)], [click(2.0)])


def test_ids_tell_events_of_both_apart_as_far_as_they_are_remembered() -> None:
    past = [click(1.0, "e1"), click(2.0, "e2"), click(3.0, "e3")]
    topic = [click(2.0, "e2"), click(3.0, "e3"), click(4.0, "e4")]
    assert "up to 2 events are in both. Their ids tell them apart" in joined(past, topic)
    with pytest.raises(UsageError, match="2 events may be in both"):
        joined(past, topic, window=1)
    with pytest.raises(UsageError, match="2 events may be in both"):
        joined(past, [click(2.0, "other"), click(4.0, "e4")])


def test_metrics_say_how_much_of_the_past_is_left(
    shop: Callable[..., Shop], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job is scraped at the end of each stretch, while its server still runs."""
    port, scraped = free_port(), list[Scraped]()
    learn = flows.job.backfill.run_flow

    def learn_and_look(*arguments: Any) -> None:
        learn(*arguments)
        if not scraped:
            scraped.append(scrape(f"http://127.0.0.1:{port}"))

    monkeypatch.setattr("flows.job.backfill.run_flow", learn_and_look)
    shop(sample_records(60), sample_records(0), metrics_port=port).run()
    [after] = scraped
    assert after["freshrank_past_done_records", "learning the past"] == 60
    assert after["freshrank_past_left_records", "learning the past"] == 0
    assert after["freshrank_past_left_seconds", "learning the past"] == 0
