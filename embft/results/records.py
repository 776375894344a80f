"""What passes between the driver, a worker and the report, as types: a trial's input, its result.

Knows no torch, no Ray and no YAML. Which file holds what, `folders.py` says.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from embft.errors import FailureReason
from embft.spec import TrainSpec, TrialSpec, trial_spec
from embft.storage.paths import InsidePath
from embft.storage.seal import damaged, refuse_newer, unsealed

SCHEMA = 2

Metrics = dict[str, float]


class Status(StrEnum):
    """How far a trial has come. The first three are those of a finished one, in its record."""

    COMPLETED = "completed"
    PRUNED = "pruned"
    FAILED = "failed"
    RUNNING = "running"
    PENDING = "pending"


class _Record(BaseModel):
    """A record on disk. Unknown fields are an error: a newer embft wrote them."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Attempt(_Record):
    """An attempt at a trial that failed, before another one."""

    reason: FailureReason
    message: str
    peak_memory_mb: float
    seconds: float


class TrialInput(_Record):
    """`trial.json`: what a worker is to do. `data` is relative to the sweep's folder.
    prefix: what it shares with trials that only have other epochs, if there are such.
    micro_batch_size: instead of the spec's, where memory ran out with that. asks: whether training
    waits after each evaluation for a scheduler's decision. trained_by: the key of another trial
    whose training this one has taken over, so that it is only scored. chooses_threads: whether its
    training may take fewer, by what the machine has left at its start; it then writes down which.
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
    asks: bool = False
    trained_by: str | None = None
    chooses_threads: bool = False

    @property
    def repeated(self) -> dict[str, Any]:
        """The fields that the trial's result repeats, so that it can be read by itself."""
        names = type(self).model_fields.keys() & _Result.model_fields.keys()
        return {name: getattr(self, name) for name in sorted(names - {"schema_version"})}

    @property
    def train_spec(self) -> TrainSpec:
        """How to train, in parts that fit in memory."""
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


class Verification(_Record):
    """How the saved model was shown to be the trained one.

    Largest absolute differences between embeddings of the same texts: saved and loaded again
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


class Trained(_Record):
    """`trained.json`: what a training leaves for the step that scores. Seconds and MB.

    identity: what its last digits depend on. without: speed-ups that this machine had not, each
    with the reason. files: path in the trial's folder -> SHA-256. Of a baseline there is only what
    has no default. provenance: of the training, where another trial's was taken over.
    """

    key: str
    started: str
    total_parameters: int
    identity: dict[str, str | int | bool | None] = Field(default_factory=dict)
    best_epoch: int | float | None = None
    epochs: tuple[EpochScore, ...] = ()
    trainable_parameters: int = 0
    artifact_bytes: int = 0
    train_seconds: float = 0.0
    total_seconds: float = 0.0
    peak_memory_mb: float = 0.0
    without: dict[str, str] = Field(default_factory=dict)
    files: dict[InsidePath, str] = Field(default_factory=dict)
    provenance: Provenance | None = None


class Provenance(_Record):
    """What the user did not choose but may have to know. Not part of the key.

    without: speed-ups that this machine had not, each with the reason.
    """

    embft: str
    python: str
    platform: str
    processor: str
    cpu_count: int
    threads: int
    precision: str
    device: str
    packages: dict[str, str]
    without: dict[str, str] = Field(default_factory=dict)
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
    trained_by: str | None = None
    peak_memory_mb: float | None = None
    provenance: Provenance | None = None


class Completed(_Result):
    """A trial that trained, was verified and scored.

    trained_by, trained_under: where it was only scored, the key of the trial whose training it has,
    and the provenance of that.
    """

    status: Literal[Status.COMPLETED] = Status.COMPLETED
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
    interval_notes: dict[str, str] = Field(default_factory=dict)
    undefined: dict[str, str] = Field(default_factory=dict)
    verification: Verification | None
    trained_under: Provenance | None = None
    trainable_parameters: int
    total_parameters: int
    artifact_bytes: int
    timings: Timings
    # Path in the trial's folder -> SHA-256 of what was scored: the per-pair scores, the model.
    files: dict[InsidePath, str] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _older_names(cls, content: Any) -> Any:
        """A verification was called a proof."""
        if isinstance(content, dict) and "proof" in content:
            content = {**content, "verification": content["proof"]}
            del content["proof"]
        return content


class PruneDecision(_Record):
    """`prune.json`: a scheduler's decision that a training is to end where it is.

    reason: in words. scheduler: the spec's section, with which the decision stands and falls.
    """

    reason: str
    scheduler: dict[str, Any]


class Pruned(_Result):
    """A trial that a scheduler stopped early: its curve is in `epochs`, its model is not kept.

    scheduler: as in the decision; a spec that says otherwise runs the trial again.
    """

    status: Literal[Status.PRUNED] = Status.PRUNED
    reason: str
    scheduler: dict[str, Any] = Field(default_factory=dict)
    total_seconds: float = 0.0


class Failed(_Result):
    """A trial that ended without scores."""

    status: Literal[Status.FAILED] = Status.FAILED
    reason: FailureReason
    message: str
    log_tail: str = ""
    memory_limit_mb: float | None = None
    total_seconds: float = 0.0


TrialResult = Completed | Pruned | Failed
RESULT_FORM = TypeAdapter[TrialResult](Annotated[TrialResult, Field(discriminator="status")])
INPUT_FORM = TypeAdapter(TrialInput)
TRAINED_FORM = TypeAdapter(Trained)
_Form = TypeVar("_Form", bound=TrialInput | Trained | _Result)


def read_record(form: TypeAdapter[_Form], path: Path, key: str) -> _Form:
    """The sealed record of the trial with this key.

    Raises FileNotFoundError, and RecordError for whatever is not whole.
    """
    content = unsealed(path)
    refuse_newer(path, content, SCHEMA)
    try:
        if "spec" in content:
            content["spec"] = trial_spec(content["spec"])
        found = form.validate_python(content)
    except ValidationError as error:
        raise damaged(path, str(error)) from None
    if found.key != key:
        raise damaged(path, f"it is the record of trial {found.key}")
    return found
