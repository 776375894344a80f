"""The isolated process of a trial: read trial.json, train, save; in a second process load what was
saved, verify, score, and write result.json.

Each step runs in a process of its own, so that what is scored has been on disk, and two models are
never in memory at once. Imported by the warm template, which is why its imports are at the top.
"""

from __future__ import annotations

import json
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import torch
from threadpoolctl import threadpool_limits
from transformers import set_seed
from transformers.utils import logging as transformers_logging

from embft.data.pairs import Pairs, Splits
from embft.encoding.encoder import encode
from embft.encoding.stopping import StoppedError, stoppable
from embft.encoding.token_cache import TokenCache
from embft.errors import EmbftError, FailureReason, ModelError, RecordError, VerificationError
from embft.evaluation.context import EVALUATED, Context
from embft.evaluation.embed import cosines, embed_splits
from embft.evaluation.evaluators import Bound, epoch_metrics, evaluate
from embft.evaluation.scoring import score_splits
from embft.execution.failure import EXIT_STATUS, EXIT_STOPPED
from embft.models.base import build, default_device, load_base, use_device
from embft.models.resolve import LocalBase, spec_base
from embft.models.save import Origin, load_saved, save, total_parameters, trainable_parameters
from embft.models.verification import Probe, probe_texts, verify
from embft.results.dataset import leaked_test_rows, open_splits
from embft.results.evaluators import check_frozen
from embft.results.folders import TrialDir
from embft.results.provenance import now, provenance, token_identity, training_identity
from embft.results.records import Completed, EpochScore, Metrics, Timings, TrialInput, Verification
from embft.results.scores import write_scores
from embft.results.units import write_units
from embft.spec.objective import giving
from embft.storage.errors import storage_reason
from embft.storage.files import write_atomic
from embft.storage.seal import check_digests
from embft.system.speedups import missing
from embft.training.checkpoint import Checkpoints
from embft.training.kernels.entry import kernels
from embft.training.loop import Hooks, Step, train
from embft.training.precision import resolve_precision
from embft.training.step import DivergedError

_STEP_INTERVAL = 0.5  # seconds between two lines of progress

_REASONS: dict[type[Exception], FailureReason] = {
    VerificationError: FailureReason.VERIFICATION_FAILED,
    DivergedError: FailureReason.DIVERGED,
    ModelError: FailureReason.MODEL_ERROR,
    EmbftError: FailureReason.INVALID_INPUT,
    MemoryError: FailureReason.OUT_OF_MEMORY,
    torch.OutOfMemoryError: FailureReason.OUT_OF_MEMORY,
}
_NO_MEMORY = "can't allocate memory"  # how torch says it on a CPU, in a plain RuntimeError


def run_step(step: str, folder: TrialDir) -> None:
    """Run one step (`train` or `score`) of a trial and end this process.

    Exit status 0 when the step is done; 1 with `failure.json` when it is not.
    """
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    warnings.filterwarnings("ignore", category=FutureWarning)
    try:
        STEPS[step](folder)
    except StoppedError:
        sys.exit(EXIT_STOPPED)
    except Exception as error:  # noqa: BLE001 - whatever happens becomes the trial's failure
        sys.exit(_tell(folder, error))


def _tell(folder: TrialDir, error: Exception) -> int:
    """Write down why the step failed. Returns the exit status that says so too."""
    reason = _reason(error)
    message = str(error) if isinstance(error, EmbftError) else _last_line(error)
    with suppress(OSError):  # the log may be what no longer fits on the disk
        traceback.print_exc()
        sys.stderr.flush()
    try:
        write_atomic(folder.failure_file, json.dumps({"reason": reason, "message": message}))
    except OSError as untold:
        return EXIT_STATUS.get(storage_reason(untold) or reason, 1)
    return 1


def _reason(error: Exception) -> FailureReason:
    named = (name for kind, name in _REASONS.items() if isinstance(error, kind))
    found = next(named, None) or storage_reason(error)
    if found is None and isinstance(error, RuntimeError) and _NO_MEMORY in str(error):
        return FailureReason.OUT_OF_MEMORY
    return found or FailureReason.CRASHED


def _last_line(error: Exception) -> str:
    return "".join(traceback.format_exception_only(error)).strip()


def train_step(folder: TrialDir) -> None:
    """Train the model and save it, with embeddings of probe texts for the verification.

    Goes on from what an interrupted attempt has left, if that is whole.
    """
    started, clock = now(), time.perf_counter()
    given = folder.read_input()
    _use(given)
    identity = _identity(given)
    if _is_trained(folder, identity):
        return
    base = _base(given)
    splits = read_splits(folder, given)
    probe = _probe_texts(splits)
    set_seed(given.spec.seed)  # a new adapter's weights are drawn
    model = build(base.folder, given.spec.model, given.train_spec)
    before = encode(model, probe)  # a new adapter changes nothing yet
    outcome = train(
        model,
        given.train_spec,
        splits.train,
        given.spec.seed,
        _hooks(folder, given, splits.dev, model),
        checkpoints=Checkpoints(folder.checkpoints_folder, identity),
        prefix=_shared_prefix(folder, given, identity),
        guide=lambda: load_base(base.folder, given.spec.model),
        tokens=TokenCache(folder.sweep.tokens_folder, _token_identity(given)),
    )
    Probe(probe, before, encode(model, probe)).write(folder.probe_file)
    artifact_bytes = save(model, folder.model_folder, Origin.of(base))
    trained = {
        "started": started,
        "identity": identity,
        "best_epoch": outcome.best.epoch,
        "epochs": [score.model_dump() for score in outcome.history],
        "trainable_parameters": trainable_parameters(model),
        "total_parameters": total_parameters(model),
        "artifact_bytes": artifact_bytes,
        "train_seconds": outcome.seconds,
        "total_seconds": outcome.seconds + time.perf_counter() - clock - outcome.since_resume,
        "peak_memory_mb": _peak_memory_mb(),
        "without": missing(),
        "files": folder.trained_files(),
    }
    folder.write_trained(trained)


def _shared_prefix(
    folder: TrialDir, given: TrialInput, identity: dict[str, Any]
) -> Checkpoints | None:
    if given.prefix is None:
        return None
    shared = folder.sweep.prefixes_folder / given.prefix
    return Checkpoints(shared, {**identity, "key": given.prefix})


def _use(given: TrialInput) -> None:
    """Its device, and its threads: torch's, numpy's and scikit-learn's."""
    use_device(given.device)
    torch.set_num_threads(given.threads)
    threadpool_limits(given.threads)


def _identity(given: TrialInput) -> dict[str, Any]:
    """What the last digits of this training depend on. Another one's remains are not gone on from:
    an upgraded package, another number of threads, a batch that did not fit in memory.
    """
    device = default_device()
    precision = resolve_precision(given.spec.train.precision, device)
    return {
        "key": given.key,
        "threads": given.threads,
        "micro_batch_size": given.train_spec.micro_batch_size,
        "compiled": device == "cpu" and kernels() is not None,
        **training_identity(precision, device),
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
        check_digests(folder.path, trained["files"])
    except (FileNotFoundError, RecordError):
        return False
    return bool(trained.get("identity") == identity)


def _hooks(folder: TrialDir, given: TrialInput, dev: Pairs, model: Any) -> Hooks:
    """How a training is scored, what it tells the progress file, and what stops it."""
    last = -_STEP_INTERVAL
    chosen = giving(given.spec.objective.metric, given.spec.evaluators)
    extra = [
        bound
        for bound in _evaluators(folder, given)
        if bound[0] == chosen or bound[0].fields.during_training
    ]

    def tell(step: Step) -> None:
        nonlocal last
        if time.monotonic() - last >= _STEP_INTERVAL:
            last = time.monotonic()
            folder.append_progress({"event": "step", **vars(step)})

    return Hooks(
        evaluate=lambda: _evaluate(model, dev, given, extra),
        on_evaluation=lambda s: folder.append_progress({"event": "epoch", **s.model_dump()}),
        on_step=tell,
        on_resume=lambda step: folder.append_progress({"event": "resumed", "step": step}),
        should_stop=folder.sweep.stop_file.exists,
    )


def _evaluate(
    model: Any, dev: Pairs, given: TrialInput, extra: Sequence[Bound]
) -> tuple[float, Metrics]:
    """The objective on dev, larger is better, and dev's metrics, evaluators' among them."""
    objective = given.spec.objective
    try:
        metrics = epoch_metrics(model, dev, given.spec.seed, extra)
    except ModelError as error:
        # Scored before training too, where it was whole: a last step's loss may still be finite.
        raise DivergedError(str(error)) from None
    if objective.metric not in metrics:
        raise EmbftError(f"the objective {objective.metric} is undefined on the dev split")
    value = metrics[objective.metric]
    return (value if objective.mode == "max" else -value), metrics


def score_step(folder: TrialDir) -> None:
    """Load what was saved, verify it, score it on dev and test, and write the trial's record."""
    started, clock = now(), time.perf_counter()
    given = folder.read_input()
    base = _base(given)
    _use(given)
    splits = read_splits(folder, given)
    folder.append_progress({"event": "scoring"})
    if given.spec.is_baseline:
        model, verification = load_base(base.folder, given.spec.model), None
        trained: dict[str, Any] = {"started": started, "total_parameters": total_parameters(model)}
    else:
        trained = folder.read_trained()
        model = load_saved(folder.model_folder, base.folder, given.spec.model)
        verification = _verification(folder, encode(model, _probe_texts(splits)))
    with stoppable(model, folder.sweep.stop_file.exists):
        embedded = embed_splits(model, splits)
        scores = {split: cosines(embedded[split]) for split in EVALUATED}
        write_scores(folder.scores_file, splits, scores)
        scored = score_splits(splits, scores, leaked_test_rows(folder.sweep.dataset(given.data)))
        if any(entry.is_users for entry in given.spec.evaluators):  # they may expect lists
            splits = replace(splits, train=splits.train.in_memory())
        context = Context(
            model, splits, embedded, scored.threshold, given.spec.seed, folder=folder.path
        )
        more = evaluate(context, _evaluators(folder, given))
    if any(more.by_unit.values()):
        write_units(folder.units_file, more.by_unit)
    without = scored.test_without_leaks
    evaluate_seconds = time.perf_counter() - clock
    folder.write_result(
        Completed(
            **given.repeated,
            epochs=tuple(EpochScore.model_validate(e) for e in trained.get("epochs", ())),
            best_epoch=trained.get("best_epoch"),
            threshold=scored.threshold,
            dev={**scored.dev.metrics, **more.dev},
            test={**scored.test.metrics, **more.test},
            test_without_leaks=without.metrics if without else {},
            test_without_leaks_intervals=without.intervals if without else {},
            reliability=scored.reliability,
            dev_intervals={**scored.dev.intervals, **more.dev_intervals},
            test_intervals={**scored.test.intervals, **more.test_intervals},
            interval_scheme=scored.test.scheme,
            undefined={**scored.undefined, **more.undefined},
            verification=verification,
            trainable_parameters=trained.get("trainable_parameters", 0),
            total_parameters=trained["total_parameters"],
            artifact_bytes=trained.get("artifact_bytes", 0),
            files=folder.written_files(),
            peak_memory_mb=max(_peak_memory_mb(), trained.get("peak_memory_mb", 0.0)),
            timings=Timings(
                train=trained.get("train_seconds", 0.0),
                evaluate=evaluate_seconds,
                total=trained.get("total_seconds", 0.0) + evaluate_seconds,
            ),
            provenance=provenance(
                started=trained["started"],
                threads=given.threads,
                precision=resolve_precision(given.spec.train.precision, model.device.type),
                device=default_device(),
                training=trained.get("without", {}),
            ),
        )
    )


STEPS: dict[str, Callable[[TrialDir], None]] = {"train": train_step, "score": score_step}


def read_splits(folder: TrialDir, given: TrialInput) -> Splits:
    """The data as the sweep froze it. Raises EmbftError when it is no longer what was planned."""
    source = folder.sweep.dataset(given.data)
    splits, digest = open_splits(source)
    if digest != given.data_digest:
        raise EmbftError(f"{source}: the data has changed since the trial was planned")
    return splits


def _evaluators(folder: TrialDir, given: TrialInput) -> list[Bound]:
    """The spec's evaluators, each with the folder of what it reads."""
    found: list[Bound] = []
    for entry, digest in zip(given.spec.evaluators, given.evaluators, strict=True):
        frozen = folder.sweep.evaluator_folder(digest)
        if frozen is not None:
            check_frozen(entry, frozen, digest)
        found.append((entry, frozen))
    return found


def _base(given: TrialInput) -> LocalBase:
    base = spec_base(given.spec.model)
    if base.digest != given.model_digest:
        raise ModelError(f"{base.folder}: the base model has changed since the trial was planned")
    return base


def _probe_texts(splits: Splits) -> tuple[str, ...]:
    return probe_texts([*splits.dev.text_1, *splits.dev.text_2])


def _verification(folder: TrialDir, reloaded: Any) -> Verification:
    probe = Probe.read(folder.probe_file)
    return verify(reloaded, probe.trained, probe.base)


def _peak_memory_mb() -> float:
    """The most memory that this process held, in MB, pages shared with the template included."""
    import resource

    peak = float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3
