"""What a process holds, and gives back."""

from __future__ import annotations

import gc
import os
import platform
import sys
import threading
import weakref

import numpy as np
import pytest

from embft.system.allocator import release_memory
from embft.system.garbage_collection import no_collection
from embft.system.processes import process_memory
from tests.helpers.commands import program

GLIBC = platform.libc_ver()[0] == "glibc"


def test_collection_is_on_again_after_the_block() -> None:
    """However it ends; where it was off it stays off."""
    with no_collection():
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ValueError, match="x"), no_collection():
        raise ValueError("x")
    assert gc.isenabled()
    gc.disable()
    try:
        with no_collection():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_blocks_in_two_threads_may_overlap() -> None:
    """The second begins inside of the first and ends after it."""
    inside, outside = threading.Event(), threading.Event()

    def second() -> None:
        with no_collection():
            inside.set()
            outside.wait()

    thread = threading.Thread(target=second)
    with no_collection():
        thread.start()
        inside.wait()
    assert not gc.isenabled()
    outside.set()
    thread.join()
    assert gc.isenabled()


def test_garbage_of_many_blocks_is_found() -> None:
    """A report now and then, for hours: what each leaves in cycles goes, as without the blocks."""
    alive: weakref.WeakSet[_Knot] = weakref.WeakSet()
    for _ in range(50):
        with no_collection():
            alive.add(_Knot())
        for _ in range(10):
            _ = [[] for _ in range(3_000)]
    assert len(alive) < 25


def test_many_objects_of_a_block_count_as_old() -> None:
    """What was made there is not looked at right afterwards; what others froze stays frozen."""
    with no_collection():
        made: list[list[int]] = [[] for _ in range(200_000)]
    before = gc.get_stats()[2]["collections"]
    assert any(each is made for each in gc.get_objects(generation=2))
    assert gc.get_stats()[2]["collections"] == before
    gc.freeze()
    try:
        frozen = gc.get_freeze_count()
        with no_collection():
            made += [[] for _ in range(200_000)]
        assert gc.get_freeze_count() >= 0.9 * frozen > 0
    finally:
        gc.unfreeze()


class _Knot:
    """An object that holds itself."""

    def __init__(self) -> None:
        self.itself = self


def test_what_was_freed_is_given_back() -> None:
    """Blocks too small to be mapped by themselves are kept by the C library until it is asked."""
    blocks = [np.ones(10_000) for _ in range(2_000)]
    kept = blocks[-1]
    full = process_memory(os.getpid())
    del blocks
    release_memory()
    assert process_memory(os.getpid()) < full - 100e6
    assert kept[0] == 1


@pytest.mark.skipif(not GLIBC, reason="other C libraries have their own ways")
def test_what_is_freed_is_kept_for_the_next_step() -> None:
    """No page comes from the system twice, where otherwise most do."""
    assert int(program("page_faults_of_steps")) > 10_000
    assert int(program("page_faults_of_steps", arguments=["keep"])) < 100


@pytest.mark.skipif(sys.platform != "linux", reason="maps of another kind")
def test_pages_of_libraries_are_held_only_while_needed() -> None:
    """And are there again when they are."""
    given_back, equal = program("unmap_read_pages").split()
    assert int(given_back) > 10e6
    assert equal == "True"
