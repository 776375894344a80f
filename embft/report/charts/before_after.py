"""The charts before and after fine-tuning, pair by pair. Draws tables of `before_after.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt

from embft.leaderboard.before_after import (
    brier_change,
    density,
    halves,
    reliability,
    roc_curve,
)
from embft.leaderboard.findings import (
    calibration_finding,
    change_finding,
    distribution_finding,
)
from embft.leaderboard.labels import metric_label
from embft.metrics.metric import SHARE
from embft.metrics.pair_definitions import PAIR_METRICS
from embft.report import format as fmt
from embft.report.chart import Chart, finish
from embft.report.chart_list import Section, chart
from embft.report.compared_models import ComparedModels, compared_params, model_colour, shown_rows
from embft.report.drawing import share_axis, tooltip_of
from embft.report.theme import CATEGORIES, INK, MUTED

# A share of fewer pairs than this is mostly noise.
_FEWEST = 10
# From the threshold's to those of the order: metrics of 0/1 labels that are shares.
_SHARES = [m.name for m in PAIR_METRICS.values() if m.binary_only and m.bounds == SHARE][::-1]


@chart(Section.BEFORE_AFTER, 10)
def distributions(compared: ComparedModels) -> Chart:
    """The cosines of each kind of pairs, a strip for each model."""
    data = []
    for model in compared.models:
        points = density(model)
        top = max(point["share"] for point in points) or 1.0
        data += [{**point, "height": 0.7 * point["share"] / top} for point in points]
    names = [name for name, _ in halves(compared.subject.test)]
    colour = alt.Color(
        "label:N",
        title="pairs of",
        sort=names,
        scale=alt.Scale(domain=names, range=[CATEGORIES[1], CATEGORIES[0]]),
    )
    ends: Any = [alt.ExprRef("0.97 - length(shown)"), 1.05]
    y = alt.Y("level:Q", axis=None, scale=alt.Scale(domain=ends, nice=False))
    areas = (
        shown_rows()
        .transform_calculate(
            floor="-indexof(shown, datum.model)", level="datum.height + datum.floor"
        )
        .mark_area(opacity=0.45, line={"strokeWidth": 1.6}, interpolate="monotone")
        .encode(
            x=alt.X("cosine:Q", title="cosine of the two texts", axis=alt.Axis(grid=False)),
            y=y,
            y2=alt.Y2("floor:Q"),
            color=colour,
            detail=alt.Detail("model:N"),
        )
    )
    words = (
        shown_rows("names")
        .transform_calculate(level="0.75 - indexof(shown, datum.model)")
        .mark_text(align="left", fontWeight=600, fill=INK, baseline="bottom", fontSize=12.5)
        .encode(text=alt.Text("model:N"), y=alt.Y("level:Q"), x=alt.value(0))
    )
    labels = [{"model": model.name} for model in compared.models]
    return Chart(
        key="distributions",
        title=distribution_finding(compared.before, compared.subject),
        note="The share of each label's test pairs by cosine, each model at its own height.",
        spec=finish(
            alt.layer(areas, words),
            data,
            78 * compared.shown + 20,
            compared_params(compared),
            names=labels,
        ),
        size="half",
    )


@chart(Section.BEFORE_AFTER, 20)
def roc(compared: ComparedModels) -> Chart | None:
    """ROC curves with bands; None where labels are graded or all alike."""
    data = [
        {"model": p.model, "x": p.false_positive_rate, "y": p.true_positive_rate, "low": p.low,
         "high": p.high}
        for model in compared.models
        for p in roc_curve(model)
    ]  # fmt: skip
    if not data:
        return None
    colour = model_colour()
    x = alt.X("x:Q", title="false positive rate", axis=share_axis())
    y = alt.Y("y:Q", title="true positive rate", axis=share_axis(grid=True))
    bands = (
        shown_rows()
        .mark_area(opacity=0.16, aria=False)
        .encode(
            x=x, y=alt.Y("low:Q", title="true positive rate"), y2=alt.Y2("high:Q"), color=colour
        )
    )
    lines = shown_rows().mark_line(strokeWidth=2.2).encode(x=x, y=y, color=colour)
    chance = (
        alt.Chart(alt.NamedData("chance"))
        .mark_line(stroke=MUTED, strokeDash=[2, 3], strokeWidth=1, aria=False)
        .encode(x=alt.X("x:Q"), y=alt.Y("y:Q"))
    )
    ends = [{"x": 0, "y": 0}, {"x": 1, "y": 1}]
    return Chart(
        key="roc",
        title=_change(compared, "auc"),
        note="ROC curves with 95 % bands from resampled test pairs; the dotted line is chance.",
        spec=finish(
            alt.layer(chance, bands, lines), data, 300, compared_params(compared), chance=ends
        ),
        size="half",
    )


@chart(Section.BEFORE_AFTER, 50)
def shares(compared: ComparedModels) -> Chart | None:
    """The classification metrics that every model has; None where there are none."""
    names = [n for n in _SHARES if all(n in model.row.test for model in compared.models)]
    if not names:
        return None
    return Chart(
        key="classification",
        title=_change(compared, "f1" if "f1" in names else names[0]),
        note="On test, at the threshold that dev chose; bars are 95 % intervals.",
        spec=_dots(compared, names, "score", 46),
        size="half",
    )


@chart(Section.BEFORE_AFTER, 40)
def effect_sizes(compared: ComparedModels) -> Chart | None:
    """Cohen's d; None where labels are graded."""
    if not all("cohens_d" in model.row.test for model in compared.models):
        return None
    return Chart(
        key="cohens-d",
        title=_change(compared, "cohens_d"),
        note="How many standard deviations lie between the labels' mean cosines; bars are 95 % "
        "intervals.",
        spec=_dots(compared, ["cohens_d"], "Cohen's d", 190),
        size="half",
    )


@chart(Section.BEFORE_AFTER, 70)
def calibration(compared: ComparedModels) -> Chart | None:
    """How far probabilities from dev hold on test; None for graded labels."""
    found = {model.name: reliability(model) for model in compared.models}
    data = [
        {**point, "shown": f"{100 * point['observed']:.0f} %"}
        for item in found.values()
        if item
        for point in item[1]
        if point["pairs"] >= _FEWEST
    ]
    now = found[compared.subject.name]
    if now is None or not data:
        return None
    x = alt.X("predicted:Q", title="predicted share of label 1", axis=share_axis())
    y = alt.Y("observed:Q", title="observed share of label 1", axis=share_axis(grid=True))
    base = shown_rows().encode(x=x, y=y, color=model_colour())
    lines = base.mark_line(strokeWidth=1.2, opacity=0.55, aria=False)
    dots = base.mark_point(filled=True).encode(
        size=alt.Size("pairs:Q", scale=alt.Scale(range=[30, 320]), legend=None),
        tooltip=tooltip_of(model="model", observed="shown", pairs="pairs"),
    )
    ideal = alt.Chart(alt.NamedData("ideal")).mark_line(stroke=MUTED, strokeDash=[2, 3])
    earlier = found[compared.before.name] if compared.before else None
    change = (
        brier_change(compared.before, compared.subject, compared.texts) if compared.before else None
    )
    ends = [{"predicted": v, "observed": v} for v in (0, 1)]
    return Chart(
        key="calibration",
        title=calibration_finding(earlier[0] if earlier else None, now[0], change),
        note="Cosines turned into probabilities by isotonic regression on dev, checked on test; "
        "on the dotted line they hold. Larger dots are more pairs; bins of fewer than "
        f"{_FEWEST} are left out.",
        spec=finish(
            alt.layer(ideal.encode(x=alt.X("predicted:Q"), y=alt.Y("observed:Q")), lines, dots),
            data,
            280,
            compared_params(compared),
            ideal=ends,
        ),
        size="half",
    )


def _change(compared: ComparedModels, metric: str) -> str:
    before = compared.before.row if compared.before else None
    return change_finding(metric, before, compared.subject.row, compared.changes.get(metric))


def _dots(compared: ComparedModels, names: Sequence[str], title: str, step: int) -> dict[str, Any]:
    data = [
        {
            "model": model.name,
            "metric": metric_label(name),
            "score": model.row.test[name],
            "low": model.row.test_intervals.get(name, (None, None))[0],
            "high": model.row.test_intervals.get(name, (None, None))[1],
            "shown": fmt.score(model.row.test[name]),
            "trial": model.row.trial,
        }
        for name in names
        for model in compared.models
    ]
    order = [metric_label(name) for name in names]
    y = alt.Y(
        "metric:N",
        sort=order,
        title=None,
        axis=alt.Axis(domain=False, ticks=False, labels=len(names) > 1, grid=False),
        scale=alt.Scale(paddingInner=0.3),
    )
    base = shown_rows().encode(
        y=y,
        yOffset=alt.YOffset("model:N", sort=compared.names),
        color=model_colour(),
        tooltip=tooltip_of(model="model", metric="metric", score="shown"),
    )
    bars = base.transform_filter("isValid(datum.low)").mark_rule(strokeWidth=2, opacity=0.55)
    bars = bars.encode(x=alt.X("low:Q", title=title), x2=alt.X2("high:Q"))
    dots = base.mark_point(filled=True, size=64, cursor="pointer").encode(
        x=alt.X("score:Q", title=title, scale=alt.Scale(zero=False))
    )
    return finish(alt.layer(bars, dots), data, step * len(names), compared_params(compared))
