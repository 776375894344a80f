"""The Python interface, imported as `embft` itself: `embft.load_spec`, `embft.plan` and so on.

Each function does what the command of its name does, and gives objects in the place of text. What
a user can fix is raised as `embft.EmbftError`. Trials are named as on the command line: by their
short name, their name, or their folder.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from embft.errors import EXIT_FAILED, EXIT_INTERRUPTED, EmbftError
from embft.spec import SweepSpec
from embft.spec import load_spec as _load_spec

if TYPE_CHECKING:
    import pandas as pd
    from sentence_transformers import SentenceTransformer

    from embft.planning.plan import Plan
    from embft.report.export import AltairCharts
    from embft.results.folders import TrialDir

Name = str | PathLike[str]
RESULTS = "results"
_MESSAGE = re.compile(r"^embft: (.*)$", re.MULTILINE)


def load_spec(path: Name) -> SweepSpec:
    """Read and check a spec file. Paths in it are relative to its folder.

    Raises EmbftError (SpecError), which says where the fault is and what is allowed.
    """
    return _load_spec(Path(path))


def plan(
    spec: SweepSpec | Name, results: Name = RESULTS, *, trust_remote_code: bool = False
) -> Plan:
    """The trials of a spec, as `embft plan` shows them: `plan.trials`, `plan.pending()`.

    Each has `params`, `key`, `folder` and `finished`, the status in its record or None. Reads the
    data and finds the base models; runs and writes nothing. Raises EmbftError for what a sweep
    would fail on.
    """
    from embft.models.safety import check_agreed
    from embft.planning.plan import make_plan

    loaded = spec if isinstance(spec, SweepSpec) else load_spec(spec)
    check_agreed(
        any(point.model.trust_remote_code for point in loaded.points), agreed=trust_remote_code
    )
    return make_plan(loaded, Path(results))


def sweep(  # noqa: PLR0913 - what the command takes
    spec: SweepSpec | Name,
    results: Name = RESULTS,
    *,
    retry_failed: bool = False,
    address: str | None = None,
    trackers: Sequence[str] = (),
    trust_remote_code: bool = False,
) -> Path:
    """Run the trials of a spec that have no record yet, as `embft sweep` does. Returns its folder.

    Runs in a process of its own, so that no memory of it stays in this one, and prints what the
    command prints. Interrupted at any moment, the same call carries on. A trial that fails is a row
    of the leaderboard and no exception. Raises EmbftError where the input is at fault or the sweep
    could not go on, KeyboardInterrupt where it was interrupted.
    """
    loaded = spec if isinstance(spec, SweepSpec) else load_spec(spec)
    arguments = [str(_file_of(loaded)), "--results", os.fspath(results)]
    arguments += ["--retry-failed"] * retry_failed + ["--trust-remote-code"] * trust_remote_code
    arguments += ["--address", address] if address else []
    arguments += [part for name in trackers for part in ("--tracker", name)]
    status, printed = _embft("sweep", *arguments)
    if status == EXIT_INTERRUPTED:
        raise KeyboardInterrupt
    folder = Path(results) / loaded.name
    if status not in {0, EXIT_FAILED}:
        found = _MESSAGE.findall(printed)
        raise EmbftError(found[-1] if found else f"embft sweep ended with status {status}")
    return folder


def leaderboard(*folders: Name) -> pd.DataFrame:
    """The leaderboard of a sweep's folder, or of several together: the rows of `leaderboard.csv`.

    A row for each trial, the baseline's included; a column for each varying parameter under its
    dotted path, for `dev_<metric>` and `test_<metric>` with their intervals, and for costs. Raises
    EmbftError where no sweep's results are there.
    """
    from embft.leaderboard.frame import leaderboard_frame

    return leaderboard_frame(*folders)


def load_model(
    trial: Name, results: Name = RESULTS, *, trust_remote_code: bool = False
) -> SentenceTransformer:
    """A trial's trained model, its adapter on its base, checked as it is when it is exported.

    trial: its short name, name or folder; a sweep's folder means the recommended trial; a hub name
    or a model's folder is loaded as it is. Prompts, templates and pooling of the trial are inside,
    so that `encode` takes plain texts. Raises EmbftError where it is not the model that was
    verified, or is not there any more.
    """
    from embft.leaderboard.lookup import looked_up
    from embft.models.trained import load_trained

    found = looked_up(os.fspath(trial), Path(results))
    return load_trained(str(found.path) if found else os.fspath(trial), trusted=trust_remote_code)


def scores(
    trial: Name, results: Name = RESULTS, *, split: Literal["dev", "test"] | None = None
) -> pd.DataFrame:
    """What each pair of dev and test was scored with by a completed trial.

    Columns: `split`, `row` (the pair's place in its split), `text_1`, `text_2`, `label` in [0, 1],
    `score` (the cosine), and the group columns of the data. split: one of them alone. Raises
    EmbftError where the trial has no scores, or its sweep's frozen data are not there.
    """
    import pandas as pd

    from embft.leaderboard.lookup import find_trial

    folder = find_trial(os.fspath(trial), Path(results))
    names = (split,) if split else ("dev", "test")
    return pd.concat([_scores(folder, name) for name in names], ignore_index=True)


def charts(*folders: Name) -> AltairCharts:
    """The charts of the report as Altair objects, by their names there, in the report's order.

    Each is made when it is looked up, shows itself in a notebook, and can be changed, combined and
    saved. Raises EmbftError where no sweep's results are there.
    """
    from embft.leaderboard.build import build_leaderboard
    from embft.report.export import AltairCharts

    return AltairCharts(build_leaderboard(*map(Path, folders)))


def _scores(folder: TrialDir, split: str) -> pd.DataFrame:
    import pandas as pd

    from embft.leaderboard.build import lone_row
    from embft.leaderboard.pair_scores import read_scores, read_texts

    row = lone_row(folder)
    found, pairs = read_scores(row, split), read_texts(row, split)
    if found is None:
        raise EmbftError(
            f"{folder.short} {folder.name} is {row.status} and has no per-pair scores on {split}: "
            "choose a completed trial"
        )
    if pairs is None:
        raise EmbftError(
            f"{folder.path}: the sweep's frozen data are not beside the trial: copy the whole "
            "sweep's folder"
        )
    texts = {"text_1": list(pairs.text_1), "text_2": list(pairs.text_2)}
    groups = {name: list(values) for name, values in pairs.groups.items()}
    numbers = {"label": found.label, "score": found.score}
    places = {"split": split, "row": range(len(found.label))}
    return pd.DataFrame({**places, **texts, **numbers, **groups})


def _file_of(spec: SweepSpec) -> Path:
    """The file that a spec was read from, which still says the same. Raises EmbftError."""
    if spec.path is None:
        raise EmbftError(f"{spec.name}: write the spec to a file, and give that to embft.load_spec")
    if not spec.path.is_file() or spec.path.read_text() != spec.text:
        raise EmbftError(f"{spec.path} is not what it was when it was loaded: load it again")
    return spec.path


def _embft(*arguments: str) -> tuple[int, str]:
    """Run the command, and print what it prints. Returns its exit status and its output."""
    import embft

    package = str(Path(embft.__file__).parents[1])
    paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "embft", *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,  # an interruption reaches it once, through `_printed`
    )
    printed = "".join(_printed(process))
    return process.wait(), printed


def _printed(process: subprocess.Popen[str]) -> Iterator[str]:
    """The lines that a process prints, printed here too. An interruption is handed on to it."""
    while process.stdout is not None:
        try:
            line = process.stdout.readline()
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            continue
        if not line:
            return
        print(line, end="", flush=True)
        yield line
