"""What the warm process does before workers are forked from it: import everything, once.

A module of its own because importing it is all that a fork server can be asked to do.
"""

from __future__ import annotations

import gc

from embft.execution.lighter_imports import import_sentence_transformers
from embft.system.allocator import unmap_read_pages
from embft.system.garbage_collection import no_collection
from embft.system.speedups import speedup

with no_collection():  # which went through all that was imported so far over and over
    import_sentence_transformers()
    import pyarrow.compute
    import pyarrow.parquet  # noqa: F401 - every worker reads and writes such files

    from embft.execution import entry, worker
    from embft.training.kernels.entry import kernels

    kernels()

__all__ = ["entry", "worker"]

# A worker's garbage collector writes into every object that it looks at, and what is written to is
# no longer shared: 135 MB in each worker, of imports alone. Frozen objects are not looked at. Nor
# are they collected first: that takes a second, for garbage whose memory would not come back.
gc.freeze()

speedup("pages given back", unmap_read_pages)  # libraries' code that only imports ran, 110 MB
