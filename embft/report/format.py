"""Numbers as people read them: durations, counts, sizes, intervals."""

from __future__ import annotations

import math

from embft.leaderboard.labels import number
from embft.metrics.comparison import Comparison
from embft.metrics.registry import METRICS

MISSING = "\N{EN DASH}"


def score(value: float | None, digits: int = 3) -> str:
    """A score with so many digits, or a dash where there is none."""
    return MISSING if value is None or not math.isfinite(value) else number(value, digits)


def metric(name: str, value: float | None) -> str:
    """A metric's value in its own form: a score, a count (of several seeds its mean), a p-value."""
    form = METRICS[name].form if name in METRICS else "score"
    if value is None or not math.isfinite(value) or form == "score":
        return score(value)
    if form == "p":
        return p_value(value)
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"


def signed(value: float | None, digits: int = 3) -> str:
    """A difference with its sign, or a dash."""
    if value is None or not math.isfinite(value):
        return MISSING
    text = number(value, digits)
    return text if text.startswith("\N{MINUS SIGN}") or float(text) == 0 else f"+{text}"


def difference(value: Comparison | None) -> str:
    """A difference with its interval, `+0.012 (0.004 to 0.021)`, or a dash."""
    if value is None:
        return MISSING
    return f"{signed(value.difference)} ({interval((value.low, value.high))})"


def interval(value: tuple[float, float] | None, digits: int = 3) -> str:
    """An interval, such as `0.812 to 0.841`, or a dash where there is none."""
    return MISSING if value is None else f"{number(value[0], digits)} to {number(value[1], digits)}"


def duration(seconds: float | None) -> str:
    """A time as `35 s`, `2 min 05 s` or `3 h 20 min`, or a dash."""
    if seconds is None:
        return MISSING
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def count(value: float | None) -> str:
    """`73.7 k`, `22.7 M`; small counts in full."""
    if value is None:
        return MISSING
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.0f}"


def size(value: float | None) -> str:
    """Bytes in decimal units: `0.3 MB`."""
    if value is None:
        return MISSING
    for unit_size, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= unit_size:
            return f"{value / unit_size:.3g} {unit}"
    return f"{value:.0f} B"


def memory(megabytes: float | None) -> str:
    """Peak memory, given in MB, with its unit, or a dash where it was not measured."""
    return size(None if megabytes is None else megabytes * 1e6)


def p_value(value: float | None) -> str:
    """A p-value to three digits; below that only that it is smaller."""
    if value is None:
        return MISSING
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
