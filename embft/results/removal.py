"""What can be removed from a sweep's folder by rule: first a list with bytes, then the removal.

Covers models beyond so many, trials that the spec has no more, failed trials, and what nothing
needs any more. Asks nobody: whoever calls `remove` has shown the list.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from embft.results.folders import SweepDir, TrialDir
from embft.results.plan_record import PlanRecord, read_plan
from embft.results.records import Failed, TrialInput
from embft.results.retention import Kept, remove_model
from embft.spec import Goal
from embft.spec.resources import Artifacts


@dataclass(frozen=True)
class Removal:
    """Something that can go. size: in bytes. model_of: the trial, where it is only its model, which
    a file then says is gone; keep: what was asked to be kept of the models.
    """

    path: Path
    what: str
    size: int
    model_of: TrialDir | None = None
    keep: str = ""

    def remove(self) -> None:
        """Remove it; a folder under another name first: half deleted it must not look whole."""
        if self.model_of is not None:
            remove_model(self.model_of, self.keep)
        elif self.path.is_dir() and not self.path.is_symlink():
            going = self.path.with_name(f".{self.path.name}.{os.getpid()}.tmp")
            self.path.rename(going)
            shutil.rmtree(going)
        else:
            self.path.unlink(missing_ok=True)


def size_of(path: Path) -> int:
    """The bytes of a file, or of all files below a folder; links are not followed."""
    if path.is_symlink() or not path.is_dir():
        return path.lstat().st_size if path.is_symlink() or path.exists() else 0
    return sum(each.lstat().st_size for each in path.rglob("*") if not each.is_dir())


def models(sweep: SweepDir, keep: str, spare: Collection[str] = ()) -> Iterator[Removal]:
    """The models that `artifacts.keep` would not keep of the sweep's finished trials.

    spare: keys of trials whose models stay besides. Raises RecordError.
    """
    plan = read_plan(sweep)
    goal = Goal(metric=plan["metric"], mode=plan["mode"])
    kept = Kept(Artifacts(keep=keep), goal)
    folders = [sweep.trial(entry["folder"]) for entry in plan["trials"]]
    for folder in [each for f in folders for each in kept.take(f, f.result())]:
        if folder.key not in spare and folder.model_folder.is_dir():
            yield Removal(
                folder.model_folder,
                f"the model of {_named(folder)}",
                size_of(folder.model_folder),
                model_of=folder,
                keep=keep,
            )


def dropped(sweep: SweepDir) -> Iterator[Removal]:
    """The trials that the sweep's spec had once and has no more. Raises RecordError."""
    planned = {entry["folder"] for entry in read_plan(sweep)["trials"]}
    for folder in _folders(sweep):
        if folder.name not in planned:
            yield trial(folder, "no longer in the spec")


def failed(sweep: SweepDir) -> Iterator[Removal]:
    """The trials that have failed. Raises RecordError."""
    for folder in _folders(sweep):
        result = folder.result()
        if isinstance(result, Failed):
            yield trial(folder, f"failed: {result.reason}")


def trial(folder: TrialDir, why: str) -> Removal:
    """A whole trial."""
    return Removal(folder.path, f"trial {_named(folder)}, {why}", size_of(folder.path))


def whole(sweep: SweepDir) -> Removal:
    """A whole sweep."""
    count = len(_folders(sweep))
    return Removal(sweep.path, f"sweep {sweep.path.name} with {count} trials", size_of(sweep.path))


def leftovers(sweep: SweepDir) -> Iterator[Removal]:
    """What nothing needs any more: torn writes, checkpoints of finished trials, frozen data that no
    trial on disk names, and once all trials are finished what they shared. Raises RecordError.
    """
    plan = read_plan(sweep)
    folders = _folders(sweep)
    for path in sweep.torn():
        yield Removal(path, "an interrupted write", size_of(path))
    for folder in folders:
        if folder.result_file.exists() and folder.checkpoints_folder.is_dir():
            size = size_of(folder.checkpoints_folder)
            yield Removal(folder.checkpoints_folder, f"checkpoints of {_named(folder)}", size)
    yield from _unused(sweep, plan, folders)
    if all(sweep.trial(entry["folder"]).result_file.exists() for entry in plan["trials"]):
        yield from shared(sweep)


def shared(sweep: SweepDir) -> Iterator[Removal]:
    """What trials leave for one another: it is made again where it is needed."""
    named = {
        sweep.tokens_folder: "tokens of texts",
        sweep.prefixes_folder: "shared checkpoints",
        sweep.mining_folder: "what negatives were mined from",
    }
    for path, what in named.items():
        if path.is_dir():
            yield Removal(path, f"{what}, kept for trials of {sweep.path.name}", size_of(path))


def _unused(sweep: SweepDir, plan: PlanRecord, folders: Iterable[TrialDir]) -> Iterator[Removal]:
    """Frozen data and evaluators' files of trials that are gone."""
    given = [found for folder in folders if (found := _input(folder)) is not None]
    data = {each.data for each in given} | set(plan["data"])
    digests = (digest for each in given for digest in each.evaluators)
    used = {sweep.dataset(name) for name in data}
    used |= {path for digest in digests if (path := sweep.evaluator_folder(digest)) is not None}
    for home, what in ((sweep.data_folder, "data"), (sweep.evaluators_folder, "evaluator's files")):
        for path in sorted(home.iterdir()) if home.is_dir() else ():
            if path not in used and not path.name.startswith("."):
                yield Removal(
                    path, f"frozen {what} that no trial here was scored on", size_of(path)
                )


def _input(folder: TrialDir) -> TrialInput | None:
    """Raises RecordError where it is damaged: what it names must not be removed."""
    try:
        return folder.read_input()
    except FileNotFoundError:
        return None


def _folders(sweep: SweepDir) -> list[TrialDir]:
    found = sweep.trials_by_key().values()
    return sorted((f for f in found if f.path.is_dir()), key=lambda folder: folder.name)


def _named(folder: TrialDir) -> str:
    return f"{folder.short} {folder.name.rpartition('-')[0]}".rstrip()
