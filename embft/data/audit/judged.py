"""What is wrong with judgements: of unknown ids, given twice, of queries that nothing answers."""

from __future__ import annotations

from collections.abc import Iterator

from embft.data.audit.findings import Finding, grade
from embft.data.retrieval import Fault, Retrieval
from embft.data.synthetic import synthetic_sets

# What it is, what it does to the scores, what to do.
_WORDS = {
    "graded_twice": (
        "judgements of {split} that were given twice with different grades",
        "The higher grade counts.",
        "Decide on one grade and remove the other line.",
    ),
    "unknown_queries": (
        "judged queries of {split} that are not among the queries",
        "They are left out, so that scores are means over fewer queries.",
        "Add the queries, or look whether their ids are written otherwise.",
    ),
    "unknown_documents": (
        "judged documents of {split} that are not in the corpus",
        "They are left out: no model could have found them.",
        "Add the documents, or look whether their ids are written otherwise.",
    ),
    "unjudged_queries": (
        "queries that no split judges",
        "They are not used.",
        "Nothing needs to be done, unless judgements are missing.",
    ),
    "unanswered_queries": (
        "judged queries of {split} without a relevant document",
        "They are left out: nothing can be found for them.",
        "Judge more documents for them, or remove them.",
    ),
}
_HARMLESS = {"unjudged_queries"}


def judged_faults(retrieval: Retrieval | None) -> Iterator[Finding]:
    """A finding for each kind of fault in each split's judgements."""
    for fault in retrieval.faults if retrieval is not None else ():
        yield _finding(fault)


def synthetic_queries(retrieval: Retrieval | None) -> Iterator[Finding]:
    """A finding for each of dev and test whose queries were made by a model."""
    for split in sorted(synthetic_sets(retrieval)):
        count = 0 if retrieval is None else len(retrieval.sets[split].queries)
        yield Finding(
            f"synthetic_queries_{split}",
            "warning",
            count,
            count,
            f"All {count:,} queries of {split} were made by a model.",
            "Such scores say how well a model finds what another model asks, which is often easier "
            "than what people ask.",
            "Judge some queries of people, if few, and report on them.",
        )


def _finding(fault: Fault) -> Finding:
    what, effect, advice = _WORDS[fault.name]
    return Finding(
        f"{fault.name}_{fault.split}",
        "info" if fault.name in _HARMLESS else grade(fault.count, fault.total, "warning"),
        fault.count,
        fault.total,
        f"{fault.count:,} {what.format(split=fault.split)}",
        effect,
        advice,
        tuple({"split": fault.split, "what": each} for each in fault.examples),
    )
