"""What only saves time, and may be missing: each has one entry, a fallback, and is said once.

Speed-ups stand on insides of other packages, which a coming version may rename or compute
otherwise. Whoever uses one asks for it here, and does the work another way where there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

_Found = TypeVar("_Found")

_missing: dict[str, str] = {}
_said: set[str] = set()


def speedup(name: str, find: Callable[[], _Found]) -> _Found | None:
    """What `find` returns, or None where it raises, which `missing` then says."""
    try:
        return find()
    except Exception as error:  # noqa: BLE001 - whatever is wrong with it, the work is done without
        go_without(name, f"{type(error).__name__}: {error}".partition("\n")[0])
        return None


def go_without(name: str, reason: str) -> None:
    """Note that this process, or a worker of its, does without a speed-up."""
    _missing.setdefault(name, reason)


def missing() -> dict[str, str]:
    """The speed-ups that this process has done without, each with the reason."""
    return dict(_missing)


def unsaid() -> Iterator[str]:
    """A sentence for each of those of which nothing has been said."""
    for name, reason in _missing.items():
        if name not in _said:
            _said.add(name)
            yield f"ran without {name}, which only costs time or memory ({reason})"
