"""Retrieval: how well queries find their documents in a corpus, or pairs their second texts.

Where the data are judged queries over a corpus, or the evaluator names such files, every document
of the corpus is ranked for each query, exactly (`search.py`), and trec_eval's metrics are computed
(`metrics/ranking.py`). On pairs alone the candidates are a split's own texts
(`pair_retrieval.py`).
"""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field, model_validator

from embft.data.build import judged_files
from embft.data.retrieval import Retrieval as JudgedCorpus
from embft.encoding.precision import encoding_in
from embft.errors import DataError, EmbftError
from embft.evaluation.context import Context, Found
from embft.evaluation.pair_retrieval import OF_PAIRS, pair_retrieval
from embft.metrics.ranking import FAMILIES, INDEX_RECALL_AT, names_at
from embft.results.evaluators import EvaluatorFiles
from embft.results.folders import TrialDir
from embft.results.retrieved import write_retrieved
from embft.spec.base import Files, Paths
from embft.spec.evaluators import Evaluator
from embft.spec.retrieval import QrelsSpec, RetrievalColumns, RetrievalSpec
from embft.spec.sides import EncodingPrecision

CUTOFFS = (1, 5, 10, 100)


def _ascending(value: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(set(value)))


Cutoff = Annotated[int, Field(ge=1, le=1000)]


class Retrieval(Evaluator):
    """How well queries find their documents.

    corpus, queries, qrels (judgements for test), dev (judgements for dev): files of its own, beside
    whatever the data are. k: the metrics' cut-offs. dev_documents: dev is ranked, while training
    and in the record, among a fixed sample of at most so many documents, all judged ones in it.
    precision: of the products while the corpus and queries are encoded; `embft evaluate --precision
    bf16` says what it does to scores. index: how many cells an approximate index looks at for each
    query; of each number, its recall against exact search is measured on test. No other metric
    depends on it.
    """

    corpus: Files | None = None
    queries: Files | None = None
    qrels: Files | None = None
    dev: Files | None = None
    columns: RetrievalColumns = RetrievalColumns()
    k: Annotated[tuple[Cutoff, ...], Field(min_length=1), AfterValidator(_ascending)] = CUTOFFS
    dev_documents: int = Field(default=10_000, ge=1)
    precision: EncodingPrecision = "fp32"
    index: Annotated[tuple[Cutoff, ...], AfterValidator(_ascending)] = ()

    declared: ClassVar = (*OF_PAIRS, *FAMILIES, INDEX_RECALL_AT)

    @model_validator(mode="after")
    def _all_files_or_none(self) -> Retrieval:
        given = self.files()
        if given and (not {"corpus", "queries"} <= given.keys() or len(given) < 3):
            raise ValueError(
                f"has {' and '.join(given)}: files of its own are `corpus`, `queries`, and `qrels` "
                "(judgements for test), `dev` (judgements for dev) or both"
            )
        return self

    def files(self) -> dict[str, Paths]:
        """Those that are given."""
        found = {name: getattr(self, name) for name in ("corpus", "queries", "qrels", "dev")}
        return {name: path for name, path in found.items() if path is not None}

    def dev_metrics(self) -> frozenset[str]:
        """By the cut-offs; with files of its own none where there are no judgements for dev."""
        if self.corpus is not None and self.dev is None:
            return frozenset()
        pairs = () if self.corpus is not None else (metric.name for metric in OF_PAIRS)
        return frozenset({*names_at(self.k), *pairs})

    def find_files(self) -> EvaluatorFiles | None:
        """Its corpus, queries and judgements, read and checked."""
        if self.index and importlib.util.find_spec("faiss") is None:
            raise EmbftError(
                "evaluators, retrieval: `index` needs the package faiss: pip install 'embft[ann]', "
                "or leave `index` out"
            )
        if self.corpus is None:
            return None
        qrels = QrelsSpec(dev=self.dev, test=self.qrels)
        spec = RetrievalSpec(
            corpus=self.corpus, queries=self.queries or "", qrels=qrels, columns=self.columns
        )
        try:
            judged = judged_files(spec).sets()
        except DataError as error:
            raise DataError(f"{error} (In `evaluators`, retrieval.)") from None
        return EvaluatorFiles(judged.digest(), judged=judged)

    def run(self, context: Context, folder: Path | None) -> dict[str, Found]:
        """The metrics of each split that is asked for and has judgements."""
        judged = context.splits.retrieval if folder is None else _opened(folder)
        if judged is None:
            return _of_pairs(context)
        from embft.evaluation.ranked import rank_splits

        with encoding_in(self.precision):
            found = rank_splits(context, judged, self)
        if context.folder is not None:
            kept = {split: each.retrieved() for split, each in found.items()}
            write_retrieved(TrialDir(context.folder).retrieved_by(folder), kept)
        return {split: each.metrics(self.k) for split, each in found.items()}


@lru_cache(maxsize=4)  # a training asks for it at each evaluation
def _opened(folder: Path) -> JudgedCorpus:
    return JudgedCorpus.opened(folder)


def _of_pairs(context: Context) -> dict[str, Found]:
    splits, embedded = context.splits, context.embedded
    test = pair_retrieval(embedded["test"], splits.test)
    same = splits.test is splits.dev
    return {"dev": test if same else pair_retrieval(embedded["dev"], splits.dev), "test": test}
