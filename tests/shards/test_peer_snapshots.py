"""A shard that was away for longer than the topic keeps its messages catches up from a snapshot of a peer."""

from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flows.shards.identity import Shard
from flows.shards.judge import ShardError
from tests.support.shard_topic import Process, Topic
from tests.support.small_shards import blend, counted, do, events_of, finish, in_one, popularity

Events = dict[int, list[tuple[str, str]]]


def shards_of(count: int, topic: Topic, events: Events, folder: Path | None, build: Any = blend) -> list[Process]:
    return [Process(Shard(index, count), topic, events, build, snapshots=folder) for index in range(count)]


def expire_all(*shards: Process) -> None:
    """Remove every message that is on the topic. Running shards have read their own."""
    for shard in shards:
        shard.hear()
    topic = shards[0].topic
    for partition, messages in enumerate(topic.messages):
        topic.expire(partition, len(messages))


def speak(shard: Process) -> None:
    """Have a shard say that it is there."""
    shard.link.clock = lambda: 10.0
    shard.hear()
    shard.log.deliver()
    shard.link.clock = lambda: 0.0


def test_a_shard_whose_deltas_are_gone_goes_on_from_a_peers_snapshot(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    events, topic = events_of(4, 9), Topic(2)
    ours, theirs = shards_of(2, topic, events, tmp_path)
    ours.learn(0, 5)
    ours.save()
    ours.learn(0, 2)  # told, or noted; not in its snapshot
    ours.log.deliver()
    theirs.hear()
    theirs.learn(1, 9)
    theirs.log.deliver()
    theirs.offer()
    expire_all(theirs)
    theirs.learn(3, 4)
    theirs.log.deliver()
    ours.start()
    ours.hear()
    assert ours.link.catch_up.missed
    ours.learn(0, 9)  # two of them are known to the peer, and learned again first
    ours.hear()
    assert not ours.link.catch_up.missed
    assert ours.link.figures.taken_over == Counter({1: 1})
    assert "It takes over what shard 1 knew of items" in caplog.text
    for shard in (ours, theirs):
        shard.finish()
    for shard in (ours, theirs):
        shard.hear()
        assert counted(shard) == pytest.approx(in_one(shard, events))
    assert sum(topic.first) > 0
    ours.save()
    ours.start()
    ours.hear()
    assert counted(ours) == pytest.approx(in_one(ours, events))


def standing(shard: Process) -> dict[str, Any]:
    """Numbers of interactions: they are exact, whatever the order."""
    return {name: count for name, count in counted(shard).items() if name.startswith(("events", "standing"))}


def standing_in_one(shard: Process, events: Events) -> dict[str, Any]:
    return {name: count for name, count in in_one(shard, events).items() if name.startswith(("events", "standing"))}


acts = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(["learn", "learn", "hear", "save", "deliver", "kill", "offer", "expire"]),
        st.integers(0, 7),
    ),
    max_size=70,
)


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(acts=acts)
def test_shards_count_what_one_process_counts_or_refuse_whatever_is_killed_and_gone(
    acts: list[tuple[int, str, int]],
) -> None:
    events, topic = events_of(6, 9), Topic(3)
    with TemporaryDirectory() as folder:
        shards, refused = shards_of(3, topic, events, Path(folder), popularity), ""
        try:
            for index, act, number in acts:
                shard = shards[index]
                if act == "expire":  # what each shard has read of its own
                    for partition, each in enumerate(shards):
                        topic.expire(partition, max(topic.first[partition], each.log.at.get(partition, 0) - number % 2))
                else:
                    do(shard, act, number)
            for _ in range(3):
                for shard in shards:
                    for partition, some in shard.events.items():
                        shard.learn(partition, len(some))
                    shard.hear()
                    shard.log.deliver()
                    shard.offer()
                    speak(shard)
            finish(shards)
            for shard in shards:
                shard.hear()
        except ShardError as error:
            refused = str(error)
        if refused:
            assert "own messages" in refused, "one line says why, instead of wrong counts"
            return
        for shard in shards:
            if not shard.link.catch_up.missed:  # it waits for a snapshot, and has counted nothing twice
                assert standing(shard) == standing_in_one(shard, events)


def test_events_that_were_not_told_are_told_before_the_snapshot_is_taken_over(tmp_path: Path) -> None:
    events, topic = events_of(2, 9), Topic(2)
    ours, theirs = shards_of(2, topic, events, tmp_path)
    theirs.learn(1, 9)
    theirs.log.deliver()
    theirs.offer()
    ours.learn(0, 4)  # three are told, one is pending
    assert ours.link.pending == 1
    expire_all(theirs)
    speak(theirs)
    ours.hear()
    assert not ours.link.catch_up.missed
    assert counted(ours)["events"] == 13
    theirs.hear()
    assert counted(theirs) == pytest.approx(counted(ours))


def test_a_shard_waits_for_a_snapshot_then_stops_and_says_what_it_found(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    events, topic = events_of(2, 9), Topic(2)
    theirs = Process(Shard(1, 2), topic, events, popularity)
    ours = Process(Shard(0, 2), topic, events, popularity, snapshots=tmp_path)
    theirs.learn(1, 9)
    theirs.log.deliver()
    topic.expire(1, 2)
    ours.hear()
    ours.hear()
    assert ours.link.catch_up.missed
    assert f"No snapshot in {tmp_path} is of use (no peer has written one). Waiting up to 600 s" in caplog.text
    ours.link.clock = lambda: 601.0
    with pytest.raises(ShardError, match=r"2 are gone.*No snapshot in .* is of use.*`lost_offsets`.*rescale"):
        ours.hear()
    ours.start()
    ours.link.lost = "continue"
    ours.hear()
    ours.link.clock = lambda: 601.0
    ours.hear()
    ours.hear()
    assert ours.link.figures.lost[1] == 2
    assert ours.link.figures.applied[1] == 3
    assert not ours.link.catch_up.can_offer()  # it lacks what was gone, so no peer may take it over
    ours.learn(0, 3)
    ours.offer()
    assert not list(tmp_path.iterdir())


def test_a_snapshot_that_is_too_old_or_of_another_topic_is_not_taken_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    events, topic = events_of(2, 9), Topic(2)
    ours, theirs = shards_of(2, topic, events, tmp_path, popularity)
    theirs.learn(1, 3)
    theirs.log.deliver()
    theirs.offer()
    theirs.learn(1, 6)
    theirs.log.deliver()
    topic.expire(1, 2)
    ours.hear()
    ours.hear()
    assert ours.link.catch_up.missed
    assert "that of shard 1: message 2 of shard 1 behind it is gone" in caplog.text
    caplog.clear()
    topic.id = "made anew"
    ours.start()
    ours.hear()
    ours.hear()
    assert "that of shard 1: it is from before the topic was made anew" in caplog.text
    [path] = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-100] + bytes(100))
    whole = path.read_bytes()
    for size in (0, 5, 60):
        path.write_bytes(whole[:size])
        ours.start()
        ours.hear()
        ours.hear()
        assert ours.link.catch_up.missed


def test_own_messages_that_are_all_gone_are_known_from_a_snapshot_or_refused(tmp_path: Path) -> None:
    for folder in (None, tmp_path):
        events, topic = events_of(2, 9), Topic(2)
        ours, theirs = shards_of(2, topic, events, folder)
        ours.learn(0, 3)
        ours.log.deliver()
        ours.save()
        ours.learn(0, 3)
        ours.log.deliver()
        theirs.hear()
        theirs.learn(1, 3)
        theirs.log.deliver()
        theirs.offer()
        expire_all(theirs)
        if folder is None:
            with pytest.raises(ShardError, match=r"its own messages from 2 on.*cannot know.*`delta_snapshots`"):
                ours.start()
            continue
        ours.start()
        for shard in (ours, theirs):
            shard.finish()
        speak(theirs)
        for shard in (ours, theirs, ours):
            shard.hear()
        for shard in (ours, theirs):
            assert counted(shard) == pytest.approx(in_one(shard, events))
        assert ours.link.figures.relearned == 3


def test_a_directory_that_cannot_be_written_does_not_end_the_shard(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = tmp_path / "file"
    place.write_text("no directory")
    events, topic = events_of(1, 9), Topic(1)
    alone = Process(Shard(0, 1), topic, events, popularity, snapshots=place / "folder")
    alone.learn(0, 9)
    alone.offer()
    alone.offer()
    assert alone.link.figures.snapshots_failed == 2
    assert caplog.text.count("its snapshot for peers cannot be written") == 1


def test_a_shard_without_a_directory_writes_nothing() -> None:
    events, topic = events_of(1, 9), Topic(1)
    alone = Process(Shard(0, 1), topic, events, popularity)
    alone.learn(0, 9)
    alone.learner.dump_changes()
    assert not alone.link.catch_up.can_offer()
    assert alone.link.figures.snapshots_written == 0


def test_a_shard_that_is_killed_twice_while_it_learns_again_tells_nothing_twice() -> None:
    events, topic = events_of(2, 12), Topic(2)
    ours, theirs = shards_of(2, topic, events, None, popularity)
    ours.learn(0, 9)
    ours.log.deliver()
    ours.start()
    ours.learn(0, 4)
    ours.save()
    ours.start()
    finish([ours, theirs])
    assert [counted(shard)["events"] for shard in (ours, theirs)] == [24, 24]


def test_events_that_were_noted_before_a_kill_are_told_before_known_ones_are_learned_again() -> None:
    events, topic = events_of(4, 9), Topic(2)
    ours, theirs = shards_of(2, topic, events, None, popularity)
    ours.learn(0, 3)
    ours.learn(2, 6)
    ours.log.deliver()
    ours.start()
    ours.learn(0, 4)  # the fourth is new, and is noted; those of partition 2 are known to the peer
    ours.save()
    ours.start()
    finish([ours, theirs])
    assert [counted(shard)["events"] for shard in (ours, theirs)] == [36, 36]
