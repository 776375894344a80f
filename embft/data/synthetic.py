"""Queries that a model has made, known by their ids: their scores stand in no table with others'.

The mark is in the id, so that it outlives every format, and each judgement carries it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from embft.data.retrieval import SETS, Retrieval
from embft.errors import DataError

MARK = "synthetic:"
"""What the id of a query that a model has made begins with."""
ORIGIN_FILE = "synthetic.json"
"""In a folder of such queries: what they were made of, by which model, and how."""


def made_by_a_model(ids: Iterable[str]) -> int:
    """How many of these queries a model has made."""
    return sum(name.startswith(MARK) for name in ids)


def check_one_kind(split: str, ids: Sequence[str]) -> None:
    """Raise DataError where some of a split's queries were made by a model and others were not."""
    made = made_by_a_model(ids)
    if 0 < made < len(ids):
        raise DataError(
            f"the judgements of {split} are of {made:,} synthetic queries and {len(ids) - made:,} "
            "others, whose scores are not one number: judge one kind in a split; in train both may "
            "stand"
        )


def synthetic_sets(retrieval: Retrieval | None) -> frozenset[str]:
    """Which of dev and test are of queries that a model has made."""
    sets = {} if retrieval is None else retrieval.sets
    return frozenset(
        name for name in SETS if name in sets and made_by_a_model(sets[name].queries.ids)
    )
