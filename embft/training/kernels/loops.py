"""How a loop becomes machine code that does its shares on several cores at once.

A loop is a function of arrays and numbers, the number of a share, and how many there are. Threads
come from OpenMP, whose function is given by its address: so nothing between two shares is Python,
whose lock would make each thread wait for the others. Knows no torch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import Any

from llvmlite import ir
from numba import njit, types, void
from numba.core import cgutils
from numba.extending import intrinsic

native: Any = intrinsic  # its types are those of a plain function, without a compiler's arguments
# fastmath but for "no NaN, no infinity": a training that diverges must be seen to.
_MATH = {"reassoc", "contract", "arcp", "nsz", "afn"}
_OPTIONS: dict[str, Any] = {"fastmath": _MATH, "error_model": "numpy"}
# numba's cache of a function is as old as the file that the function stands in. So that it is as
# old as what all loops are made of too, its name has those files' digest.
_MADE_OF = b"".join(
    Path(__file__).with_name(name).read_bytes() for name in ("loops.py", "vectors.py")
)
_DIGEST = hashlib.sha256(_MADE_OF).hexdigest()[:8]


def part(function: Any) -> Any:
    """A part of compiled loops."""
    return njit(**_OPTIONS)(function)


def compiled(kinds: tuple[Any, ...], *arguments: Any) -> Callable[[Any], Any]:
    """A loop for values of these kinds, as float32 and bfloat16, compiled once for a machine.

    arguments: their types, None for an array of values, but for the last two: the number of the
    share, and how many there are. What is made of it is called with `first`, `end`, `shares` and
    `openmp`, then the arguments before those two: it does the shares from first up to end, of so
    many, by the OpenMP at that address (of GOMP_parallel), or one after another where that is 0. It
    releases Python's lock, and raises MemoryError where a share found no memory.
    """
    numbers = (types.int64, types.int64, types.int64, types.uintp)
    signatures = [
        void(*numbers, types.Tuple([kind if each is None else each for each in arguments]))
        for kind in kinds
    ]

    def decorate(function: Any) -> Any:
        loop = _in_shares(function)
        try:
            return njit(signatures, cache=True, nogil=True, **_OPTIONS)(loop)
        except RuntimeError:  # no folder takes the cache, neither beside this file nor the user's
            return njit(signatures, nogil=True, **_OPTIONS)(loop)

    return decorate


def _all_shares(first: int, end: int, shares: int, openmp: int, *arguments: Any) -> None:
    if _spread(_share, arguments, first, end, shares, openmp):
        raise MemoryError("no memory for a compiled loop")


def _share() -> None:
    """What `_all_shares` spreads; in each of its copies the loop itself."""


def _in_shares(function: Any) -> Any:
    """A copy of `_all_shares` for this loop, which says that it stands where the loop does.

    numba keeps what it compiles by a function's file, line and name, and reads the source that
    begins at that line: so it must be one that begins there.
    """
    code = _all_shares.__code__.replace(
        co_filename=function.__code__.co_filename,
        co_firstlineno=function.__code__.co_firstlineno,
    )
    space = {**globals(), "_share": part(function), "__name__": function.__module__}
    name = f"{function.__name__}_{_DIGEST}"
    copy = FunctionType(code.replace(co_name=name, co_qualname=name), space, name)
    copy.__qualname__ = name
    return copy


@native
def _spread(  # noqa: PLR0913, PLR0917 - as numba calls it
    _context: Any, share: Any, arguments: Any, first: Any, end: Any, shares: Any, openmp: Any
) -> Any:
    """Do the shares; true where one found no memory."""
    given = (*arguments.types, types.int64, types.int64)
    share.dispatcher.compile(given)
    found = share.dispatcher.overloads[given]

    def generate(context: Any, builder: Any, _: Any, values: Any) -> Any:
        context.active_code_library.add_linking_library(found.library)
        _, packed, first, end, shares, openmp = values
        word, data = first.type, ir.IntType(8).as_pointer()
        job = ir.LiteralStructType([packed.type, word, word, word, word])  # as stored below
        place = cgutils.alloca_once(builder, job)
        failed = ir.Constant(word, 0)
        for i, value in enumerate((packed, shares, first, end, failed)):
            builder.store(value, _member(builder, place, i))
        worker = _worker(context, builder.module, found.fndesc, job, given)
        address = builder.bitcast(place, data)
        with builder.if_else(cgutils.is_null(builder, openmp)) as (alone, several):
            with alone:
                builder.call(worker, [address])
            with several:
                number = ir.IntType(32)
                kind = ir.FunctionType(ir.VoidType(), [worker.type, data, number, number])
                parallel = builder.inttoptr(openmp, kind.as_pointer())
                threads = builder.trunc(shares, number)
                builder.call(parallel, [worker, address, threads, ir.Constant(number, 0)])
        return cgutils.is_not_null(builder, builder.load(_member(builder, place, 4)))

    return types.boolean(share, arguments, first, end, shares, openmp), generate


def _worker(context: Any, module: Any, loop: Any, job: Any, given: tuple[Any, ...]) -> Any:
    """What each thread does: take the next share, until there is none.

    Its number says what a share computes, so it makes no difference which thread takes it.
    """
    kind = ir.FunctionType(ir.VoidType(), [ir.IntType(8).as_pointer()])
    worker = ir.Function(module, kind, module.get_unique_name("worker"))
    worker.linkage = "internal"
    begin, take, do, done = map(worker.append_basic_block, ("begin", "take", "do", "done"))
    builder = ir.IRBuilder(begin)
    place = builder.bitcast(worker.args[0], job.as_pointer())
    packed, shares, following, end, failed = (_member(builder, place, i) for i in range(5))
    arguments = cgutils.unpack_tuple(builder, builder.load(packed))
    number = builder.load(shares)
    builder.branch(take)
    builder.position_at_end(take)
    one = ir.Constant(number.type, 1)
    share = builder.atomic_rmw("add", following, one, "seq_cst")
    builder.cbranch(builder.icmp_signed("<", share, builder.load(end)), do, done)
    builder.position_at_end(do)
    signature = types.none(*given)
    status, _ = context.call_internal_no_propagate(
        builder, loop, signature, [*arguments, share, number]
    )
    with cgutils.if_unlikely(builder, status.is_error):
        builder.store(one, failed)
    builder.branch(take)
    builder.position_at_end(done)
    builder.ret_void()
    return worker


def _member(builder: Any, place: Any, i: int) -> Any:
    return cgutils.gep_inbounds(builder, place, 0, i)
