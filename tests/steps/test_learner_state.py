"""State of the learner in parts: every part is written once, and places mean the same in every version."""

import numpy as np

from flows.state.stateful import Snapshot
from flows.steps.learner_state import CHALLENGER_PLACE, HELD_PLACE, HOMES_PLACE, IDLE_PLACE, PLACES, Part, Parts


class Rows:
    """Rows with a name, of which one at a time is written."""

    def __init__(self, name: str, count: int) -> None:
        self.name = name
        self.count = count

    def dump(self) -> Snapshot:
        return {self.name: np.arange(self.count)}

    def dump_changes(self) -> Snapshot:
        return self.dump()

    def dump_part(self, place: int, size: int) -> tuple[Snapshot, int]:
        rows = np.arange(place, min(place + 1, self.count))
        return ({self.name: rows} if len(rows) else {}), place + 1 if place + 1 < self.count else 0


def parts_of(*sizes: tuple[int, str, int]) -> Parts:
    return Parts([Part(place, Rows(name, count), prefixed) for place, name, count in sizes])


def prefixed(snapshot: Snapshot) -> Snapshot:
    return {f"my {name}": array for name, array in snapshot.items()}


def walked(parts: Parts, place: int = 0) -> list[tuple[str, int]]:
    """Return name and row of all that is written from a place on."""
    written = []
    for _ in range(100):
        arrays, place = parts.dump_part(place, 1)
        written += [(name, int(row)) for name, rows in arrays.items() for row in rows]
        if place == 0:
            return written
    raise AssertionError("the walk does not end")


def test_a_walk_writes_every_row_once() -> None:
    parts = parts_of((0, "model", 3), (HELD_PLACE, "held", 0), (IDLE_PLACE, "idle", 2), (CHALLENGER_PLACE, "other", 1))
    expected = [("my model", 0), ("my model", 1), ("my model", 2), ("my idle", 0), ("my idle", 1), ("my other", 0)]
    assert walked(parts) == expected
    assert {name: len(rows) for name, rows in parts.dump().items()} == {
        "my model": 3,
        "my held": 0,
        "my idle": 2,
        "my other": 1,
    }


def test_a_place_in_a_part_that_is_gone_means_the_next_one() -> None:
    parts = parts_of((0, "model", 2), (HELD_PLACE, "held", 2), (CHALLENGER_PLACE, "other", 2))
    assert walked(parts, IDLE_PLACE + 5) == [("my other", 0), ("my other", 1)]
    assert walked(parts, CHALLENGER_PLACE + PLACES + 1) == []


def test_places_are_those_of_states_that_exist() -> None:
    assert [HELD_PLACE, IDLE_PLACE] == [1 << 62, (1 << 62) + (1 << 60)]
    assert [CHALLENGER_PLACE, HOMES_PLACE] == [(1 << 62) + (1 << 61), (1 << 62) + (3 << 60)]
