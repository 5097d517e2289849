"""Merge of several partitions by time, within the bounds of its buffers."""

import random

from flows.kafka.partition_buffer import FAR_BEHIND, LOOK_SECONDS, WAIT_SECONDS, PartitionBuffer, TimeMerge
from flows.messages import Raw


class At:
    """A message that was taken at a time."""

    def __init__(self, time: int) -> None:
        self.time = time

    def key(self) -> None:
        return None

    def headers(self) -> None:
        return None

    def timestamp(self) -> tuple[int, int]:
        return 1, self.time


class Merging:
    """A merge of partitions of one topic, with a clock that a test moves."""

    def __init__(self, *goals: int) -> None:
        self.now = 0.0
        self.highs = list(goals)
        self.merge = TimeMerge(lambda place: self.highs[place[1]], lambda: self.now)
        self.shares = [PartitionBuffer(("t", number), 0, None, goal) for number, goal in enumerate(goals)]
        for share in self.shares:
            self.merge.watch(share)

    def add(self, number: int, *times: int) -> None:
        for time in times:
            share = self.shares[number]
            self.merge.add(share, Raw("t", number, share.next, b"x", At(time)))

    def take_after(self, seconds: float) -> list[int]:
        """Take again and again for some seconds, and return the first records."""
        end = self.now + seconds
        while not (got := self.take()) and self.now < end:
            self.now = min(end, self.now + LOOK_SECONDS / 2)
        return got

    def take(self, size: int = 100) -> list[int]:
        return [raw.carrier.timestamp()[1] for raw in self.merge.take(size) if raw.carrier]


def test_records_come_by_time_however_they_were_fetched() -> None:
    rng = random.Random(7)
    times = [sorted(rng.randrange(1_000) for _ in range(50)) for _ in range(4)]
    merging, got = Merging(50, 50, 50, 50), list[int]()
    left = [list(each) for each in times]
    while len(got) < 200:
        number = rng.randrange(4)
        chunk, left[number] = left[number][:7], left[number][7:]
        merging.add(number, *chunk)
        got += merging.take(rng.randrange(1, 20))
    assert got == sorted(time for each in times for time in each)
    assert merging.merge.held == 0
    assert [share.position for share in merging.shares] == [50] * 4


def test_a_partition_that_is_behind_is_waited_for_but_not_without_end() -> None:
    merging = Merging(2, 3)
    merging.add(0, 5, 6)
    assert merging.take_after(WAIT_SECONDS - 0.1) == []
    assert merging.take_after(0.2) == [5, 6]
    merging.add(1, 1)
    assert merging.take() == [1]


def test_merge_waits_as_long_as_partitions_that_are_behind_get_records() -> None:
    merging = Merging(2, 9, 3)
    merging.add(0, 5, 6)
    for time in range(1, 10):
        merging.add(1, time)
        assert merging.take_after(WAIT_SECONDS - 0.1) == []
    merging.add(2, 0)
    assert merging.take() == [0], "then it waits for partition 2 again"


def test_records_of_a_partition_that_has_caught_up_do_not_prolong_the_wait() -> None:
    merging = Merging(1, 1)
    merging.add(0, 5)
    assert merging.take_after(WAIT_SECONDS / 2) == []
    merging.add(0, 6)
    assert merging.take_after(WAIT_SECONDS / 2 + 0.1) == [5, 6]


def test_pause_of_the_flow_is_no_wait() -> None:
    merging = Merging(1, 1)
    merging.add(0, 5)
    assert merging.take() == []
    merging.now += 10 * WAIT_SECONDS
    assert merging.take() == [], "nothing was fetched in between"


def test_a_partition_at_its_end_is_not_waited_for() -> None:
    merging = Merging(3, 3)
    merging.add(0, 6)
    merging.shares[1].goal = merging.shares[1].reached = 0
    assert merging.take() == [6]


def test_a_live_partition_is_not_waited_for_unless_it_falls_far_behind() -> None:
    merging = Merging(0, 0)
    merging.add(0, 5)
    assert merging.take() == [5]
    merging.add(1, 6)
    merging.highs[1] = 1 + FAR_BEHIND + 1
    assert merging.take() == [6]
    merging.add(0, 9)
    assert merging.take() == []
    merging.add(1, 8)
    assert merging.take() == [8], "then partition 1 is waited for again"


def test_merge_buffers_stay_within_their_bound() -> None:
    merging = Merging(3, 3)
    merging.merge.held = 64 * 1024 * 1024
    merging.add(0, 5)
    assert merging.take() == [5]


def test_a_partition_that_is_dropped_leaves_nothing_behind() -> None:
    merging = Merging(0, 0)
    merging.add(0, 1, 4)
    merging.add(1, 2, 3)
    merging.merge.drop(merging.shares[0])
    assert merging.take() == [2, 3]
    assert merging.merge.held == 0
