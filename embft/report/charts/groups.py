"""The charts before and after that break pairs down by their groups."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import altair as alt

from embft.data.pairs import Pairs
from embft.leaderboard.findings import false_positives_finding, weakest_group_finding
from embft.leaderboard.groups import extremes_differ, group_rows, shared_columns
from embft.leaderboard.labels import axis_title
from embft.report import format as fmt
from embft.report.chart import Chart, finish
from embft.report.chart_list import Section, chart
from embft.report.compared_models import ComparedModels, compared_params, model_colour, shown_rows
from embft.report.drawing import flat_axis, ink_on, name_axis, slug, tooltip_of
from embft.report.theme import RAMP
from embft.spec.names import one_line

# Groups of more values than these are folded away: their charts are long.
_MANY_VALUES = 12


@chart(Section.BEFORE_AFTER, 60)
def group_charts(compared: ComparedModels) -> Iterator[Chart | None]:
    """Two charts for each column of groups that the test pairs have."""
    texts = compared.texts
    for column in shared_columns(compared.columns, texts) if texts is not None else ():
        if texts is not None:
            folded = len(set(texts.groups[column])) > _MANY_VALUES
            for drawn in (
                margins(compared, texts, column),
                false_positives(compared, texts, column),
            ):
                yield drawn and replace(drawn, folded=folded)


def margins(compared: ComparedModels, texts: Pairs, column: str) -> Chart | None:
    """The margin of each group and model; None for graded labels and for fewer than two groups."""
    tables = {model.name: group_rows(model, texts, column) for model in compared.models}
    data = [
        {"model": name, "group": one_line(row.group), "margin": row.margin,
         "shown": fmt.score(row.margin, 2), "pairs": row.n}
        for name, table in tables.items()
        for row in table
        if row.margin is not None
    ]  # fmt: skip
    if len({d["group"] for d in data}) < 2:
        return None
    values = [row.margin for table in tables.values() for row in table if row.margin is not None]
    low, high = min(values), max(values)
    middle = (low + high) / 2
    order = sorted({str(d["group"]) for d in data})
    tight = alt.Scale(paddingInner=0.05)
    shown = [model.name for model in compared.leads]
    base = shown_rows().encode(
        x=alt.X("model:N", sort=compared.names, title=None, axis=name_axis(shown), scale=tight),
        y=alt.Y("group:N", sort=order, title=axis_title(column), axis=flat_axis(), scale=tight),
        tooltip=tooltip_of(model="model", group="group", margin="shown", pairs="pairs"),
    )
    ends = [low, high if high > low else low + 1]
    tiles = base.mark_rect(cornerRadius=4).encode(
        color=alt.Color("margin:Q", scale=alt.Scale(domain=ends, range=list(RAMP)), legend=None)
    )
    ink = ink_on(f"datum.margin < {middle}")
    words = base.mark_text(fontWeight=600, aria=False).encode(text=alt.Text("shown:N"), color=ink)
    return Chart(
        key=f"margin-{slug(column)}",
        title=weakest_group_finding(
            column, tables[compared.subject.name], extremes_differ(compared.subject, texts, column)
        ),
        note="Margin: mean cosine of label 1 minus that of label 0, in each group.",
        spec=finish(alt.layer(tiles, words), data, 38 * len(order) + 10, compared_params(compared)),
        size="half",
    )


def false_positives(compared: ComparedModels, texts: Pairs, column: str) -> Chart | None:
    """The false positives of each group and model; None for graded labels."""
    tables = {model.name: group_rows(model, texts, column) for model in compared.models}
    if not any(tables.values()):
        return None
    data = [
        {"model": name, "group": one_line(row.group), "count": row.false_positives, "of": row.n_0}
        for name, table in tables.items()
        for row in table
        if row.n_0
    ]
    order = sorted({str(d["group"]) for d in data})
    bars = shown_rows().mark_bar(cornerRadiusEnd=2).encode(
        x=alt.X("count:Q", title="false positives", axis=alt.Axis(tickMinStep=1, tickCount=5)),
        y=alt.Y("group:N", sort=order, title=axis_title(column), axis=flat_axis(),
                scale=alt.Scale(paddingInner=0.28)),
        yOffset=alt.YOffset("model:N", sort=compared.names),
        color=model_colour(),
        tooltip=tooltip_of(**{"model": "model", "group": "group", "false positives": "count",
                              "of label 0": "of"}),
    )  # fmt: skip
    was = compared.before
    earlier = sum(row.false_positives for row in tables[was.name]) if was else None
    step = 11 * compared.shown + 10 if len(order) <= 12 else 5 * compared.shown + 8
    return Chart(
        key=f"false-positives-{slug(column)}",
        title=false_positives_finding(column, earlier, tables[compared.subject.name]),
        note="Pairs of label 0 at or above each model's threshold, which dev chose.",
        spec=finish(bars, data, max(120, step * len(order)), compared_params(compared)),
        size="half",
    )
