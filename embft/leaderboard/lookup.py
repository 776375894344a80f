"""A trial by the name that a user types."""

from __future__ import annotations

import difflib

from embft.errors import EmbftError
from embft.leaderboard.pair_scores import read_scores
from embft.leaderboard.rows import Leaderboard, Row

RECOMMENDED = "recommended"


def find_row(board: Leaderboard, name: str) -> Row:
    """The trial of this name, of this key, or whose name alone begins with it or holds it.

    `baseline` and `recommended` are names too. Raises EmbftError for none and for several.
    """
    if name == RECOMMENDED and board.recommended:
        return board.recommended.best
    trials = {row.trial: row for row in board.rows}
    keys = {row.folder.key: row for row in board.rows}
    if name in trials or name in keys:
        return trials.get(name) or keys[name]
    fitting = [trial for trial in trials if trial.startswith(name)]
    fitting = fitting or [trial for trial in trials if name in trial]
    if len(fitting) == 1:
        return trials[fitting[0]]
    if fitting:
        raise EmbftError(
            f"{name!r} fits {len(fitting)} trials of {board.name}: {', '.join(sorted(fitting)[:6])}"
            f"{', ...' if len(fitting) > 6 else ''}; give more of the name, or its key"
        )
    known = {*trials, *([RECOMMENDED] if board.recommended else [])}
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise EmbftError(
        f"{board.name} has no trial {name!r}: {hint}`embft leaderboard {board.folder.path}` lists "
        "them, and `baseline` and `recommended` are names too"
    )


def find_scored(board: Leaderboard, name: str) -> Row:
    """The trial of this name, which has per-pair scores. Raises EmbftError where it has none."""
    row = find_row(board, name)
    if read_scores(row, "test") is None:
        raise EmbftError(
            f"{row.trial} is {row.status} and has no per-pair scores (scores.parquet in its "
            "folder), so that it cannot be compared: choose completed trials"
        )
    return row
