"""Where rows come from: the file and the line of each, so that a finding can name them."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from embft.data.names import Place


@dataclass(frozen=True)
class Origin:
    """Where each of n rows stands. files: each with the unit in which its rows are counted. file,
    number: of each row which of the files it is in, and its line there from 1; shape (n,).
    """

    files: tuple[tuple[Path, str], ...]
    file: npt.NDArray[np.int32]
    number: npt.NDArray[np.int64]

    def at(self, row: int) -> str:
        """Where a row stands, as a message says it: `pairs.tsv, line 12`."""
        path, unit = self.files[int(self.file[row])]
        return str(Place(path, unit, int(self.number[row])))

    def take(self, rows: Sequence[int] | npt.NDArray[np.int64]) -> Origin:
        """The places of the rows at these positions, in this order."""
        wanted = np.asarray(rows, np.int64)
        return Origin(self.files, self.file[wanted], self.number[wanted])


class Origins:
    """Collects the places of rows as they are read."""

    def __init__(self) -> None:
        self._files: dict[tuple[Path, str], int] = {}
        self._file, self._number = array("i"), array("q")

    def append(self, place: Place) -> None:
        """Add the place of the next row."""
        key = (place.path, place.unit)
        self._file.append(self._files.setdefault(key, len(self._files)))
        self._number.append(place.number)

    def __len__(self) -> int:
        return len(self._number)

    def finished(self) -> Origin:
        """The places of all rows that were added."""
        return Origin(
            tuple(self._files),
            np.array(self._file, np.int32),
            np.array(self._number, np.int64),
        )
