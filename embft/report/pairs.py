"""What the page shows of single pairs: the models it follows, and the worst mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from embft.leaderboard.compare import comparable
from embft.leaderboard.findings import mistakes_finding
from embft.leaderboard.mistakes import Mistake, mistake_counts, worst_mistakes
from embft.leaderboard.pair_scores import LEADER, RECOMMENDED, Model, read_texts
from embft.leaderboard.rows import Leaderboard
from embft.report.compared_models import MOST_SHOWN, ComparedModels

_NOTHING = "Nothing has completed yet, so there are no pairs to look at."
_NO_SCORES = "The per-pair scores (scores.parquet) are not in the trials' folders."
_ONLY_BASELINE = "Only the baseline has scores yet; there is nothing after to compare it with."
_NO_TEXTS = "The texts are not beside the sweep, so its worst errors cannot be shown."
_LEADS = ("Baseline", RECOMMENDED, LEADER, "Best full", "Best LoRA")


@dataclass(frozen=True)
class PairsView:
    """The sections about pairs. missing: why something is not shown, or empty.

    compared: the models of the charts, None while there is nothing to look at.
    """

    compared: ComparedModels | None = None
    subject: Model | None = None
    mistakes: tuple[Mistake, ...] = ()
    mistakes_title: str = ""
    kinds: tuple[tuple[str, str], ...] = ()
    missing: str = ""


def pairs_view(leaderboard: Leaderboard, wanted: Sequence[str] = ()) -> PairsView:
    """Models and mistakes; empty with the reason while there is nothing to look at.

    `wanted`: names of trials that are shown beside baseline, recommended, best full and best LoRA.
    """
    found = comparable(leaderboard, wanted)
    if not found:
        done = any(row.completed for row in leaderboard.rows)
        return PairsView(missing=_NO_SCORES if done else _NOTHING)
    if all(model.row.is_baseline for model in found):
        return PairsView(missing=_ONLY_BASELINE)
    leads = _leads(found, wanted)
    rest = [model for model in found if model not in leads]
    texts = read_texts(leads[-1].row, "test")
    compared = ComparedModels((*leads, *rest), len(leads), texts, leaderboard.group_columns)
    about = compared.subject
    mistakes = worst_mistakes(compared.leads, texts, about) if texts is not None else []
    kinds = ("False positives", "False negatives")
    if not about.test.is_binary:
        kinds = ("Scored too high", "Scored too low")
    return PairsView(
        compared=compared,
        subject=about,
        mistakes=tuple(mistakes),
        mistakes_title=mistakes_finding(mistake_counts(about.test)),
        kinds=(("too high", kinds[0]), ("too low", kinds[1])),
        missing=_NO_TEXTS if texts is None else "",
    )


def lead_models(leaderboard: Leaderboard, wanted: Sequence[str] = ()) -> list[Model]:
    """The models that are shown at first: baseline, recommended, best full, best LoRA, `wanted`."""
    return _leads(comparable(leaderboard, wanted), wanted)


def _leads(found: Sequence[Model], wanted: Sequence[str]) -> list[Model]:
    leads = [m for m in found if m.name in _LEADS or m.row.trial in wanted][:MOST_SHOWN]
    return list(found[:4]) if all(model.row.is_baseline for model in leads) else leads
