"""What runs on a GPU, checked without one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CHECKS = Path(__file__).with_name("gpu_checks.py")


def test_trials_on_a_device_that_keeps_its_tensors_apart() -> None:
    """In a process of its own: torch counts devices when it takes the first gradients."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(CHECKS)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
