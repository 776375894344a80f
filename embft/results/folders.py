"""The folders of a sweep and of its trials: the one place that knows the names of files in them.

Everything that passes between the driver, the launcher, a worker and the report passes through
these files. What is in them, `records.py` and its neighbours say.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from embft.errors import NewerRecordError, RecordError
from embft.results.records import (
    INPUT_FORM,
    RESULT_FORM,
    TRAINED_FORM,
    Completed,
    PruneDecision,
    Trained,
    TrialInput,
    TrialResult,
    read_record,
)
from embft.storage.files import open_no_link, sync_folder, write_atomic
from embft.storage.lock import folder_lock, is_held, wait_for_worker
from embft.storage.seal import check_digests, digests, sealed, unsealed

_DIGEST_LENGTH = 12
_SHORT_LENGTH = 8


class _Folder(Protocol):
    @property
    def path(self) -> Path: ...


class _Named:
    """A file or folder of this name in a folder."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, folder: _Folder, kind: type) -> Path:
        return folder.path / self.name


@dataclass(frozen=True)
class MiningDir:
    """The folder of one recipe of hard negatives for one train, below a sweep's `mining/`, and the
    name of every file in it. The lock is of `mining/` itself: one recipe is mined at a time.
    """

    path: Path
    lock_file = _Named(".lock")
    job_file = _Named("job.json")
    train_file = _Named("train.parquet")
    pool_file = _Named("pool.parquet")
    mined_file = _Named("mined.parquet")
    found_file = _Named("found.json")  # written last: what was mined is whole
    failure_file = _Named("failure.json")
    progress_file = _Named("progress.json")  # how far the mining is
    log_file = _Named("log.txt")


@dataclass(frozen=True)
class SweepDir:
    """A sweep's folder, `results/NAME`, and the name of every file in it."""

    path: Path
    spec_file = _Named("spec.yaml")
    plan_file = _Named("plan.json")
    search_file = _Named("search.jsonl")  # what a search has proposed, and what it was told
    next_file = _Named("search-next.json")  # what the search would have tried next
    rounds_file = _Named("rounds.json")  # who has got more seeds
    leaderboard_csv = _Named("leaderboard.csv")
    leaderboard_json = _Named("leaderboard.json")
    recommended_file = _Named("recommended.yaml")  # the recommended configuration as a spec
    measured_file = _Named("measured.json")
    measured_scores = _Named("measured.parquet")  # the base model's, before it has a record
    measured_units = _Named("measured_units.parquet")
    events_file = _Named("events.jsonl")  # of the tracker `jsonl`
    trials_folder = _Named("trials")
    data_folder = _Named("data")
    evaluators_folder = _Named("evaluators")
    prefixes_folder = _Named("prefixes")  # what trials leave for one another, as is `tokens`
    tokens_folder = _Named("tokens")
    mining_folder = _Named("mining")  # what hard negatives are mined from, until all are
    measuring_folder = _Named(".measure")
    tune_folder = _Named(".tune")  # Ray's own state, where it needs storage that nodes share
    ray_log_file = _Named("ray.log")  # what Ray said of itself while it ran trials
    lock_file = _Named(".lock")
    stop_file = _Named(".stop")  # while it is there, nothing starts

    def report_file(self, form: str = "html") -> Path:
        """The report of this sweep alone. form: html or md."""
        return self.path / f"report.{form}"

    def trial(self, name: str) -> TrialDir:
        """The folder of a trial, by its name."""
        return TrialDir(self.trials_folder / name)

    def measuring(self, key: str) -> TrialDir:
        """The folder of a trial that only measures what others will need."""
        return TrialDir(self.measuring_folder / f"measure-{key}")

    def trials_by_key(self) -> dict[str, TrialDir]:
        """The trials that are on disk, by key: one listing, however many there are."""
        try:
            folders = sorted(self.trials_folder.iterdir(), reverse=True)
        except OSError:
            return {}
        whole = (TrialDir(folder) for folder in folders if not folder.name.startswith("."))
        return {folder.key: folder for folder in whole}

    def data_name(self, digest: str) -> str:
        """Where the data with this digest are frozen, relative to the sweep as records say it."""
        return f"{self.data_folder.name}/{digest[:_DIGEST_LENGTH]}"

    def dataset(self, name: str) -> Path:
        """The folder of frozen data that a record names so."""
        return self.path / name

    def evaluator_folder(self, digest: str) -> Path | None:
        """Where what an evaluator of this digest reads is frozen; None where it reads nothing."""
        return self.evaluators_folder / digest[:_DIGEST_LENGTH] if digest else None

    def torn(self) -> Iterator[Path]:
        """What interrupted writes have left under their temporary names."""
        inside = (self.trials_folder, self.data_folder, self.evaluators_folder, self.mining_folder)
        for folder in (self.path, *inside):
            yield from folder.glob(".*.tmp")

    def forget_shared(self) -> None:
        """Remove what trials have left for one another, once no other one is to come."""
        for folder in (self.prefixes_folder, self.tokens_folder, self.mining_folder):
            shutil.rmtree(folder, ignore_errors=True)

    def lock(self) -> AbstractContextManager[None]:
        """Hold the folder in the block. Raises EmbftError where another process runs the sweep."""
        return folder_lock(self.lock_file)

    def ask_to_stop(self) -> bool:
        """Have nothing more start, and running trials save where they are. False where the folder
        takes nothing any more: then no trial can save either.
        """
        try:
            self.stop_file.touch()
        except OSError:
            return False
        return True

    def is_running(self) -> bool:
        """Whether a living process holds the folder."""
        return is_held(self.lock_file)


def sweeps_below(results: Path) -> list[SweepDir]:
    """The sweeps in a results folder, by name: the folders with a plan."""
    found = (SweepDir(folder) for folder in sorted(results.glob("*/")))
    return [s for s in found if s.plan_file.is_file() and not s.path.name.startswith(".")]


def sweeps_beside(sweep: SweepDir) -> list[SweepDir]:
    """A sweep, then all folders beside it that may hold one."""
    others = map(SweepDir, sorted(sweep.path.parent.glob("*/")))
    return [sweep, *(other for other in others if other.path.name != sweep.path.name)]


def finished_in(sweep: SweepDir) -> dict[str, TrialDir]:
    """The trials of a sweep that have a record, by key."""
    found = sweep.trials_by_key()
    return {key: folder for key, folder in found.items() if folder.result_file.exists()}


def finished_trials(results: Path, keys: Collection[str]) -> dict[str, list[TrialDir]]:
    """The finished trials with these keys in all sweeps below `results`, sweep by sweep."""
    found: dict[str, list[TrialDir]] = {}
    for sweep in sorted(results.glob("*/")):
        for key, folder in SweepDir(sweep).trials_by_key().items():
            if key in keys and folder.result_file.exists():
                found.setdefault(key, []).append(folder)
    return found


@dataclass(frozen=True)
class TrialDir:
    """A trial's folder. Records are read and written through it."""

    path: Path
    own_key: str | None = None
    input_file = _Named("trial.json")
    result_file = _Named("result.json")
    progress_file = _Named("progress.jsonl")
    trained_file = _Named("trained.json")
    failure_file = _Named("failure.json")
    reference_file = _Named("reference.npz")
    scores_file = _Named("scores.parquet")
    units_file = _Named("units.parquet")
    attention_file = _Named("attention.json")
    retrieved_file = _Named("retrieved.parquet")
    corpus_folder = _Named("corpus")  # vectors, while they are being searched
    map_file = _Named("map.parquet")
    serving_file = _Named("serving.json")
    log_file = _Named("log.txt")
    model_folder = _Named("model")
    checkpoints_folder = _Named("checkpoints")
    removed_file = _Named("model-removed.json")
    removing_folder = _Named(".model.removed")  # a model on its way out
    running_file = _Named("running")  # while a launcher has the trial
    # A training under a scheduler waits after each evaluation until one of these says what then.
    go_file = _Named("go")  # holds how many evaluations it may go beyond
    pause_file = _Named("pause")
    prune_file = _Named("prune.json")

    @classmethod
    def copied(cls, path: Path) -> TrialDir:
        """The folder of a trial that may have been copied to another name: its input says its key.

        Raises FileNotFoundError and RecordError.
        """
        return cls(path, str(unsealed(cls(path).input_file).get("key")))

    @property
    def key(self) -> str:
        """The key in the folder's name, unless it was given."""
        return self.own_key or self.path.name.rpartition("-")[2]

    @property
    def name(self) -> str:
        """The folder's name: what varies, and the key."""
        return self.path.name

    @property
    def short(self) -> str:
        """The short name, which is printed everywhere and taken by every command."""
        return self.key[:_SHORT_LENGTH]

    @property
    def sweep(self) -> SweepDir:
        """The folder of the sweep that the trial belongs to."""
        return SweepDir(self.path.parent.parent)

    def create(self, given: TrialInput) -> None:
        """Make the folder afresh and write the input.

        Of an interrupted attempt stays what goes on: its checkpoints, what a finished training has
        saved, the attempts before it with the batch that they came to, and the number of threads,
        on which the last digits depend. Raises EmbftError while a worker that a killed sweep has
        left still works there, and where a newer embft has begun the trial.
        """
        wait_for_worker(self.log_file)
        interrupted = self._interrupted()
        kept = set()
        if interrupted is not None:
            goes_on = ["threads", "chooses_threads", "attempts"]
            if given.trained_by is None:
                goes_on.append("micro_batch_size")
            given = given.model_copy(update={k: getattr(interrupted, k) for k in goes_on})
            kept = {
                self.checkpoints_folder,
                self.trained_file,
                self.reference_file,
                self.model_folder,
                self.corpus_folder,
            }
        self.path.mkdir(parents=True, exist_ok=True)
        for left in set(self.path.iterdir()) - kept:
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left)
            else:
                left.unlink()
        for folder in (self.path.parent, self.sweep.path):
            sync_folder(folder)
        self.write_input(given)

    def forget_attempts(self) -> None:
        """Remove what only an attempt that goes on needs, of a trial that is finished."""
        for folder in (self.checkpoints_folder, self.corpus_folder):
            shutil.rmtree(folder, ignore_errors=True)
        self.running_file.unlink(missing_ok=True)
        self.forget_decisions()

    def write_input(self, given: TrialInput) -> None:
        """Write what the worker is to do."""
        write_atomic(self.input_file, sealed(json.loads(given.model_dump_json())))

    def _interrupted(self) -> TrialInput | None:
        """The input of an attempt at this trial that came to no result."""
        if self.result_file.exists():
            return None
        try:
            return self.read_input()
        except NewerRecordError:
            raise
        except (OSError, RecordError):
            return None

    def read_input(self) -> TrialInput:
        """What the worker is to do. Raises RecordError if it is damaged or another trial's."""
        return read_record(INPUT_FORM, self.input_file, self.key)

    def write_result(self, result: TrialResult) -> None:
        """Write the record that makes a trial finished."""
        write_atomic(self.result_file, sealed(json.loads(result.model_dump_json())))

    def result(self) -> TrialResult | None:
        """The trial's record, or None while it has none.

        Raises RecordError if it is damaged, another trial's, or a newer version's.
        """
        try:
            return read_record(RESULT_FORM, self.result_file, self.key)
        except FileNotFoundError:
            return None

    def write_trained(self, trained: Trained) -> None:
        """Keep what training came to for the step that scores."""
        write_atomic(self.trained_file, sealed(json.loads(trained.model_dump_json())))

    def read_trained(self) -> Trained:
        """What training came to. Raises RecordError if it is damaged or another trial's."""
        return read_record(TRAINED_FORM, self.trained_file, self.key)

    def retrieved_by(self, evaluator: Path | None) -> Path:
        """Where the documents stand that were found in the data's own corpus, or in that of an
        evaluator, whose frozen folder this is.
        """
        if evaluator is None:
            return self.retrieved_file
        return self.path / f"retrieved-{evaluator.name[:_SHORT_LENGTH]}.parquet"

    def trained_files(self) -> dict[str, str]:
        """The digests of what a finished training has saved."""
        model = [path for path in self.model_folder.rglob("*") if path.is_file()]
        return digests(self.path, [self.reference_file, *model])

    def written_files(self) -> dict[str, str]:
        """The digests that a record vouches for: scores by pair and unit, attention, the model."""
        model = [path for path in self.model_folder.rglob("*") if path.is_file()]
        more = (self.units_file, self.attention_file, self.retrieved_file)
        extra = [*filter(Path.exists, more), *sorted(self.path.glob("retrieved-*.parquet"))]
        return digests(self.path, [self.scores_file, *extra, *model])

    def check_files(self, result: TrialResult, below: str = "") -> None:
        """Raise RecordError when a file that the record vouches for is not as it was written.

        below: only the files whose path begins so. A model that `artifacts.keep` has removed is
        not looked for.
        """
        files = result.files if isinstance(result, Completed) else {}
        gone = f"{self.model_folder.name}/" if self.removed_file.exists() else None
        looked_for = {k: v for k, v in files.items() if k.startswith(below)}
        check_digests(
            self.path, {k: v for k, v in looked_for.items() if not (gone and k.startswith(gone))}
        )

    def append_progress(self, event: Mapping[str, Any]) -> None:
        """Add a line to the progress of the running trial."""
        with open(self.progress_file, "a", opener=open_no_link) as file:
            file.write(sealed(event, indent=None) + "\n")

    def progress(self) -> Iterator[dict[str, Any]]:
        """The progress so far; lines that are not whole are left out."""
        yield from self.progress_since(0)[0]

    def progress_since(self, offset: int) -> tuple[list[dict[str, Any]], int]:
        """The lines from this byte on, and the byte after them; what is not whole is left out.

        A file shorter than that was begun afresh, and is read from its start.
        """
        try:
            with self.progress_file.open("rb") as file:
                offset = offset if offset <= os.fstat(file.fileno()).st_size else 0
                file.seek(offset)
                new = file.read()
        except (FileNotFoundError, NotADirectoryError):
            return [], 0
        events, ended = [], new[: new.rfind(b"\n") + 1]
        for line in ended.splitlines():
            with contextlib.suppress(RecordError):
                events.append(unsealed(self.progress_file, line))
        return events, offset + len(ended)

    def write_decision(self, decision: PruneDecision) -> None:
        """Have a training that waits for a decision end where it is."""
        write_atomic(self.prune_file, sealed(decision.model_dump(mode="json")))

    def read_decision(self) -> PruneDecision | None:
        """The decision that the training is to end, or None."""
        try:
            return PruneDecision.model_validate(unsealed(self.prune_file))
        except FileNotFoundError:
            return None

    def let_go(self, evaluations: int) -> None:
        """Let the training go on after so many evaluations."""
        temporary = self.path / f".{self.go_file.name}.{os.getpid()}.tmp"
        temporary.write_text(str(evaluations))
        temporary.replace(self.go_file)

    def allowed_evaluations(self) -> int:
        """After how many evaluations the training may go on."""
        try:
            return int(self.go_file.read_text())
        except FileNotFoundError:
            return 0

    def forget_decisions(self) -> None:
        """Remove what an earlier scheduler has said, for a training that begins or goes on."""
        for path in (self.go_file, self.pause_file):
            path.unlink(missing_ok=True)

    def open_log(self) -> int:
        """A descriptor that appends to the worker's log."""
        return open_no_link(str(self.log_file), os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def log_tail(self, lines: int = 30) -> str:
        """The last lines of the worker's log."""
        try:
            text = self.log_file.read_text(errors="replace")
        except FileNotFoundError:
            return ""
        return "\n".join(text[-20_000:].splitlines()[-lines:])
