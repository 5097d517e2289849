"""A model's whole state as one number: where it lies in memory.

A kernel that is called with a `State` has each of its arrays, some seventy, taken apart by Python at every call, which
takes longer than to learn an event. So this is done once, what comes out is kept, and the kernels that are called for
every event are given its address. The arrays of a model stand where they are for as long as it lives.
"""

from collections.abc import Callable
from typing import Any, cast

import numba
import numpy as np
from numba import types
from numba.core.registry import cpu_target
from numba.extending import intrinsic

from recmodels.kernels.compile import entry, use_cache
from recmodels.kernels.state import State

_state_types: list[types.Type] = []
"""The type of every model's state, once there has been a model."""


class Handle:
    """Keeps a state, taken apart, and with it the state itself.

    A copy of it, and one that was pickled, is one of the copied state.

    Attributes:
        state: The state.
        address: What `opened` makes the state of, in a kernel.

    Raises:
        TypeError: The state's arrays are of other types than those of the states before.
    """

    def __init__(self, state: State) -> None:
        found = numba.typeof(state)
        if not _state_types:
            _state_types.append(found)
        if found != _state_types[0]:
            raise TypeError(f"expected a state of the type {_state_types[0]}, got {found}")
        use_cache(str(found))
        self.state = state
        context = cpu_target.target_context
        self._parts = np.zeros(context.get_abi_sizeof(context.get_value_type(found)), np.uint8)
        self.address = int(self._parts.ctypes.data)
        _keep(state, self.address)

    def __reduce__(self) -> tuple[type["Handle"], tuple[State]]:
        return Handle, (self.state,)


@intrinsic
def _store(typing_context: Any, state: types.Type, address: types.Type) -> tuple[Any, Callable[..., Any]]:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value, place = arguments
        builder.store(value, builder.inttoptr(place, value.type.as_pointer()))
        return context.get_dummy_value()

    return types.void(state, address), generate


@intrinsic
def _load(typing_context: Any, address: types.Type) -> tuple[Any, Callable[..., Any]]:
    state = _state_types[0]

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(builder.inttoptr(arguments[0], context.get_value_type(state).as_pointer()))

    return state(address), generate


opened = cast(Callable[[int], State], _load)
"""Within a kernel: the state that a handle's address stands for."""


@entry
def _keep(state: State, address: int) -> None:
    _store(state, address)
