"""A trial's first worker: train the model that the trial's input describes, and save it."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from sentence_transformers import SentenceTransformer
from transformers import set_seed

from embft.data.pairs import Splits
from embft.encoding.encoder import encode_sides
from embft.encoding.token_cache import TokenCache
from embft.errors import EmbftError, ModelError, RecordError
from embft.evaluation.run import Bound, epoch_metrics
from embft.execution.inputs import (
    bound_evaluators,
    precision_of,
    read_base,
    read_splits,
    use_resources,
    use_threads,
)
from embft.models.base import build, default_device, load_base
from embft.models.save import Origin, save, total_parameters, trainable_parameters
from embft.models.verification import LEAST_CHANGE, Embeddings, Reference, reference_texts
from embft.results.folders import TrialDir
from embft.results.provenance import now, token_identity, training_identity
from embft.results.records import EpochScore, Metrics, Trained, TrialInput
from embft.spec import TrainSpec
from embft.spec.objective import giving
from embft.storage.seal import check_digests
from embft.system.load import Others
from embft.system.processes import peak_memory
from embft.system.speedups import missing
from embft.training.checkpoint import Checkpoints
from embft.training.kernels.entry import kernels
from embft.training.loop import Hooks, Outcome, Step, train
from embft.training.step import DivergedError, NothingLearnedError
from embft.training.threads import Timed, choose_threads

_STEP_INTERVAL = 0.5  # seconds between two lines of progress
_ASK_SECONDS = 0.01  # between two looks for a scheduler's decision


def train_step(folder: TrialDir) -> None:
    """Train the model and save it, with reference embeddings for the verification.

    Goes on from what an interrupted attempt has left, if that is whole.
    """
    started, clock = now(), time.perf_counter()
    given, others = folder.read_input(), Others(_root())
    use_resources(given)
    identity = _identity(given)
    if _is_trained(folder, identity):
        return
    base = read_base(given)
    splits = read_splits(folder, given)
    texts, sides = zip(*reference_texts(splits.dev), strict=True)
    set_seed(given.spec.seed)  # a new adapter's weights are drawn
    model = build(base.folder, given.spec.model, given.train_spec)
    before = encode_sides(model, texts, sides)  # a new adapter changes nothing yet
    outcome = _train(folder, given, identity, model, splits, others)
    after = encode_sides(model, texts, sides)
    _check_changed(before, after, given.train_spec)
    Reference(texts, before, after, sides).write(folder.reference_file)
    artifact_bytes = save(model, folder.model_folder, Origin.of(base))
    folder.write_trained(
        Trained(
            key=given.key,
            started=started,
            identity=identity,
            best_epoch=outcome.best.epoch,
            epochs=tuple(outcome.history),
            trainable_parameters=trainable_parameters(model),
            total_parameters=total_parameters(model),
            artifact_bytes=artifact_bytes,
            train_seconds=outcome.seconds,
            total_seconds=outcome.seconds + time.perf_counter() - clock - outcome.since_resume,
            peak_memory_mb=peak_memory() / 1e6,
            without=missing(),
            files=folder.trained_files(),
        )
    )


def _root() -> int:
    """The process below which all of the sweep's own are: this worker's launcher."""
    launcher = multiprocessing.parent_process()
    return os.getpid() if launcher is None or launcher.pid is None else launcher.pid


def _train(  # noqa: PLR0913, PLR0917 - what a training is made of
    folder: TrialDir,
    given: TrialInput,
    identity: dict[str, Any],
    model: SentenceTransformer,
    splits: Splits,
    others: Others,
) -> Outcome:
    checkpoints = Checkpoints(folder.checkpoints_folder, identity)
    prefix = _shared_prefix(folder, given, identity)

    def choose(timed: Timed) -> None:
        if not given.chooses_threads:
            return
        threads = _chosen_threads(given, prefix, others, timed)
        use_threads(threads)
        for each in (identity, checkpoints.identity, *([prefix.identity] if prefix else [])):
            each["threads"] = threads
        folder.write_input(given.model_copy(update={"threads": threads, "chooses_threads": False}))

    return train(
        model,
        given.train_spec,
        splits.train,
        given.spec.seed,
        replace(_hooks(folder, given, splits, model), on_start=choose),
        checkpoints=checkpoints,
        prefix=prefix,
        guide=lambda: load_base(read_base(given).folder, given.spec.model),
        tokens=TokenCache(folder.sweep.tokens_folder, _token_identity(given)),
    )


def _chosen_threads(
    given: TrialInput, prefix: Checkpoints | None, others: Others, timed: Timed
) -> int:
    """As many as what it goes on from had; else, on a CPU, by what the machine has left."""
    before = prefix.newest("threads") if prefix else None
    if isinstance(before, int):
        return before
    if given.threads == 1 or default_device() != "cpu":
        return given.threads
    return choose_threads(given.threads, others.cores(), timed)


def _check_changed(before: Embeddings, after: Embeddings, spec: TrainSpec) -> None:
    """Raise NothingLearnedError where training has changed embeddings by no more than rounding."""
    change = float(np.abs(after - before).max())
    if change < LEAST_CHANGE:
        raise NothingLearnedError(
            f"training changed the embeddings by {change:.1e} at most, which is rounding: try a "
            f"larger train.learning_rate than {spec.learning_rate:g}, more steps, or fewer "
            f"train.warmup_steps than {spec.warmup_steps}"
        )


def _shared_prefix(
    folder: TrialDir, given: TrialInput, identity: dict[str, Any]
) -> Checkpoints | None:
    if given.prefix is None:
        return None
    shared = folder.sweep.prefixes_folder / given.prefix
    return Checkpoints(shared, {**identity, "key": given.prefix})


def _identity(given: TrialInput) -> dict[str, Any]:
    """What the last digits of this training depend on. Another one's remains are not gone on from:
    an upgraded package, another number of threads, a batch that did not fit in memory.
    """
    device = default_device()
    return {
        "key": given.key,
        "threads": given.threads,
        "micro_batch_size": given.train_spec.micro_batch_size,
        "compiled": device == "cpu" and kernels() is not None,
        **training_identity(precision_of(given), device),
    }


def _token_identity(given: TrialInput) -> dict[str, Any]:
    """What decides the tokens of the training texts."""
    model = given.spec.model.model_dump(mode="json", exclude={"base", "revision"})
    return {"data": given.data_digest, "base": given.model_digest, "model": model} | (
        token_identity()
    )


def _is_trained(folder: TrialDir, identity: dict[str, Any]) -> bool:
    """Whether an interrupted attempt has left a finished training, ours and every file whole."""
    try:
        trained = folder.read_trained()
        check_digests(folder.path, trained.files)
    except (FileNotFoundError, RecordError):
        return False
    return trained.identity == identity


def _hooks(folder: TrialDir, given: TrialInput, splits: Splits, model: Any) -> Hooks:
    """How a training is scored, what it tells the progress file, and what stops it."""
    last = -_STEP_INTERVAL
    chosen = giving(given.spec.objective.metric, given.spec.evaluators)
    extra = [
        bound
        for bound in bound_evaluators(folder, given)
        if bound[0] == chosen or bound[0].fields.during_training
    ]

    def tell(step: Step) -> None:
        nonlocal last
        if time.monotonic() - last >= _STEP_INTERVAL:
            last = time.monotonic()
            folder.append_progress({"event": "step", **vars(step)})

    decisions = _Decisions(folder, asks=given.asks)
    return Hooks(
        evaluate=lambda: _evaluate(model, splits, given, extra),
        on_evaluation=decisions.on_evaluation,
        on_step=tell,
        on_resume=lambda step: folder.append_progress({"event": "resumed", "step": step}),
        should_stop=decisions.should_stop,
    )


class _Decisions:
    """Tells of evaluations, and where a scheduler decides waits for it before the next step.

    So what is decided does not depend on how fast a training is. The last evaluation needs no
    decision: training has ended.
    """

    def __init__(self, folder: TrialDir, *, asks: bool) -> None:
        self.folder, self.asks = folder, asks
        self.evaluations = self.allowed = 0

    def on_evaluation(self, score: EpochScore) -> None:
        self.evaluations += 1
        self.folder.append_progress({"event": "epoch", **score.model_dump()})

    def should_stop(self) -> bool:
        if self.folder.sweep.stop_file.exists():
            return True
        if not self.asks or self.allowed >= self.evaluations:
            return False
        self.folder.append_progress({"event": "asks", "evaluations": self.evaluations})
        while not self._told_to_stop():
            self.allowed = self.folder.allowed_evaluations()
            if self.allowed >= self.evaluations:
                return False
            time.sleep(_ASK_SECONDS)
        return True

    def _told_to_stop(self) -> bool:
        folder = self.folder
        files = (folder.sweep.stop_file, folder.prune_file, folder.pause_file)
        return any(path.exists() for path in files)


def _evaluate(
    model: Any, splits: Splits, given: TrialInput, extra: Sequence[Bound]
) -> tuple[float, Metrics]:
    """The objective on dev, larger is better, and dev's metrics, evaluators' among them."""
    objective = given.spec.objective
    try:
        metrics = epoch_metrics(model, splits.dev, given.spec.seed, extra, splits.retrieval)
    except ModelError as error:
        # Scored before training too, where it was whole: a last step's loss may still be finite.
        raise DivergedError(str(error)) from None
    if objective.metric not in metrics:
        raise EmbftError(f"the objective {objective.metric} is undefined on the dev split")
    value = metrics[objective.metric]
    return (value if objective.mode == "max" else -value), metrics
