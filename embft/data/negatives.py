"""The hard negatives of rows, as users write them: a column for each, or one column of lists.

Rows may have different numbers of them. A batch has the same columns in each row, so that a row
with fewer repeats its own in turn; one without any is refused with its place.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from embft.data.column import PART, GrowingColumns
from embft.data.names import Place
from embft.data.values import is_missing, text_of
from embft.errors import DataError
from embft.spec.negatives import MOST


class GrowingNegatives:
    """Negatives that rows are added to, each with as many as it has. names: their columns."""

    def __init__(self, names: Sequence[str | int]) -> None:
        self._names, self._most = names, 0
        self._rows = GrowingColumns(1)

    def append(self, place: Place, values: Sequence[object]) -> None:
        """Add a row: a value for each column. Raises DataError, naming the place."""
        found = list(_texts(place, self._names, values))
        if not found:
            columns = ", ".join(map(repr, self._names))
            raise DataError(
                f"{place}: the row has no negative in {columns}. Fill one in, or remove the line; "
                "rows may have different numbers of negatives, but each needs one."
            )
        if len(found) > MOST:
            raise DataError(
                f"{place}: the row has {len(found)} negatives; at most {MOST} are allowed. Keep "
                "the hardest."
            )
        self._most = max(self._most, len(found))
        self._rows.append([json.dumps(found)])

    def finished(self) -> list[Sequence[str]]:
        """The columns, as many as the row with the most has; a row's own repeat in turn."""
        (rows,) = self._rows.finished()
        columns = GrowingColumns(self._most)
        if not self._most:
            return []
        for start in range(0, len(rows), PART):
            for row in rows[start : start + PART]:
                own = json.loads(row)
                columns.append([own[i % len(own)] for i in range(self._most)])
        return columns.finished()


def _texts(place: Place, names: Sequence[str | int], values: Sequence[object]) -> Iterator[str]:
    """The texts of a row. In one of several columns there may be none."""
    for name, value in zip(names, values, strict=True):
        listed = _listed(value)
        if listed is not None:
            yield from (text_of(place, name, each) for each in listed)
        elif len(names) == 1 or not _is_blank(value):
            yield text_of(place, name, value)


def _listed(value: object) -> Sequence[object] | None:
    """The items of a list, also of one that a csv file has as JSON; None where it is none."""
    if isinstance(value, list | tuple):
        return value
    if isinstance(value, str) and value.startswith("[") and value.endswith("]"):
        try:
            found = json.loads(value)
        except (ValueError, RecursionError):
            return None
        if isinstance(found, list) and all(isinstance(each, str) for each in found):
            return found
    return None


def _is_blank(value: object) -> bool:
    return is_missing(value) or (isinstance(value, str) and not value.strip())
