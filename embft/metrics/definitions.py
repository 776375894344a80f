"""What each metric is called, which way is better, and how it is computed.

Covers the names, labels, directions, bounds and formulas of everything that a trial can be ranked
by, and of a few quantities that are reported but never ranked. Computes nothing and imports no
numpy, so that a spec can be validated without it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """One metric: `bounds` are its lowest and highest possible value, None where there is none.

    `binary_only` metrics need labels that are all 0 or 1.
    """

    name: str
    label: str
    higher_is_better: bool
    binary_only: bool
    bounds: tuple[float | None, float | None]
    formula: str


@dataclass(frozen=True)
class Quantity:
    """A reported number that has no better direction of its own, so nothing is ranked by it."""

    name: str
    label: str
    formula: str


_CORRELATION = (-1.0, 1.0)
_SHARE = (0.0, 1.0)
_UNBOUNDED = (None, None)

_ALL = (
    Metric(
        "spearman",
        "Spearman correlation",
        higher_is_better=True,
        binary_only=False,
        bounds=_CORRELATION,
        formula="Pearson correlation of the ranks of score and label; ties get their average rank",
    ),
    Metric(
        "pearson",
        "Pearson correlation",
        higher_is_better=True,
        binary_only=False,
        bounds=_CORRELATION,
        formula="cov(score, label) / (sd(score) sd(label))",
    ),
    Metric(
        "kendall",
        "Kendall's tau-b",
        higher_is_better=True,
        binary_only=False,
        bounds=_CORRELATION,
        formula="(concordant - discordant) / sqrt((not tied in score) (not tied in label)), "
        "counted over all pairs of pairs",
    ),
    Metric(
        "auc",
        "AUC-ROC",
        higher_is_better=True,
        binary_only=True,
        bounds=_SHARE,
        formula="P(score of a label 1 > score of a label 0) + P(equal) / 2 (Mann-Whitney)",
    ),
    Metric(
        "average_precision",
        "Average precision",
        higher_is_better=True,
        binary_only=True,
        bounds=_SHARE,
        formula="sum over descending distinct scores of (increase in recall) x precision",
    ),
    Metric(
        "margin",
        "Margin",
        higher_is_better=True,
        binary_only=True,
        bounds=_UNBOUNDED,
        formula="mean score of label 1 minus mean score of label 0",
    ),
    Metric(
        "cohens_d",
        "Cohen's d",
        higher_is_better=True,
        binary_only=True,
        bounds=_UNBOUNDED,
        formula="margin / sqrt(((n1 - 1) var1 + (n0 - 1) var0) / (n1 + n0 - 2)), ddof 1",
    ),
    Metric(
        "welch_t",
        "Welch's t",
        higher_is_better=True,
        binary_only=True,
        bounds=_UNBOUNDED,
        formula="margin / sqrt(var1 / n1 + var0 / n0), ddof 1",
    ),
    Metric(
        "f1",
        "F1",
        higher_is_better=True,
        binary_only=True,
        bounds=_SHARE,
        formula="2 TP / (2 TP + FP + FN), score >= threshold is positive",
    ),
    Metric(
        "precision",
        "Precision",
        higher_is_better=True,
        binary_only=True,
        bounds=_SHARE,
        formula="TP / (TP + FP), score >= threshold is positive",
    ),
    Metric(
        "recall",
        "Recall",
        higher_is_better=True,
        binary_only=True,
        bounds=_SHARE,
        formula="TP / (TP + FN), score >= threshold is positive",
    ),
    Metric(
        "accuracy",
        "Accuracy",
        higher_is_better=True,
        binary_only=True,
        bounds=_SHARE,
        formula="(TP + TN) / n, score >= threshold is positive",
    ),
    Metric(
        "brier",
        "Brier score",
        higher_is_better=False,
        binary_only=True,
        bounds=_SHARE,
        formula="mean of (p - label)^2, p the score calibrated by isotonic regression on dev",
    ),
    Metric(
        "cluster_purity",
        "Cluster purity",
        higher_is_better=True,
        binary_only=False,
        bounds=_SHARE,
        formula="share of pairs in their cluster's majority label (UMAP, HDBSCAN); noise left out",
    ),
    Metric(
        "probe_spearman",
        "Probe Spearman",
        higher_is_better=True,
        binary_only=False,
        bounds=_CORRELATION,
        formula="Spearman of cosine and label on 120 pairs of general English "
        "(1 paraphrase, 0.5 same topic, 0 unrelated); 0.94 is the highest possible",
    ),
    Metric(
        "v_measure",
        "V-measure",
        higher_is_better=True,
        binary_only=False,
        bounds=_SHARE,
        formula="2 homogeneity x completeness / (homogeneity + completeness)",
    ),
    Metric(
        "classification_accuracy",
        "Classification accuracy",
        higher_is_better=True,
        binary_only=False,
        bounds=_SHARE,
        formula="mean over draws of the accuracy of a logistic regression on a few texts a label",
    ),
    Metric(
        "classification_f1",
        "Classification F1",
        higher_is_better=True,
        binary_only=False,
        bounds=_SHARE,
        formula="as classification_accuracy, the mean over labels of F1",
    ),
    Metric(
        "sts_spearman",
        "STS Spearman",
        higher_is_better=True,
        binary_only=False,
        bounds=_CORRELATION,
        formula="Spearman correlation of cosine and graded label on pairs of their own",
    ),
    Metric(
        "sts_pearson",
        "STS Pearson",
        higher_is_better=True,
        binary_only=False,
        bounds=_CORRELATION,
        formula="Pearson correlation of cosine and graded label on pairs of their own",
    ),
    Metric(
        "mrr",
        "Mean reciprocal rank",
        higher_is_better=True,
        binary_only=False,
        bounds=_SHARE,
        formula="mean over queries of 1 / rank of the first relevant text",
    ),
    Metric(
        "ndcg_at_10",
        "nDCG@10",
        higher_is_better=True,
        binary_only=False,
        bounds=_SHARE,
        formula="mean of DCG / ideal DCG of the first ten, discount 1 / log2(1 + rank)",
    ),
    Metric(
        "recall_at_1",
        "Recall@1",
        higher_is_better=True,
        binary_only=False,
        bounds=_SHARE,
        formula="mean over queries of the share of relevant texts that rank first",
    ),
    Metric(
        "recall_at_10",
        "Recall@10",
        higher_is_better=True,
        binary_only=False,
        bounds=_SHARE,
        formula="mean over queries of the share of relevant texts among the first ten",
    ),
)

METRICS: dict[str, Metric] = {metric.name: metric for metric in _ALL}

QUANTITIES: dict[str, Quantity] = {
    quantity.name: quantity
    for quantity in (
        Quantity("threshold", "Threshold", "best F1 on dev among 0.00, 0.01, ... 1.00; first wins"),
        Quantity("welch_p", "p of Welch's t", "two-sided, Welch-Satterthwaite degrees of freedom"),
        Quantity("false_positives", "False positives", "label 0 with score >= threshold"),
        Quantity("clusters", "Clusters", "clusters that HDBSCAN found"),
        Quantity("noise", "Noise", "share of pairs that HDBSCAN left outside every cluster"),
        Quantity(
            "cluster_purity_spread",
            "Spread of cluster purity",
            "sd of cluster purity over five seeds of UMAP, ddof 1",
        ),
        *(
            Quantity(
                f"attention_{kind}",
                f"Attention on {name}",
                f"share of the pooled position's attention on {name}, at the pooled layer, mean "
                "over heads and texts",
            )
            for kind, name in (
                ("content", "the text"),
                ("template", "the template"),
                ("bos", "BOS"),
                ("eos", "EOS"),
                ("self", "itself"),
            )
        ),
        Quantity("mean_cosine", "Mean cosine", "mean cosine of two different texts"),
        Quantity(
            "effective_rank",
            "Effective rank",
            "exp of the entropy of the singular values' shares (embeddings of length 1, texts "
            "counted once)",
        ),
        Quantity(
            "uniformity",
            "Uniformity",
            "log of the mean of exp(-2 |x - y|^2) of two different texts",
        ),
        Quantity("alignment", "Alignment", "mean of |x - y|^2 over the pairs labelled 1"),
        Quantity("v_measure_spread", "Spread of v-measure", "sd over draws of texts, ddof 1"),
        Quantity(
            "probe_drop",
            "Drop on the probe",
            "probe_spearman of the untrained model minus that of the trained one",
        ),
    )
}
