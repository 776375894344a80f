"""What the compiled loops are made of: number formats, two functions, small matrix products.

A loop over these becomes vector instructions of the processor at hand. Knows no torch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import float32, types, uint16
from numba.core import cgutils
from numba.extending import overload
from numba.np.numpy_support import carray

from embft.training.kernels.loops import native, part

F = np.float32
LANES = 8  # rows and columns of a block of a product

FLAT, ROWS = (float32[::1], uint16[::1]), (float32[:, ::1], uint16[:, ::1])
FLOATS, BITS = float32[:, ::1], uint16[:, ::1]  # of rows: one kind, and dropout's bits

# Number formats: float32, or bfloat16 as the uint16 that its bits are.


@native
def _as_float(_context: Any, _bits: Any) -> Any:
    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.uint32), generate


@native
def _as_bits(_context: Any, _value: Any) -> Any:
    def generate(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.IntType(32))

    return types.uint32(types.float32), generate


def wide(value: Any) -> Any:
    """A value of an array as float32."""


@overload(wide, inline="always")
def _wide(value: Any) -> Any:
    def as_it_is(value: Any) -> Any:
        return value

    def widened(value: Any) -> Any:
        return _as_float(np.uint32(value) << np.uint32(16))

    return as_it_is if value == types.float32 else widened


def narrow(array: Any, value: Any) -> Any:
    """A float32 as this array keeps its values; bfloat16 rounds to the nearest, ties to even."""


@overload(narrow, inline="always")
def _narrow(array: Any, value: Any) -> Any:  # noqa: ARG001 - numba compares the names
    def as_it_is(array: Any, value: Any) -> Any:  # noqa: ARG001
        return value

    def rounded(array: Any, value: Any) -> Any:  # noqa: ARG001
        bits: Any = _as_bits(value)
        half = np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
        return np.uint16((bits + half) >> np.uint32(16))

    return as_it_is if array.dtype == types.float32 else rounded


@part
def portion(array: Any, thread: Any, threads: Any) -> Any:
    """One thread's share of the rows, which lie together."""
    count = array.shape[0]
    return array[count * thread // threads : count * (thread + 1) // threads]


@part
def gather(rows: Any, left: int, to: Any) -> None:
    """Columns of rows, from the one at `left` on, as float32; below them 0."""
    n = rows.shape[0]
    for i in range(n):
        row, its = rows[i, left : left + to.shape[1]], to[i]
        for j in range(row.size):
            its[j] = wide(row[j])
    to[n:] = F(0.0)


@native
def _pointer(_context: Any, address: Any, like: Any) -> Any:
    kind = types.CPointer(like.dtype)

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(kind))

    return kind(address, like), generate


@part
def elements(address: Any, first: Any, n: Any, like: Any) -> Any:
    """Elements first to first + n of what lies at an address, in the format of the array `like`."""
    return carray(_pointer(address + first * like.itemsize, like), n)


# Functions.


@part
def exp(x: Any) -> Any:
    """The exponential function: 2 to the n times a polynomial, by the constants of Cephes."""
    x = F(-87.0) if x < F(-87.0) else x
    n = np.floor(x * F(1.44269504) + F(0.5))
    r = x - n * F(0.693359375) + n * F(2.12194440e-4)  # ln 2 in two parts, the first one exact
    p = F(1.9875691500e-4)
    p = p * r + F(1.3981999507e-3)
    p = p * r + F(8.3334519073e-3)
    p = p * r + F(4.1665795894e-2)
    p = p * r + F(1.6666665459e-1)
    p = p * r + F(5.0000001201e-1)
    power: Any = _as_float(np.uint32((np.int32(n) + np.int32(127)) << np.int32(23)))
    return (p * r * r + r + F(1.0)) * power


@part
def erf(x: Any) -> Any:
    """The error function by a quotient of polynomials, with the constants of Eigen's."""
    x = F(-4.0) if x < F(-4.0) else x
    x = F(4.0) if x > F(4.0) else x
    y = x * x
    p = F(-2.72614225801306e-10)
    p = p * y + F(2.77068142495902e-08)
    p = p * y + F(-2.10102402082508e-06)
    p = p * y + F(-5.69250639462346e-05)
    p = p * y + F(-7.34990630326855e-04)
    p = p * y + F(-2.95459980854025e-03)
    p = p * y + F(-1.60960333262415e-02)
    q = F(-1.45660718464996e-05)
    q = q * y + F(-2.13374055278905e-04)
    q = q * y + F(-1.68282697438203e-03)
    q = q * y + F(-7.37332916720468e-03)
    q = q * y + F(-1.42647390514189e-02)
    return x * p / q


# Matrix products too small for a library's call, in blocks whose sums stay in registers.

_P: Any = types.CPointer(types.float32)
_I = types.intp


@native
def _address(_context: Any, array: Any, index: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        view = context.make_array(signature.args[0])(context, builder, arguments[0])
        return builder.gep(view.data, [arguments[1]])

    return _P(array, index), generate


@native
def _block(
    _context: Any, _a: Any, _row: Any, _column: Any, _b: Any, _b_row: Any, _c: Any, _c_row: Any,
    _n: Any,
) -> Any:  # fmt: skip
    """Compute c[8, 8] = a[8, n] b[n, 8], each by its address and strides, row and column.

    Written for the compiler itself: from a plain loop it would keep the sums in memory, since it
    cannot know that c is neither a nor b.
    """

    def generate(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        a, a_row, a_column, b, b_row, c, c_row, n = arguments
        vector = ir.VectorType(ir.FloatType(), LANES)
        nothing, first = ir.Constant(vector, ir.Undefined), ir.Constant(ir.IntType(32), 0)
        everywhere = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)

        def at(base: Any, index: Any, stride: Any) -> Any:
            return builder.gep(base, [builder.mul(index, stride)])

        def nth(i: int) -> Any:
            return ir.Constant(a_row.type, i)

        new: Any = cgutils.alloca_once
        sums = [new(builder, vector) for _ in range(LANES)]
        for each in sums:
            builder.store(ir.Constant(vector, [0.0] * LANES), each)
        with cgutils.for_range(builder, n, intp=a_row.type) as loop:
            row = builder.bitcast(at(b, loop.index, b_row), vector.as_pointer())
            right = builder.load(row, align=4)
            for i, each in enumerate(sums):
                left = builder.load(at(at(a, loop.index, a_column), nth(i), a_row))
                left = builder.insert_element(nothing, left, first)
                left = builder.shuffle_vector(left, nothing, everywhere)
                product = builder.fmul(left, right, flags=("contract",))
                added = builder.fadd(builder.load(each), product, flags=("contract",))
                builder.store(added, each)
        for i, each in enumerate(sums):
            to = builder.bitcast(at(c, nth(i), c_row), vector.as_pointer())
            builder.store(builder.load(each), to, align=4)
        return context.get_dummy_value()

    return types.void(_P, _I, _I, _P, _I, _P, _I, _I), generate


@part
def product(a: Any, b: Any, c: Any, n: Any) -> None:
    """Compute c = a[:, :n] b[:n], all float32; c has multiples of 8 rows and columns."""
    for i in range(0, c.shape[0], LANES):
        for j in range(0, c.shape[1], LANES):
            left, right = _address(a, i * a.shape[1]), _address(b, j)
            to = _address(c, i * c.shape[1] + j)
            _block(left, a.shape[1], 1, right, b.shape[1], to, c.shape[1], n)


@part
def transposed_product(a: Any, b: Any, c: Any, n: Any) -> None:
    """Compute c = a[:n].T b[:n], all float32; c has multiples of 8 rows and columns."""
    for i in range(0, c.shape[0], LANES):
        for j in range(0, c.shape[1], LANES):
            left, right = _address(a, i), _address(b, j)
            to = _address(c, i * c.shape[1] + j)
            _block(left, 1, a.shape[1], right, b.shape[1], to, c.shape[1], n)
