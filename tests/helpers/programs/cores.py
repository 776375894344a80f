"""The cores that a process held to one of them may use."""

from __future__ import annotations

import os

from embft.system.machine import available_cores

os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
print(available_cores())
