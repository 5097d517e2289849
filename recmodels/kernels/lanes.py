"""Eight numbers in one register: SIMD operations whose order of rounding is written down.

The compiler vectorises simple loops by itself. Where several sums stay in registers over a loop, or one value is used
for several sums, it does not. Such loops use these functions. They round alike on every run, whatever the addresses of
arrays are. `multiply_add` rounds once where the processor has that instruction, and twice where it has not.

The types and intrinsics use numba's lowering interface, as those of `state_pointer` do.
"""

from collections.abc import Callable
from typing import Any, Final, NewType, cast

import numpy as np
from llvmlite import ir
from numba import types
from numba.core.cgutils import get_or_insert_function
from numba.core.datamodel.models import PrimitiveModel
from numba.extending import intrinsic, register_model

from recmodels.kernels.layout import Float32

LANES: Final = 8
"""Numbers in a register."""
FLOAT: Final = ir.FloatType()
VECTOR: Final = ir.VectorType(FLOAT, LANES)

Lanes = NewType("Lanes", object)
"""In a kernel: eight numbers of 32 bits."""


class _LanesType(types.Type):
    def __init__(self) -> None:
        super().__init__(name="Lanes")


lanes_type: Final = _LanesType()


@register_model(_LanesType)
class _LanesModel(PrimitiveModel):
    def __init__(self, manager: Any, of: Any) -> None:
        super().__init__(manager, of, VECTOR)


def _address(context: Any, builder: Any, array_type: Any, array: Any, index: Any, index_type: Any) -> Any:
    """Return the address of eight numbers of a contiguous array from an index on."""
    parts = context.make_array(array_type)(context, builder, array)
    number = context.cast(builder, index, index_type, types.intp)
    return builder.bitcast(builder.gep(parts.data, [number]), VECTOR.as_pointer())


@intrinsic
def _load(typing_context: Any, array: Any, index: Any) -> tuple[Any, Callable[..., Any]]:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        where = _address(context, builder, signature.args[0], arguments[0], arguments[1], signature.args[1])
        return builder.load(where, align=4)

    return lanes_type(array, index), generate


@intrinsic
def _store(typing_context: Any, array: Any, index: Any, value: Any) -> tuple[Any, Callable[..., Any]]:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        where = _address(context, builder, signature.args[0], arguments[0], arguments[1], signature.args[1])
        builder.store(arguments[2], where, align=4)
        return context.get_dummy_value()

    return types.void(array, index, value), generate


@intrinsic
def _spread(typing_context: Any, value: Any) -> tuple[Any, Callable[..., Any]]:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _spread_value(builder, arguments[0])

    return lanes_type(types.float32), generate


def _spread_value(builder: Any, value: Any) -> Any:
    first = builder.insert_element(ir.Constant(VECTOR, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    mask = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(first, ir.Constant(VECTOR, ir.Undefined), mask)


@intrinsic
def _multiply_add(typing_context: Any, a: Any, b: Any, c: Any) -> tuple[Any, Callable[..., Any]]:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(VECTOR, [VECTOR] * 3)
        return builder.call(get_or_insert_function(builder.module, kind, f"llvm.fmuladd.v{LANES}f32"), arguments)

    return lanes_type(a, b, c), generate


@intrinsic
def _multiply(typing_context: Any, a: Any, b: Any) -> tuple[Any, Callable[..., Any]]:
    return lanes_type(a, b), lambda context, builder, signature, arguments: builder.fmul(*arguments)


@intrinsic
def _sum_of(typing_context: Any, a: Any, b: Any) -> tuple[Any, Callable[..., Any]]:
    return lanes_type(a, b), lambda context, builder, signature, arguments: builder.fadd(*arguments)


@intrinsic
def _if_positive(typing_context: Any, of: Any, value: Any) -> tuple[Any, Callable[..., Any]]:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        zero = ir.Constant(VECTOR, None)
        return builder.select(builder.fcmp_ordered(">", arguments[0], zero), arguments[1], zero)

    return lanes_type(of, value), generate


@intrinsic
def _any_from(typing_context: Any, of: Any, bound: Any) -> tuple[Any, Callable[..., Any]]:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        found = builder.fcmp_ordered(">=", *arguments)
        bits = builder.bitcast(found, ir.IntType(LANES))
        return builder.icmp_unsigned("!=", bits, ir.Constant(bits.type, 0))

    return types.boolean(of, bound), generate


@intrinsic
def _total(typing_context: Any, of: Any) -> tuple[Any, Callable[..., Any]]:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        whole = arguments[0]
        for half in (LANES // 2, LANES // 4, LANES // 8):
            order = [(lane + half) % LANES for lane in range(LANES)]
            mask = ir.Constant(ir.VectorType(ir.IntType(32), LANES), order)
            whole = builder.fadd(whole, builder.shuffle_vector(whole, ir.Constant(VECTOR, ir.Undefined), mask))
        return builder.extract_element(whole, ir.Constant(ir.IntType(32), 0))

    return types.float32(of), generate


load = cast(Callable[[Float32, int], Lanes], _load)
"""In a kernel: read eight numbers of a contiguous array, from an index on."""
store = cast(Callable[[Float32, int, Lanes], None], _store)
"""In a kernel: write eight numbers into a contiguous array, from an index on."""
spread = cast(Callable[[np.float32], Lanes], _spread)
"""In a kernel: eight times the same number."""
multiply_add = cast(Callable[[Lanes, Lanes, Lanes], Lanes], _multiply_add)
"""In a kernel: a * b + c."""
multiply = cast(Callable[[Lanes, Lanes], Lanes], _multiply)
"""In a kernel: a * b."""
sum_of = cast(Callable[[Lanes, Lanes], Lanes], _sum_of)
"""In a kernel: a + b."""
if_positive = cast(Callable[[Lanes, Lanes], Lanes], _if_positive)
"""In a kernel: the second where the first is above 0, else 0."""
any_from = cast(Callable[[Lanes, Lanes], bool], _any_from)
"""In a kernel: whether any of the first is at least its number of the second."""
total = cast(Callable[[Lanes], np.float32], _total)
"""In a kernel: the sum of the eight: the halves are added, then the halves of these, then the last two."""
