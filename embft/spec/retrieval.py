"""Queries, a corpus, and judgements of what answers what: the fields that name their files.

The `data` section and the evaluator `retrieval` have them in common.
"""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from embft.spec.base import Below, Column, Fields, Files, moved

JUDGED = ("train", "dev", "test")


class DocumentColumns(Fields):
    """The corpus: an id, a text, and a title, which is put before the text where there is one."""

    id: Column = "_id"
    title: Column | None = "title"
    text: Column = "text"


class QueryColumns(Fields):
    """The queries: an id and a text."""

    id: Column = "_id"
    text: Column = "text"


class JudgementColumns(Fields):
    """Judgements: a query's id, a document's id, and a grade, above 0 where it is relevant."""

    query: Column = "query-id"
    document: Column = "corpus-id"
    grade: Column = "score"


class RetrievalColumns(Fields):
    """The columns of the three kinds of files; the defaults are BEIR's (Thakur et al., 2021)."""

    corpus: DocumentColumns = DocumentColumns()
    queries: QueryColumns = QueryColumns()
    qrels: JudgementColumns = JudgementColumns()


class QrelsSpec(Fields):
    """A file of judgements for each split, at least one of them."""

    train: Files | None = None
    dev: Files | None = None
    test: Files | None = None

    @model_validator(mode="after")
    def _at_least_one(self) -> QrelsSpec:
        if not any(getattr(self, split) for split in JUDGED):
            raise ValueError("names no file of judgements: give train, dev or test")
        return self

    def relative_to(self, folder: Below) -> Self:
        """The same files, their paths read as relative to `folder`."""
        given = {split: getattr(self, split) for split in JUDGED}
        return self.model_copy(update={k: moved(v, folder) for k, v in given.items() if v})


class RetrievalSpec(Fields):
    """The corpus, the queries of all splits, and each split's judgements."""

    corpus: Files
    queries: Files
    qrels: QrelsSpec
    columns: RetrievalColumns = RetrievalColumns()

    def relative_to(self, folder: Below) -> Self:
        """The same files, their paths read as relative to `folder`."""
        return self.model_copy(
            update={
                "corpus": moved(self.corpus, folder),
                "queries": moved(self.queries, folder),
                "qrels": self.qrels.relative_to(folder),
            }
        )
