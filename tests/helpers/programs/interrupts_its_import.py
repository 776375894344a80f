"""Has the signal of the first argument while it is imported, and takes it, as libraries do that
try what may not be installed, for something else.
"""

from __future__ import annotations

import os
import signal
import sys
import time

swallowed = []
try:
    os.kill(os.getpid(), signal.Signals[sys.argv[1]])
    time.sleep(0.1)
except BaseException as error:  # noqa: BLE001 - what a compiled module's start does
    swallowed.append(error)
