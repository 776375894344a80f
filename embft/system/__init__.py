"""The machine: its processes, memory, cores and devices, and texts safe for a terminal.

`machine.py` says what there is to compute on, `processes.py` measures and ends processes,
`allocator.py` gives freed memory back or keeps it, `garbage_collection.py` pauses Python's own,
`numba_cache.py` keeps what numba compiles, `speedups.py` is the entry to what only saves time,
`text.py` takes out of a text what a terminal would obey. Knows nothing of trials or models.
"""
