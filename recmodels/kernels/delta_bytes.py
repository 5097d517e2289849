"""Numbers in the bytes of a delta, for kernels: little-endian, at any place, without a copy.

A place is a number of bytes from the first one. `recmodels.kernels.delta_reading` checks all places once.

The intrinsics use numba's lowering interface, as those of `recmodels.kernels.lanes` do.
"""

import sys
from collections.abc import Callable
from typing import Any, Final, cast

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from recmodels.kernels.compile import int64, kernel
from recmodels.kernels.lanes import LANES, VECTOR, Lanes, lanes_type
from recmodels.kernels.layout import Int64, Marks

assert sys.byteorder == "little", "deltas are read in place, so the processor must be little-endian"

# Numbers of the sections of a delta. Four sections follow for each kind of rows.
HEAD: Final = 0
IDS: Final = 1
ITEM: Final = 2
NUMBER: Final = 3
REWARD: Final = 4
TIME: Final = 5
SIZE: Final = 6
RECENT: Final = 7
OTHERS: Final = 8
WEIGHTS: Final = 9
SCALES: Final = 10
ROWS: Final = 11
ROW_SECTIONS: Final = 4
"""Sections of a kind of rows: places of the items, size of a step of each, the steps, and the numbers beside."""
BESIDE: Final = (3, 1)
"""Number of numbers beside a row of `out`, and of `history`."""
SECTIONS: Final = ROWS + ROW_SECTIONS * len(BESIDE)
HEAD_BYTES: Final = 13
"""Numbers of events, of ids and of interactions, and whether ids are plain."""
FEW: Final = 1 << 16
"""Below this number of ids, a place among them takes two bytes."""
HALF_BITS: Final = np.int32(16)
"""Bits that a number in 16 bits has less than one in 32: it is the upper half of it."""


def _reading(kind: Any, result: types.Type, widened: Callable[[Any, Any], Any]) -> Callable[[Marks, int], Any]:
    """Return an intrinsic that reads a number of an LLVM type at a place."""

    def reading(typing_context: Any, data: types.Type, place: types.Type) -> tuple[Any, Callable[..., Any]]:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            parts = context.make_array(signature.args[0])(context, builder, arguments[0])
            number = context.cast(builder, arguments[1], signature.args[1], types.intp)
            where = builder.bitcast(builder.gep(parts.data, [number]), kind.as_pointer())
            return widened(builder, builder.load(where, align=1))

        return result(data, place), generate

    return cast(Callable[[Marks, int], Any], intrinsic(reading))


def _to_word(builder: Any, value: Any) -> Any:
    return builder.zext(value, ir.IntType(64))


def _to_lanes(builder: Any, value: Any) -> Any:
    return builder.sitofp(builder.sext(value, ir.VectorType(ir.IntType(32), LANES)), VECTOR)


uint16 = cast(Callable[[Marks, int], int], _reading(ir.IntType(16), types.int64, _to_word))
"""In a kernel: the number of 16 bits at a place, 0 or more."""
uint32 = cast(Callable[[Marks, int], int], _reading(ir.IntType(32), types.int64, _to_word))
"""In a kernel: the number of 32 bits at a place, 0 or more."""
float32 = cast(
    Callable[[Marks, int], np.float32], _reading(ir.FloatType(), types.float32, lambda builder, value: value)
)
"""In a kernel: the number of 32 bits at a place, with a fraction."""
float64 = cast(Callable[[Marks, int], float], _reading(ir.DoubleType(), types.float64, lambda builder, value: value))
"""In a kernel: the number of 64 bits at a place, with a fraction."""
int8 = cast(
    Callable[[Marks, int], int],
    _reading(ir.IntType(8), types.int64, lambda builder, value: builder.sext(value, ir.IntType(64))),
)
"""In a kernel: the number of 8 bits at a place, from -128."""
eight = cast(Callable[[Marks, int], Lanes], _reading(ir.VectorType(ir.IntType(8), LANES), lanes_type, _to_lanes))
"""In a kernel: the eight numbers of 8 bits from a place on, in a register."""


@kernel
def half(data: Marks, place: int) -> np.float32:
    """Return the number at a place of which the upper 16 of 32 bits were sent."""
    return np.int32(np.int32(uint16(data, place)) << HALF_BITS).view(np.float32)


@kernel
def number(data: Marks, start: int, k: int, size: int) -> int:
    """Return number `k` of a section of numbers of 2 or 4 bytes."""
    return uint32(data, start + 4 * k) if size == 4 else uint16(data, start + 2 * k)


@kernel
def width_of(n_ids: int) -> int:
    """Return the number of bytes of a place among ids."""
    return int64(2) if n_ids < FEW else int64(4)


@kernel
def length(starts: Int64, section: int) -> int:
    """Return the number of bytes of a section."""
    return int64(starts[section + 1] - starts[section])
