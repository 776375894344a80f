"""What the page shows of a retriever's test queries: those that changed most, and the hardest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from embft.leaderboard.labels import metric_label
from embft.leaderboard.queries import (
    Cases,
    Hit,
    QueryCase,
    QueryScores,
    query_cases,
    query_scores,
)
from embft.leaderboard.rows import Leaderboard
from embft.results.retrieved import DEPTH

_FOUND, _MISSED = 5, 3  # documents that are shown of each query
_NOT_FOUND = "What was found for each query (retrieved.parquet) is not in the trials' folders."


@dataclass(frozen=True)
class ShownCase:
    """One query with the first documents that were found, and relevant ones that were not."""

    id: str
    text: str
    groups: Mapping[str, str]
    before: float | None
    after: float
    found_before: Sequence[Hit]
    found_after: Sequence[Hit]
    missed: Sequence[Hit]
    more_missed: int

    @classmethod
    def of(cls, case: QueryCase) -> ShownCase:
        """As much of a query as the page has room for."""
        missed = [hit for hit in case.relevant if hit.after is None]
        return cls(
            case.id,
            case.text,
            case.groups,
            case.before,
            case.after,
            case.found_before[:_FOUND],
            case.found_after[:_FOUND],
            missed[:_MISSED],
            max(0, len(missed) - _MISSED),
        )


@dataclass(frozen=True)
class CaseList:
    """Queries of one kind under their title."""

    title: str
    cases: tuple[ShownCase, ...]


@dataclass(frozen=True)
class QueriesView:
    """The section about queries. metric: its label; about: which models it compares; depth: how
    many documents are kept of each query; missing: why no queries are listed, or empty.
    """

    metric: str
    about: str
    lists: tuple[CaseList, ...]
    depth: int = DEPTH
    missing: str = ""


def queries_view(leaderboard: Leaderboard) -> QueriesView | None:
    """The section, or None where the data are no judged queries."""
    scores = query_scores(leaderboard)
    if scores is None:
        return None
    found = query_cases(leaderboard, scores)
    lists = () if found is None else tuple(_lists(scores, found))
    missing = _NOT_FOUND if found is None else ""
    return QueriesView(metric_label(scores.metric), _about(scores), lists, missing=missing)


def _about(scores: QueryScores) -> str:
    if scores.before is None:
        return f"Test queries as {scores.label} ranks the documents for them."
    return f"Test queries before, by the base model, and after, by {scores.label}."


def _of(shown: Sequence[QueryCase], total: int) -> str:
    """Which of so many are shown."""
    return (
        f": the {len(shown)} of {total} that changed most" if len(shown) < total else f": {total}"
    )


def _lists(scores: QueryScores, found: Cases) -> list[CaseList]:
    titles = {
        "better": f"Queries that got better{_of(found.better, scores.better)}",
        "worse": f"Queries that got worse{_of(found.worse, scores.worse)}",
        "hardest": "The hardest queries: the lowest scores after fine-tuning"
        if scores.before is not None
        else "The hardest queries: the lowest scores",
    }
    made = [
        CaseList(title, tuple(map(ShownCase.of, getattr(found, kind))))
        for kind, title in titles.items()
    ]
    return [each for each in made if each.cases]
