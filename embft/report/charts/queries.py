"""The charts of a retriever's test queries, before and after. Draws tables of `queries.py`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import altair as alt
import numpy as np

from embft.leaderboard.labels import axis_title, metric_label, sentence_case
from embft.leaderboard.queries import (
    Part,
    QueryScores,
    by_group,
    by_length,
    group_columns,
    parts_finding,
    queries_finding,
    query_scores,
)
from embft.leaderboard.rows import Leaderboard
from embft.report import format as fmt
from embft.report.chart import Chart, finish, rows
from embft.report.chart_list import Section, chart
from embft.report.drawing import flat_axis, slug, tooltip_of
from embft.report.theme import ACCENT, CATEGORIES, MUTED, SURFACE
from embft.spec.names import one_line

_MANY_VALUES = 12  # groups of more are folded away
_BINS = 20
_BASE, _TUNED = "base model", "fine-tuned"
_KINDS = ["lower than before", "the same", "higher than before"]


@chart(Section.QUERIES, 10)
def query_charts(leaderboard: Leaderboard) -> Iterator[Chart]:
    """How each query's value has changed, and the means by length and by group."""
    for scores in query_scores(leaderboard):
        yield changes(scores) if scores.before is not None else values(scores)
        yield parts_chart(scores, "query length", by_length(scores), ordered=True)
        for column in group_columns(scores):
            yield parts_chart(scores, axis_title(column), by_group(scores, column))


def _key(scores: QueryScores, *words: str) -> str:
    """A chart's key, which no chart of another corpus has."""
    return slug(" ".join([*words, scores.corpus.name]).strip()).replace(" ", "-")


def changes(scores: QueryScores) -> Chart:
    """How many queries have gained or lost how much."""
    edges = np.linspace(-1, 1, _BINS + 1)
    counts = np.histogram(scores.change[scores.moved != 0], edges)[0]
    data = [
        {"low": float(low), "high": float(high), "floor": 0, "count": int(count),
         "kind": _KINDS[0] if high <= 1e-9 else _KINDS[2],
         "range": f"{fmt.signed(float(low), 1)} to {fmt.signed(float(high), 1)}"}
        for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)
        if count
    ]  # fmt: skip
    same = int((scores.moved == 0).sum())
    if same:
        data.append(
            {
                "low": -0.02,
                "high": 0.02,
                "floor": 0,
                "count": same,
                "kind": _KINDS[1],
                "range": "no change",
            }
        )
    return Chart(
        key=_key(scores, "query-changes"),
        title=queries_finding(scores),
        note=f"{sentence_case(scores.title)} by the change of their {metric_label(scores.metric)}, "
        "after minus before.",
        spec=finish(_histogram(data, _KINDS, "change"), data, 220),
        size="half",
    )


def values(scores: QueryScores) -> Chart:
    """How many queries have which value, where there is nothing before."""
    edges = np.linspace(0, 1, _BINS // 2 + 1)
    counts = np.histogram(scores.after.values, edges)[0]
    data = [
        {"low": float(low), "high": float(high), "floor": 0, "count": int(count), "kind": "queries",
         "range": f"{low:.1f} to {high:.1f}"}
        for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)
    ]  # fmt: skip
    return Chart(
        key=_key(scores, "query-values"),
        title=queries_finding(scores),
        note=f"{sentence_case(scores.title)} by their {metric_label(scores.metric)}.",
        spec=finish(_histogram(data, ["queries"], metric_label(scores.metric)), data, 220),
        size="half",
    )


def _histogram(data: Sequence[dict[str, Any]], kinds: Sequence[str], title: str) -> alt.Chart:
    shades = [CATEGORIES[1], MUTED, CATEGORIES[0]] if len(kinds) == 3 else [CATEGORIES[0]]
    there = [kind for kind in kinds if any(row["kind"] == kind for row in data)]
    colours = [shade for kind, shade in zip(kinds, shades, strict=True) if kind in there]
    legend = alt.Legend(title=None) if len(kinds) > 1 else None
    # Rectangles: of a bar between two numbers Vega-Lite does not know which way it stands.
    drawn: alt.Chart = (
        alt.Chart(rows())
        .mark_rect(cornerRadius=1, stroke=SURFACE, strokeWidth=1)
        .encode(
            x=alt.X("low:Q", title=title, axis=alt.Axis(format=".1f", grid=False)),
            x2=alt.X2("high:Q"),
            y=alt.Y("count:Q", title="queries", axis=alt.Axis(tickMinStep=1, tickCount=5)),
            y2=alt.Y2("floor:Q"),
            color=alt.Color(
                "kind:N", sort=there, legend=legend, scale=alt.Scale(domain=there, range=colours)
            ),
            tooltip=tooltip_of(change="range", queries="count"),
        )
    )
    return drawn


def parts_chart(
    scores: QueryScores, what: str, parts: Sequence[Part], *, ordered: bool = False
) -> Chart:
    """The mean of each part, before and after. ordered: the parts have an order of their own."""
    shown = list(parts) if ordered else sorted(parts, key=lambda part: -part.after)
    data = [
        {"part": one_line(part.name), "model": model, "score": value, "shown": fmt.score(value),
         "queries": part.count, "change": _change(part)}
        for part in shown
        for model, value in ((_BASE, part.before), (_TUNED, part.after))
        if value is not None
    ]  # fmt: skip
    models = [_TUNED] if scores.before is None else [_BASE, _TUNED]
    order = [one_line(part.name) for part in shown]
    metric = metric_label(scores.metric)
    y = alt.Y("part:N", sort=order, title=None, axis=flat_axis())
    x = alt.X(
        "score:Q", title=metric, scale=alt.Scale(zero=False, padding=12), axis=alt.Axis(tickCount=5)
    )
    line = alt.Chart(rows()).mark_line(stroke=MUTED, strokeWidth=1.5, opacity=0.6, aria=False)
    dots = alt.Chart(rows()).mark_point(filled=True, size=95)
    range_ = [MUTED, ACCENT] if len(models) > 1 else [ACCENT]
    colour = alt.Color(
        "model:N", title=None, sort=models, scale=alt.Scale(domain=models, range=range_)
    )
    tooltip = tooltip_of(
        **{what: "part", "model": "model", metric: "shown", "queries": "queries"},
        change="change",
    )
    drawn = alt.layer(
        line.encode(x=x, y=y, detail=alt.Detail("part:N")),
        dots.encode(x=x, y=y, color=colour, tooltip=tooltip),
    )
    return Chart(
        key=_key(scores, "queries-by", what),
        title=parts_finding(scores, what, parts),
        note=f"The mean {metric} of {scores.title}; the intervals of the changes (in the tooltips) "
        "hold together, at 95 %.",
        spec=finish(drawn, data, max(120, 30 * len(order) + 20)),
        size="half",
        folded=len(order) > _MANY_VALUES,
    )


def _change(part: Part) -> str:
    found = part.change
    if found is None:
        return "too few queries for an interval"
    return f"{fmt.signed(found.value)} ({fmt.interval((found.low, found.high))})"
