"""Prefetch of memory: in a large catalogue the row of a candidate is not in the processor's cache."""

from collections.abc import Callable
from typing import Any, Final, cast

from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from recmodels.storage.tables import LINE_BYTES

PREFETCH_DISTANCE: Final = 12
"""Number of candidates between a prefetch and its use: processing 12 takes about as long as a memory access."""
ROWS_AHEAD: Final = 8
"""Number of rows of a delta between a prefetch and its use. A row takes longer to process than a candidate."""
LINES: Final = 2
"""Number of cache lines of a row that `prefetch` loads."""
LONG_LINES: Final = 4
"""Number of cache lines that `prefetch_long` loads. 64 numbers take four aligned lines (`recmodels.storage.tables`)."""
READ, KEEP, DATA = 0, 3, 1


def _prefetching(lines: int) -> Callable[[NDArray[Any], int], None]:
    """Return an intrinsic that loads the first cache lines of a row, or the line of a number."""

    def prefetching(typing_context: Any, array: types.Type, row: types.Type) -> tuple[Any, Callable[..., Any]]:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            parts = context.make_array(signature.args[0])(context, builder, arguments[0])
            start = builder.bitcast(parts.data, ir.IntType(8).as_pointer())
            stride = builder.extract_value(parts.strides, 0)
            number = context.cast(builder, arguments[1], signature.args[1], types.intp)
            place = builder.gep(start, [builder.mul(number, stride)])
            flags = [ir.Constant(ir.IntType(32), flag) for flag in (READ, KEEP, DATA)]
            kinds = [place.type, *(flag.type for flag in flags)]
            ask = builder.module.declare_intrinsic("llvm.prefetch", [place.type], ir.FunctionType(ir.VoidType(), kinds))
            for line in range(1 if signature.args[0].ndim == 1 else lines):
                builder.call(ask, [builder.gep(place, [ir.Constant(ir.IntType(64), line * LINE_BYTES)]), *flags])
            return context.get_dummy_value()

        return types.void(array, row), generate

    return cast(Callable[[NDArray[Any], int], None], intrinsic(prefetching))


prefetch = _prefetching(LINES)
"""In a kernel: start to load a row of an array. It changes no result."""
prefetch_long = _prefetching(LONG_LINES)
"""In a kernel: start to load a long row of an array. It changes no result."""
