"""Whether what asks for maps has imported torch."""

from __future__ import annotations

import sys

import embft.execution.maps  # noqa: F401

print("torch" in sys.modules)
