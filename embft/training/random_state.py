"""Every random state that training draws from, saved and restored."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch


def random_state(
    dropout: np.random.Generator | None, device: str
) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """The states of Python, numpy and the dropout masks as JSON; torch's as bytes, shape (n,).

    device: the type of the model's device, `cuda` say.
    """
    torches = {"random.cpu": torch.get_rng_state()}
    if device != "cpu":
        torches[f"random.{device}"] = torch.get_device_module(device).get_rng_state()
    name, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
    version, internal, gauss_next = random.getstate()
    return {
        "python": [version, list(internal), gauss_next],
        "numpy": [name, np.asarray(keys).tolist(), position, has_gauss, gauss],
        "dropout": _plain(dropout.bit_generator.state) if dropout else None,
    }, torches


def restore_random_state(
    saved: dict[str, Any],
    torches: Mapping[str, torch.Tensor],
    dropout: np.random.Generator | None,
    device: str,
) -> None:
    """Go on drawing as if nothing had happened. saved, torches: what `random_state` gave."""
    version, internal, gauss_next = saved["python"]
    random.setstate((version, tuple(internal), gauss_next))
    name, keys, *rest = saved["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), *rest))
    if dropout is not None:
        state = dict(saved["dropout"])
        inner = {key: np.array(value, dtype=np.uint64) for key, value in state["state"].items()}
        dropout.bit_generator.state = {**state, "state": inner}
    torch.set_rng_state(torches["random.cpu"])
    if device != "cpu":
        torch.get_device_module(device).set_rng_state(torches[f"random.{device}"])


def _plain(state: Any) -> Any:
    """Arrays as lists, for JSON."""
    if isinstance(state, dict):
        return {key: _plain(value) for key, value in state.items()}
    return state.tolist() if isinstance(state, np.ndarray) else state
