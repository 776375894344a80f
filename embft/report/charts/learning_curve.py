"""The chart of the learning curve: the score by rows of train, and what more would bring."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import altair as alt

from embft.leaderboard.findings import learning_finding
from embft.leaderboard.learning_curve import LearningCurve, learning_curves
from embft.leaderboard.rows import Leaderboard
from embft.report import format as fmt
from embft.report.chart import Chart, dimmed, finish, rows
from embft.report.chart_list import Section, chart
from embft.report.drawing import opacity, score_axis, tooltip_of
from embft.report.theme import ACCENT, CATEGORIES

_PICKED = "indexof(datum.trials, picked) >= 0"
# By what factor the curves' bars stand aside from each other.
_ASIDE = 1.025


@chart(Section.MATTERED, 5)
def learning_chart(leaderboard: Leaderboard) -> Chart | None:
    """Score by rows for each setting, the law where one fits; None without fractions of train."""
    curves = learning_curves(leaderboard)
    if not curves:
        return None
    sign = 1.0 if leaderboard.mode == "max" else -1.0
    aside = [_ASIDE ** (i - (len(curves) - 1) / 2) for i in range(len(curves))]
    points = [row for curve, by in zip(curves, aside, strict=True) for row in _points(curve, by)]
    law = [row for curve in curves for row in _law(curve)]
    ahead = [
        row for curve, by in zip(curves, aside, strict=True) for row in _ahead(curve, sign, by)
    ]
    ends = [row[name] for row in (*points, *ahead) for name in ("low", "high")]
    y = score_axis(leaderboard, [*(row["score"] for row in (*points, *law)), *ends], "test")
    x, colour = _rows_axis(points, law), _colour(curves)
    lines = alt.Chart(alt.NamedData("law")).mark_line(strokeWidth=1.8, aria=False)
    lines = lines.encode(
        x=x,
        y=y,
        color=colour,
        detail=alt.Detail("part:N"),
        strokeDash=alt.StrokeDash("beyond:N", legend=None, scale=alt.Scale(range=[[1, 0], [4, 4]])),
    )
    base = alt.Chart(rows()).encode(x=x, color=colour, opacity=opacity(dimmed(_PICKED)))
    bars = base.mark_rule(strokeWidth=1.5, aria=False).encode(y=alt.Y("low:Q"), y2=alt.Y2("high:Q"))
    dots = base.mark_point(filled=True, size=60, cursor="pointer").encode(
        y=y,
        tooltip=tooltip_of(
            setting="label", **{"rows of train": "count", "score": "shown", "95 %": "interval"}
        ),
    )
    forecast = alt.Chart(alt.NamedData("ahead")).mark_rule(strokeWidth=5, opacity=0.35, aria=False)
    forecast = forecast.encode(x=x, y=alt.Y("low:Q"), y2=alt.Y2("high:Q"), color=colour)
    return Chart(
        key="learning-curve",
        title=learning_finding(leaderboard, curves[0]),
        note=" ".join(_note(leaderboard, curves)),
        spec=finish(alt.layer(lines, forecast, bars, dots), points, 300, law=law, ahead=ahead),
        points=len(points),
    )


def _points(curve: LearningCurve, aside: float) -> Iterator[dict[str, Any]]:
    for point in curve.points:
        low, high = point.interval or (point.score, point.score)
        yield {
            "label": curve.label,
            "trial": point.trials[0],
            "trials": list(point.trials),
            "rows": point.rows * aside,
            "size": point.rows,
            "count": f"{point.rows:,}",
            "score": point.score,
            "shown": fmt.score(point.score),
            "interval": fmt.interval(point.interval),
            "low": low,
            "high": high,
        }


def _law(curve: LearningCurve) -> Iterator[dict[str, Any]]:
    """The law as two lines, which meet: through the sizes, and beyond them."""
    most = curve.most.rows
    last = max((place for place, _ in curve.law if place <= most), default=0.0)
    for beyond in (False, True):
        part = f"{curve.label} {beyond}"
        for place, score in curve.law:
            if place >= last if beyond else place <= last:
                yield {"label": curve.label, "part": part, "beyond": beyond, "rows": place,
                       "score": score}  # fmt: skip


def _ahead(curve: LearningCurve, sign: float, aside: float) -> Iterator[dict[str, Any]]:
    """Where the score lies at twice the rows: the law's end, with the interval of the gain."""
    if curve.gain is not None:
        place, score = curve.law[-1]
        low, high = (
            score + sign * (end - curve.gain.value) for end in (curve.gain.low, curve.gain.high)
        )
        yield {"label": curve.label, "rows": place * aside, "low": low, "high": high}


def _rows_axis(points: Sequence[dict[str, Any]], law: Sequence[dict[str, Any]]) -> alt.X:
    sizes = sorted({row["size"] for row in points})
    last = max([*sizes, *(row["rows"] for row in law)])
    return alt.X(
        "rows:Q",
        title="rows of train",
        scale=alt.Scale(type="log", domain=[sizes[0] / 1.15, last * 1.15], nice=False),
        axis=alt.Axis(
            values=sorted({*sizes, round(last)}), format=",d", grid=False, labelOverlap="greedy"
        ),
    )


def _colour(curves: Sequence[LearningCurve]) -> Any:
    labels = [curve.label for curve in curves]
    if len(labels) < 2:
        return alt.ColorValue(ACCENT)
    scale = alt.Scale(domain=labels, range=list(CATEGORIES[: len(labels)]))
    return alt.Color("label:N", sort=labels, title=None, scale=scale)


def _note(leaderboard: Leaderboard, curves: Sequence[LearningCurve]) -> Iterator[str]:
    yield "Bars are 95 % intervals."
    if any(curve.gain for curve in curves):
        yield (
            "The lines are power laws (score = limit - drop x rows^-exponent); dashed, they are an "
            "extrapolation, and the broad bar at their end is the 95 % interval of the gain if the "
            "law holds there."
        )
    yield from (f"{learning_finding(leaderboard, curve)}." for curve in curves[1:])
