"""The contract on disk: a trial's key, its directory, its result.

Everything that passes between the driver, the launcher, a worker and the report passes through
these types and these files. Knows no torch, no Ray and no YAML.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from embft.errors import NewerRecordError, RecordError
from embft.spec import TrainSpec, TrialSpec, trial_spec
from embft.storage.files import open_no_link, sync_folder, write_atomic
from embft.storage.lock import wait_for_worker
from embft.storage.paths import InsidePath
from embft.storage.seal import check_digests, damaged, digests, refuse_newer, sealed, unsealed

SCHEMA = 2
# The exit status of a worker that was asked to stop and has saved where it was.
EXIT_STOPPED = 76

Metrics = dict[str, float]

# In a sweep's folder, what trials leave for one another: see `prefixes.py`, `token_cache.py`.
PREFIXES, TOKENS = "prefixes", "tokens"


class _Record(BaseModel):
    """A record on disk. Unknown fields are an error: a newer embft wrote them."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Attempt(_Record):
    """An attempt at a trial that failed, before another one. reason: as that of a failed trial."""

    reason: str
    message: str
    peak_memory_mb: float
    seconds: float


class TrialInput(_Record):
    """`trial.json`: what a worker is to do. `data` is relative to the sweep's folder.
    prefix: what it shares with trials that only have other epochs, if there are such.
    micro_batch_size: instead of the spec's, where memory ran out with that.
    """

    schema_version: int = SCHEMA
    key: str
    name: str
    spec: TrialSpec
    data: InsidePath
    data_digest: str
    model_digest: str
    threads: int
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    prefix: str | None = None
    micro_batch_size: int | None = None
    attempts: tuple[Attempt, ...] = ()
    evaluators: tuple[str, ...] = ()  # for each of the spec's the digest of what it reads

    @property
    def train_spec(self) -> TrainSpec:
        """How to train, in parts that memory has room for."""
        smaller = {"micro_batch_size": self.micro_batch_size} if self.micro_batch_size else {}
        return self.spec.train.model_copy(update=smaller)


class EpochScore(_Record):
    """One evaluation in training, at an epoch's end or between: scores on dev.

    epoch: how many are done, whole or not. step: of the optimizer. loss: the mean over the training
    rows since the evaluation before. seconds: since training began.
    """

    epoch: int | float
    step: int
    loss: float
    dev: Metrics
    seconds: float


class Proof(_Record):
    """How the saved model was shown to be the trained one.

    Largest absolute differences between embeddings of the same probe texts: saved and loaded again
    in a fresh process against the trained model in memory, and against the base model.
    """

    probe_texts: int
    against_memory: float
    against_base: float
    tolerance: float


class Timings(_Record):
    """Seconds: training, evaluation of the saved model, and the trial from start to end."""

    train: float
    evaluate: float
    total: float


class Provenance(_Record):
    """What the user did not choose but may have to know. Not part of the key."""

    embft: str
    python: str
    platform: str
    processor: str
    cpu_count: int
    threads: int
    precision: str
    device: str
    packages: dict[str, str]
    revision: str | None
    started: str
    finished: str


class _Result(_Record):
    schema_version: int = SCHEMA
    key: str
    name: str
    spec: TrialSpec
    data_digest: str
    model_digest: str
    epochs: tuple[EpochScore, ...] = ()
    micro_batch_size: int | None = None
    attempts: tuple[Attempt, ...] = ()
    peak_memory_mb: float | None = None
    provenance: Provenance | None = None


class Completed(_Result):
    """A trial that trained, proved and scored."""

    status: Literal["completed"] = "completed"
    best_epoch: int | float | None
    threshold: float | None
    dev: Metrics
    test: Metrics
    test_without_leaks: Metrics = Field(default_factory=dict)
    test_without_leaks_intervals: dict[str, tuple[float, float]] = Field(default_factory=dict)
    reliability: tuple[dict[str, float], ...] = ()
    dev_intervals: dict[str, tuple[float, float]] = Field(default_factory=dict)
    test_intervals: dict[str, tuple[float, float]] = Field(default_factory=dict)
    interval_scheme: str | None = None
    undefined: dict[str, str] = Field(default_factory=dict)
    proof: Proof | None
    trainable_parameters: int
    total_parameters: int
    artifact_bytes: int
    timings: Timings
    # Path in the trial's folder -> SHA-256 of what was scored: the per-pair scores, the model.
    files: dict[InsidePath, str] = Field(default_factory=dict)


class Pruned(_Result):
    """A trial that a scheduler stopped early."""

    status: Literal["pruned"] = "pruned"
    reason: str


class Failed(_Result):
    """A trial that ended without scores. reason: one word for the kind, e.g. `proof_failed`."""

    status: Literal["failed"] = "failed"
    reason: str
    message: str
    log_tail: str = ""
    memory_limit_mb: float | None = None
    total_seconds: float = 0.0


Status = Literal["completed", "pruned", "failed"]
TrialResult = Completed | Pruned | Failed
_RESULT = TypeAdapter[TrialResult](Annotated[TrialResult, Field(discriminator="status")])
_INPUT = TypeAdapter(TrialInput)
_Form = TypeVar("_Form", bound=TrialInput | _Result)


@dataclass(frozen=True)
class TrialDir:
    """A trial's folder: the one place that knows its file names."""

    path: Path

    @property
    def key(self) -> str:
        """The key in the folder's name."""
        return self.path.name.rpartition("-")[2]

    @property
    def name(self) -> str:
        """The folder's name, which is the trial's name everywhere."""
        return self.path.name

    @property
    def sweep(self) -> Path:
        """The sweep's folder."""
        return self.path.parent.parent

    input_file = property(lambda self: self.path / "trial.json")
    result_file = property(lambda self: self.path / "result.json")
    progress_file = property(lambda self: self.path / "progress.jsonl")
    trained_file = property(lambda self: self.path / "trained.json")
    failure_file = property(lambda self: self.path / "failure.json")
    probe_file = property(lambda self: self.path / "probe.npz")
    scores_file = property(lambda self: self.path / "scores.parquet")
    attention_file = property(lambda self: self.path / "attention.json")
    map_file = property(lambda self: self.path / "map.parquet")
    log_file = property(lambda self: self.path / "log.txt")
    model_folder = property(lambda self: self.path / "model")
    checkpoints_folder = property(lambda self: self.path / "checkpoints")
    prefixes_folder = property(lambda self: self.sweep / PREFIXES)
    removed_file = property(lambda self: self.path / "model-removed.json")
    running_file = property(lambda self: self.path / "running")  # while a launcher has the trial
    stop_file = property(lambda self: self.sweep / ".stop")  # while it is there, nothing starts

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
            goes_on = ("threads", "attempts", "micro_batch_size")
            given = given.model_copy(update={k: getattr(interrupted, k) for k in goes_on})
            kept = {self.checkpoints_folder, self.trained_file, self.probe_file, self.model_folder}
        self.path.mkdir(parents=True, exist_ok=True)
        for left in set(self.path.iterdir()) - kept:
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left)
            else:
                left.unlink()
        for folder in (self.path.parent, self.sweep):
            sync_folder(folder)
        self.write_input(given)

    def forget_attempts(self) -> None:
        """Remove what a launcher that was killed has left of a trial that is finished."""
        shutil.rmtree(self.checkpoints_folder, ignore_errors=True)
        self.running_file.unlink(missing_ok=True)

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
        return _parsed(_INPUT, self.input_file, self.key)

    def write_result(self, result: TrialResult) -> None:
        """Write the record that makes a trial finished."""
        write_atomic(self.result_file, sealed(json.loads(result.model_dump_json())))

    def result(self) -> TrialResult | None:
        """The trial's record, or None while it has none.

        Raises RecordError if it is damaged, another trial's, or a newer version's.
        """
        try:
            return _parsed(_RESULT, self.result_file, self.key)
        except FileNotFoundError:
            return None

    def write_trained(self, trained: Mapping[str, Any]) -> None:
        """Keep what training came to for the step that scores."""
        write_atomic(self.trained_file, sealed({"key": self.key, **trained}))

    def read_trained(self) -> dict[str, Any]:
        """What training came to. Raises RecordError if it is damaged or another trial's."""
        found = unsealed(self.trained_file)
        if found["key"] != self.key:
            raise damaged(self.trained_file, f"it is of trial {found['key']}")
        return found

    def trained_files(self) -> dict[str, str]:
        """The digests of what a finished training has saved."""
        model = [path for path in self.model_folder.rglob("*") if path.is_file()]
        return digests(self.path, [self.probe_file, *model])

    def written_files(self) -> dict[str, str]:
        """The digests that a record vouches for: scores by pair, attention, the saved model."""
        model = [path for path in self.model_folder.rglob("*") if path.is_file()]
        extra = [self.attention_file] if self.attention_file.exists() else []
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
        except FileNotFoundError:
            return [], 0
        events, ended = [], new[: new.rfind(b"\n") + 1]
        for line in ended.splitlines():
            with contextlib.suppress(RecordError):
                events.append(unsealed(self.progress_file, line))
        return events, offset + len(ended)

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


def _parsed(form: TypeAdapter[_Form], path: Path, key: str) -> _Form:
    """A sealed record. Raises FileNotFoundError, and RecordError for whatever is not whole."""
    content = unsealed(path)
    refuse_newer(path, content, SCHEMA)
    try:
        found = form.validate_python({**content, "spec": trial_spec(content.get("spec"))})
    except ValidationError as error:
        raise damaged(path, str(error)) from None
    if found.key != key:
        raise damaged(path, f"it is the record of trial {found.key}")
    return found
