"""MTEB's classification: logistic regression on a few texts of each label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field

from embft.data.labelled import Labelled
from embft.evaluation.context import Context, Estimate, Found
from embft.evaluation.labelled import SOURCE, OnLabelledTexts, by_split
from embft.metrics.bootstrap import weighted_interval
from embft.metrics.metric import SHARE, Metric
from embft.metrics.resampling import independent_pairs
from embft.metrics.weighted import FloatArray, IntArray
from embft.results.evaluators import table_file
from embft.results.units import UnitValues
from embft.spec.base import Files
from embft.system.light_import import import_sklearn

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


class Classification(OnLabelledTexts):
    """MTEB's classification: logistic regression on a few texts of each label.

    train: where those are drawn from; without it from the scored file, whose other texts are scored
    then.
    """

    train: Files | None = None
    samples_per_label: int = Field(default=16, ge=1)
    draws: int = Field(default=10, ge=1, le=1000)
    seed: int = Field(default=42, ge=0, lt=2**32)

    declared: ClassVar = (
        Metric(
            "classification_accuracy",
            "Classification accuracy",
            "mean over draws of the accuracy of a logistic regression on a few texts a label",
            bounds=SHARE,
            source=SOURCE,
            computed_by="classification",
            objective=True,
        ),
        Metric(
            "classification_f1",
            "Classification F1",
            "as classification_accuracy, the mean over labels of F1",
            bounds=SHARE,
            source=SOURCE,
            computed_by="classification",
            objective=True,
        ),
    )

    def run(self, context: Context, folder: Path | None) -> dict[str, Found]:
        """classification_accuracy and classification_f1 (macro), means over the draws."""
        pool = None
        if folder is not None and (train := table_file(folder, "train")).exists():
            pool = Labelled.read(train)
        return by_split(lambda path: self._score(path, pool, context), folder, context)

    def _score(self, path: Path, pool: Labelled | None, context: Context) -> Found:
        from embft.encoding.encoder import encode

        scored = Labelled.read(path)
        draws = draw_texts((pool or scored).labels, self)
        if pool is None:
            return _scored_apart(self, context.model, scored, draws)
        used = sorted({row for rows in draws for row in rows})
        embedded = dict(
            zip(used, encode(context.model, [pool.texts[i] for i in used]), strict=True)
        )
        target = encode(context.model, scored.texts)
        fits = [([embedded[i] for i in r], [pool.labels[i] for i in r]) for r in draws]
        every = np.arange(len(target))
        return _classified(fits, self.seed, target, scored, [every] * len(fits))


def _scored_apart(
    spec: Classification,
    model: SentenceTransformer,
    scored: Labelled,
    draws: Sequence[Sequence[int]],
) -> Found:
    """Each draw's classifier on the texts that the draw left."""
    from embft.encoding.encoder import encode

    embeddings, labels = encode(model, scored.texts), np.asarray(scored.labels)
    every = np.arange(len(labels))
    left = [np.setdiff1d(every, rows) for rows in draws]
    if not all(map(len, left)):
        return {
            "classification_accuracy": "no text is left to score: fewer samples_per_label, or "
            "another file as `train`"
        }
    fits = [(list(embeddings[list(rows)]), labels[list(rows)].tolist()) for rows in draws]
    return _classified(fits, spec.seed, embeddings, scored, left)


def draw_texts(labels: Sequence[str], spec: Classification) -> list[list[int]]:
    """The rows of each draw: the first so many of each label in an order shuffled again each time.

    The order goes on from draw to draw, and the generator starts anew, as in mteb.
    """
    order, draws = list(range(len(labels))), []
    for _ in range(spec.draws):
        np.random.RandomState(spec.seed).shuffle(order)
        taken: Counter[str] = Counter()
        rows = []
        for row in order:
            if taken[labels[row]] < spec.samples_per_label:
                taken[labels[row]] += 1
                rows.append(row)
        draws.append(rows)
    return draws


def _classified(
    fits: Sequence[tuple[Sequence[npt.NDArray[np.float32]], Sequence[str]]],
    seed: int,
    target: npt.NDArray[np.float32],
    texts: Labelled,
    scored: Sequence[IntArray],
) -> Found:
    """Accuracy and macro F1 of a logistic regression for each draw, on its rows of `target`."""
    import_sklearn("linear_model")
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import f1_score

    if not np.isfinite(target).all():
        return {"classification_accuracy": "embeddings are not finite numbers"}
    labels = np.asarray(texts.labels)
    right, tried, f1 = np.zeros(len(labels)), np.zeros(len(labels)), []
    for (vectors, classes), rows in zip(fits, scored, strict=True):
        model = LogisticRegression(max_iter=100, random_state=seed)
        predicted = model.fit(np.stack(vectors), classes).predict(target[rows])
        right[rows] += predicted == labels[rows]
        tried[rows] += 1
        f1.append(f1_score(labels[rows], predicted, average="macro"))
    seen = tried > 0

    def accuracy(weights: FloatArray) -> FloatArray:
        share: FloatArray = weights @ right[seen] / (weights @ tried[seen])
        return share

    value = float(right.sum() / tried.sum())
    interval = weighted_interval(accuracy, independent_pairs(int(seen.sum())))
    ids = tuple(texts.texts[i] for i in np.flatnonzero(seen).tolist())
    by_text = UnitValues("text", ids, right[seen] / tried[seen], tried[seen])
    by_draw = UnitValues("draw", tuple(map(str, range(len(f1)))), np.array(f1))
    return {
        "classification_accuracy": Estimate(value, interval, by_text),
        "classification_f1": Estimate(float(np.mean(f1)), None, by_draw),
    }
