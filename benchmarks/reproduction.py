"""The tables of docs/reproduction.md, from the records of sweeps/seed_study.yaml.

    python benchmarks/reproduction.py results/seed-study docs/reproduction.md

Replaces what stands in the document between the two marks. Computes means over seeds with
intervals over seeds and pairs from the scores on disk; no number is typed.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from scipy import stats

from embft.leaderboard.build import build_leaderboard
from embft.leaderboard.labels import number, value_text
from embft.leaderboard.pair_scores import read_scores, read_texts
from embft.leaderboard.rows import Group, Leaderboard, Row
from embft.metrics.bootstrap import BootstrapResult, hierarchical
from embft.metrics.comparison import compare
from embft.metrics.resampling import sampling_units
from embft.results.dataset import leaked_test_rows

BEGIN, END = "<!-- tables: benchmarks/reproduction.py -->", "<!-- end of tables -->"
# SEED.md's column: baseline, full, LoRA, as it published them.
PUBLISHED = {
    "spearman": ("-0.219", "0.853", "0.827 (in training)"),
    "auc": ("0.373", "0.994", ""),
    "margin": ("-0.083", "+0.940", ""),
    "cohens_d": ("-0.419", "7.727", ""),
    "f1": ("0.698", "0.991", ""),
    "cluster_purity": ("0.839", "0.986", ""),
    "clusters": ("12", "8", ""),
    "noise": ("0.285", "0.0", ""),
    "false_positives": ("137", "3", ""),
}
NAMES = {
    "spearman": "Spearman", "auc": "AUC-ROC", "margin": "margin", "cohens_d": "Cohen's d",
    "f1": "best F1", "precision": "precision", "recall": "recall", "accuracy": "accuracy",
    "average_precision": "average precision", "brier": "Brier, calibrated",
    "cluster_purity": "cluster purity", "cluster_purity_spread": "its sd over 5 UMAP seeds",
    "clusters": "clusters", "noise": "noise", "false_positives": "false positives",
    "probe_spearman": "probe Spearman", "probe_drop": "drop on the probe",
    "effective_rank": "effective rank", "mean_cosine": "mean cosine",
}  # fmt: skip
BY_PAIRS = (
    "spearman", "auc", "margin", "cohens_d", "f1", "precision", "recall", "accuracy",
    "average_precision",
)  # fmt: skip


def main() -> None:
    """Write the tables into the document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sweep", type=Path)
    parser.add_argument("document", type=Path)
    given = parser.parse_args()
    leaderboard = build_leaderboard(given.sweep)
    before, _, rest = given.document.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    given.document.write_text(f"{before}{BEGIN}\n{''.join(tables(leaderboard))}{END}{after}")


def tables(leaderboard: Leaderboard) -> Iterator[str]:
    """Both tables and what they say of the seed study's claims."""
    columns = dict(columns_of(leaderboard))
    leaked = leaked_test_rows(_data_folder(next(iter(columns.values()))[0]))
    count = leaderboard.pairs["test"]
    yield f"\n### All {count} pairs\n\n"
    yield from _table(columns, np.arange(count), published=True)
    kept = np.setdiff1d(np.arange(count), leaked)
    yield f"\n### Without the {len(leaked)} leaked pairs, {len(kept)} pairs\n\n"
    yield from _table(columns, kept, published=False)
    yield "\n### The claims\n\n"
    for rows, name in ((np.arange(count), "All pairs"), (kept, "Without the leaked pairs")):
        yield from _claims(columns, rows, name)


def columns_of(leaderboard: Leaderboard) -> Iterator[tuple[str, Sequence[Row]]]:
    """Baseline, full, LoRA at the higher and at the lower rate; each with its seeds' rows."""
    assert leaderboard.baseline is not None
    yield "baseline", (leaderboard.baseline,)
    for group in sorted(leaderboard.groups, key=_place):
        rate = group.params["train.learning_rate"]
        method = "full" if group.params["train.method"] == "full" else "LoRA r 8"
        yield f"{method}, {value_text(rate)}", sorted(group.rows, key=lambda row: row.seed)


def _place(group: Group) -> tuple[bool, float]:
    return group.params["train.method"] != "full", -group.params["train.learning_rate"]


def _data_folder(row: Row) -> Path:
    return row.folder.sweep.dataset(row.folder.read_input().data)


def resampled(rows: Sequence[Row], kept: np.ndarray) -> BootstrapResult:
    """Means over seeds with intervals over seeds and pairs, on these rows of test."""
    found = [scores for row in rows if (scores := read_scores(row, "test")) is not None]
    texts = read_texts(rows[0], "test")
    assert texts is not None
    assert len(found) == len(rows)
    pairs = texts.take(kept)
    return hierarchical(
        [scores.score[kept] for scores in found],
        found[0].label[kept],
        [scores.threshold or 0.0 for scores in found],
        sampling_units(pairs.text_1, pairs.text_2),
    )


def _table(
    columns: dict[str, Sequence[Row]], kept: np.ndarray, *, published: bool
) -> Iterator[str]:
    heads = ["metric", *columns, *(["seed study: baseline, full, LoRA"] if published else [])]
    yield "| " + " | ".join(heads) + " |\n" + "|---" * len(heads) + "|\n"
    results = {name: resampled(rows, kept) for name, rows in columns.items()}
    for metric in BY_PAIRS if not published else NAMES:
        cells = [
            _by_pairs(results[name], metric) if metric in BY_PAIRS else _by_seeds(rows, metric)
            for name, rows in columns.items()
        ]
        given = PUBLISHED.get(metric, ("", "", ""))
        seed = [", ".join(value.replace("-", "−") or "–" for value in given)]
        yield "| " + " | ".join([NAMES[metric], *cells, *(seed if published else [])]) + " |\n"
    if published:
        yield from _costs(columns)


def _by_pairs(result: BootstrapResult, metric: str) -> str:
    interval = result.intervals.get(metric)
    ends = f" ({number(interval.low)} to {number(interval.high)})" if interval else ""
    return number(result.estimates[metric]) + ends


def _by_seeds(rows: Sequence[Row], metric: str) -> str:
    """The mean over seeds, and each seed's value where there are several."""
    values = [row.test[metric] for row in rows if metric in row.test]
    if not values:
        return "–"
    digits = 0 if metric in {"clusters", "false_positives"} else 3
    mean = number(float(np.mean(values)), 1 if digits == 0 and len(values) > 1 else digits)
    each = ", ".join(number(value, digits) for value in values)
    return f"{mean} ({each})" if len(values) > 1 else number(values[0], digits)


def _costs(columns: dict[str, Sequence[Row]]) -> Iterator[str]:
    done = {name: [r.completed for r in rows if r.completed] for name, rows in columns.items()}
    seconds = [f"{np.mean([r.timings.train for r in found]):.0f}" for found in done.values()]
    yield "| training, s | " + " | ".join(seconds) + " | –, 61, 35 (its laptop) |\n"
    counts = [f"{found[0].trainable_parameters:,}" for found in done.values()]
    yield "| trainable parameters | " + " | ".join(counts) + " | –, 22,713,216, 73,728 |\n"


def _claims(columns: dict[str, Sequence[Row]], kept: np.ndarray, name: str) -> Iterator[str]:
    _, full, high, low = columns.values()
    results = [resampled(rows, kept) for rows in (full, high, low)]
    each = [
        float(lora["spearman"] / whole["spearman"])
        for lora, whole in zip(_by_seed(results[1]), _by_seed(results[0]), strict=True)
    ]
    samples = results[1].samples["spearman"] / results[0].samples["spearman"]
    ratio = results[1].estimates["spearman"] / results[0].estimates["spearman"]
    error = float(np.hypot(np.nanstd(samples), np.std(each, ddof=1) / np.sqrt(len(each))))
    reach = float(stats.t.ppf(0.975, len(each) - 1)) * error
    shares = ", ".join(f"{100 * share:.1f}" for share in each)
    yield (
        f"- {name}: LoRA reaches {100 * ratio:.1f} % of full fine-tuning's Spearman (by seed "
        f"{shares}; 95 % interval {100 * (ratio - reach):.1f} to {100 * (ratio + reach):.1f}).\n"
    )
    for one, other, what in (
        (results[0], results[1], "full fine-tuning less LoRA at 2e-4"),
        (results[1], results[2], "LoRA at 2e-4 less LoRA at 2e-5"),
    ):
        found = compare(one, other, "spearman")
        assert found is not None
        yield (
            f"- {name}: {what}, Spearman {number(found.difference)} ({number(found.low)} to "
            f"{number(found.high)}), p {found.p_value:.2g}.\n"
        )


def _by_seed(result: BootstrapResult) -> Iterator[dict[str, float]]:
    for value in result.by_seed["spearman"]:
        yield {"spearman": float(value)}


if __name__ == "__main__":
    main()
