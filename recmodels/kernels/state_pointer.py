"""Pointer to a model's state: one number, the address of the unpacked state in memory.

A call of a kernel with a `State` makes Python unpack each of its arrays, some seventy. That takes longer than learning
an event. So the state is unpacked once and kept, and the entries get its address. The arrays of a model never move.

The intrinsics below use numba's typing and lowering interface. If a new numba breaks them, an entry can take the
`State` itself instead of its address, at the price of that time.
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
"""The numba type of every model's state, once there has been a model."""


class Handle:
    """Holds a state and its unpacked form.

    A copy or a pickle of a handle belongs to the copied state.

    Attributes:
        state: The state.
        address: Address of the unpacked state, for `opened` in a kernel.

    Raises:
        TypeError: The types of the arrays differ from those of earlier states.
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
"""In a kernel: return the state of a handle's address."""


@entry
def _keep(state: State, address: int) -> None:
    _store(state, address)
