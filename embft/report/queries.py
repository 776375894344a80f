"""What the page shows of a retriever's test queries: those that changed most, and the hardest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from embft.leaderboard.labels import metric_label, sentence_case
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
_NOT_FOUND = "What was found for each query (retrieved*.parquet) is not in the trials' folders."


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
    """What stands about the queries of one corpus. name: of its evaluator, or empty; metric: its
    label; about: which models it compares; depth: how many documents are kept of each query;
    missing: why no queries are listed, or empty.
    """

    name: str
    metric: str
    about: str
    lists: tuple[CaseList, ...]
    depth: int = DEPTH
    missing: str = ""


def queries_views(leaderboard: Leaderboard) -> list[QueriesView]:
    """One for each corpus with judged queries: the data's own, and those of evaluators."""
    return [_view(leaderboard, scores) for scores in query_scores(leaderboard)]


def _view(leaderboard: Leaderboard, scores: QueryScores) -> QueriesView:
    found = query_cases(leaderboard, scores)
    return QueriesView(
        scores.corpus.name,
        metric_label(scores.metric),
        _about(scores),
        () if found is None else tuple(_lists(scores, found)),
        missing=_NOT_FOUND if found is None else "",
    )


def _about(scores: QueryScores) -> str:
    queries = sentence_case(scores.title)
    if scores.before is None:
        return f"{queries} as {scores.label} ranks the documents for them."
    return f"{queries} before, by the base model, and after, by {scores.label}."


def _of(shown: Sequence[QueryCase], total: int) -> str:
    """Which of so many are shown."""
    return (
        f": the {len(shown)} of {total} that changed most" if len(shown) < total else f": {total}"
    )


def _lists(scores: QueryScores, found: Cases) -> list[CaseList]:
    queries = f"queries of {scores.corpus.name}" if scores.corpus.name else "queries"
    after = " after fine-tuning" if scores.before is not None else ""
    titles = {
        "better": f"{sentence_case(queries)} that got better{_of(found.better, scores.better)}",
        "worse": f"{sentence_case(queries)} that got worse{_of(found.worse, scores.worse)}",
        "hardest": f"The hardest {queries}: the lowest scores{after}",
    }
    made = [
        CaseList(title, tuple(map(ShownCase.of, getattr(found, kind))))
        for kind, title in titles.items()
    ]
    return [each for each in made if each.cases]
