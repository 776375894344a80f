"""One model on one dataset, outside every sweep: the tables that `embft evaluate` prints.

Covers base models, saved models and adapters, and the folders of finished trials. Trains nothing
and writes nothing.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from pydantic import ValidationError

from embft.data.pairs import Pairs, Splits
from embft.errors import EmbftError
from embft.evaluation.context import EVALUATED, Context, Progress
from embft.evaluation.embed import Scores, cosines, embed_splits
from embft.evaluation.run import Evaluated, evaluate
from embft.evaluation.scoring import ScoredSplits, score_splits
from embft.metrics.pairs import GroupRow, breakdown
from embft.models.trained import load_trained
from embft.results.evaluators import find_files
from embft.results.folders import SweepDir
from embft.results.units import UnitValues
from embft.spec import EvaluatorSpec

_NO_PAIRS = Pairs((), (), np.zeros(0))


@dataclass(frozen=True)
class Evaluation:
    """What one model scores.

    rows: keys `metric`, `split`, `value`, `low`, `high`; the ends of the 95 % interval are None
    where there is none. undefined: why test has no such metric. scheme: what was resampled for the
    intervals. groups: test's scores broken down by each group column, where labels are 0 and 1.
    scores: split -> each pair's cosine; by_unit: split -> metric -> the values that it is made of.
    """

    model: str
    threshold: float | None
    scheme: str
    rows: list[dict[str, Any]]
    undefined: dict[str, str]
    groups: dict[str, list[GroupRow]] = field(default_factory=dict)
    scores: Mapping[str, Scores] = field(default_factory=dict)
    by_unit: Mapping[str, Mapping[str, UnitValues]] = field(default_factory=dict)

    def of_test_alone(self) -> Evaluation:
        """The same without dev's rows, where both are the same pairs."""
        rows = [row for row in self.rows if row["split"] == "test"]
        reason = "metrics with a threshold: it was chosen on the same pairs, which flatters them"
        undefined = (
            {**self.undefined, "note": reason} if self.threshold is not None else self.undefined
        )
        return replace(self, rows=rows, undefined=undefined)


def read_evaluator(text: str, folder: Path = Path()) -> EvaluatorSpec:
    """An entry as a spec has it, written on one line; paths are relative to `folder`.

    Raises EmbftError.
    """
    try:
        entry = EvaluatorSpec.of(yaml.safe_load(text))
    except (yaml.YAMLError, ValidationError) as error:
        reason = error.errors()[0] if isinstance(error, ValidationError) else {"msg": str(error)}
        where = ".".join(map(str, reason.get("loc", ())))
        raise EmbftError(
            f"evaluator {text!r}: {where and where + ': '}{reason['msg']}. Write it as in a spec: "
            "clusters, module:function, or {clustering: {data: FILE, text: COLUMN, label: COLUMN}}"
        ) from None
    return entry.relative_to(folder)


def evaluate_model(  # noqa: PLR0913 - what a model is scored on, and how
    model: str,
    splits: Splits | None,
    evaluators: Sequence[EvaluatorSpec] = (),
    *,
    seed: int = 0,
    trusted: bool = False,
    progress: Progress | None = None,
) -> Evaluation:
    """Score a model (a folder or a hub name) on dev and test, and run these evaluators.

    The threshold is dev's, also for test. Without `splits` the evaluators alone, each of which must
    have its own data. Raises ModelError and VerificationError when the model cannot be loaded,
    EmbftError for an evaluator that cannot run, before anything is encoded.
    """
    lacking = [e.label for e in evaluators if e.fields.needs_pairs and not e.files]
    if splits is None and lacking:
        raise EmbftError(f"evaluator {lacking[0]!r} needs pairs: give them with --data")
    with tempfile.TemporaryDirectory() as folder:
        found = {entry: find_files(entry) for entry in evaluators}
        frozen = SweepDir(Path(folder))
        for files in found.values():
            files.freeze(frozen)
        bound = [(e, frozen.evaluator_folder(files.digest)) for e, files in found.items()]
        loaded = load_trained(model, trusted=trusted)
        if splits is None:
            empty = Splits(_NO_PAIRS, _NO_PAIRS, _NO_PAIRS)
            alone = evaluate(Context(loaded, empty, {}, None, seed, progress=progress), bound)
            rows = _rows(None, alone)
            return Evaluation(model, None, "nothing", rows, alone.undefined, by_unit=alone.by_unit)
        embedded = embed_splits(loaded, splits)
        scores = {split: cosines(embedded[split]) for split in EVALUATED}
        scored = score_splits(splits, scores)
        context = Context(loaded, splits, embedded, scored.threshold, seed, progress=progress)
        more = evaluate(context, bound)
    return Evaluation(
        model=model,
        threshold=scored.threshold,
        scheme=scored.test.scheme,
        rows=_rows(scored, more),
        undefined={**scored.undefined, **more.undefined},
        groups=_groups(splits.test, scores["test"], scored.threshold),
        scores=scores,
        by_unit=more.by_unit,
    )


def _groups(test: Pairs, scores: Scores, threshold: float | None) -> dict[str, list[GroupRow]]:
    if threshold is None or not test.is_binary:
        return {}
    return {
        column: breakdown(scores, test.label, threshold, values)
        for column, values in test.groups.items()
    }


def _rows(scored: ScoredSplits | None, found: Evaluated) -> list[dict[str, Any]]:
    rows = []
    for split in EVALUATED:
        scores = getattr(scored, split) if scored else None
        values = {**(scores.metrics if scores else {}), **getattr(found, split)}
        intervals = {
            **(scores.intervals if scores else {}),
            **getattr(found, f"{split}_intervals"),
        }
        notes = scores.notes if scores else {}
        for metric, value in values.items():
            low, high = intervals.get(metric, (None, None))
            ends = {"low": low, "high": high, "note": notes.get(metric)}
            rows.append({"metric": metric, "split": split, "value": value, **ends})
    return rows
