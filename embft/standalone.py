"""One model on one dataset, outside every sweep: the tables that `embft evaluate` prints.

Covers base models, saved models and adapters, and the folders of finished trials. Trains nothing
and writes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sentence_transformers import SentenceTransformer

from embft.base_model import find_base_model
from embft.data.pairs import Splits
from embft.errors import ModelError
from embft.evaluation.context import Context
from embft.evaluation.embed import EVALUATED, cosines, embed_splits
from embft.evaluation.evaluators import Evaluated, evaluate, find_evaluator
from embft.evaluation.scoring import ScoredSplits, score_splits
from embft.models import load_base, load_saved
from embft.models.adapter import ADAPTER_CONFIG
from embft.spec import ModelSpec
from embft.trial import TrialDir


@dataclass(frozen=True)
class Evaluation:
    """What one model scores.

    rows: keys `metric`, `split`, `value`, `low`, `high`; the ends of the 95 % interval are None
    where there is none, as for the evaluators' metrics. undefined: why test has no such metric.
    scheme: what was resampled for the intervals.
    """

    model: str
    threshold: float | None
    scheme: str
    rows: list[dict[str, Any]]
    undefined: dict[str, str]


def evaluate_model(
    model: str,
    splits: Splits,
    evaluators: Sequence[str] = (),
    *,
    folder: Path | None = None,
    seed: int = 0,
) -> Evaluation:
    """Score a model (a folder or a hub name) on dev and test, and run these evaluators.

    The threshold is dev's, also for test. `folder`: where users' evaluator modules are looked for.
    Raises ModelError and ProofError when the model cannot be loaded, EmbftError for an unknown
    evaluator, before anything is encoded.
    """
    for name in evaluators:
        find_evaluator(name, folder)
    loaded = load_model(model)
    embedded = embed_splits(loaded, splits)
    scores = {split: cosines(embedded[split]) for split in EVALUATED}
    scored = score_splits(splits, scores)
    context = Context(loaded, splits, embedded, scored.threshold, seed)
    found = evaluate(context, evaluators, folder)
    return Evaluation(
        model=model,
        threshold=scored.threshold,
        scheme=scored.test.scheme,
        rows=_rows(scored, found),
        undefined={**scored.undefined, **found.undefined},
    )


def load_model(name: str) -> SentenceTransformer:
    """The model of a hub name, a model's folder, an adapter's folder or a trial's folder.

    Raises ModelError, and ProofError where an adapter does not fit its base model.
    """
    saved, spec = find_saved(name)
    base = find_base_model(spec.base, spec.revision).folder
    return load_base(base, spec) if saved is None else load_saved(saved, base, spec)


def find_saved(name: str) -> tuple[Path | None, ModelSpec]:
    """Where a trained model lies, and what its base is; None where `name` is itself a base.

    Raises ModelError, and RecordError where a trial's files are not what its record says.
    """
    folder = Path(name).expanduser()
    if (folder / "trial.json").is_file():
        trial = TrialDir(folder)
        spec = trial.read_input().spec
        result = trial.result()
        if result is not None:
            trial.check_files(result)
        if trial.removed_file.exists():
            raise ModelError(
                f"{folder}: this trial's model was removed after it was scored, as artifacts.keep "
                "of its spec asked: move the trial's folder away, set artifacts: {keep: all}, and "
                "the same sweep trains it again"
            )
        return None if spec.is_baseline else trial.model_folder, spec.model
    if (folder / ADAPTER_CONFIG).is_file():
        return folder, ModelSpec(base=_base_of(folder / ADAPTER_CONFIG))
    return None, ModelSpec(base=name)


def _base_of(config: Path) -> str:
    try:
        return str(json.loads(config.read_text())["base_model_name_or_path"])
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{config}: does not say which base model it adapts: {error}") from None


def _rows(scored: ScoredSplits, found: Evaluated) -> list[dict[str, Any]]:
    rows = []
    for split, scores, others in (
        ("dev", scored.dev, found.dev),
        ("test", scored.test, found.test),
    ):
        for metric, value in {**scores.metrics, **others}.items():
            low, high = scores.intervals.get(metric, (None, None))
            rows.append(
                {"metric": metric, "split": split, "value": value, "low": low, "high": high}
            )
    return rows
