"""The charts before and after fine-tuning, pair by pair. Draws tables of `before_after.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt

from embft.data.pairs import Pairs
from embft.leaderboard.before_after import (
    density,
    group_rows,
    halves,
    reliability,
    roc_curve,
    shared_columns,
)
from embft.leaderboard.findings import (
    calibration_finding,
    change_finding,
    distribution_finding,
    false_positives_finding,
    weakest_group_finding,
)
from embft.leaderboard.labels import axis_title, metric_label, one_line
from embft.leaderboard.pair_scores import Model
from embft.report import format as fmt
from embft.report.chart import Chart, finish, rows
from embft.report.drawing import flat_axis, name_axis, slug, tooltip_of
from embft.report.theme import (
    CATEGORIES,
    INK,
    INK_ON_DEEP,
    INK_ON_PALE,
    MUTED,
    RAMP,
)

# A share of fewer pairs than this is mostly noise.
_FEWEST = 10
_SHARES = ("accuracy", "f1", "precision", "recall", "average_precision", "auc")
# The baseline is grey, so that colour means a trained model.
_MODEL_COLOURS = (MUTED, CATEGORIES[0], CATEGORIES[1], CATEGORIES[2], CATEGORIES[3])


def pair_charts(
    models: Sequence[Model], texts: Pairs | None, columns: Sequence[str]
) -> list[Chart]:
    """Every chart that these models' labels allow, in the order of the page."""
    if not models:
        return []
    found = [_distributions(models), _roc(models), _shares(models), _effect_sizes(models)]
    if texts is not None:
        for column in shared_columns(columns, texts):
            found += [_by_group(models, texts, column), _false_positives(models, texts, column)]
    return [chart for chart in [*found, _calibration(models)] if chart is not None]


def subject(models: Sequence[Model]) -> Model:
    """The model that the titles speak of: the recommended one, else the last."""
    return next((model for model in models if model.name == "Recommended"), models[-1])


def before(models: Sequence[Model]) -> Model | None:
    """The baseline, where it is not itself the subject."""
    found = next((model for model in models if model.row.is_baseline), None)
    return None if found is subject(models) else found


def _distributions(models: Sequence[Model]) -> Chart:
    data = []
    for place, model in enumerate(models):
        points = density(model)
        top = max(point["share"] for point in points) or 1.0
        for point in points:
            height = 0.86 * point["share"] / top
            data.append({**point, "floor": -place, "level": height - place,
                         "shown": f"{100 * point['share']:.1f} %"})  # fmt: skip
    names = [name for name, _ in halves(models[0].test)]
    colour = alt.Color(
        "label:N",
        title="pairs of",
        sort=names,
        scale=alt.Scale(domain=names, range=[CATEGORIES[1], CATEGORIES[0]]),
    )
    y = alt.Y("level:Q", axis=None, scale=alt.Scale(domain=[-len(models) + 0.96, 1.12], nice=False))
    areas = alt.Chart(rows()).mark_area(
        opacity=0.45, line={"strokeWidth": 1.6}, interpolate="monotone"
    )
    areas = areas.encode(
        x=alt.X("cosine:Q", title="cosine of the two texts", axis=alt.Axis(grid=False)),
        y=y,
        y2="floor:Q",
        color=colour,
        detail="model:N",
    )
    labels = [{"name": m.name, "level": 0.74 - i, "shown": m.label} for i, m in enumerate(models)]
    words = alt.Chart(alt.NamedData("names")).mark_text(
        align="left", fontWeight=600, fill=INK, baseline="bottom", fontSize=12.5
    )
    words = words.encode(text="name:N", y="level:Q", x=alt.value(0))
    return Chart(
        key="distributions",
        title=distribution_finding(before(models), subject(models)),
        note="The share of each label's test pairs by cosine, each model at its own height.",
        spec=finish(alt.layer(areas, words), data, 74 * len(models) + 20, names=labels),
        size="half",
    )


def _roc(models: Sequence[Model]) -> Chart | None:
    data = [
        {"model": p.model, "x": p.false_positive_rate, "y": p.true_positive_rate, "low": p.low,
         "high": p.high}
        for model in models
        for p in roc_curve(model)
    ]  # fmt: skip
    if not data:
        return None
    colour = model_colour(models)
    x = alt.X("x:Q", title="false positive rate", axis=_share_axis())
    y = alt.Y("y:Q", title="true positive rate", axis=_share_axis(grid=True))
    bands = (
        alt.Chart(rows())
        .mark_area(opacity=0.16, aria=False)
        .encode(x=x, y=alt.Y("low:Q", title="true positive rate"), y2="high:Q", color=colour)
    )
    lines = alt.Chart(rows()).mark_line(strokeWidth=2.2).encode(x=x, y=y, color=colour)
    chance = (
        alt.Chart(alt.NamedData("chance"))
        .mark_line(stroke=MUTED, strokeDash=[2, 3], strokeWidth=1, aria=False)
        .encode(x="x:Q", y="y:Q")
    )
    was = before(models)
    return Chart(
        key="roc",
        title=change_finding("auc", was.row if was else None, subject(models).row),
        note="ROC curves with 95 % bands from resampled test pairs; the dotted line is chance.",
        spec=finish(
            alt.layer(chance, bands, lines), data, 300, chance=[{"x": 0, "y": 0}, {"x": 1, "y": 1}]
        ),
        size="half",
    )


def _shares(models: Sequence[Model]) -> Chart | None:
    names = [n for n in _SHARES if all(n in model.row.test for model in models)]
    if not names:
        return None
    was = before(models)
    return Chart(
        key="classification",
        title=change_finding(
            "f1" if "f1" in names else names[0], was.row if was else None, subject(models).row
        ),
        note="On test, at the threshold that dev chose; bars are 95 % intervals.",
        spec=_dots(models, names, "score", 46),
        size="half",
    )


def _effect_sizes(models: Sequence[Model]) -> Chart | None:
    if not all("cohens_d" in model.row.test for model in models):
        return None
    was = before(models)
    return Chart(
        key="cohens-d",
        title=change_finding("cohens_d", was.row if was else None, subject(models).row),
        note="How many standard deviations lie between the labels' mean cosines.",
        spec=_dots(models, ["cohens_d"], "Cohen's d", 190),
        size="half",
    )


def _dots(models: Sequence[Model], names: Sequence[str], title: str, step: int) -> dict[str, Any]:
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
        for model in models
    ]
    order = [metric_label(name) for name in names]
    y = alt.Y(
        "metric:N",
        sort=order,
        title=None,
        axis=alt.Axis(domain=False, ticks=False, labels=len(names) > 1, grid=False),
        scale=alt.Scale(paddingInner=0.3),
    )
    base = alt.Chart(rows()).encode(
        y=y,
        yOffset=alt.YOffset("model:N", sort=[model.name for model in models]),
        color=model_colour(models),
        tooltip=tooltip_of(model="model", metric="metric", score="shown"),
    )
    bars = base.transform_filter("isValid(datum.low)").mark_rule(strokeWidth=2, opacity=0.55)
    bars = bars.encode(x=alt.X("low:Q", title=title), x2="high:Q")
    dots = base.mark_point(filled=True, size=64, cursor="pointer").encode(
        x=alt.X("score:Q", title=title, scale=alt.Scale(zero=False))
    )
    return finish(alt.layer(bars, dots), data, step * len(names))


def _by_group(models: Sequence[Model], texts: Pairs, column: str) -> Chart | None:
    tables = {model.name: group_rows(model, texts, column) for model in models}
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
    base = alt.Chart(rows()).encode(
        x=alt.X("model:N", sort=[m.name for m in models], title=None,
                axis=name_axis([m.name for m in models]),
                scale=tight),
        y=alt.Y("group:N", sort=order, title=axis_title(column), axis=flat_axis(), scale=tight),
        tooltip=tooltip_of(model="model", group="group", margin="shown", pairs="pairs"),
    )  # fmt: skip
    ends = [low, high if high > low else low + 1]
    tiles = base.mark_rect(cornerRadius=4).encode(
        color=alt.Color("margin:Q", scale=alt.Scale(domain=ends, range=list(RAMP)), legend=None)
    )
    ink = alt.condition(f"datum.margin < {middle}", alt.value(INK_ON_PALE), alt.value(INK_ON_DEEP))
    words = base.mark_text(fontWeight=600, aria=False).encode(text="shown:N", color=ink)
    return Chart(
        key=f"margin-{slug(column)}",
        title=weakest_group_finding(column, tables[subject(models).name]),
        note="Margin: mean cosine of label 1 minus that of label 0, in each group.",
        spec=finish(alt.layer(tiles, words), data, 38 * len(order) + 10),
        size="half",
    )


def _false_positives(models: Sequence[Model], texts: Pairs, column: str) -> Chart | None:
    tables = {model.name: group_rows(model, texts, column) for model in models}
    if not any(tables.values()):
        return None
    data = [
        {"model": name, "group": one_line(row.group), "count": row.false_positives, "of": row.n_0}
        for name, table in tables.items()
        for row in table
        if row.n_0
    ]
    order = sorted({str(d["group"]) for d in data})
    bars = alt.Chart(rows()).mark_bar(cornerRadiusEnd=2).encode(
        x=alt.X("count:Q", title="false positives", axis=alt.Axis(tickMinStep=1, tickCount=5)),
        y=alt.Y("group:N", sort=order, title=axis_title(column), axis=flat_axis(),
                scale=alt.Scale(paddingInner=0.28)),
        yOffset=alt.YOffset("model:N", sort=[m.name for m in models]),
        color=model_colour(models),
        tooltip=tooltip_of(**{"model": "model", "group": "group", "false positives": "count",
                              "of label 0": "of"}),
    )  # fmt: skip
    was = before(models)
    earlier = sum(row.false_positives for row in tables[was.name]) if was else None
    return Chart(
        key=f"false-positives-{slug(column)}",
        title=false_positives_finding(column, earlier, tables[subject(models).name]),
        note="Pairs of label 0 at or above each model's threshold, which dev chose.",
        spec=finish(bars, data, max(120, (11 * len(models) + 10) * len(order))),
        size="half",
    )


def _calibration(models: Sequence[Model]) -> Chart | None:
    found = {model.name: reliability(model) for model in models}
    data = [
        {**point, "shown": f"{100 * point['observed']:.0f} %"}
        for item in found.values()
        if item
        for point in item[1]
        if point["pairs"] >= _FEWEST
    ]
    now = found[subject(models).name]
    if now is None or not data:
        return None
    x = alt.X("predicted:Q", title="predicted share of label 1", axis=_share_axis())
    y = alt.Y("observed:Q", title="observed share of label 1", axis=_share_axis(grid=True))
    base = alt.Chart(rows()).encode(x=x, y=y, color=model_colour(models))
    lines = base.mark_line(strokeWidth=1.2, opacity=0.55, aria=False)
    dots = base.mark_point(filled=True).encode(
        size=alt.Size("pairs:Q", scale=alt.Scale(range=[30, 320]), legend=None),
        tooltip=tooltip_of(model="model", observed="shown", pairs="pairs"),
    )
    ideal = alt.Chart(alt.NamedData("ideal")).mark_line(stroke=MUTED, strokeDash=[2, 3])
    was = before(models)
    earlier = found[was.name] if was else None
    return Chart(
        key="calibration",
        title=calibration_finding(earlier[0] if earlier else None, now[0]),
        note="Cosines turned into probabilities by isotonic regression on dev, checked on test; "
        "on the dotted line they hold. Larger dots are more pairs; bins of fewer than "
        f"{_FEWEST} are left out.",
        spec=finish(
            alt.layer(ideal.encode(x="predicted:Q", y="observed:Q"), lines, dots),
            data,
            280,
            ideal=[{"predicted": v, "observed": v} for v in (0, 1)],
        ),
        size="half",
    )


def model_colour(models: Sequence[Model]) -> alt.Color:
    """One colour for each model, the same in every chart; the baseline's is grey."""
    names = [model.name for model in models]
    trained = iter(_MODEL_COLOURS[1:])
    colours = [MUTED if model.row.is_baseline else next(trained) for model in models]
    scale = alt.Scale(domain=names, range=colours)
    return alt.Color("model:N", sort=names, title=None, scale=scale)


def _share_axis(grid: bool = False) -> alt.Axis:
    return alt.Axis(format=".0%", values=[0, 0.25, 0.5, 0.75, 1], grid=grid, domain=not grid)
