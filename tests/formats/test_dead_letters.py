"""Dead letters keep all of a record, so that it can be sent again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.formats.dead_letters import MAX_RAW_BYTES, DeadLetter, of_large_list, shorten, to_kafka
from flows.messages import Outgoing, Raw, Rejected

Headers = list[tuple[str, bytes | None]]


class Message:
    """A Kafka message as the client gives it."""

    def __init__(self, key: bytes | None = None, headers: Headers | None = None, time: int | None = None) -> None:
        self._key, self._headers, self._time = key, headers, time

    def key(self) -> bytes | None:
        return self._key

    def headers(self) -> list[tuple[str, str | bytes | None]] | None:
        return list(self._headers) if self._headers else None

    def timestamp(self) -> tuple[int, int]:
        return (0, -1) if self._time is None else (1, self._time)


def letter_of(value: bytes | None, message: Message) -> Outgoing:
    return to_kafka(Rejected("events/2/7", "not JSON", "", value, message))


def read_back(letter: Outgoing) -> DeadLetter:
    return DeadLetter.of(Raw("rejects", 0, 0, letter.value, Message(letter.key, list(letter.headers))))


@given(
    value=st.none() | st.binary(max_size=50),
    key=st.none() | st.binary(max_size=9),
    headers=st.lists(st.tuples(st.sampled_from(["source", "reason", "trace", "raw"]), st.none() | st.binary())),
    time=st.none() | st.integers(0, 2**41),
)
def test_a_record_comes_back_out_of_its_dead_letter(
    value: bytes | None, key: bytes | None, headers: Headers, time: int | None
) -> None:
    letter = letter_of(value, Message(key, headers, time))
    assert letter.key is not None
    found = read_back(letter)
    assert found.record == Outgoing(key, value, tuple(headers))
    assert (found.topic, found.partition, found.offset, found.reason) == ("events", 2, 7, "not JSON")
    assert (found.time, found.is_cut) == (time, False)


def test_the_headers_of_version_0_1_0_are_there_and_say_what_they_said() -> None:
    said = dict(letter_of(b"{", Message(b"u1", [("source", b"theirs")])).headers)
    assert (said["source"], said["reason"], said["field"]) == (b"events/2/7", b"not JSON", b"")


def test_a_letter_of_version_0_1_0_is_read() -> None:
    headers: Headers = [("source", b"events/0/7"), ("reason", b"missing field"), ("field", b"user")]
    found = DeadLetter.of(Raw("rejects", 0, 3, b"{}", Message(None, headers, 1_000)))
    assert (found.topic, found.offset, found.record, found.time) == ("events", 7, Outgoing(None, b"{}"), None)


@pytest.mark.parametrize("limit", [600, 1_000, 5_000])
def test_a_letter_is_cut_to_the_limit_whatever_makes_it_large(limit: int) -> None:
    for message in (Message(b"k" * 900), Message(None, [("trace", b"t" * 9_000)]), Message(b"k" * 900, [("t", None)])):
        letter = shorten(letter_of(b"{" * 9_000, message), limit)
        size = len(letter.key or b"") + len(letter.value or b"")
        assert size + sum(len(name) + len(value or b"") for name, value in letter.headers) <= limit
        found = read_back(letter)
        assert found.is_cut
        assert (found.topic, found.offset) == ("events", 7)


def test_a_record_that_is_too_long_is_marked_as_cut() -> None:
    assert read_back(letter_of(b"{" * (MAX_RAW_BYTES + 1), Message(b"u1"))).is_cut


def test_a_list_that_is_too_large_keeps_its_user_as_key() -> None:
    assert of_large_list(Outgoing(b"u1", b'{"source":"events/0/7"}')).key == b"u1"
