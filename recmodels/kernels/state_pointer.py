"""Pointer to a model's state: one number, the address of a table with the addresses of all its arrays.

A call of a kernel with a `State` makes Python unpack each of its arrays, some hundred. That takes longer than learning
an event. A kernel that passed a `State` on would pass every part of every array, and compile four times as long. So
each model writes one table, and kernels get its address. Within kernels a state is a pointer into this table, and is
read as in Python: `state.shared.users.recent`. The table never changes, as the arrays of a model never move.

The types and intrinsics below use numba's typing and lowering interface. If a new numba breaks them, an entry can take
the `State` itself instead of its address, at the price of that time.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final, cast

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core.datamodel.models import PrimitiveModel
from numba.core.typing.templates import AttributeTemplate
from numba.extending import infer_getattr, intrinsic, lower_getattr_generic, register_model
from numba.np.arrayobj import make_array, populate_array

from recmodels.kernels.compile import use_cache
from recmodels.kernels.state import State

WORD: Final = ir.IntType(64)
"""What the table consists of."""
WORD_BYTES: Final = 8


class StatePointer(types.Type):
    """The type of a pointer to a named tuple, or to one of the named tuples in it.

    Args:
        name: The named tuple's name, and its place in the state.
        fields: The type of each field, and the number of words before it. An array has a word for its address,
            then its length along each axis, then its step in bytes along each axis.
    """

    def __init__(self, name: str, fields: dict[str, tuple[types.Type, int]]) -> None:
        super().__init__(name=f"StatePointer({name})")
        self.fields = fields


_state_types: list[tuple[StatePointer, str]] = []
"""The type of every model's state, and how it is laid out, once there has been a model."""


class Handle:
    """Holds a state and the table of its arrays.

    It has no copy of its own, as a copied array would not be where the table says. A copied memory makes a new handle.

    Attributes:
        state: The state.
        address: Address of the table, for `opened` in a kernel.

    Raises:
        TypeError: The types of the arrays differ from those of earlier states.
    """

    def __init__(self, state: State) -> None:
        words: list[int] = []
        layout = ", ".join(_write(state, words))
        if not _state_types:
            _state_types.append((_pointer_to(state, "state"), layout))
        if layout != _state_types[0][1]:
            raise TypeError(f"expected a state of the type {_state_types[0][1]}, got {layout}")
        use_cache(layout)
        self.state = state
        self._words = np.array(words, np.int64)
        self.address = int(self._words.ctypes.data)

    def __reduce__(self) -> tuple[type["Handle"], tuple[State]]:
        raise TypeError("expected a copy of the model or of its memory: a handle cannot be copied alone")


def _write(part: tuple[Any, ...], words: list[int]) -> Iterator[str]:
    """Add the words of a named tuple, and yield what each field is."""
    for name, value in zip(part._fields, part, strict=True):  # type: ignore[attr-defined]
        if isinstance(value, np.ndarray):
            words += [value.__array_interface__["data"][0], *value.shape, *value.strides]
            order = "C" if value.flags.c_contiguous else "A"
            yield f"{name} {value.dtype}[{value.ndim}{order}]"
        elif isinstance(value, tuple):
            yield f"{name} ("
            yield from _write(value, words)
            yield ")"
        else:
            words.append(int(np.float64(value).view(np.int64)) if isinstance(value, float) else int(value))
            yield f"{name} {type(value).__name__}"


def _pointer_to(part: tuple[Any, ...], place: str) -> StatePointer:
    fields: dict[str, tuple[types.Type, int]] = {}
    start = 0
    for name, value in zip(part._fields, part, strict=True):  # type: ignore[attr-defined]
        inside = isinstance(value, tuple)
        fields[name] = (_pointer_to(value, f"{place}.{name}") if inside else numba.typeof(value)), start
        start += _size(value)
    return StatePointer(f"{place}: {type(part).__name__}", fields)


def _size(value: Any) -> int:
    """Return the number of words of a field."""
    if isinstance(value, np.ndarray):
        return 1 + 2 * value.ndim
    return sum(map(_size, value)) if isinstance(value, tuple) else 1


@register_model(StatePointer)
class _Model(PrimitiveModel):
    def __init__(self, manager: Any, kind: StatePointer) -> None:
        super().__init__(manager, kind, WORD.as_pointer())


@infer_getattr
class _Fields(AttributeTemplate):
    key = StatePointer

    def generic_resolve(self, kind: StatePointer, name: str) -> types.Type | None:
        return kind.fields[name][0] if name in kind.fields else None


@lower_getattr_generic(StatePointer)
def _read(context: Any, builder: Any, kind: StatePointer, pointer: Any, name: str) -> Any:
    """Read a field, as something that never changes: so it is read once, before a loop, and not in it."""
    field, start = kind.fields[name]

    def word(number: int) -> Any:
        value = builder.load(place(number))
        value.set_metadata("invariant.load", builder.module.add_metadata([]))
        return value

    def place(number: int) -> Any:
        return builder.gep(pointer, [ir.Constant(WORD, start + number)], inbounds=True)

    if isinstance(field, StatePointer):
        return place(0)
    if isinstance(field, types.Array):
        array = make_array(field)(context, builder)
        populate_array(
            array,
            data=builder.inttoptr(word(0), context.get_data_type(field.dtype).as_pointer()),
            shape=[word(1 + axis) for axis in range(field.ndim)],
            strides=[word(1 + field.ndim + axis) for axis in range(field.ndim)],
            itemsize=context.get_abi_sizeof(context.get_data_type(field.dtype)),
            meminfo=None,
        )
        return array._getvalue()
    if isinstance(field, types.Float):
        return builder.bitcast(word(0), context.get_value_type(field))
    if isinstance(field, types.Boolean):
        return builder.trunc(word(0), context.get_value_type(field))
    return word(0)


@intrinsic
def _load(typing_context: Any, address: types.Type) -> tuple[Any, Callable[..., Any]]:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], WORD.as_pointer())

    return _state_types[0][0](address), generate


opened = cast(Callable[[int], State], _load)
"""In a kernel: return the state of a handle's address."""
