"""The tests of `tests/helpers/gpu_checks.py`, which are none of those that pytest collects."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

checks = Path(__file__).parents[1] / "gpu_checks.py"
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", str(checks)]))
