"""Ends work that runs a model once the sweep is asked to stop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


class StoppedError(Exception):
    """The sweep was asked to stop; what there is to go on from is saved."""


@contextmanager
def stoppable(model: nn.Module, should_stop: Callable[[], bool]) -> Iterator[None]:
    """End the block with StoppedError at the model's next forward pass after a stop is asked for.

    It ends so too where something in the block catches that, as users' evaluators may: what they
    then say of the model lacks a part.
    """
    stopped = False

    def look(*_: object) -> None:
        nonlocal stopped
        stopped = stopped or should_stop()
        if stopped:
            raise StoppedError

    hook = model.register_forward_pre_hook(look)
    try:
        yield
    except Exception:
        if not stopped:
            raise
    finally:
        hook.remove()
    if stopped:
        raise StoppedError
