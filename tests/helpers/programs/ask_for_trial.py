"""Asks the server at the address given for a trial, and waits."""

from __future__ import annotations

import sys
from pathlib import Path

from embft.results.folders import TrialDir
from embft.scheduler.broker import ask_for_trial

ask_for_trial(sys.argv[1], TrialDir(Path("a")))
