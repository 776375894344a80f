"""Files of labelled texts: what the evaluators on them share. `data` is reported under test.

Clustering, classification and STS run as MTEB runs them (Muennighoff et al., 2023), draw by draw
the same as the mteb package does; `tests/evaluation/test_mteb.py` compares them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from embft.data.files import DataFiles, Given
from embft.data.labelled import Labelled
from embft.data.pairs import Pairs
from embft.data.read import read_rows
from embft.data.values import class_of, text_of
from embft.errors import DataError, nearest
from embft.evaluation.context import Context, Found
from embft.results.evaluators import EvaluatorFiles, named_digest, table_file
from embft.spec.base import Column, Files, Names, Paths
from embft.spec.evaluators import Evaluator

SOURCE = "MTEB: Muennighoff and others (2023)"
_ROLES = ("data", "dev", "train")
_ROLE_OF = {"dev": "dev", "test": "data"}


class OnFiles(Evaluator):
    """An evaluator with data of its own: `data` is reported under test, `dev` is for choosing."""

    data: Files
    dev: Files | None = None

    def files(self) -> dict[str, Paths]:
        """Those of `data`, `dev` and `train` that are given."""
        found = {role: getattr(self, role, None) for role in _ROLES}
        return {role: path for role, path in found.items() if path is not None}

    def dev_metrics(self) -> frozenset[str] | None:
        """The metrics that dev has too; None without a file of dev."""
        return super().dev_metrics() if self.dev is not None else frozenset()

    def read_table(self, path: Given) -> Labelled | Pairs:
        """What is in one of its files. Raises DataError."""
        raise NotImplementedError

    def find_files(self) -> EvaluatorFiles:
        """Its files, read and checked. Raises DataError where one is at fault."""
        tables = {role: self._table(role, path) for role, path in self.files().items()}
        digests = {role: table.digest() for role, table in tables.items()}
        return EvaluatorFiles(named_digest(digests), tables)

    def _table(self, role: str, path: Given) -> Labelled | Pairs:
        try:
            return self.read_table(path)
        except DataError as error:
            where = f"{self.kind()}.{role}"
            message = f"{error} (In `evaluators`, {where}: columns are set there too.)"
            raise DataError(message) from None


class OnLabelledTexts(OnFiles):
    """Texts with class labels.

    labels: texts of these labels alone are read, for instance those that training held out.
    """

    text: Column = "text"
    label: Column = "label"
    labels: Annotated[Names, Field(min_length=2)] | None = None

    def read_table(self, path: Given) -> Labelled:
        """Read texts and labels as `read_labelled` does."""
        return read_labelled(path, self.text, self.label, self.labels)


def read_labelled(
    path: Given, text: Column = "text", label: Column = "label", only: Sequence[str] | None = None
) -> Labelled:
    """Texts and class labels from two columns of these files, as for pairs. Raises DataError.

    Also where there are fewer than 2 different labels, or where a label asked for is not there.
    """
    files = DataFiles(path)
    texts, labels, there = [], [], set[str]()
    for at, (content, named) in read_rows(files, [text, label], required=2):
        shown, name = text_of(at, text, content), class_of(at, label, named)
        there.add(name)
        if only is None or name in only:
            texts.append(shown)
            labels.append(name)
    for wanted in only or ():
        if wanted not in there:
            raise DataError(f"{files}: no text has the label {wanted!r}; {nearest(wanted, there)}")
    if len(set(labels)) < 2:
        raise DataError(f"{files}: column {label!r} needs at least 2 different labels")
    return Labelled(texts, labels)


def by_split(
    score: Callable[[Path], Found], folder: Path | None, context: Context
) -> dict[str, Found]:
    """What `score` finds in the frozen file of each split that is asked for and has one."""
    if folder is None:
        return {}
    paths = {split: table_file(folder, _ROLE_OF[split]) for split in context.asked}
    return {split: score(path) for split, path in paths.items() if path.exists()}
