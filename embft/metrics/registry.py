"""Every metric that embft knows, by name: the one list that all others are read from.

The spec asks it what an objective may name, evaluators which names are taken, leaderboard and
report what a metric is called and which way is better. A metric of pairs is declared in
`pair_definitions.py`, beside its code. Computes nothing.
"""

from __future__ import annotations

from embft.metrics.metric import (
    CORRELATION,
    LEADERBOARD,
    PAIRS,
    SHARE,
    USERS,
    Family,
    Metric,
)
from embft.metrics.pair_definitions import PAIR_METRICS

FAMILIES = (
    Family(
        "ndcg",
        "nDCG@{k}",
        "mean over queries of DCG / ideal DCG of the first {k}, discount 1 / log2(1 + rank)",
        source="Järvelin and Kekäläinen (2002)",
        computed_by="retrieval",
    ),
    Family(
        "mrr",
        "MRR@{k}",
        "mean over queries of 1 / rank of the first relevant text, 0 beyond rank {k}",
        source="Voorhees (1999)",
        computed_by="retrieval",
    ),
    Family(
        "map",
        "MAP@{k}",
        "mean over queries of the sum of precision at each relevant text among the first {k}, "
        "divided by the number of relevant texts",
        source="Manning, Raghavan and Schütze (2008), 8.4",
        computed_by="retrieval",
    ),
    Family(
        "recall",
        "Recall@{k}",
        "mean over queries of the share of relevant texts among the first {k}",
        source="Manning, Raghavan and Schütze (2008), 8.4",
        computed_by="retrieval",
    ),
    Family(
        "precision",
        "Precision@{k}",
        "mean over queries of the share of the first {k} that is relevant",
        source="Manning, Raghavan and Schütze (2008), 8.4",
        computed_by="retrieval",
    ),
    Family(
        "success",
        "Success@{k}",
        "share of queries with a relevant text among the first {k}",
        source="trec_eval",
        computed_by="retrieval",
    ),
)
_FAMILY = {family.stem: family for family in FAMILIES}


def _quantity(name: str, label: str, formula: str, computed_by: str, source: str = "") -> Metric:
    return Metric(name, label, formula, direction=None, source=source, computed_by=computed_by)


_OTHERS = (
    Metric(
        "brier",
        "Brier score",
        "mean of (p - label)^2, p the score calibrated by isotonic regression on dev",
        direction="min",
        bounds=SHARE,
        source="Brier (1950); Zadrozny and Elkan (2002)",
        binary_only=True,
    ),
    _quantity(
        "welch_p",
        "p of Welch's t",
        "two-sided, Welch-Satterthwaite degrees of freedom",
        PAIRS,
        "Welch (1947)",
    ),
    _quantity("false_positives", "False positives", "label 0 with score >= threshold", PAIRS),
    Metric(
        "cluster_purity",
        "Cluster purity",
        "share of pairs in their cluster's majority label (UMAP, HDBSCAN); noise left out",
        bounds=SHARE,
        source="Manning, Raghavan and Schütze (2008), 16.3",
        computed_by="clusters",
        objective=True,
    ),
    _quantity("clusters", "Clusters", "clusters that HDBSCAN found", "clusters"),
    _quantity(
        "noise", "Noise", "share of pairs that HDBSCAN left outside every cluster", "clusters"
    ),
    _quantity(
        "cluster_purity_spread",
        "Spread of cluster purity",
        "sd of cluster purity over five seeds of UMAP, ddof 1",
        "clusters",
    ),
    Metric(
        "probe_spearman",
        "Probe Spearman",
        "Spearman of cosine and label on 120 pairs of general English "
        "(1 paraphrase, 0.5 same topic, 0 unrelated); 0.94 is the highest possible",
        bounds=CORRELATION,
        source="Spearman (1904)",
        computed_by="probe",
    ),
    Metric(
        "v_measure",
        "V-measure",
        "2 homogeneity x completeness / (homogeneity + completeness)",
        bounds=SHARE,
        source="Rosenberg and Hirschberg (2007)",
        computed_by="clustering",
        objective=True,
    ),
    _quantity(
        "v_measure_spread", "Spread of v-measure", "sd over draws of texts, ddof 1", "clustering"
    ),
    Metric(
        "classification_accuracy",
        "Classification accuracy",
        "mean over draws of the accuracy of a logistic regression on a few texts a label",
        bounds=SHARE,
        source="MTEB: Muennighoff and others (2023)",
        computed_by="classification",
        objective=True,
    ),
    Metric(
        "classification_f1",
        "Classification F1",
        "as classification_accuracy, the mean over labels of F1",
        bounds=SHARE,
        source="MTEB: Muennighoff and others (2023)",
        computed_by="classification",
        objective=True,
    ),
    Metric(
        "sts_spearman",
        "STS Spearman",
        "Spearman correlation of cosine and graded label on pairs of their own",
        bounds=CORRELATION,
        source="Spearman (1904)",
        computed_by="sts",
        objective=True,
    ),
    Metric(
        "sts_pearson",
        "STS Pearson",
        "Pearson correlation of cosine and graded label on pairs of their own",
        bounds=CORRELATION,
        source="Pearson (1895)",
        computed_by="sts",
        objective=True,
    ),
    Metric(
        "mrr",
        "Mean reciprocal rank",
        "mean over queries of 1 / rank of the first relevant text",
        bounds=SHARE,
        source="Voorhees (1999)",
        computed_by="retrieval",
        objective=True,
    ),
    _FAMILY["ndcg"].at(10),
    _FAMILY["recall"].at(1),
    _FAMILY["recall"].at(10),
    *(
        _quantity(
            f"attention_{kind}",
            f"Attention on {name}",
            f"share of the pooled position's attention on {name}, at the pooled layer, mean "
            "over heads and texts",
            "attention",
        )
        for kind, name in (
            ("content", "the text"),
            ("template", "the template"),
            ("bos", "BOS"),
            ("eos", "EOS"),
            ("self", "itself"),
        )
    ),
    _quantity(
        "mean_cosine",
        "Mean cosine",
        "mean cosine of two different texts",
        "collapse",
        "Ethayarajh (2019)",
    ),
    _quantity(
        "effective_rank",
        "Effective rank",
        "exp of the entropy of the singular values' shares (embeddings of length 1, texts "
        "counted once)",
        "collapse",
        "Roy and Vetterli (2007)",
    ),
    _quantity(
        "uniformity",
        "Uniformity",
        "log of the mean of exp(-2 |x - y|^2) of two different texts",
        "collapse",
        "Wang and Isola (2020)",
    ),
    _quantity(
        "alignment",
        "Alignment",
        "mean of |x - y|^2 over the pairs labelled 1",
        "collapse",
        "Wang and Isola (2020)",
    ),
    _quantity(
        "probe_drop",
        "Drop on the probe",
        "probe_spearman of the base model minus that of the trained one",
        LEADERBOARD,
        PAIRS,
    ),
)

METRICS: dict[str, Metric] = {metric.name: metric for metric in (*PAIR_METRICS.values(), *_OTHERS)}
"""The metrics that have a name of their own; `find` knows the families' other members too."""


def find(name: str) -> Metric | None:
    """The metric of this name, a family's members included; None where embft has none."""
    members = (family.member(name) for family in FAMILIES)
    return METRICS.get(name) or next((found for found in members if found), None)


def metric(name: str) -> Metric:
    """The metric of this name; one that only a user's function knows counts upward."""
    return find(name) or Metric(name, name.replace("_", " "), "", computed_by=USERS)


def computed_by(who: str, *, objective: bool = False) -> tuple[str, ...]:
    """The names of the metrics that `who` computes. objective: those alone that may be one."""
    return tuple(
        found.name
        for found in METRICS.values()
        if found.computed_by == who and (found.objective or not objective)
    )
