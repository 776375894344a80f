"""A trial by what a user types: the one place that every command asks."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path

from embft.errors import EmbftError
from embft.leaderboard.build import build_leaderboard
from embft.leaderboard.pair_scores import read_scores
from embft.leaderboard.rows import Leaderboard, Row
from embft.results.folders import SweepDir, TrialDir

RECOMMENDED = "recommended"


def find_row(leaderboard: Leaderboard, name: str) -> Row:
    """The trial of this name or key, or the only one whose name or key begins so or whose name
    holds it.

    `baseline` and `recommended` are names too. Raises EmbftError for none and for several.
    """
    if name == RECOMMENDED and leaderboard.recommended:
        return leaderboard.recommended.best
    trials = {row.trial: row for row in leaderboard.rows}
    fitting = _fitting(name, {trial: row.folder.key for trial, row in trials.items()})
    fitting = fitting or [trial for trial in trials if name and name in trial]
    if len(fitting) == 1:
        return trials[fitting[0]]
    if fitting:
        raise _ambiguous(name, fitting, leaderboard.name)
    known = {*trials, *([RECOMMENDED] if leaderboard.recommended else [])}
    raise EmbftError(
        f"{leaderboard.name} has no trial {name!r}: {_meant(name, known)}`embft leaderboard "
        f"{leaderboard.folder.path}` lists them, and `baseline` and `recommended` are names too"
    )


def find_scored(leaderboard: Leaderboard, name: str) -> Row:
    """The trial of this name, which has per-pair scores. Raises EmbftError where it has none."""
    row = find_row(leaderboard, name)
    if read_scores(row, "test") is None:
        raise EmbftError(
            f"{row.trial} is {row.status} and has no per-pair scores (scores.parquet in its "
            "folder), so that it cannot be compared: choose completed trials"
        )
    return row


def find_trial(name: str, results: Path) -> TrialDir:
    """As `looked_up`, where nothing but a trial will do. Raises EmbftError where there is none."""
    found = looked_up(name, results)
    if found is None:
        known = _trials_below(results)
        raise EmbftError(
            f"no trial {name!r}: {_meant(name, known)}give its short name, its name or its folder. "
            f"Names are looked for below {results} (--results); `embft leaderboard` lists them"
        )
    return found


def looked_up(name: str, results: Path) -> TrialDir | None:
    """The trial that a user means; None where nothing says that a trial is meant.

    name: a trial's folder; a sweep's folder, which means its recommended trial; FOLDER/NAME with
    a sweep's folder; or the name or the beginning of the key of a trial of a sweep below `results`.
    Raises EmbftError where several trials fit.
    """
    path = Path(name).expanduser()
    if TrialDir(path).input_file.is_file():
        return TrialDir(path)
    for sweep, trial in ((path, RECOMMENDED), (path.parent, path.name)):
        if SweepDir(sweep).plan_file.is_file():
            return find_row(build_leaderboard(sweep), trial).folder
    return None if path.exists() or "/" in name else _below(name, results)


def _below(name: str, results: Path) -> TrialDir | None:
    """The one trial of any sweep that fits; of the copies of one trial the first with a model."""
    trials = _trials_below(results)
    fitting = [trials[each] for each in _fitting(name, {n: t.key for n, t in trials.items()})]
    if len({trial.key for trial in fitting}) > 1:
        raise _ambiguous(name, (trial.name for trial in fitting), str(results))
    whole = [trial for trial in fitting if not trial.removed_file.exists()]
    return next(iter([*whole, *fitting]), None)


def _trials_below(results: Path) -> dict[str, TrialDir]:
    """All trials of all sweeps below a folder, `SWEEP/NAME` where a name stands twice."""
    found: dict[str, TrialDir] = {}
    for sweep in sorted(results.glob("*/")):
        for trial in SweepDir(sweep).trials_by_key().values():
            found[trial.name if trial.name not in found else f"{sweep.name}/{trial.name}"] = trial
    return found


def _fitting(name: str, keys: Mapping[str, str]) -> list[str]:
    """The trials of this name or key, else those whose name or key begins so. keys: by name."""
    names = {trial: (trial.rpartition("/")[2], key) for trial, key in keys.items()}
    exactly = [trial for trial, known in names.items() if name in known]
    begun = (t for t, known in names.items() if name and any(k.startswith(name) for k in known))
    return exactly or list(begun)


def _ambiguous(name: str, fitting: Iterable[str], where: str) -> EmbftError:
    names = sorted(set(fitting))
    return EmbftError(
        f"{name!r} fits {len(names)} trials of {where}: {', '.join(names[:6])}"
        f"{', ...' if len(names) > 6 else ''}; give more of the name, or its key"
    )


def _meant(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.4)
    return f"did you mean {close[0]!r}? " if close else ""
