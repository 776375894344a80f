"""The leaderboard as a data frame, for Python users; its rows are those of `leaderboard.csv`."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import pandas as pd

from embft.leaderboard.build import build_leaderboard
from embft.leaderboard.export import to_records
from embft.system.garbage_collection import no_collection


@no_collection()
def leaderboard_frame(*folders: str | PathLike[str]) -> pd.DataFrame:
    """The leaderboard of a sweep's folder (`results/NAME`), or of several together.

    Shape (trials, columns): a row for each trial, the baseline's included, with the columns of
    `leaderboard.csv`: `trial`, `status`, `rank`, `recommended`, `seed`, each varying parameter
    under its dotted path, `dev_<metric>` and `test_<metric>` with `_low` and `_high`, costs.
    Missing values are NaN or None. Raises RecordError where no sweep's results are there.
    """
    records = to_records(build_leaderboard(*map(Path, folders)))
    return pd.DataFrame([{**each, "status": str(each["status"])} for each in records])
