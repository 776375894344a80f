"""Texts with class labels, and graded pairs, after the usual benchmark's protocols.

Clustering, classification and STS as MTEB runs them (Muennighoff et al., 2023), draw by draw the
same as the mteb package does; `tests/evaluation/test_mteb.py` compares the two. The files are those
of `results/evaluators.py`: `data.parquet` is reported under test, `dev.parquet` under dev.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sentence_transformers import SentenceTransformer

from embft.data.labelled import Labelled
from embft.data.pairs import Pairs
from embft.encoding.encoder import encode
from embft.evaluation.context import Context, Estimate, Found
from embft.evaluation.embed import pair_cosines
from embft.metrics.bootstrap import bootstrap, weighted_interval
from embft.metrics.pairs import pair_metrics
from embft.metrics.resampling import independent_pairs, sampling_units
from embft.metrics.weighted import FloatArray, IntArray
from embft.results.evaluators import table_file
from embft.spec.evaluators import ClassificationSpec, ClusteringSpec

_ROLES = {"dev": "dev", "test": "data"}


def clustering(spec: ClusteringSpec, folder: Path, context: Context) -> dict[str, Found]:
    """v_measure and its spread, the sd over draws (ddof 1), of each file that is asked for."""

    def score(path: Path) -> Found:
        texts = Labelled.read(path)
        draw = random.Random(spec.seed)  # noqa: S311 - MTEB's own generator
        rows = _fraction(len(texts.texts), spec.fraction, draw)
        labels = [texts.labels[i] for i in rows]
        embeddings = encode(context.model, [texts.texts[i] for i in rows])
        if not np.isfinite(embeddings).all():
            return {"v_measure": "embeddings are not finite numbers"}
        found = v_measures(embeddings, labels, spec, draw)
        spread = float(np.std(found, ddof=1)) if len(found) > 1 else "one draw has no spread"
        return {"v_measure": float(np.mean(found)), "v_measure_spread": spread}

    return _by_split(score, folder, context)


def _fraction(count: int, fraction: float, draw: random.Random) -> Sequence[int]:
    if fraction == 1.0:
        return range(count)
    return draw.sample(range(count), k=max(2, int(fraction * count)))


def v_measures(
    embeddings: npt.NDArray[np.floating],
    labels: Sequence[str],
    spec: ClusteringSpec,
    draw: random.Random | None = None,
) -> FloatArray:
    """The v-measure of each draw's mini-batch k-means, shape (draws,).

    `embeddings` (n, width), as the model gives them; `labels` (n,), as many clusters as there are
    different ones (Rosenberg and Hirschberg, 2007, for the measure).
    """
    from sklearn.cluster import MiniBatchKMeans
    from sklearn.metrics import v_measure_score

    generator = draw or random.Random(spec.seed)  # noqa: S311 - as above
    classes = np.asarray(labels)
    scores = []
    for number in range(spec.draws):
        rows: Sequence[int] = range(len(classes))
        seed = spec.seed + number
        if spec.draw_size != "all":
            rows, seed = generator.choices(range(len(classes)), k=spec.draw_size), spec.seed
        model = MiniBatchKMeans(
            len(np.unique(classes)),
            batch_size=spec.batch_size,
            init="k-means++",
            n_init=1,
            random_state=seed,
        )
        chosen = np.asarray(rows)
        scores.append(v_measure_score(classes[chosen], model.fit_predict(embeddings[chosen])))
    return np.array(scores)


def classification(spec: ClassificationSpec, folder: Path, context: Context) -> dict[str, Found]:
    """classification_accuracy and classification_f1 (macro), means over the draws."""

    def score(path: Path) -> Found:
        scored = Labelled.read(path)
        train = table_file(folder, "train")
        pool = Labelled.read(train) if train.exists() else None
        draws = draw_texts((pool or scored).labels, spec)
        if pool is None:
            return _scored_apart(spec, context.model, scored, draws)
        used = sorted({row for rows in draws for row in rows})
        embedded = dict(
            zip(used, encode(context.model, [pool.texts[i] for i in used]), strict=True)
        )
        target = encode(context.model, scored.texts)
        fits = [([embedded[i] for i in r], [pool.labels[i] for i in r]) for r in draws]
        every = np.arange(len(target))
        return _classified(fits, spec.seed, target, np.asarray(scored.labels), [every] * len(fits))

    return _by_split(score, folder, context)


def _scored_apart(
    spec: ClassificationSpec,
    model: SentenceTransformer,
    scored: Labelled,
    draws: Sequence[Sequence[int]],
) -> Found:
    """Each draw's classifier on the texts that the draw left."""
    embeddings, labels = encode(model, scored.texts), np.asarray(scored.labels)
    every = np.arange(len(labels))
    left = [np.setdiff1d(every, rows) for rows in draws]
    if not all(map(len, left)):
        return {
            "classification_accuracy": "no text is left to score: fewer samples_per_label, or "
            "another file as `train`"
        }
    fits = [(list(embeddings[list(rows)]), labels[list(rows)].tolist()) for rows in draws]
    return _classified(fits, spec.seed, embeddings, labels, left)


def draw_texts(labels: Sequence[str], spec: ClassificationSpec) -> list[list[int]]:
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
    labels: npt.NDArray[np.str_],
    scored: Sequence[IntArray],
) -> Found:
    """Accuracy and macro F1 of a logistic regression for each draw, on its rows of `target`."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import f1_score

    if not np.isfinite(target).all():
        return {"classification_accuracy": "embeddings are not finite numbers"}
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
    return {
        "classification_accuracy": Estimate(value, interval),
        "classification_f1": float(np.mean(f1)),
    }


def sts(folder: Path, context: Context) -> dict[str, Found]:
    """sts_spearman and sts_pearson of cosine and label, of each file that is asked for."""

    def score(path: Path) -> Found:
        pairs = Pairs.read(path)
        cosines = pair_cosines(context.model, pairs)
        if not np.isfinite(cosines).all():
            return {"sts_spearman": "embeddings are not finite numbers"}
        units = sampling_units(pairs.text_1, pairs.text_2)
        values = pair_metrics(cosines, pairs.label, 0.0)
        intervals = bootstrap(cosines, pairs.label, 0.0, units).intervals
        found: Found = {}
        for name in ("spearman", "pearson"):
            interval = intervals.get(name)
            ends = (interval.low, interval.high) if interval else None
            found[f"sts_{name}"] = (
                Estimate(values[name], ends) if name in values else "cosines or labels are equal"
            )
        return found

    return _by_split(score, folder, context)


def _by_split(score: Callable[[Path], Found], folder: Path, context: Context) -> dict[str, Found]:
    paths = {split: table_file(folder, _ROLES[split]) for split in context.asked}
    return {split: score(path) for split, path in paths.items() if path.exists()}
