"""What a reader of the scores should know of the data: leaks, duplicates, shortcuts, quality.

Covers the order of the checks and the removal of leaked rows. Judges data only: knows no models
beyond a function that counts tokens, and no scores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import chain

import numpy as np

from embft.data.audit.corpus import Corpus, make_corpus
from embft.data.audit.documents import equal_documents, long_texts
from embft.data.audit.findings import SEVERITIES, Audit, Finding
from embft.data.audit.judged import judged_faults, synthetic_queries
from embft.data.audit.labels import TokenLengths, balance, false_negatives, overlong, wordless
from embft.data.audit.near import near_pairs
from embft.data.audit.negatives import hard_negatives
from embft.data.audit.oddities import oddities
from embft.data.audit.overlap import contradictions, duplicates, leaked_rows, leaks, shared_texts
from embft.data.audit.quality import quality
from embft.data.audit.queries import between_splits
from embft.data.audit.shortcuts import shortcuts
from embft.data.pairs import Splits
from embft.errors import DataError

__all__ = ["Audit", "Finding", "audit", "drop_leaked"]


def audit(
    splits: Splits,
    *,
    token_lengths: TokenLengths | None = None,
    max_tokens: int | None = None,
) -> Audit:
    """Every finding on these splits, the gravest first; the same splits give the same audit.

    token_lengths: texts -> numbers of tokens, with which texts of more than max_tokens are found.
    Where test is dev, test is not looked at a second time.
    """
    corpus = make_corpus(splits)
    long = partial(overlong, token_lengths=token_lengths, max_tokens=max_tokens)
    looks: list[Callable[[Corpus], Iterator[Finding]]] = [
        leaks,
        duplicates,
        contradictions,
        near_pairs,
        shared_texts,
        balance,
        wordless,
        oddities,
        long,
        shortcuts,
        false_negatives,
        hard_negatives,
        quality,
    ]
    if splits.retrieval is not None:
        # Whose pairs are made of the judgements: queries and documents are looked at by themselves.
        looks = [leaks, duplicates, contradictions, oddities, shortcuts]
        looks += [false_negatives, hard_negatives, quality]
    if not len(splits.train):  # what base models are compared on: there is nothing to learn from
        looks = [duplicates, contradictions]
    of_pairs = chain.from_iterable(look(corpus) for look in looks)
    of_judged = chain(
        judged_faults(splits.retrieval),
        synthetic_queries(splits.retrieval),
        between_splits(splits, corpus),
        equal_documents(splits.retrieval),
        long_texts(splits, token_lengths, max_tokens),
    )
    findings = chain(of_judged, of_pairs)
    ranked = sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))
    sizes = {name: len(splits[name]) for name in ("train", "dev", "test")}
    return Audit(tuple(ranked), leaked_rows(corpus), sizes)


def drop_leaked(splits: Splits, found: Audit) -> Splits:
    """The splits without the train rows that also stand in dev or test.

    Equal is meant as in `Audit.leaked_rows`. Dev and test stay whole, so that scores remain
    comparable with those of models trained before. `found` must be the audit of these splits.
    Raises DataError if nothing is left of train.
    """
    if found.sizes != {name: len(splits[name]) for name in found.sizes}:
        raise ValueError("the audit is of other splits")
    kept = np.setdiff1d(np.arange(len(splits.train)), found.leaked_rows["train"])
    if not len(kept):
        raise DataError(
            f"all {len(splits.train)} pairs of train also stand in dev or test, so nothing is "
            f"left to train on. Give other files as `data.dev` and `data.test`."
        )
    return replace(splits, train=splits.train.take(kept))
