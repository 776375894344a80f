"""What smaller embeddings cost: a model's own, cut to fewer dimensions and stored in fewer bits.

Every variant is scored on the embeddings of the dev and test pairs, computed once, and compared
with the whole embeddings pair by pair. Dev chooses the smallest index that is not worse, test
reports it. Knows nothing of search: how fast an index answers depends on the index.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from sentence_transformers import SentenceTransformer

from embft.data.pairs import Pairs
from embft.encoding.encoder import encode
from embft.errors import EmbftError
from embft.evaluation.embed import Embedded, cosines, embed_pairs
from embft.leaderboard.serving import fronted
from embft.metrics.bootstrap import BootstrapResult, bootstrap
from embft.metrics.comparison import compare
from embft.metrics.registry import metric as known_metric
from embft.metrics.resampling import Resampling, sampling_units
from embft.models.trained import Found, load_found
from embft.results.dataset import read_split
from embft.results.folders import TrialDir
from embft.results.provenance import processor
from embft.results.serving import VECTORS, Kind, Loss, Serving, Speed, Variant, smallest
from embft.shipping.price import some_pairs
from embft.shipping.speed import measure_speed
from embft.spec.serving import DIMENSIONS

KINDS: tuple[Kind, ...] = ("float32", "int8", "binary", "binary, rescored")
# Metrics that no threshold and no scale of the cosines is part of: smaller embeddings shift both.
RANKING = ("spearman", "kendall", "auc", "average_precision")
_BITS: Mapping[Kind, int] = {"float32": 32, "int8": 8, "binary": 1, "binary, rescored": 1}
_CALIBRATION = 256
_LEVEL = 0.95

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Compressed:
    """All variants, the whole embeddings in float32 first.

    metric: what is compared. chosen: the smallest index that is shown on dev to lose no more than
    the tolerance; the whole embeddings where none is. speed: of the model on this machine.
    """

    metric: str
    tolerance: float
    pairs: Mapping[str, int]
    variants: tuple[Variant, ...]
    chosen: Variant
    speed: Speed


def compress(
    found: Found,
    trial: TrialDir,
    objective: str,
    tolerance: float,
    dimensions: Sequence[int] = DIMENSIONS,
) -> Compressed:
    """Score a trial's embeddings in every form. Raises EmbftError without the frozen pairs."""
    made = measure_serving(found, trial, objective, dimensions)
    return Compressed(
        metric=made.metric,
        tolerance=tolerance,
        pairs=made.pairs,
        variants=made.variants,
        chosen=smallest(made.variants, tolerance),
        speed=made.speed,
    )


def measure_serving(
    found: Found,
    trial: TrialDir,
    objective: str,
    dimensions: Sequence[int] = DIMENSIONS,
    speed: Speed | None = None,
) -> Serving:
    """What `compress` chooses from. speed: where it is known. Raises EmbftError as that does."""
    model = load_found(found)
    train, dev, test = (_pairs(trial, split) for split in ("train", "dev", "test"))
    metric = objective if objective in RANKING else "spearman"
    some = some_pairs(train, _CALIBRATION)
    calibration = np.asarray(encode(model, list(dict.fromkeys(some.text_1))), np.float32)
    ways = _ways(calibration.shape[1], dimensions)
    losses = [_losses(model, pairs, metric, ways, calibration) for pairs in (dev, test)]
    variants = [
        Variant(width, kind, VECTORS * width * _BITS[kind] // 8, on_dev, on_test)
        for (width, kind), on_dev, on_test in zip(ways, *losses, strict=True)
    ]
    texts = list(dict.fromkeys(test.text_1))
    return Serving(
        metric=metric,
        dimensions=tuple(dimensions),
        pairs={"dev": len(dev), "test": len(test)},
        variants=fronted(variants),
        speed=speed or measure_speed(lambda batch: encode(model, batch), texts),
        processor=processor(),
        threads=torch.get_num_threads(),
    )


def _pairs(trial: TrialDir, split: str) -> Pairs:
    try:
        return read_split(trial.sweep.dataset(trial.read_input().data), split)
    except FileNotFoundError:
        raise EmbftError(
            f"{trial.path}: the sweep's frozen data are not beside the trial: copy the whole "
            "sweep's folder"
        ) from None


def _ways(width: int, dimensions: Sequence[int]) -> list[tuple[int, Kind]]:
    """All dimensions and the smaller ones, each in each kind; whole float32 first."""
    widths = [width, *sorted({d for d in dimensions if d < width}, reverse=True)]
    return [(each, kind) for each in widths for kind in KINDS]


def _losses(
    model: SentenceTransformer,
    pairs: Pairs,
    metric: str,
    ways: Sequence[tuple[int, Kind]],
    calibration: Vectors,
) -> list[Loss]:
    """What each way loses on these pairs. Raises EmbftError where the metric is undefined."""
    embedded = embed_pairs(model, pairs)
    units = sampling_units(pairs.text_1, pairs.text_2)
    # Bonferroni's level: the smallest is chosen among all of them.
    level = 1 - (1 - _LEVEL) / max(1, len(ways) - 1)
    resampling = Resampling(only=(metric,), intervals=False, level=level)
    drawn = [
        bootstrap(stored_cosines(embedded, *way, calibration), pairs.label, 0.5, units, resampling)
        for way in ways
    ]
    if metric not in drawn[0].estimates:
        raise EmbftError(f"{metric} is undefined on these {len(pairs)} pairs: nothing compares")
    return [_loss(drawn[0], each, metric) for each in drawn]


def _loss(whole: BootstrapResult, other: BootstrapResult, metric: str) -> Loss:
    higher = known_metric(metric).higher_is_better
    found = compare(whole, other, metric, higher_is_better=higher)
    score = other.estimates.get(metric, float("nan"))
    difference = (whole.estimates[metric] - score) * (1 if higher else -1)
    return Loss(score, difference, (found.low, found.high) if found else None)


def stored_cosines(
    embedded: Embedded, width: int, kind: Kind, calibration: Vectors
) -> npt.NDArray[np.float64]:
    """The cosine of each pair, shape (n,), as an index that stores embeddings so would have it.

    embedded: (n, whole width) twice. calibration: embeddings (m, whole width) of other texts, from
    which int8 has its ranges.
    """
    first, second, known = (
        _unit(vectors[:, :width]) for vectors in (embedded.first, embedded.second, calibration)
    )
    if kind == "float32":
        return cosines(Embedded(first, second))
    if kind == "int8":
        stored = _as_int8(known)
        return cosines(Embedded(stored(first), stored(second)))
    # Rescored: what is searched for stays in float32, what is stored are bits.
    query = first if kind == "binary, rescored" else _as_bits(first)
    return cosines(Embedded(query, _as_bits(second)))


def _unit(vectors: Vectors) -> Vectors:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: Vectors = (vectors / np.where(lengths > 0, lengths, 1.0)).astype(np.float32)
    return scaled


def _as_int8(calibration: Vectors) -> Callable[[Vectors], Vectors]:
    """Stores each dimension in 256 steps over the range that it had, and reads them back, as
    faiss's 8-bit scalar quantiser does.
    """
    low, high = calibration.min(axis=0), calibration.max(axis=0)
    step = np.maximum(high - low, 1e-9) / 255

    def stored(vectors: Vectors) -> Vectors:
        codes = np.clip(np.rint((vectors - low) / step), 0, 255)
        read: Vectors = (low + codes * step).astype(np.float32)
        return read

    return stored


def _as_bits(vectors: Vectors) -> Vectors:
    """One bit for each dimension, its sign; cosines of these are 1 less twice the share of
    dimensions that differ (Hamming's distance).
    """
    return np.where(vectors > 0, 1.0, -1.0).astype(np.float32)
