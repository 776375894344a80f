"""`embft plan` that has the signal of its first argument while a plan is made."""

from __future__ import annotations

import os
import signal
import sys

import embft.planning.plan
from embft.cli.main import main

# A shell's background job, as a test run may be, begins with SIGINT ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
number = signal.Signals[sys.argv[1]]
embft.planning.plan.make_plan = lambda *_: os.kill(os.getpid(), number)
main(["plan", "s.yaml"])
