"""How long the audit of a million synthetic pairs takes, and how much memory.

    python benchmarks/audit_scale.py [--pairs 1000000]

Makes its own data: words drawn by Zipf's law, with duplicates, near duplicates and leaks planted.
Prints seconds and the peak memory of the process, and checks that the planted rows are found.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time

import numpy as np

from embft.data.audit import audit
from embft.data.dev_split import split_dev
from embft.data.pairs import Pairs, Splits


def make_texts(count: int, rng: np.random.Generator) -> list[str]:
    """Texts of 5 to 15 made-up words, the k-th word k times rarer than the first."""
    syllables = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]
    words = ["".join(rng.choice(syllables, rng.integers(1, 4))) for _ in range(30_000)]
    weights = 1 / np.arange(1, len(words) + 1)
    lengths = rng.integers(5, 16, count)
    drawn = rng.choice(len(words), lengths.sum(), p=weights / weights.sum()).tolist()
    ends = np.cumsum(lengths).tolist()
    return [
        " ".join(words[i] for i in drawn[end - length : end])
        for end, length in zip(ends, lengths.tolist(), strict=True)
    ]


def make_pairs(count: int, seed: int) -> Pairs:
    """Pairs of which a twentieth repeats an earlier one and a fiftieth nearly does."""
    rng = np.random.default_rng(seed)
    first, second = make_texts(count, rng), make_texts(count, rng)
    label = rng.integers(0, 2, count).astype(np.float64)
    for row in range(count * 95 // 100, count):
        source = row - count // 2
        first[row], second[row], label[row] = first[source], second[source], label[source]
        if row >= count * 98 // 100:
            second[row] += " too"
    return Pairs(first, second, label)


def peak_mib() -> float:
    """Highest resident memory of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def main() -> None:
    """Make the data, audit it, print what it cost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=1_000_000)
    count = parser.parse_args().pairs
    train, dev, test = (make_pairs(n, seed) for seed, n in enumerate((count, 5000, 5000)))
    dev = Pairs(
        [*dev.text_1, *train.text_1[:100]],
        [*dev.text_2, *train.text_2[:100]],
        np.concatenate([dev.label, train.label[:100]]),
    )
    print(f"{count} pairs made: peak {peak_mib():.0f} MiB")
    start = time.perf_counter()
    found = audit(Splits(train, dev, test))
    print(f"audit: {time.perf_counter() - start:.1f} s, peak {peak_mib():.0f} MiB")
    for finding in found.findings:
        print(f"{finding.severity:8} {finding.name}: {finding.count} of {finding.total}")
    leak = found.find("leak_dev_from_train")
    repeated = found.find("duplicates_train")
    assert leak is not None
    assert leak.count == 100
    assert repeated is not None
    assert repeated.count == count * 98 // 100 - count * 95 // 100
    start = time.perf_counter()
    split_dev(train)
    print(f"split_dev: {time.perf_counter() - start:.1f} s, peak {peak_mib():.0f} MiB")


if __name__ == "__main__":
    main()
