"""What a process holds, and gives back."""

from __future__ import annotations

import gc
import os
import threading

import numpy as np
import pytest

from embft.memory import no_collection, process_memory, release_memory


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


def test_what_was_freed_is_given_back() -> None:
    """Blocks too small to be mapped by themselves are kept by the C library until it is asked."""
    blocks = [np.ones(10_000) for _ in range(2_000)]
    kept = blocks[-1]
    full = process_memory(os.getpid())
    del blocks
    release_memory()
    assert process_memory(os.getpid()) < full - 100e6
    assert kept[0] == 1
