"""Parts that several charts share: axes, the baseline's line, tooltips, text colours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt

from embft.leaderboard.axes import visible_range
from embft.leaderboard.labels import metric_label, number
from embft.leaderboard.rows import Leaderboard
from embft.report.theme import ACCENT, CATEGORIES, INK_ON_DEEP, INK_ON_PALE, MUTED

_MARGIN, _LEAST_MARGIN = 0.06, 0.05  # beyond the scores: of their range, and where they are equal


def shipped_rows(leaderboard: Leaderboard) -> Sequence[Any]:
    """The trials of the configuration that charts are about."""
    return leaderboard.shown.rows if leaderboard.shown else ()


def domain(leaderboard: Leaderboard, scores: Sequence[float]) -> tuple[float, float]:
    """The ends of a colour scale, far-out scores on the worse side cut off."""
    if not scores:
        return 0.0, 1.0
    low, high = visible_range(scores, leaderboard.mode == "max")
    bottom = min(scores) if low is None else low
    top = max(scores) if high is None else high
    return (bottom, top) if top > bottom else (bottom - 0.5, top + 0.5)


def ink_on(pale: str) -> alt.ColorValue:
    """The colour of text on a tile, which is pale where this test of its row holds."""
    return alt.ColorValue(INK_ON_DEEP, condition={"test": pale, "value": INK_ON_PALE})


def is_pale(score: float | None, low: float, high: float, mode: str) -> bool:
    """Whether a tile of this score is pale, so that its text must be dark."""
    if score is None:
        return True
    share = (score - low) / (high - low)
    return (share if mode == "max" else 1 - share) < 0.5


def cut_off(value: float, bounds: tuple[float | None, float | None]) -> float:
    """The value moved to the nearer bound where it lies outside."""
    low, high = bounds
    value = value if low is None else max(value, low)
    return value if high is None else min(value, high)


def score_domain(scores: Sequence[float]) -> list[float]:
    """The ends of an axis that is just wide enough for these scores."""
    low, high = min(scores), max(scores)
    margin = _MARGIN * (high - low) or _LEAST_MARGIN
    return [low - margin, high + margin]


def score_axis(leaderboard: Leaderboard, scores: Sequence[float], split: str) -> alt.Y:
    """The vertical axis of the objective, just wide enough for these scores."""
    return alt.Y(
        "score:Q",
        title=f"{metric_label(leaderboard.metric)} on {split}",
        scale=alt.Scale(domain=score_domain(scores), nice=False, zero=False),
        axis=alt.Axis(tickCount=6, domain=False, ticks=False),
    )


def front_marks(kinds: Sequence[str]) -> tuple[alt.Color, alt.Shape]:
    """Colour and shape of points by their `kind`: of the one that was chosen, of those on the
    Pareto front, and of others, in this order.
    """
    order = list(kinds)
    colours = alt.Scale(domain=order, range=[CATEGORIES[1], ACCENT, MUTED])
    shapes = alt.Scale(domain=order, range=["diamond", "circle", "circle"])
    return (
        alt.Color("kind:N", sort=order, title=None, scale=colours),
        alt.Shape("kind:N", sort=order, title=None, scale=shapes),
    )


def trial_dots(base: alt.Chart, kinds: Sequence[str] = ()) -> list[alt.Chart]:
    """A dot for each trial of a search that completed, a grey ring for each that was stopped early.

    base: of rows with `pruned`, `label`, `status` and `shown`. kinds: where rows have a `kind`, of
    which each has its own colour.
    """
    tooltip = tooltip_of(trial="label", status="status", **{"dev score": "shown"})
    scale = alt.Scale(domain=list(kinds), range=list(CATEGORIES[: len(kinds)]))
    coloured = alt.Color("kind:N", title=None, scale=scale) if kinds else alt.ColorValue(ACCENT)
    return [
        base.transform_filter(test)
        .mark_point(filled=filled, size=60, cursor="pointer")
        .encode(color=colour, tooltip=tooltip)
        for test, filled, colour in (
            ("datum.pruned", False, alt.ColorValue(MUTED)),
            ("!datum.pruned", True, coloured),
        )
    ]


def baseline_data(
    leaderboard: Leaderboard, scores: Sequence[float], split: str = "test"
) -> list[dict[str, float]]:
    """The baseline's score as a table of one row; of none where it would crush the scores."""
    row = leaderboard.baseline
    value = getattr(row, split).get(leaderboard.metric) if row else None
    if value is None or not scores:
        return []
    span = max(scores) - min(scores)
    outside = max(min(scores) - value, value - max(scores), 0.0)
    return [{"score": value}] if outside <= max(span, 1e-9) or len(scores) < 3 else []


def baseline_note(leaderboard: Leaderboard, drawn: bool, split: str = "test") -> str:
    """What to say of the baseline under a chart."""
    row = leaderboard.baseline
    value = getattr(row, split).get(leaderboard.metric) if row else None
    if value is None:
        return ""
    return "the dotted line is the baseline" if drawn else f"the baseline ({number(value)}) is off"


def baseline_rule(at: str = "width") -> list[alt.Chart]:
    """A line at the baseline's score with its name at the place `at`, an expression of width."""
    source = alt.Chart(alt.NamedData("base"))
    rule = source.mark_rule(stroke=MUTED, strokeDash=[2, 3], aria=False).encode(y=alt.Y("score:Q"))
    text = source.mark_text(
        text="baseline", align="right", baseline="bottom", dy=-4, fill=MUTED, fontSize=11
    )
    return [rule, text.encode(y=alt.Y("score:Q"), x=alt.value(alt.ExprRef(at)))]


def flat_axis() -> alt.Axis:
    """An axis of names: no line, no ticks, level labels."""
    return alt.Axis(domain=False, ticks=False, labelAngle=0, grid=False)


def name_axis(names: Sequence[str]) -> alt.Axis:
    """A horizontal `flat_axis` whose names turn aside where the chart is too narrow for them."""
    pixels = 7 * max((len(name) for name in names), default=1) + 8
    narrow = f"width < {pixels * len(names)}"
    return alt.Axis(
        domain=False,
        ticks=False,
        grid=False,
        labelAngle=alt.ExprRef(f"{narrow} ? -40 : 0"),
        labelAlign=alt.ExprRef(f"{narrow} ? 'right' : 'center'"),
        labelBaseline=alt.ExprRef(f"{narrow} ? 'middle' : 'top'"),
    )


def share_axis(grid: bool = False) -> alt.Axis:
    """An axis from nothing to everything."""
    return alt.Axis(format=".0%", values=[0, 0.25, 0.5, 0.75, 1], grid=grid, domain=not grid)


def tooltip_of(**fields: str) -> list[alt.Tooltip]:
    """A tooltip of these fields under these titles."""
    return [alt.Tooltip(f"{field}:N", title=title) for title, field in fields.items()]


def opacity(condition: dict[str, Any]) -> Any:
    """An opacity channel from a condition."""
    return alt.OpacityValue(condition["value"], condition=condition["condition"])


def slug(axis: str) -> str:
    """An axis's name for file names."""
    return axis.rpartition(".")[2].replace("_", "-")
