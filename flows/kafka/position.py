"""Position of the job in its input topics: the source's state in the engine's snapshot."""

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

Place: TypeAlias = tuple[str, int]
"""A topic and the number of a partition."""


def name_of(place: Place) -> str:
    """Return `topic/partition`.

    >>> name_of(("events", 3))
    'events/3'
    """
    return f"{place[0]}/{place[1]}"


def place_of(name: str) -> Place:
    """Return the place that `topic/partition` names."""
    topic, _, number = name.rpartition("/")
    return topic, int(number)


class Position(NamedTuple):
    """Offsets of the next records, with topic ids that show whether the offsets are still valid."""

    offsets: dict[Place, int]
    topic_ids: dict[str, str]
    """The id of each topic. A topic that was deleted and created again has another id."""
    foreign: dict[Place, int] | None
    """Offsets of the group at the start that another program committed. None: not known."""
    adopted: frozenset[Place] = frozenset()
    """Partitions of `offsets` without a state of their own: they were added while the job ran."""

    def dump(self) -> dict[str, Any]:
        """Return the position in the form of the engine's snapshot.

        >>> Position({("events", 0): 17}, {"events": "a1"}, {}).dump()
        {'offsets': {'events/0': 17}, 'topic_ids': {'events': 'a1'}, 'foreign': {}, 'adopted': []}
        """
        return {
            "offsets": {name_of(place): offset for place, offset in self.offsets.items()},
            "topic_ids": self.topic_ids,
            "foreign": {name_of(place): offset for place, offset in (self.foreign or {}).items()},
            "adopted": sorted(map(name_of, self.adopted)),
        }

    @classmethod
    def load(cls, kept: int | Mapping[Any, Any], place: Place) -> "Position":
        """Read the engine's snapshot of a partition.

        Version 0.1.0 stored only the offset, or offsets by the numbers of the partitions.

        >>> Position.load(17, ("events", 0)).offsets, Position.load({0: 17, 4: 2}, ("events", 0)).offsets
        ({('events', 0): 17}, {('events', 0): 17, ('events', 4): 2})
        """
        if isinstance(kept, int):
            return cls({place: kept}, {}, None)
        if "offsets" not in kept:
            offsets = {(place[0], number): offset for number, offset in kept.items()}
            return cls(offsets, {}, None, frozenset(offsets.keys() - {place}))
        offsets, foreign = ({place_of(name): at for name, at in kept[part].items()} for part in ("offsets", "foreign"))
        return cls(offsets, dict(kept["topic_ids"]), foreign, frozenset(map(place_of, kept["adopted"])))
