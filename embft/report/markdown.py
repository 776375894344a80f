"""A sweep's answer as Markdown, for a pull request or an issue. No charts."""

from __future__ import annotations

import re

from embft.leaderboard.compare import comparable, versus
from embft.leaderboard.labels import metric_label, ranks_note
from embft.leaderboard.pair_scores import read_texts
from embft.leaderboard.rows import Leaderboard
from embft.leaderboard.table import Line, scored, table_lines
from embft.report import format as fmt
from embft.results.records import Status

_MOST_LINES = 25
_SPECIAL = re.compile(r"([\\`*_\[\]|#@])")


def render_markdown(leaderboard: Leaderboard, compare: tuple[str, str] | None = None) -> str:
    """Question, answer, warnings and the table's first lines, as GitHub's Markdown.

    `compare`: the names of two trials whose differences are added as a table.
    """
    leaderboard = scored(leaderboard)
    parts = [f"## {escape(leaderboard.name)}", escape(leaderboard.description)]
    parts += [_sentences(leaderboard), _warnings(leaderboard), _table(leaderboard)]
    parts += [_comparison(leaderboard, compare) if compare else "", _failures(leaderboard)]
    return "\n\n".join(part for part in parts if part) + "\n"


def escape(text: str) -> str:
    """A user's text as one line that Markdown and HTML leave as it is."""
    flat = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")
    return _SPECIAL.sub(r"\\\1", flat)


def _sentences(leaderboard: Leaderboard) -> str:
    if not leaderboard.verdict:
        return ""
    first, *others = (escape(sentence) for sentence in leaderboard.verdict)
    return "\n\n".join([f"**{first}**", *([" ".join(others)] if others else [])])


def _warnings(leaderboard: Leaderboard) -> str:
    if not leaderboard.warnings:
        return ""
    return "Warnings:\n\n" + "\n".join(f"- {escape(warning)}" for warning in leaderboard.warnings)


def _table(leaderboard: Leaderboard) -> str:
    lines = [line for line in table_lines(leaderboard) if line.score is not None]
    if not lines:
        return ""
    head = f"| rank | configuration | {metric_label(leaderboard.metric)}, test | 95 % interval |"
    head += " vs baseline | trained weights | training |"
    shown = lines[:_MOST_LINES]
    rows = [head, "|---:|---|---:|---|---:|---:|---:|", *(_line(line) for line in shown)]
    more = len(lines) - len(shown)
    note = f"\n\n{more} more lines are in leaderboard.csv." if more else ""
    ranges = any("\N{EN DASH}" in line.rank for line in lines)
    meaning = f"\n\n{ranks_note(leaderboard.groups)}" if ranges else ""
    return "\n".join(rows) + note + meaning


def _line(line: Line) -> str:
    name = escape(line.label)
    name = f"**{name}** (recommended)" if line.recommended else name
    cells = [
        line.rank or fmt.MISSING,
        name,
        fmt.score(line.score),
        fmt.interval(line.interval),
        fmt.signed(line.delta),
        fmt.count(line.trainable),
        fmt.duration(line.seconds),
    ]
    return "| " + " | ".join(cells) + " |"


def _comparison(leaderboard: Leaderboard, compare: tuple[str, str]) -> str:
    """The paired differences of two trials, metric by metric."""
    two = {model.row.trial: model for model in comparable(leaderboard, compare)}
    first, second = (two[name] for name in compare)
    couple = versus([first, second], read_texts(first.row, "test"), ())[0]
    head = f"### {escape(first.label)} against {escape(second.label)}"
    rows = ["| metric, test | first | second | difference | 95 % interval | |",
            "|---|---:|---:|---:|---|---|"]  # fmt: skip
    words = {1: "first is better", -1: "second is better", 0: "no significant difference"}
    for item in couple.metrics:
        cells = [fmt.score(item.first), fmt.score(item.second), fmt.signed(item.difference)]
        cells += [fmt.interval((item.low, item.high)), words[item.better]]
        rows.append(f"| {metric_label(item.name)} | " + " | ".join(cells) + " |")
    return head + "\n\n" + "\n".join(rows)


def _failures(leaderboard: Leaderboard) -> str:
    failed = [line for line in table_lines(leaderboard) if line.status == Status.FAILED]
    if not failed:
        return ""
    shown = [f"- {escape(line.label)}: {escape(line.reason[:200])}" for line in failed[:10]]
    more = [f"- and {len(failed) - 10} more"] if len(failed) > 10 else []
    return "Failed:\n\n" + "\n".join([*shown, *more])
