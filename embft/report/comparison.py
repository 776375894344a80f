"""The data behind "compare two": for the page's script, which shows it and computes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from embft.leaderboard.compare import Difference, Versus, comparable, versus
from embft.leaderboard.labels import axis_title, metric_label
from embft.leaderboard.pair_scores import LEADER, RECOMMENDED, Model, read_texts
from embft.leaderboard.rows import Leaderboard
from embft.leaderboard.table import row_label

TEXT_LIMIT = 600


def compare_data(leaderboard: Leaderboard, chosen: tuple[str, str] | None = None) -> dict[str, Any]:
    """Models, differences and the pairs apart; empty while fewer than two models have scores.

    chosen: names of two trials to begin with; trials beyond the first configurations join the list.
    """
    found = comparable(leaderboard, chosen or ())
    if len(found) < 2:
        return {}
    texts = read_texts(found[0].row, "test")
    couples = versus(found, texts, leaderboard.group_columns)
    rows = sorted({row for couple in couples for row in couple.apart})
    return {
        "models": [{"trial": m.row.trial, "label": _label(m, leaderboard)} for m in found],
        "start": _start(found, chosen),
        "couples": {f"{c.first}-{c.second}": _couple(c) for c in couples},
        "texts": {
            str(i): [
                _short(texts.text_1[i]),
                _short(texts.text_2[i]),
                " · ".join(str(values[i]) for values in texts.groups.values()),
            ]
            for i in rows
        }
        if texts is not None
        else {},
        "pairs": {
            str(i): [round(float(found[0].test.label[i]), 3)]
            + [round(float(model.test.score[i]), 3) for model in found]
            for i in rows
        },
    }


def _couple(couple: Versus) -> dict[str, Any]:
    return {
        "metrics": [[metric_label(d.name), *_numbers(d)] for d in couple.metrics],
        "groups": {
            axis_title(column): [[d.name, *_numbers(d)] for d in differences]
            for column, differences in couple.groups.items()
            if differences
        },
        "apart": list(couple.apart),
    }


def _numbers(d: Difference) -> list[float | int]:
    values = (d.first, d.second, d.difference, d.low, d.high)
    return [*(round(value, 4) for value in values), d.better]


def _label(model: Model, leaderboard: Leaderboard) -> str:
    if model.row.is_baseline:
        return row_label(leaderboard, model.row)
    seed = f", seed {model.row.seed}" if len(leaderboard.seeds) > 1 else ""
    shipped = " (recommended)" if model.name == RECOMMENDED else ""
    return f"{model.label}{seed}{shipped}"


def _start(found: Sequence[Model], chosen: tuple[str, str] | None) -> list[int]:
    trials = [model.row.trial for model in found]
    if chosen and all(trial in trials for trial in chosen):
        return [trials.index(trial) for trial in chosen]
    shipped = next((i for i, m in enumerate(found) if m.name in {RECOMMENDED, LEADER}), 0)
    other = next((i for i, m in enumerate(found) if i != shipped and not m.row.is_baseline), None)
    return [shipped, (1 if shipped == 0 else 0) if other is None else other]


def _short(text: str) -> str:
    return text if len(text) <= TEXT_LIMIT else text[:TEXT_LIMIT] + "…"
