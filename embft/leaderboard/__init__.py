"""From trial results to ranked tables. Computes everything the report shows; draws nothing.

`rows.py` holds the tables' types, `build.py` makes the leaderboard of a folder, `ranking.py` ranks
and compares (with `comparisons.py`), `decision.py` chooses what is recommended, `verdict.py` puts
the answer into sentences and `warnings.py` what a reader must know besides, `export.py` writes CSV
and JSON.

The package is callable: `embft.leaderboard(folder)` gives the data frame of `frame.py`.
"""

from __future__ import annotations

import sys
from os import PathLike
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


class _Callable(ModuleType):
    """A package that is a function too: both are called `embft.leaderboard`."""

    def __call__(self, *folders: str | PathLike[str]) -> pd.DataFrame:
        from embft.leaderboard.frame import leaderboard_frame

        return leaderboard_frame(*folders)


sys.modules[__name__].__class__ = _Callable
