"""What is drawn when pairs are resampled: single pairs, clusters of pairs, or texts.

Pairs that share a text are not independent, and intervals that treat them as if they were are too
narrow. This module finds the units that are, and draws their weights. It computes no metric.

Three schemes:

- `pairs`: no text stands in two pairs; each pair is drawn by itself (Efron, 1979).
- `clusters`: pairs connected by shared texts form clusters, and whole clusters are drawn.
- `texts`: the connections join more than a tenth of the pairs into one cluster, as they do when
  pairs are combinations of a few texts. Texts are drawn, and a pair's weight is the product of
  its two texts' counts (the pigeonhole bootstrap: Owen, 2007). That counts the pairs' own noise
  three times over, so a second draw, of the pairs themselves, measures the excess, and
  `bootstrap` takes it out: variance(texts) - 2 variance(pairs) is the variance that is robust to
  shared texts (Fafchamps and Gubert, 2007; Aronow, Samii and Assenova, 2015).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse import csgraph

from embft.metrics.weighted import FloatArray, IntArray

Scheme = Literal["pairs", "clusters", "texts"]

# The largest share of the pairs that may hang together before clusters are too few to draw from.
GIANT_SHARE = 0.1
# Weights at once: so few that they stay in a core's cache, where all takes half as long, but enough
# rows for products of matrices, and never more than two megabytes.
_CACHED_WEIGHTS, _FEWEST_ROWS, _MOST_WEIGHTS = 1 << 16, 48, 1 << 18
STEP = 0.25  # a power of two: weights are exact in single precision
_MAX_ELEMENTS = 5 * 10**7
_MIN_RESAMPLES = 200
_MIN_DELETIONS = 20
_MAX_DELETIONS = 200
_MOST_KEPT = 1 << 19  # weights, four bytes each


@dataclass(frozen=True)
class Resampling:
    """How many resamples, the intervals' level, the seed that all draws follow from, which metrics
    are wanted (`only`; None for all), and whether intervals are, which who compares does without.

    linear: for comparisons. Weights go only `STEP` of the way from 1 to those of a resample, and
    the scores' distances from the estimate are divided by it: what is left is the error to first
    order (the infinitesimal jackknife: Jaeckel, 1972). The differences of two similar models are so
    small that the higher orders, which resampling counts three times and more, matter: with 100
    pairs they raise the variance by 15 to 25 %.

    Above 50,000 pairs fewer are drawn, down to 200: by then the intervals are narrow.
    """

    resamples: int = 1000
    level: float = 0.95
    seed: int = 0
    only: tuple[str, ...] | None = None
    intervals: bool = True
    linear: bool = False

    @property
    def step(self) -> float:
        """How far weights go from 1 to those of a resample."""
        return STEP if self.linear else 1.0

    def count(self, n: int) -> int:
        """The resamples drawn for `n` pairs."""
        return min(self.resamples, max(_MIN_RESAMPLES, _MAX_ELEMENTS // max(n, 1)))


@dataclass(frozen=True)
class Units:
    """What is drawn. `unit` (n,): each pair's cluster, 0 .. units - 1; the scheme `texts` also has
    `ends` (n, 2): each pair's two texts, while its `unit` numbers the distinct pairs of texts.

    kept: small draws from these units, since every trial that is scored on them gets the same ones.
    """

    scheme: Scheme
    unit: IntArray
    ends: IntArray | None = None
    kept: dict[Hashable, list[npt.NDArray[np.float32]]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @cached_property
    def effective(self) -> float:
        """How many independent pairs would carry as much: n^2 over the number of pairs of pairs
        that share a unit or a text, each pair with itself among them (Kish, 1965).
        """
        shared = _squares(self.unit)
        if self.ends is not None:
            # Two pairs of the same two texts share both, and count once.
            shared = _squares(self.ends.ravel()) - shared
        return float(len(self.unit) ** 2 / max(shared, 1.0))

    def of(self, rows: IntArray) -> Units:
        """The units of these pairs alone."""
        return Units(self.scheme, self.unit[rows], None if self.ends is None else self.ends[rows])


def _squares(numbers: IntArray) -> float:
    return float((np.bincount(numbers).astype(np.float64) ** 2).sum())


def independent_pairs(n: int) -> Units:
    """Units for `n` pairs that share nothing."""
    return Units("pairs", np.arange(n))


def text_clusters(text_1: Sequence[str], text_2: Sequence[str]) -> IntArray:
    """The connected component (n,) of each pair, where pairs that share a text are connected.

    A text is the same text in either place.
    """
    ends = text_numbers(text_1, text_2)
    if not len(ends):
        return np.zeros(0, dtype=np.int64)
    texts = int(ends.max()) + 1
    links = sparse.coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(texts, texts))
    component = csgraph.connected_components(links, directed=False)[1][ends[:, 0]]
    return np.unique(component, return_inverse=True)[1].astype(np.int64)


def sampling_units(text_1: Sequence[str], text_2: Sequence[str]) -> Units:
    """The scheme that fits how the pairs share texts, and its units."""
    n, cluster = len(text_1), text_clusters(text_1, text_2)
    sizes = np.bincount(cluster, minlength=1)
    if sizes.max() <= 1:
        return independent_pairs(n)
    if sizes.max() <= GIANT_SHARE * n:
        return Units("clusters", cluster)
    return _text_units(text_numbers(text_1, text_2))


def text_numbers(text_1: Sequence[str], text_2: Sequence[str]) -> IntArray:
    """Numbers (n, 2) of each pair's two texts, from 0, equal where the texts are."""
    if len(text_1) != len(text_2):
        raise ValueError(f"{len(text_1)} first texts for {len(text_2)} second texts")
    numbers: dict[str, int] = {}
    ids = [numbers.setdefault(text, len(numbers)) for text in (*text_1, *text_2)]
    return np.array(ids, dtype=np.int64).reshape(2, -1).T


def _text_units(ends: IntArray) -> Units:
    ends = np.sort(ends, axis=1)
    dyad = np.unique(ends, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)
    # A text paired with itself gets a stand-in for its second place: every pair has two ends.
    twin = ends[:, 0] == ends[:, 1]
    stand_in = ends.max() + 1 + dyad[twin]
    ends[twin, 1] = stand_in
    used = np.unique(ends, return_inverse=True)[1].reshape(ends.shape).astype(np.int64)
    return Units("texts", dyad, used)


def weight_chunks(units: Units, resampling: Resampling) -> Iterator[FloatArray]:
    """Weights (rows, n) of the resamples, some rows at a time; the same for the same seed."""
    return _kept(units, ("all", _identity(resampling)), _weights(units, resampling))


def pair_weight_chunks(units: Units, resampling: Resampling) -> Iterator[FloatArray]:
    """Weights (rows, n) that draw distinct pairs of texts: the scheme `texts`' second draw."""
    return _kept(units, ("pairs", _identity(resampling)), _pair_weights(units, resampling))


def deletion_chunks(units: Units, seed: int) -> Iterator[FloatArray]:
    """Weights (rows, n) that leave out one unit each, or a share of them where units are many."""
    return _kept(units, ("deletions", seed), _deletions(units, seed))


def _identity(resampling: Resampling) -> tuple[int, int, float]:
    """What decides on the weights."""
    return resampling.resamples, resampling.seed, resampling.step


def _kept(units: Units, what: Hashable, chunks: Iterator[FloatArray]) -> Iterator[FloatArray]:
    """The chunks, or what was kept of them: float32 is exact for numbers of few binary digits."""
    if what in units.kept:
        yield from (part.astype(np.float64) for part in units.kept[what])
        return
    parts, size = [], 0
    for chunk in chunks:
        size += chunk.size
        if size <= _MOST_KEPT:
            parts.append(chunk.astype(np.float32))
        yield chunk
    if size <= _MOST_KEPT:
        units.kept[what] = parts


def _weights(units: Units, resampling: Resampling) -> Iterator[FloatArray]:
    step = resampling.step
    for counts in _count_chunks(_text_or_unit(units), len(units.unit), resampling, stream=0):
        if units.ends is None:
            yield _shrunk(_take(counts, units.unit), step)
        elif resampling.linear:
            # To first order, the product of two counts is their sum.
            yield _shrunk(counts[:, units.ends].sum(axis=2) - 1.0, step)
        else:
            yield counts[:, units.ends[:, 0]] * counts[:, units.ends[:, 1]]


def _shrunk(weights: FloatArray, step: float) -> FloatArray:
    return weights if step == 1 else 1.0 + step * (weights - 1.0)


def _pair_weights(units: Units, resampling: Resampling) -> Iterator[FloatArray]:
    drawn = int(units.unit.max()) + 1
    for counts in _count_chunks(drawn, len(units.unit), resampling, stream=1):
        yield _shrunk(_take(counts, units.unit), resampling.step)


def _deletions(units: Units, seed: int) -> Iterator[FloatArray]:
    n, drawn = len(units.unit), _text_or_unit(units)
    k = min(drawn, _MAX_DELETIONS, max(_MIN_DELETIONS, _MAX_ELEMENTS // 5 // n))
    part = np.random.default_rng([seed, 2]).permutation(drawn) % k
    size = _rows_at_once(n)
    for start in range(0, k, size):
        rows = np.arange(start, min(start + size, k))[:, None]
        if units.ends is None:
            yield (part[units.unit] != rows).astype(np.float64)
        else:
            first, second = (part[units.ends[:, i]] for i in (0, 1))
            yield ((first != rows) & (second != rows)).astype(np.float64)


def _rows_at_once(n: int) -> int:
    """How many rows of n weights are worked on together."""
    rows = max(_CACHED_WEIGHTS // max(n, 1), _FEWEST_ROWS)
    return max(1, min(rows, _MOST_WEIGHTS // max(n, 1)))


def _text_or_unit(units: Units) -> int:
    drawn = units.unit if units.ends is None else units.ends
    return int(drawn.max()) + 1


def _take(counts: FloatArray, unit: IntArray) -> FloatArray:
    return counts if counts.shape[1] == len(unit) and _is_range(unit) else counts[:, unit]


def _is_range(unit: IntArray) -> bool:
    return bool((unit == np.arange(len(unit))).all())


def _count_chunks(
    drawn: int, n: int, resampling: Resampling, *, stream: int
) -> Iterator[FloatArray]:
    """How often each of `drawn` units comes up in as many draws, for each resample."""
    rng = np.random.default_rng([resampling.seed, stream])
    left, rows = resampling.count(n), _rows_at_once(max(n, drawn))
    while left > 0:
        size = min(rows, left)
        draws = rng.integers(0, drawn, size=(size, drawn))
        draws += np.arange(size)[:, None] * drawn
        counts = np.bincount(draws.ravel(), minlength=size * drawn)
        yield counts.reshape(size, drawn).astype(np.float64)
        left -= size
