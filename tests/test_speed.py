"""The short form of `benchmarks/stock.py`: embft stays ahead of the stock recipe."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

STOCK = Path(__file__).parent.parent / "benchmarks" / "stock.py"


@pytest.mark.speed
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("minilm")
def test_a_trial_is_twice_as_fast_as_the_stock_recipe() -> None:
    """One epoch of LoRA, from the start of the process to the scored result, in turns.

    A busy machine can spoil one run: only two failures in a row count.
    """
    command = [sys.executable, str(STOCK), "--seeds", "42", "--epochs", "1"]
    command += ["--methods", "lora", "--least", "2", "--no-publish"]
    for _ in range(2):
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        if run.returncode == 0:
            return
    pytest.fail(run.stdout + run.stderr)
