"""What the page shows of single pairs: the models it follows, their charts, the worst mistakes."""

from __future__ import annotations

from dataclasses import dataclass

from embft.leaderboard.findings import mistakes_finding
from embft.leaderboard.mistakes import Mistake, mistake_counts, worst_mistakes
from embft.leaderboard.pair_scores import Model, models, read_texts
from embft.leaderboard.rows import Leaderboard
from embft.report.chart import Chart
from embft.report.charts_pairs import pair_charts, subject

_NOTHING = "Nothing has completed yet, so there are no pairs to look at."
_NO_SCORES = "The per-pair scores (scores.parquet) are not in the trials' folders."
_ONLY_BASELINE = "Only the baseline has scores yet; there is nothing after to compare it with."
_NO_TEXTS = "The texts are not beside the sweep, so its worst errors cannot be shown."


@dataclass(frozen=True)
class PairsView:
    """The sections about pairs. missing: why something is not shown, or empty."""

    models: tuple[Model, ...]
    charts: tuple[Chart, ...]
    subject: Model | None
    mistakes: tuple[Mistake, ...]
    mistakes_title: str
    kinds: tuple[tuple[str, str], ...]
    missing: str


def pairs_view(board: Leaderboard) -> PairsView:
    """Models, charts and mistakes; empty with the reason while there is nothing to look at."""
    found = models(board)
    if not found:
        done = any(row.completed for row in board.rows)
        return PairsView((), (), None, (), "", (), _NO_SCORES if done else _NOTHING)
    if all(model.row.is_baseline for model in found):
        return PairsView((), (), None, (), "", (), _ONLY_BASELINE)
    about = subject(found)
    texts = read_texts(about.row, "test")
    mistakes = worst_mistakes(found, texts, about) if texts is not None else []
    kinds = ("False positives", "False negatives")
    if not about.test.is_binary:
        kinds = ("Scored too high", "Scored too low")
    return PairsView(
        models=tuple(found),
        charts=tuple(pair_charts(found, texts, board.group_columns)),
        subject=about,
        mistakes=tuple(mistakes),
        mistakes_title=mistakes_finding(mistake_counts(about.test)),
        kinds=(("too high", kinds[0]), ("too low", kinds[1])),
        missing=_NO_TEXTS if texts is None else "",
    )
