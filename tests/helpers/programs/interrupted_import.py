"""Imports what has the signal of the first argument meanwhile; prints what that has seen of it."""

from __future__ import annotations

import signal
import time

from embft.cli.interruption import interrupt_outside_imports

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
interrupt_outside_imports()
swallowed = None
try:
    from tests.helpers.programs.interrupts_its_import import swallowed

    time.sleep(30)
except KeyboardInterrupt:
    print(swallowed)
