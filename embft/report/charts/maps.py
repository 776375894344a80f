"""The charts of maps: where pairs lie by UMAP, and how pure their clusters are."""

from __future__ import annotations

from typing import Any

import altair as alt

from embft.leaderboard.before_after import halves
from embft.leaderboard.findings import map_finding, purity_finding
from embft.leaderboard.maps import PairMap, least_purity, map_points, read_map
from embft.leaderboard.stability import purity_change
from embft.report import format as fmt
from embft.report.chart import Chart, finish
from embft.report.chart_list import Section, chart
from embft.report.compared_models import ComparedModels, compared_params, model_colour, shown_rows
from embft.report.drawing import tooltip_of
from embft.report.theme import CATEGORIES, INK, MUTED

_PANEL = 205


@chart(Section.BEFORE_AFTER, 30)
def map_charts(compared: ComparedModels) -> list[Chart]:
    """The map and the purity of every model that has a map; none unless the subject has one."""
    found = {m.name: pair_map for m in compared.models if (pair_map := read_map(m.row))}
    if compared.subject.name not in found:
        return []
    return [_map(compared, found), _purity(compared, found)]


def _map(compared: ComparedModels, found: dict[str, PairMap]) -> Chart:
    models = [model for model in compared.models if model.name in found]
    data = [point for model in models for point in map_points(model, found[model.name])]
    names = [name for name, _ in halves(compared.subject.test)]
    # Panels two in a row: a facet could not be as wide as its place on the page.
    place = {
        "column": "indexof(shown, datum.model) % 2",
        "line": "floor(indexof(shown, datum.model) / 2)",
    }
    x_ends: Any = [0, 2.06]
    y_ends: Any = [alt.ExprRef("-1.2 * ceil(length(shown) / 2) + 1.12"), 1.16]
    x = alt.X("across:Q", axis=None, scale=alt.Scale(domain=x_ends, nice=False, zero=False))
    y = alt.Y("up:Q", axis=None, scale=alt.Scale(domain=y_ends, nice=False, zero=False))
    colour = alt.Color(
        "label:N",
        title="pairs of",
        sort=names,
        scale=alt.Scale(domain=names, range=[CATEGORIES[1], CATEGORIES[0]]),
    )
    dots = (
        shown_rows()
        .transform_calculate(**place)
        .transform_calculate(
            across="0.04 + 0.92 * datum.x + 1.06 * datum.column",
            up="0.04 + 0.9 * datum.y - 1.2 * datum.line",
        )
        .mark_point(filled=True, size=16, aria=False)
        .encode(
            x=x,
            y=y,
            color=colour,
            opacity=alt.OpacityValue(0.75, condition={"test": "datum.noise", "value": 0.3}),
        )
    )
    words = (
        shown_rows("names")
        .transform_calculate(**place)
        .transform_calculate(across="1.06 * datum.column", up="1.02 - 1.2 * datum.line")
        .mark_text(align="left", fontWeight=600, fill=INK, fontSize=12.5, baseline="bottom")
        .encode(x=x, y=y, text=alt.Text("model:N"))
    )
    few = len(data) < sum(len(pair_map.row) for pair_map in found.values())
    lines = -(-compared.shown // 2)
    return Chart(
        key="map",
        title=map_finding(found.get(compared.before.name) if compared.before else None,
                          found[compared.subject.name]),
        note="Each dot is a test pair: the middle of its two texts' points on one UMAP for each "
        "model. Faint dots are in no cluster. Distances between far groups mean little."
        + (f" {len(data) // len(models)} pairs of each are drawn." if few else ""),
        spec=finish(alt.layer(dots, words), data, _PANEL * lines + 20, compared_params(compared),
                    names=[{"model": model.name} for model in models]),
        size="half",
    )  # fmt: skip


def _purity(compared: ComparedModels, found: dict[str, PairMap]) -> Chart:
    floor = least_purity(compared.subject)
    data = [
        {
            "model": name,
            "purity": item.purity,
            "floor": floor,
            "shown": fmt.score(item.purity),
            "about": f"{item.clusters} clusters, {100 * item.noise:.0f} % noise",
        }
        for name, item in found.items()
        if item.purity is not None
    ]
    x = alt.X(
        "purity:Q",
        title="cluster purity",
        scale=alt.Scale(domain=[min(0.45, floor - 0.05), 1.0], nice=False, zero=False),
    )
    base = shown_rows().encode(
        y=alt.Y("model:N", sort=compared.names, title=None,
                axis=alt.Axis(domain=False, ticks=False, grid=False),
                scale=alt.Scale(paddingInner=0.4)),
        color=model_colour(),
        tooltip=tooltip_of(model="model", purity="shown", about="about"),
    )  # fmt: skip
    stems = base.mark_rule(strokeWidth=3, opacity=0.45, aria=False)
    stems = stems.encode(x=alt.X("floor:Q"), x2=alt.X2("purity:Q"))
    dots = base.mark_point(filled=True, size=90).encode(x=x)
    words = base.mark_text(align="left", dx=5, dy=-11, fontSize=11, aria=False).encode(
        x=alt.X("floor:Q"), text=alt.Text("about:N"), color=alt.ColorValue(MUTED)
    )
    rule = (
        alt.Chart(alt.NamedData("floor"))
        .mark_rule(stroke=MUTED, strokeDash=[2, 3], aria=False)
        .encode(x=alt.X("floor:Q"))
    )
    return Chart(
        key="purity",
        title=purity_finding(
            found.get(compared.before.name) if compared.before else None,
            found[compared.subject.name],
            purity_change(compared.before.row, compared.subject.row) if compared.before else None,
        ),
        note="The share of pairs that have their cluster's more frequent label; HDBSCAN finds the "
        f"clusters on the map. The dotted line, {fmt.score(floor, 2)}, is what any clusters reach.",
        spec=finish(alt.layer(rule, stems, dots, words), data, 58 * compared.shown + 20,
                    compared_params(compared), floor=[{"floor": floor}]),
        size="half",
    )  # fmt: skip
