"""Layout of a state: markers on the fields of a named tuple declare the shape and the storage of each array.

The memory of a model (`recmodels.fused.memory`) is built from the layout: its tables, its snapshots, and the state of
the kernels. A length is a number or a name. The names `users`, `items`, `tags` and `pairs` count rows, including the
reserved row. Further names are `columns`, `contexts`, and arguments of the model such as `n_factors`.

>>> class Ages(NamedTuple):
...     '''A row for each item.'''
...
...     seconds: Annotated[Float32, Column()]
...     dirty: Marks
>>> class AgeState(NamedTuple):
...     '''All that a member remembers.'''
...
...     items: Annotated[Ages, Rows("items", key="item_ages")]
...     newest: Annotated[Float64, Stored(1)]
>>> [(field.name, field.dtype.__name__, field.marker) for field in fields(AgeState)]
[('items', 'Ages', Rows('items', key='item_ages')), ('newest', 'float64', Stored(1))]
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, NamedTuple, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Marks = NDArray[np.uint8]
NUMBERS: Final[dict[Any, Any]] = {
    Int32: np.int32,
    Int64: np.int64,
    Float32: np.float32,
    Float64: np.float64,
    Marks: np.uint8,
}
"""The type of the numbers in each kind of array. Versions of NumPy differ in what they tell of an alias."""

DIRTY: Final = "dirty"
"""The field that every table has: [rows] 1 if the row has changed since the last snapshot."""


class Marker:
    """Base of the markers. The repr is the call that makes the marker."""

    def __repr__(self) -> str:
        said = [repr(length) for length in getattr(self, "shape", ())]
        said += [repr(value) for name, value in vars(self).items() if name in ("of", "name")]
        said += [f"{n}={value!r}" for n, value in vars(self).items() if n not in ("shape", "of", "name") and value]
        return f"{type(self).__name__}({', '.join(said)})"


class Rows(Marker):
    """A table: a named tuple of columns that share their rows.

    Args:
        of: Kind of the rows: "users", "items", "tags" or "pairs".
        key: Name of the table in the store. It never changes.
        once: Kind, such as "tags", without which the rows are neither used nor saved.
    """

    def __init__(self, of: str, key: str, once: str = "") -> None:
        self.of = of
        self.key = key
        self.once = once


class Column(Marker):
    """An array of a table: [rows, *shape]. A new row is zero.

    Args:
        *shape: Shape of one row.
        key: Name in the store, if it differs from the field's.
        holds: "items" or "tags" if the values are rows of that kind, without gaps, and 0 behind the last.
        can_repeat: Whether it can hold a row twice.
        beside: Name of the column with `holds` that these entries belong to.
        counts: Name of the column with `holds` whose entries it counts.
        is_packed: Whether a row lies in one cache line with those of all packed columns of that kind of rows, also
            of other tables. A kernel that reads several of them waits for memory once. Such an array is not contiguous.
    """

    def __init__(
        self,
        *shape: int | str,
        key: str = "",
        holds: str = "",
        can_repeat: bool = False,
        beside: str = "",
        counts: str = "",
        is_packed: bool = False,
    ) -> None:
        self.shape = shape
        self.key = key
        self.holds = holds
        self.can_repeat = can_repeat
        self.beside = beside
        self.counts = counts
        self.is_packed = is_packed


class Stored(Marker):
    """An array without rows that is saved whole with every snapshot.

    Args:
        *shape: Its shape.
        key: Name in the store, if it differs from the field's. Keys are unique.
        first: Initial value: a number for all, or one for each index of the last axis.
        holds: As in `Column`.
    """

    def __init__(
        self, *shape: int | str, key: str = "", first: float | tuple[float, ...] = 0.0, holds: str = ""
    ) -> None:
        self.shape = shape
        self.key = key
        self.first = first
        self.holds = holds


class Scratch(Marker):
    """An array that is not saved. Its content matters only while one event is processed."""

    def __init__(self, *shape: int | str) -> None:
        self.shape = shape


class Argument(Marker):
    """A number or an array that the model passes by this name."""

    def __init__(self, name: str) -> None:
        self.name = name


class Field(NamedTuple):
    """A field of a layout."""

    name: str
    dtype: Any
    """The array's type, or that of the named tuple or number."""
    marker: Any
    """None for a nested layout, and for `dirty`."""

    @property
    def key(self) -> str:
        """The name in the store."""
        return self.marker.key or self.name


def fields(layout: type) -> Iterator[Field]:
    """Yield the fields of a layout with their markers."""
    for name, hint in get_type_hints(layout, include_extras=True).items():
        kind, *markers = get_args(hint) if get_origin(hint) is Annotated else (hint,)
        yield Field(name, NUMBERS.get(kind, kind), *markers or [None])


def stored_size(layouts: tuple[type, ...], known: Mapping[str, int]) -> int:
    """Return how many numbers the stored arrays of some layouts have."""
    stored = [field.marker for layout in layouts for field in fields(layout) if isinstance(field.marker, Stored)]
    return sum(int(np.prod(lengths(marker.shape, known))) for marker in stored)


def lengths(shape: tuple[int | str, ...], known: Mapping[str, int]) -> tuple[int, ...]:
    """Return a shape as numbers, by the known lengths."""
    return tuple(length if isinstance(length, int) else known[length] for length in shape)
