"""One trial: the process that trains and scores it, and who starts, watches and explains it.

    driver (`embft sweep`) ─ launcher.py ── forks from ── the warm process (preload.py)
                  │                                             │
             monitor.py  ◄── memory, time, signs of life ──  worker.py: train | score
                  │
             failure.py: what the worker's end means

`measure.py` times a few steps of each kind of trial; `evaluate.py`, `merge.py` and `maps.py` work
on one finished model. Schedules nothing, ranks nothing, and knows no Ray.
"""
