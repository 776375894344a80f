"""What ranking a corpus takes of memory and disk, before it is encoded.

Vectors of many documents lie in a file of the trial's folder, whose pages the system takes back;
what a worker holds of a corpus itself are a few numbers for each document, and dev's sample.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from embft.data.retrieval import Retrieval
from embft.models.model_folder import anatomy
from embft.planning.plan import Plan, PlannedTrial

FLOAT = 4  # bytes
DOCUMENT_BYTES = 120
"""Of a worker for each document of a corpus: numbers of texts, their order, the readers' columns;
`benchmarks/retrieval_scale.py` measures it."""
_SEARCH_BYTES = 150_000_000  # blocks of scores and of vectors; nothing is said of a small corpus
FEW = 16_384  # documents whose vectors stay in memory
_WIDTH = 1024  # where the base's files do not say it


@dataclass(frozen=True)
class TextsNeed:
    """Bytes that work on many texts takes. texts: how many there are."""

    texts: int = 0
    memory: int = 0
    disk: int = 0

    @classmethod
    def in_turn(cls, found: Sequence[TextsNeed]) -> TextsNeed:
        """Of one after another: the memory of the largest, and the disk of all."""
        largest = max(found, key=lambda need: need.memory, default=NO_TEXTS)
        return cls(largest.texts, largest.memory, sum(need.disk for need in found))


NO_TEXTS = TextsNeed()


def corpus_need(plan: Plan, trial: PlannedTrial) -> TextsNeed:
    """What the trial's evaluators need for their corpora, one ranked after another; the vectors of
    all stay on disk until the trial has its record.
    """
    ranked = _ranked(plan, trial)
    return TextsNeed.in_turn([_need(each, dev, width_of(trial)) for each, dev in ranked])


def _ranked(plan: Plan, trial: PlannedTrial) -> Iterator[tuple[Retrieval, int]]:
    """The corpora, each with the most documents that dev is ranked among."""
    from embft.evaluation.retrieval import Retrieval as Evaluator

    own = plan.data[trial.data_digest].retrieval if trial.data_digest in plan.data else None
    for entry in trial.spec.evaluators:
        if isinstance(entry.fields, Evaluator):
            files = plan.evaluators.get(entry) if entry.files else None
            corpus = files.judged if files is not None else own
            if corpus is not None:
                yield corpus, entry.fields.dev_documents


def _need(corpus: Retrieval, dev_documents: int, width: int) -> TextsNeed:
    count = len(corpus.corpus)
    if count <= FEW:
        return TextsNeed(count, FLOAT * count * width)
    judged = corpus.sets.get("dev")
    known = 0 if judged is None else len(np.unique(judged.judgements[:, 1]))
    sample = min(count, max(dev_documents, known))
    memory = DOCUMENT_BYTES * count + FLOAT * sample * width + _SEARCH_BYTES
    return TextsNeed(count, memory, FLOAT * count * width)


def width_of(trial: PlannedTrial) -> int:
    """How many numbers a vector of the trial's model has."""
    return anatomy(trial.base.folder).width or _WIDTH
