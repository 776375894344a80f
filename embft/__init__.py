"""embft: declarative sweeps for fine-tuning embedding models.

    import embft

    spec = embft.load_spec("sweeps/mine.yaml")
    embft.plan(spec).pending()
    folder = embft.sweep(spec)
    embft.leaderboard(folder)

Nothing is imported before it is asked for: `api.py` has the functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from embft.api import charts, leaderboard, load_model, load_spec, plan, scores, sweep
    from embft.errors import EmbftError

__version__ = "0.1.0"
__all__ = [
    "EmbftError",
    "charts",
    "leaderboard",
    "load_model",
    "load_spec",
    "plan",
    "scores",
    "sweep",
]


def __getattr__(name: str) -> Any:
    """The functions of `embft.api`, when they are first asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    if name == "leaderboard":  # the package, which is called like the function
        return import_module("embft.leaderboard")
    return getattr(import_module("embft.errors" if name == "EmbftError" else "embft.api"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
