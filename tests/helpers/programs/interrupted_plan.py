"""`embft plan` that has the signal of its first argument while a plan is made; with a second
argument what runs then makes an ImportError of it, as a compiled module does.
"""

from __future__ import annotations

import os
import signal
import sys

import embft.planning.plan
from embft.cli.main import main

# A shell's background job, as a test run may be, begins with SIGINT ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
number = signal.Signals[sys.argv[1]]


def make_plan(*_: object) -> None:
    """Have the signal."""
    try:
        os.kill(os.getpid(), number)
    except KeyboardInterrupt as error:
        if sys.argv[2:]:
            raise ImportError("initialization failed") from error
        raise


embft.planning.plan.make_plan = make_plan
main(["plan", "s.yaml"])
