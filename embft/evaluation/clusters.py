"""Cluster purity: whether pairs of one label lie together on a map of the texts.

Both texts of every pair are laid out in two dimensions by UMAP (McInnes et al., 2018), a pair is
the mean of its two points, and HDBSCAN (Campello et al., 2013) finds clusters of pairs. UMAP is
random, so purity is measured with several seeds: the first is reported, the spread beside it.

Purity is no less than the share of the more frequent label, however bad the embeddings are, and
it grows with the number of clusters: read it with both.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from embft.data.pairs import Pairs
from embft.evaluation.context import Context, Estimate, Found
from embft.evaluation.embed import Embedded
from embft.metrics.bootstrap import weighted_interval
from embft.metrics.metric import SHARE, Form, Metric
from embft.metrics.resampling import Units, sampling_units, text_numbers
from embft.results.units import UnitValues
from embft.spec.evaluators import Evaluator

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

SEEDS = (42, 43, 44, 45, 46)
NEIGHBOURS, LEAST_DISTANCE = 15, 0.1
# Below so many points UMAP takes all distances into account, and calls Python for each of them; one
# product of matrices gives the same distances at once.
_ALL_DISTANCES = 4096
LEAST_CLUSTER, LEAST_SAMPLES = 10, 5
LEAST_PAIRS = 20
MOST_PAIRS = 5_000
"""More pairs than these are sampled: UMAP's time grows with them, the purity hardly changes."""
UNCLUSTERED = -1


def _quantity(name: str, label: str, formula: str, form: Form = "score") -> Metric:
    return Metric(name, label, formula, direction=None, computed_by="clusters", form=form)


class Clusters(Evaluator):
    """Whether pairs of one label lie together on a map of the texts."""

    declared: ClassVar = (
        Metric(
            "cluster_purity",
            "Cluster purity",
            "share of pairs in their cluster's majority label (UMAP, HDBSCAN); noise left out",
            bounds=SHARE,
            source="Manning, Raghavan and Schütze (2008), 16.3",
            computed_by="clusters",
            objective=True,
        ),
        _quantity("clusters", "Clusters", "clusters that HDBSCAN found", form="count"),
        _quantity("noise", "Noise", "share of pairs that HDBSCAN left outside every cluster"),
        _quantity(
            "cluster_purity_spread",
            "Spread of cluster purity",
            "sd of cluster purity over five seeds of UMAP, ddof 1",
        ),
    )

    def run(self, context: Context, folder: Path | None) -> dict[str, Found]:  # noqa: ARG002
        """cluster_purity, clusters and noise of dev (one seed) and test; of test the spread too."""
        splits, embedded = context.splits, context.embedded
        if "test" not in context.asked:
            return {"dev": cluster_metrics(embedded["dev"], splits.dev, SEEDS[:1])}
        test = cluster_metrics(embedded["test"], splits.test)
        if splits.test is splits.dev:
            return {"dev": test, "test": test}
        return {"dev": cluster_metrics(embedded["dev"], splits.dev, SEEDS[:1]), "test": test}


def cluster_metrics(embedded: Embedded, pairs: Pairs, seeds: Sequence[int] = SEEDS) -> Found:
    """Purity, number of clusters and share of noise with the first seed, and purity's sd.

    Graded labels are cut at their median. Purity's interval is over the pairs, given the first
    seed's clusters. The sd (ddof 1) is over the seeds that gave a cluster, absent with a single
    seed. Where a metric is undefined, the reason stands.
    """
    kept = sample_rows(len(embedded.first))
    chosen = Embedded(embedded.first[kept], embedded.second[kept])
    side = two_sided(pairs.label)[kept]
    reason = _unfit(chosen)
    if reason:
        return {"cluster_purity": reason}
    maps = [find_clusters(project_pairs(chosen, seed)) for seed in seeds]
    found = [_clustered(cluster, side) for cluster in maps]
    value = found[0]["cluster_purity"]
    if isinstance(value, float):
        texts = [[column[i] for i in kept] for column in (pairs.text_1, pairs.text_2)]
        interval = purity_interval(maps[0], side, sampling_units(*texts))
        by_pair = _by_pair(maps[0], side, kept, texts)
        found[0]["cluster_purity"] = Estimate(value, interval, by_pair)
    return {**found[0], **_spread(maps, side)}


def project_pairs(embedded: Embedded, seed: int = SEEDS[0]) -> FloatArray:
    """A point for each pair, shape (n, 2): the mean of its two texts' points on one UMAP.

    15 neighbours, least distance 0.1, cosine. Takes every pair; needs at least 20. The same
    embeddings and seed give the same points with the same versions of umap-learn and numba.
    """
    with _quiet():
        import umap
        from sklearn.metrics.pairwise import cosine_distances

        from embft.system.numba_cache import keep_compiled

        keep_compiled("umap", "pynndescent")
        points, metric = np.vstack([embedded.first, embedded.second]), "cosine"
        if len(points) < _ALL_DISTANCES:
            points, metric = cosine_distances(points), "precomputed"
        mapped = umap.UMAP(
            n_neighbors=NEIGHBOURS,
            min_dist=LEAST_DISTANCE,
            metric=metric,
            random_state=seed,
            n_jobs=1,
        ).fit_transform(points)
    n = len(embedded.first)
    middle: FloatArray = (mapped[:n].astype(np.float64) + mapped[n:]) / 2
    return middle


def cluster_pairs(embedded: Embedded, seed: int = SEEDS[0]) -> tuple[FloatArray, IntArray] | str:
    """The pairs' points (n, 2) and clusters (n,); or why there are none."""
    reason = _unfit(embedded)
    if reason:
        return reason
    points = project_pairs(embedded, seed)
    return points, find_clusters(points)


def find_clusters(points: npt.NDArray[np.floating]) -> IntArray:
    """The cluster of each point (n, 2) by HDBSCAN, shape (n,), -1 for noise.

    Clusters of at least 10 points, 5 samples for a core point, excess of mass.
    """
    with _quiet():
        import hdbscan

        model = hdbscan.HDBSCAN(
            min_cluster_size=LEAST_CLUSTER,
            min_samples=LEAST_SAMPLES,
            cluster_selection_method="eom",
            core_dist_n_jobs=1,
        )
        found: IntArray = model.fit_predict(np.asarray(points, np.float64)).astype(np.int64)
    return found


def purity(cluster: npt.ArrayLike, label: npt.ArrayLike) -> float | None:
    """The share of points that have their cluster's most frequent label; None where all are noise.

    `cluster` (n,) with -1 for noise, which is left out; `label` (n,). Clusters weigh by their size
    (Manning, Raghavan and Schütze, 2008, 16.3).
    """
    clusters_, labels = np.asarray(cluster), np.asarray(label)
    inside = clusters_ != UNCLUSTERED
    if not inside.any():
        return None
    rows = np.unique(clusters_[inside], return_inverse=True)[1]
    columns = np.unique(labels[inside], return_inverse=True)[1]
    table = np.zeros((rows.max() + 1, columns.max() + 1))
    np.add.at(table, (rows, columns), 1)
    return float(table.max(axis=1).sum() / inside.sum())


def purity_interval(
    cluster: IntArray, side: npt.NDArray[np.bool_], units: Units
) -> tuple[float, float] | None:
    """The 95 % interval of purity over the pairs, for these clusters (n,) and sides (n,)."""
    cells = 2 * cluster + side
    member = (cells[:, None] == np.arange(2 * (cluster.max() + 1))).astype(np.float64)

    def purities(weights: FloatArray) -> FloatArray:
        table = (weights @ member).reshape(len(weights), -1, 2)
        found: FloatArray = table.max(axis=2).sum(axis=1) / table.sum(axis=(1, 2))
        return found

    return weighted_interval(purities, units)


def _by_pair(
    cluster: IntArray, side: npt.NDArray[np.bool_], rows: IntArray, texts: Sequence[Sequence[str]]
) -> UnitValues:
    """1 for each pair with its cluster's majority label, else 0; noise has no weight."""
    inside = cluster != UNCLUSTERED
    count = np.zeros((int(cluster.max()) + 1, 2))
    np.add.at(count, (cluster[inside], side[inside].astype(np.int64)), 1)
    majority = count.argmax(axis=1)[cluster] == side
    values, weights = (flags.astype(np.float64) for flags in (majority, inside))
    ids = tuple(map(str, rows.tolist()))
    return UnitValues("pair", ids, values, weights, ends=text_numbers(*texts))


def two_sided(label: FloatArray) -> npt.NDArray[np.bool_]:
    """Labels 0 and 1 as they are, graded ones cut at their median. Shape (n,)."""
    if np.isin(label, (0.0, 1.0)).all():
        return np.asarray(label == 1, np.bool_)
    return np.asarray(label > np.median(label), np.bool_)


def _clustered(cluster: IntArray, side: npt.NDArray[np.bool_]) -> Found:
    found = purity(cluster, side)
    return {
        "cluster_purity": "HDBSCAN found no cluster" if found is None else found,
        "clusters": float(cluster.max() + 1),
        "noise": float((cluster == UNCLUSTERED).mean()),
    }


def _spread(maps: Sequence[IntArray], side: npt.NDArray[np.bool_]) -> Found:
    if len(maps) < 2:
        return {}
    values = [v for cluster in maps if (v := purity(cluster, side)) is not None]
    if len(values) < 2:
        return {"cluster_purity_spread": "fewer than 2 seeds gave a cluster"}
    return {"cluster_purity_spread": float(np.std(values, ddof=1))}


@cache
def _unusable() -> str | None:
    """Why the two libraries cannot be used, or None: both stand on compilers of their own."""
    with _quiet():
        try:
            import hdbscan  # noqa: F401 - asked whether they can be imported
            import umap  # noqa: F401
        except Exception as error:  # noqa: BLE001 - a compiler's, whatever it is
            return f"UMAP and HDBSCAN cannot be used here ({error})"
    return None


def _unfit(embedded: Embedded) -> str | None:
    """Why these embeddings cannot be laid out, or None."""
    if (reason := _unusable()) is not None:
        return reason
    both = np.vstack([embedded.first, embedded.second])
    if len(embedded.first) < LEAST_PAIRS:
        return f"fewer than {LEAST_PAIRS} pairs ({len(embedded.first)})"
    if not np.isfinite(both).all():
        return "embeddings are not finite numbers"
    different = len(np.unique(both.round(6), axis=0))
    if different <= NEIGHBOURS:
        return f"only {different} different embeddings, UMAP needs more than {NEIGHBOURS}"
    return None


def sample_rows(count: int) -> IntArray:
    """The rows of the pairs that are laid out, ascending: all, or `MOST_PAIRS` of them, drawn."""
    if count <= MOST_PAIRS:
        return np.arange(count)
    drawn = np.random.default_rng(0).choice(count, MOST_PAIRS, replace=False)
    return np.sort(drawn)


@contextmanager
def _quiet() -> Iterator[Any]:
    """Without what the two libraries say of their own dependencies."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
