"""Shards tell each other what they learn, each thing once, whatever is killed, repeated or lost."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flows.shards.envelope import seal, unseal
from flows.shards.identity import Shard
from flows.shards.judge import ShardError
from flows.shards.link import Rounds
from tests.support.shard_topic import Process, Topic
from tests.support.small_shards import blend, counted, covisitation, do, events_of, finish, in_one, popularity

acts = st.lists(
    st.tuples(
        st.integers(0, 2), st.sampled_from(["learn", "learn", "hear", "save", "deliver", "kill"]), st.integers(0, 7)
    ),
    max_size=60,
)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(acts=acts)
@pytest.mark.slow
def test_shards_that_are_killed_anywhere_count_what_one_process_counts(acts: list[tuple[int, str, int]]) -> None:
    events, topic = events_of(6, 9), Topic(3)
    shards = [Process(Shard(index, 3), topic, events, blend) for index in range(3)]
    for index, act, number in acts:
        do(shards[index], act, number)
    finish(shards)
    for shard in shards:
        assert counted(shard) == pytest.approx(in_one(shard, events))


def test_a_killed_shard_does_not_tell_again_what_its_peers_know() -> None:
    events, topic = events_of(2, 8), Topic(2)
    ours, theirs = (Process(Shard(index, 2), topic, events, popularity) for index in range(2))
    ours.learn(0, 6)
    ours.log.deliver()
    sent = len(topic.messages[0])
    ours.start()
    ours.learn(0, 6)
    ours.log.deliver()
    assert ours.link.figures.relearned == 6
    assert len(topic.messages[0]) == sent
    theirs.hear()
    assert sum(theirs.link.figures.applied.values()) == 6


def test_the_process_whose_message_is_second_ends() -> None:
    events, topic = events_of(2, 12), Topic(2)
    first = Process(Shard(0, 2), topic, events, popularity)
    first.learn(0, 3)
    first.log.deliver()
    second = Process(Shard(0, 2), topic, events, popularity)
    second.learn(0, 6)
    first.learn(0, 3)
    first.log.deliver()
    second.log.deliver()
    with pytest.raises(ShardError, match="another process runs as shard 0/2"):
        second.hear()
    first.hear()
    peer = Process(Shard(1, 2), topic, events, popularity)
    peer.hear()
    assert peer.link.figures.applied[0] == 6


def test_a_process_that_was_overtaken_ends() -> None:
    events, topic = events_of(2, 12), Topic(2)
    first = Process(Shard(0, 2), topic, events, popularity)
    second = Process(Shard(0, 2), topic, events, popularity)
    second.learn(0, 3)
    second.log.deliver()
    with pytest.raises(ShardError, match="and was faster"):
        first.hear()


def test_a_gap_stops_the_shard_and_names_the_way_out(caplog: pytest.LogCaptureFixture) -> None:
    events, topic = events_of(2, 9), Topic(2)
    theirs = Process(Shard(1, 2), topic, events, popularity)
    ours = Process(Shard(0, 2), topic, events, popularity)
    theirs.learn(1, 9)
    theirs.log.deliver()
    topic.expire(1, 2)
    with pytest.raises(ShardError, match=r"expected message 1 of shard 1.*2 are gone.*`lost_offsets`.*rescale"):
        ours.hear()
    ours.start()
    ours.link.lost = "continue"
    ours.hear()
    assert ours.link.figures.lost[1] == 2
    assert ours.link.figures.applied[1] == 3
    assert "goes on without them" in caplog.text


def test_garbage_and_messages_of_other_shards_are_counted_and_survived(caplog: pytest.LogCaptureFixture) -> None:
    events, topic = events_of(2, 9), Topic(2)
    theirs = Process(Shard(1, 2), topic, events, popularity)
    ours = Process(Shard(0, 2), topic, events, popularity)
    topic.messages[1] += [b"", b"\x00garbage", b"FRSH" + b"\x00" * 30]
    theirs.learn(1, 9)
    theirs.log.deliver()
    whole = topic.messages[1][-1]
    topic.messages[1] += [whole[:-3] + b"abc", whole]
    ours.hear()
    assert dict(ours.link.figures.refused) == {"garbage": 4, "repeated": 1}
    assert ours.link.figures.applied[1] == 9
    assert "Nothing but shards may write to topic" in caplog.text


def test_a_shard_of_another_model_is_not_learned_from_and_named(caplog: pytest.LogCaptureFixture) -> None:
    events, topic = events_of(2, 9), Topic(2)
    ours = Process(Shard(0, 2), topic, events, popularity)
    theirs = Process(Shard(1, 2), topic, events, covisitation)
    theirs.learn(1, 9)
    theirs.log.deliver()
    ours.hear()
    assert ours.link.figures.refused["misfit"] == 3
    assert "Give all shards the same model" in caplog.text
    assert counted(ours)["events"] == 0


def test_shards_with_other_settings_of_learning_are_warned(caplog: pytest.LogCaptureFixture) -> None:
    events, topic = events_of(2, 9), Topic(2)
    ours = Process(Shard(0, 2), topic, events, popularity)
    theirs = Process(Shard(1, 2), topic, events, popularity, settings=7)
    theirs.learn(1, 9)
    theirs.log.deliver()
    ours.hear()
    assert "other settings of what is learned" in caplog.text


def test_a_shard_from_before_a_rescale_ends() -> None:
    events, topic = events_of(2, 9), Topic(2)
    ours = Process(Shard(0, 2), topic, events, popularity)
    theirs = Process(Shard(1, 2), topic, events, popularity)
    theirs.learn(1, 9)
    theirs.log.deliver()
    topic.messages[1] = [
        seal(type(told)(**{**{name: getattr(told, name) for name in told.__struct_fields__}, "generation": 1}))
        for told in map(unseal, topic.messages[1])
    ]
    with pytest.raises(ShardError, match="users were dealt out anew"):
        ours.hear()


def test_a_topic_that_is_made_anew_loses_nothing_if_all_was_read() -> None:
    events, topic = events_of(2, 9), Topic(2)
    ours, theirs = (Process(Shard(index, 2), topic, events, blend) for index in range(2))
    for shard in (ours, theirs):
        shard.learn(shard.shard.index, 6)
        shard.log.deliver()
    for shard in (ours, theirs):
        shard.hear()
        shard.save()
    topic.messages, topic.id = [[], []], "made anew"
    for shard in (ours, theirs):
        shard.start()
    for shard in (ours, theirs):
        shard.finish()
    for shard in (ours, theirs):
        shard.hear()
        assert counted(shard) == pytest.approx(in_one(shard, events))


def test_a_round_ends_after_a_number_of_events_or_a_time() -> None:
    events, topic = events_of(1, 9), Topic(1)
    alone = Process(Shard(0, 1), topic, events, popularity, Rounds(events=4, seconds=0.1))
    alone.learn(0, 9)
    assert [unseal(value).events for value in alone.log.unsent] == [4, 4]
    alone.link.clock = lambda: 0.2
    alone.hear()
    assert [unseal(value).events for value in alone.log.unsent] == [4, 4, 1]
    alone.hear()
    assert len(alone.log.unsent) == 3
    alone.link.clock = lambda: 9.0
    alone.hear()
    assert [unseal(value).delta for value in alone.log.unsent[3:]] == [b""]
