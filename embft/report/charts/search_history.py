"""The chart of a search's history: what each proposed trial came to, and the best so far."""

from __future__ import annotations

import altair as alt

from embft.leaderboard.rows import Leaderboard
from embft.leaderboard.search_history import history_finding, next_points, search_history
from embft.report import format as fmt
from embft.report.chart import Chart, dimmed, finish, rows
from embft.report.chart_list import Section, chart
from embft.report.drawing import opacity, score_axis, trial_dots
from embft.report.theme import ACCENT
from embft.results.records import Status


@chart(Section.EPOCHS, 5)
def history_chart(leaderboard: Leaderboard) -> Chart | None:
    """Dev score by the order of proposal, a step line for the best so far; None for a grid."""
    history = search_history(leaderboard)
    scored = [each for each in history if each.score is not None]
    if not scored:
        return None
    data = [
        {
            "trial": each.trial,
            "label": each.label,
            "number": each.number,
            "score": each.score,
            "shown": fmt.score(each.score),
            "status": str(each.status),
            "pruned": each.status == Status.PRUNED,
        }
        for each in scored
    ]
    steps = [{"number": e.number, "score": e.best} for e in history if e.best is not None]
    x = alt.X(
        "number:Q",
        title="trials in the order in which they were proposed",
        scale=alt.Scale(domain=[0.5, len(history) + 0.5], nice=False),
        axis=alt.Axis(format="d", tickMinStep=1, grid=False),
    )
    y = score_axis(leaderboard, [each.score for each in scored if each.score is not None], "dev")
    line = alt.Chart(alt.NamedData("best")).mark_line(
        interpolate="step-after", strokeWidth=1.8, color=ACCENT, aria=False
    )
    base = alt.Chart(rows()).encode(x=x, y=y, opacity=opacity(dimmed()))
    dots = trial_dots(base)
    return Chart(
        key="search-history",
        title=history_finding(history),
        note=(
            "The line is the best so far among those that completed. Rings in grey are trials that "
            "were stopped early, at the score that they had then." + _ahead(leaderboard)
        ),
        spec=finish(alt.layer(line.encode(x=x, y=y), *dots), data, 260, best=steps),
        points=len(data),
    )


def _ahead(leaderboard: Leaderboard) -> str:
    """What would have been proposed with a larger budget, as a sentence."""
    points = next_points(leaderboard)
    return f" Next the searcher would try {'; '.join(points)}." if points else ""
