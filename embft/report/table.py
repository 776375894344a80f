"""The leaderboard as HTML cells: texts, sort keys and the small bars. Ranks nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from embft.leaderboard.axes import leading_range
from embft.leaderboard.labels import axis_titles, metric_label, value_text
from embft.leaderboard.rows import Leaderboard
from embft.leaderboard.significance import outcome
from embft.leaderboard.table import Line, baseline_score, table_lines
from embft.report import format as fmt

BAR_WIDTH = 124.0
_EDGE = 5.0
_LONGEST = 24  # characters of a parameter's value that has a column without being asked for


@dataclass(frozen=True)
class Column:
    """One column. kind: `text`, `number` or `bar`. shown: without the reader asking for it."""

    key: str
    title: str
    kind: str = "number"
    shown: bool = True
    hint: str = ""


@dataclass(frozen=True)
class Bar:
    """A small bar in pixels on the table's common scale. cut: the score lies outside; beyond: above
    the scale's upper end.
    """

    low: float | None
    high: float | None
    middle: float
    seeds: tuple[float, ...]
    baseline: float | None
    cut: bool
    beyond: bool


@dataclass(frozen=True)
class Cell:
    """One cell. value: what sorting and the CSV file use."""

    text: str
    value: str = ""
    bar: Bar | None = None


@dataclass(frozen=True)
class Table:
    """The table: its columns and lines, and what makes a line's cells, one for each column.

    scale: both ends of the bars. cut: whether some score lies outside the scale.
    """

    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    cells: Callable[[Line], tuple[Cell, ...]]
    scale: tuple[str, str] | None
    cut: bool


def build_table(leaderboard: Leaderboard) -> Table:
    """The leaderboard's lines as cells, under the columns that this sweep has."""
    lines = table_lines(leaderboard)
    columns = _columns(leaderboard, lines)
    ends = _bar_ends(leaderboard, lines)
    scale = (fmt.score(ends[0], 3), fmt.score(ends[1], 3)) if ends else None
    cut = any(ends and _is_cut(line.score, ends) for line in lines)

    def cells(line: Line) -> tuple[Cell, ...]:
        return tuple(_cell(leaderboard, line, column.key, ends) for column in columns)

    return Table(columns, tuple(lines), cells, scale, cut)


def _columns(leaderboard: Leaderboard, lines: Sequence[Line]) -> tuple[Column, ...]:
    titles = axis_titles(leaderboard.axes)
    params = [
        Column(f"param:{axis}", titles[axis], "text", shown=_is_short(axis, lines))
        for axis in leaderboard.axes
    ]
    label = metric_label(leaderboard.metric)
    arrow = "higher is better" if leaderboard.mode == "max" else "lower is better"
    several = any(len(line.seeds) > 1 for line in lines)
    leaks, probe = _where_known(lines, label)
    fixed = [
        Column("score", f"{label}, test", hint=arrow),
        Column("bar", "95 % interval", "bar"),
        Column("delta", "vs baseline"),
        *leaks,
        Column("dev", f"{label}, dev", hint="chosen on dev, reported on test"),
        Column("loss", "most it loses, dev", hint="against the best, for all at once"),
        Column("to_recommended", "vs recommended", shown=False, hint="difference on test"),
        Column("outcome", "test shows", "text", shown=False, hint="against the recommended"),
        Column("p", "p vs recommended", shown=False, hint="corrected after Dunnett (1955)"),
        Column("detectable", "detectable", shown=False, hint="difference shown at 80 % power"),
        Column("seeds", "seeds", shown=several),
        Column("trainable", "trained weights"),
        Column("seconds", "training"),
        Column("memory", "peak memory", shown=False),
        Column("size", "saved size", shown=False),
        *probe,
    ]
    metrics = [
        Column(f"metric:{name}", f"{metric_label(name)}, test", shown=False)
        for name in _metric_names(leaderboard, lines)
    ]
    return (*params, *fixed, *metrics, Column("status", "status", "text"))


def _is_short(axis: str, lines: Sequence[Line]) -> bool:
    """Whether a column of this axis leaves room for the scores. The configuration says it too."""
    return all(len(value_text(line.params.get(axis))) <= _LONGEST for line in lines)


def _where_known(lines: Sequence[Line], label: str) -> tuple[list[Column], list[Column]]:
    """The columns that only some sweeps have: without leaked pairs, and the probe's change."""
    leaks = Column("leaks", f"{label}, test without leaks", hint="on pairs in no other split")
    probe = Column("probe", "probe vs baseline", hint="general English, below 0: forgotten")
    return (
        [leaks] if any(line.without_leaks is not None for line in lines) else [],
        [probe] if any(line.probe_change is not None for line in lines) else [],
    )


def _metric_names(leaderboard: Leaderboard, lines: Sequence[Line]) -> list[str]:
    names: dict[str, None] = {}
    for line in lines:
        names.update(dict.fromkeys(line.metrics or ()))
    return [name for name in names if name != leaderboard.metric]


def _bar_ends(leaderboard: Leaderboard, lines: Sequence[Line]) -> tuple[float, float] | None:
    """The scale of the bars: the leading configurations'; the baseline's own while it is alone."""
    found = leading_range(leaderboard)
    alone = [
        end for line in lines for end in (line.score, *(line.interval or ())) if end is not None
    ]
    if found is None and not alone:
        return None
    low, high = found or (min(alone), max(alone))
    return (low, high) if high > low else (low - 0.05, high + 0.05)


def _bar(leaderboard: Leaderboard, line: Line, ends: tuple[float, float]) -> Bar | None:
    if line.score is None:
        return None
    low, high = line.interval or (None, None)
    base = baseline_score(leaderboard.baseline, leaderboard.metric)
    cut = _is_cut(line.score, ends)
    return Bar(
        low=None if low is None or cut else _place(low, ends),
        high=None if high is None or cut else _place(high, ends),
        middle=_place(line.score, ends),
        seeds=tuple(_place(seed, ends) for seed in line.seeds) if len(line.seeds) > 1 else (),
        baseline=None if base is None or not ends[0] <= base <= ends[1] else _place(base, ends),
        cut=cut,
        beyond=line.score > ends[1],
    )


def _is_cut(score: float | None, ends: tuple[float, float]) -> bool:
    return score is not None and not ends[0] <= score <= ends[1]


def _place(value: float, ends: tuple[float, float]) -> float:
    share = min(max((value - ends[0]) / (ends[1] - ends[0]), 0.0), 1.0)
    return round(_EDGE + share * (BAR_WIDTH - 2 * _EDGE), 1)


def _cell(leaderboard: Leaderboard, line: Line, key: str, ends: tuple[float, float] | None) -> Cell:
    kind, _, name = key.partition(":")
    if kind == "param":
        value = line.params.get(name)
        raw = value if isinstance(value, (int, float)) and not isinstance(value, bool) else None
        text = "" if line.is_baseline and value is None else value_text(value)
        return Cell(text, text if raw is None else repr(raw))
    if kind == "metric":
        found = (line.metrics or {}).get(name)
        return Cell(fmt.metric(name, found), _raw(found))
    if kind == "bar":
        bar = _bar(leaderboard, line, ends) if ends else None
        return Cell(fmt.interval(line.interval) if bar else "", _raw(line.score), bar)
    return _words(leaderboard, line, kind) or _number(line, kind)


def _words(leaderboard: Leaderboard, line: Line, kind: str) -> Cell | None:
    """A cell of text; None where the column has numbers."""
    if kind == "seeds":
        return Cell(", ".join(map(str, line.seed_names)), str(len(line.seed_names)))
    if kind == "outcome":
        return _outcome(leaderboard, line)
    return Cell(line.status, line.status) if kind == "status" else None


def _outcome(leaderboard: Leaderboard, line: Line) -> Cell:
    """Different, equal within the tolerance, or unknown, and what would be found."""
    found, decision = line.to_recommended, leaderboard.decision
    if found is None or decision is None:
        return Cell("", "")
    said = outcome(found, decision.objective.tolerance)
    if said != "unknown" or line.detectable is None:
        return Cell(said, said)
    return Cell(f"unknown: {fmt.score(line.detectable)} would be found at 80 % power", said)


def _number(line: Line, key: str) -> Cell:
    against = line.to_recommended
    shown = {
        "score": (line.score, fmt.score(line.score)),
        "delta": (line.delta, fmt.signed(line.delta)),
        "leaks": (line.without_leaks, fmt.score(line.without_leaks)),
        "probe": (line.probe_change, fmt.signed(line.probe_change)),
        "dev": (line.dev, fmt.score(line.dev)),
        "loss": (line.loss_high, fmt.score(line.loss_high)),
        "to_recommended": (against.difference if against else None, fmt.difference(against)),
        "p": (
            against.p_adjusted if against else None,
            fmt.p_value(against.p_adjusted if against else None),
        ),
        "detectable": (line.detectable, fmt.score(line.detectable)),
        "trainable": (line.trainable, fmt.count(line.trainable)),
        "seconds": (line.seconds, fmt.duration(line.seconds)),
        "memory": (line.memory_mb, fmt.memory(line.memory_mb)),
        "size": (line.size, fmt.size(line.size)),
    }
    value, text = shown[key]
    return Cell(text, _raw(value))


def _raw(value: float | None) -> str:
    return "" if value is None or not math.isfinite(value) else f"{value:.8g}"
