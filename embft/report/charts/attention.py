"""Where the pooled token looks: shares by layer, and one text token by token."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import altair as alt

from embft.leaderboard.attention import (
    KIND_NAMES,
    Attention,
    AttentionStep,
    attention_finding,
    attention_of,
    attention_steps,
)
from embft.leaderboard.rows import Leaderboard
from embft.report import format as fmt
from embft.report.chart import Chart, finish, rows
from embft.report.chart_list import Section, chart
from embft.report.drawing import flat_axis, share_axis, tooltip_of
from embft.report.theme import ACCENT, CATEGORIES, MUTED

_MOST_TOKENS = 96
_MODELS = ["base model", "recommended"]


@chart(Section.MATTERED, 40)
def attention_charts(leaderboard: Leaderboard) -> list[Chart]:
    """By layer, by token and over the training where the evaluator `attention` ran."""
    found = attention_of(leaderboard)
    if found is None:
        return []
    steps = attention_steps(leaderboard)
    return [
        _by_layer(found),
        *([_by_token(found)] if found.tokens else []),
        *([_over_training(steps)] if len({p.step for p in steps}) > 1 else []),
    ]


def _by_layer(found: Attention) -> Chart:
    data = [
        {"model": p.model, "kind": p.kind, "layer": p.layer, "share": p.share,
         "shown": fmt.score(p.share)}
        for p in found.points
    ]  # fmt: skip
    kinds = [name for name in KIND_NAMES.values() if any(d["kind"] == name for d in data)]
    layers = sorted({p.layer for p in found.points})
    base = alt.Chart(rows()).encode(
        x=alt.X("layer:Q", title="layer", axis=alt.Axis(values=layers, format="d", grid=False),
                scale=alt.Scale(domain=[layers[0], max(layers[-1], 2)], nice=False, padding=14)),
        y=alt.Y("share:Q", title="share of attention", axis=share_axis(grid=True),
                scale=alt.Scale(domain=[0, 1])),
        color=alt.Color("kind:N", sort=kinds, title="on",
                        scale=alt.Scale(domain=kinds, range=list(CATEGORIES[: len(kinds)]))),
        strokeDash=alt.StrokeDash("model:N", sort=_MODELS, title=None,
                                  scale=alt.Scale(domain=_MODELS, range=[[4, 4], [1, 0]])),
        tooltip=tooltip_of(model="model", on="kind", layer="layer", share="shown"),
    )  # fmt: skip
    return Chart(
        key="attention-layers",
        title=attention_finding(found),
        note=f"From the pooled position, mean over heads and {found.texts} texts of test, a line "
        "for each kind of token; dashed: before training.",
        spec=finish(alt.layer(base.mark_line(), base.mark_point(filled=True)), data, 260),
    )


def _over_training(steps: Sequence[AttentionStep]) -> Chart:
    data = [
        {"kind": p.kind, "step": p.step, "share": p.share, "shown": fmt.score(p.share),
         "chosen": p.chosen}
        for p in steps
    ]  # fmt: skip
    kinds = list(dict.fromkeys(p.kind for p in steps))
    base = alt.Chart(rows()).encode(
        x=alt.X("step:Q", title="step", axis=alt.Axis(format="~s", grid=False),
                scale=alt.Scale(domain=[steps[0].step, steps[-1].step], nice=False, padding=14)),
        y=alt.Y("share:Q", title="share of attention", axis=share_axis(grid=True),
                scale=alt.Scale(domain=[0, 1])),
        color=alt.Color("kind:N", sort=kinds, title="on",
                        scale=alt.Scale(domain=kinds, range=list(CATEGORIES[: len(kinds)]))),
        tooltip=tooltip_of(on="kind", step="step", share="shown"),
    )  # fmt: skip
    ring = base.transform_filter("datum.chosen").mark_point(size=110, strokeWidth=2.2)
    return Chart(
        key="attention-training",
        title="Where the recommended trial's pooled token looked while it was trained",
        note="From the pooled position at the pooled layer, mean over heads and a few texts of "
        "dev, at each evaluation; the ring marks the one that was kept.",
        spec=finish(alt.layer(base.mark_line(), base.mark_point(filled=True), ring), data, 240),
    )


def _by_token(found: Attention) -> Chart:
    weights: dict[int, float] = defaultdict(float)
    for token in found.tokens:
        weights[token.place] = max(weights[token.place], token.weight)
    drawn = set(sorted(weights, key=lambda place: -weights[place])[:_MOST_TOKENS])
    data = [
        {"model": t.model, "token": f"{t.place + 1:02d} {t.token.strip() or '·'}", "kind": t.kind,
         "weight": t.weight, "shown": fmt.score(t.weight)}
        for t in found.tokens
        if t.place in drawn
    ]  # fmt: skip
    order = list(dict.fromkeys(str(d["token"]) for d in data))
    bars = alt.Chart(rows()).mark_bar(cornerRadiusEnd=2).encode(
        x=alt.X("weight:Q", title="share of attention", axis=alt.Axis(format=".1%", tickCount=5)),
        y=alt.Y("token:N", sort=order, title=None, axis=flat_axis()),
        yOffset=alt.YOffset("model:N", sort=_MODELS),
        color=alt.Color("model:N", sort=_MODELS, title=None,
                        scale=alt.Scale(domain=_MODELS, range=[MUTED, ACCENT])),
        tooltip=tooltip_of(model="model", piece="token", of="kind", share="shown"),
    )  # fmt: skip
    return Chart(
        key="attention-tokens",
        title="One text, token by token",
        note="The attention that each token gets from the pooled position at the pooled layer, "
        "mean over heads; what the position gives itself is left out."
        + (f" The {len(drawn)} that get most are drawn." if len(drawn) < len(weights) else ""),
        spec=finish(bars, data, 15 * len(order) + 10),
    )
