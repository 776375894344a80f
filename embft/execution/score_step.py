"""A trial's second worker: load what was saved, verify it, score it, and write the record."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from sentence_transformers import SentenceTransformer

from embft.data.pairs import Splits
from embft.encoding.encoder import encode_sides
from embft.encoding.stopping import stoppable
from embft.evaluation.context import EVALUATED, Context
from embft.evaluation.embed import cosines, embed_splits
from embft.evaluation.run import Evaluated, evaluate
from embft.evaluation.scoring import ScoredSplits, score_splits
from embft.execution.inputs import (
    bound_evaluators,
    precision_of,
    read_base,
    read_splits,
    use_resources,
)
from embft.models.base import default_device, load_base
from embft.models.save import load_saved, total_parameters
from embft.models.verification import Reference, verify
from embft.results.dataset import leaked_test_rows
from embft.results.folders import TrialDir
from embft.results.provenance import now, provenance
from embft.results.records import Completed, Timings, Trained, TrialInput, Verification
from embft.results.scores import write_scores
from embft.results.units import write_units
from embft.system.processes import peak_memory


def score_step(folder: TrialDir) -> None:
    """Load what was saved, verify it, score it on dev and test, and write the trial's record."""
    started, clock = now(), time.perf_counter()
    given = folder.read_input()
    use_resources(given)
    splits = read_splits(folder, given)
    folder.append_progress({"event": "scoring"})
    model, trained, verification = _loaded(folder, given, started)
    with stoppable(model, folder.sweep.stop_file.exists):
        scored, more = _scored(folder, given, splits, model)
    if any(more.by_unit.values()):
        write_units(folder.units_file, more.by_unit)
    seconds = time.perf_counter() - clock
    folder.write_result(
        Completed(
            **given.repeated,
            **_scores(scored, more),
            **_training(trained, seconds),
            verification=verification,
            trained_under=trained.provenance,
            files=folder.written_files(),
            provenance=provenance(
                started=trained.started,
                threads=given.threads,
                precision=precision_of(given),
                device=default_device(),
                training=trained.without,
            ),
        )
    )


def _loaded(
    folder: TrialDir, given: TrialInput, started: str
) -> tuple[SentenceTransformer, Trained, Verification | None]:
    """The trial's model, what its training came to, and how it was verified; of a baseline the
    base model, which was not trained.
    """
    base = read_base(given)
    if given.spec.is_baseline:
        model = load_base(base.folder, given.spec.model)
        parameters = total_parameters(model)
        return model, Trained(key=given.key, started=started, total_parameters=parameters), None
    trained = folder.read_trained()
    model = load_saved(folder.model_folder, base.folder, given.spec.model)
    reference = Reference.read(folder.reference_file)
    reloaded = encode_sides(model, reference.texts, reference.sides)
    return model, trained, verify(reloaded, reference.trained, reference.base)


def _scored(
    folder: TrialDir, given: TrialInput, splits: Splits, model: SentenceTransformer
) -> tuple[ScoredSplits, Evaluated]:
    """The metrics of the pairs, whose scores it writes, and what the spec's evaluators find."""
    embedded = embed_splits(model, splits)
    scores = {split: cosines(embedded[split]) for split in EVALUATED}
    write_scores(folder.scores_file, splits, scores)
    scored = score_splits(splits, scores, leaked_test_rows(folder.sweep.dataset(given.data)))
    if any(entry.is_users for entry in given.spec.evaluators):  # they may expect lists
        splits = replace(splits, train=splits.train.in_memory())
    context = Context(
        model, splits, embedded, scored.threshold, given.spec.seed, folder=folder.path
    )
    return scored, evaluate(context, bound_evaluators(folder, given))


def _scores(scored: ScoredSplits, more: Evaluated) -> dict[str, Any]:
    """The record's fields that say how good the model is."""
    without = scored.test_without_leaks
    return {
        "threshold": scored.threshold,
        "dev": {**scored.dev.metrics, **more.dev},
        "test": {**scored.test.metrics, **more.test},
        "test_without_leaks": without.metrics if without else {},
        "test_without_leaks_intervals": without.intervals if without else {},
        "reliability": scored.reliability,
        "dev_intervals": {**scored.dev.intervals, **more.dev_intervals},
        "test_intervals": {**scored.test.intervals, **more.test_intervals},
        "interval_scheme": scored.test.scheme,
        "interval_notes": scored.test.notes,
        "undefined": {**scored.undefined, **more.undefined},
    }


def _training(trained: Trained, seconds: float) -> dict[str, Any]:
    """The record's fields that say what the trial took. seconds: of this step, so far."""
    return {
        "epochs": trained.epochs,
        "best_epoch": trained.best_epoch,
        "trainable_parameters": trained.trainable_parameters,
        "total_parameters": trained.total_parameters,
        "artifact_bytes": trained.artifact_bytes,
        "peak_memory_mb": max(peak_memory() / 1e6, trained.peak_memory_mb),
        "timings": Timings(
            train=trained.train_seconds,
            evaluate=seconds,
            total=trained.total_seconds + seconds,
        ),
    }
