"""What the page shows of single pairs: the models it follows, their charts, the worst mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from embft.leaderboard.before_after import shared_columns
from embft.leaderboard.compare import comparable
from embft.leaderboard.findings import mistakes_finding
from embft.leaderboard.mistakes import Mistake, mistake_counts, worst_mistakes
from embft.leaderboard.pair_scores import Model, read_texts
from embft.leaderboard.rows import Leaderboard
from embft.report.cast import MOST_SHOWN, Cast
from embft.report.chart import Chart
from embft.report.charts_groups import false_positives, margins
from embft.report.charts_maps import map_charts
from embft.report.charts_pairs import calibration, distributions, effect_sizes, roc, shares

_NOTHING = "Nothing has completed yet, so there are no pairs to look at."
_NO_SCORES = "The per-pair scores (scores.parquet) are not in the trials' folders."
_ONLY_BASELINE = "Only the baseline has scores yet; there is nothing after to compare it with."
_NO_TEXTS = "The texts are not beside the sweep, so its worst errors cannot be shown."
_LEADS = ("Baseline", "Recommended", "Best full", "Best LoRA")
# Groups of more values than these are folded away: their charts are long.
_MANY_VALUES = 12


@dataclass(frozen=True)
class PairsView:
    """The sections about pairs. missing: why something is not shown, or empty.

    charts: in the order of the page; folded: those that are long. mapped: whether maps are there.
    """

    models: tuple[Model, ...] = ()
    shown: int = 0
    charts: tuple[Chart, ...] = ()
    folded: tuple[Chart, ...] = ()
    mapped: bool = False
    subject: Model | None = None
    mistakes: tuple[Mistake, ...] = ()
    mistakes_title: str = ""
    kinds: tuple[tuple[str, str], ...] = ()
    missing: str = ""


def pairs_view(board: Leaderboard, wanted: Sequence[str] = ()) -> PairsView:
    """Models, charts and mistakes; empty with the reason while there is nothing to look at.

    `wanted`: names of trials that are shown beside baseline, recommended, best full and best LoRA.
    """
    found = comparable(board, wanted)
    if not found:
        done = any(row.completed for row in board.rows)
        return PairsView(missing=_NO_SCORES if done else _NOTHING)
    if all(model.row.is_baseline for model in found):
        return PairsView(missing=_ONLY_BASELINE)
    leads = _leads(found, wanted)
    rest = [model for model in found if model not in leads]
    cast = Cast((*leads, *rest), len(leads), read_texts(leads[-1].row, "test"))
    texts, about = cast.texts, cast.subject
    mistakes = worst_mistakes(cast.leads, texts, about) if texts is not None else []
    kinds = ("False positives", "False negatives")
    if not about.test.is_binary:
        kinds = ("Scored too high", "Scored too low")
    maps = map_charts(cast)
    charts, folded = _charts(cast, board.group_columns, maps)
    return PairsView(
        models=cast.models,
        shown=cast.shown,
        charts=tuple(charts),
        folded=tuple(folded),
        mapped=bool(maps),
        subject=about,
        mistakes=tuple(mistakes),
        mistakes_title=mistakes_finding(mistake_counts(about.test)),
        kinds=(("too high", kinds[0]), ("too low", kinds[1])),
        missing=_NO_TEXTS if texts is None else "",
    )


def lead_models(board: Leaderboard, wanted: Sequence[str] = ()) -> list[Model]:
    """The models that are shown at first: baseline, recommended, best full, best LoRA, `wanted`."""
    return _leads(comparable(board, wanted), wanted)


def _leads(found: Sequence[Model], wanted: Sequence[str]) -> list[Model]:
    leads = [m for m in found if m.name in _LEADS or m.row.trial in wanted][:MOST_SHOWN]
    return list(found[:4]) if all(model.row.is_baseline for model in leads) else leads


def _charts(
    cast: Cast, columns: Sequence[str], maps: Sequence[Chart]
) -> tuple[list[Chart], list[Chart]]:
    """The charts that the labels allow, and those that are folded away."""
    found = [distributions(cast), roc(cast), *maps, effect_sizes(cast), shares(cast)]
    folded: list[Chart | None] = []
    texts = cast.texts
    for column in shared_columns(columns, texts) if texts is not None else ():
        if texts is not None:
            place = folded if len(set(texts.groups[column])) > _MANY_VALUES else found
            place += [margins(cast, texts, column), false_positives(cast, texts, column)]
    found.append(calibration(cast))
    return [c for c in found if c is not None], [c for c in folded if c is not None]
