"""The charts of serving: the score against an index's bytes, and against the time of a text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import altair as alt

from embft.leaderboard.labels import metric_label
from embft.leaderboard.rows import Leaderboard
from embft.leaderboard.serving import Served, by_speed, served, serving_finding
from embft.leaderboard.verdict import group_name
from embft.report import format as fmt
from embft.report.chart import Chart, dimmed, finish, rows
from embft.report.chart_list import Section, chart
from embft.report.drawing import front_marks, opacity, score_domain, tooltip_of

_KINDS = ("chosen", "on the front", "other")


@chart(Section.COST, 20)
def serving_charts(leaderboard: Leaderboard) -> Iterator[Chart]:
    """Score by bytes of a million vectors; and by the time that a text takes, where models differ
    in that. Nothing where serving was not measured.
    """
    found = served(leaderboard)
    if not found:
        return
    yield Chart(
        key="serving-size",
        title=serving_finding(found),
        note="A point is a configuration's embeddings in one form; dev says which are chosen "
        "(the smallest index of the recommended configuration that is not worse) and which are on "
        "the front (none is as small and better), test gives their scores.",
        spec=_spec(leaderboard, found, "bytes", "bytes of a million vectors"),
        points=len(found),
    )
    fast = by_speed(found)
    if len({each.serving.speed.p50 for each in fast}) > 1:
        yield Chart(
            key="serving-latency",
            title="How long one text waits for its embedding, by model",
            note="p50 of requests of one text each, on the machine that measured it; whole "
            "embeddings in float32. On the front no model is as fast and better on dev.",
            spec=_spec(leaderboard, fast, "milliseconds", "milliseconds of one text (p50)"),
            points=len(fast),
        )


def _spec(
    leaderboard: Leaderboard, found: Sequence[Served], cost: str, title: str
) -> dict[str, Any]:
    data = sorted(
        (_row(leaderboard, each, cost) for each in found),
        key=lambda row: -_KINDS.index(row["kind"]),
    )
    scores = [row["score"] for row in data]
    costs = [row["cost"] for row in data]
    scale = alt.Scale(type="log", domain=[min(costs) / 1.4, max(costs) * 1.4], nice=False)
    x = alt.X(
        "cost:Q",
        title=title,
        scale=scale,
        axis=alt.Axis(format="~s", grid=False, tickCount=5, labelOverlap=True),
    )
    y = alt.Y(
        "score:Q",
        title=f"{metric_label(found[0].serving.metric)} on test",
        scale=alt.Scale(domain=score_domain(scores), nice=False, zero=False),
    )
    colour, shape = front_marks(_KINDS)
    dots = (
        alt.Chart(rows())
        .mark_point(filled=True, cursor="pointer")
        .encode(
            x=x,
            y=y,
            opacity=opacity(dimmed()),
            color=colour,
            shape=shape,
            size=alt.SizeValue(60, condition={"test": "datum.kind === 'chosen'", "value": 190}),
            tooltip=tooltip_of(
                configuration="label", form="form", index="size", score="shown",
                **{"lost on test": "lost", "texts/s": "texts", "one text": "wait"},
            ),
        )
    )  # fmt: skip
    return finish(dots, data, 280)


def _row(leaderboard: Leaderboard, each: Served, cost: str) -> dict[str, Any]:
    variant, speed = each.variant, each.serving.speed
    return {
        "trial": each.group.best.trial,
        "label": group_name(leaderboard, each.group),
        "form": f"{variant.dimensions} dimensions, {variant.kind}",
        "size": fmt.size(variant.bytes),
        "cost": float(variant.bytes) if cost == "bytes" else 1000 * speed.p50,
        "score": variant.test.score,
        "shown": fmt.score(variant.test.score),
        "lost": f"{fmt.score(variant.test.loss)} ({fmt.interval(variant.test.interval)})",
        "texts": f"{speed.texts:.0f}",
        "wait": f"{1000 * speed.p50:.1f} ms",
        "kind": "chosen" if each.chosen else "on the front" if each.on_front else "other",
    }
