"""Which columns of the user's files are texts, label and groups, and what a row is: guesses.

Each guess that somebody may want to correct is said in words. Does not read files (`table.py`) and
writes no spec (`planning/draft.py`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from embft.data.judged_files import JudgedFiles
from embft.data.names import as_compared
from embft.data.table import Column, Table
from embft.data.values import Range
from embft.errors import DataError

Kind = Literal["labelled", "positives", "triplets", "nli", "same_label", "text", "retrieval"]
Name = str | int

# Names that columns of pairs have in public datasets, the surer ones first.
_FIRST = (
    "text_1", "text1", "text_a", "sentence_1", "sentence1", "sentence_a", "anchor", "query",
    "question_1", "question1", "question", "premise", "source", "title", "prompt", "a",
)  # fmt: skip
_SECOND = (
    "text_2", "text2", "text_b", "sentence_2", "sentence2", "sentence_b", "positive", "pos",
    "question_2", "question2", "answer", "hypothesis", "passage", "document", "target", "response",
    "context", "abstract", "body", "b",
)  # fmt: skip
_THIRD = ("text_3", "negative", "hard_negative", "neg", "negative_1", "text3", "sentence3")
_NUMBERED = re.compile(r"(hard_?)?neg(ative)?s?_?[0-9]+")  # as a negative of several is called
_LABEL = (
    "label", "score", "similarity", "similarity_score", "gold_label", "gold", "is_duplicate",
    "relevance", "rating", "relatedness_score", "y", "class", "category", "topic", "intent", "tag",
)  # fmt: skip
_NEVER = ("id", "idx", "index", "guid", "uuid", "pair_id", "pairid", "qid", "qid1", "qid2", "year")
_INFERENCE = {"entailment", "neutral", "contradiction"}

_MOST_GROUPS, _MOST_VALUES = 3, 20  # columns to break scores down by, and their values
_REPEATED = 3  # rows of each value, at least, where a column holds classes
_CLASS_LENGTH = 60
_LEAST_OF_A_CLASS = 6  # as `same_label` needs
_SCALES: tuple[Range, ...] = ((0, 1), (1, 4), (0, 4), (1, 5), (0, 5), (1, 10), (0, 10), (0, 100))


@dataclass(frozen=True)
class Recognised:
    """What the files hold, as far as their columns show it.

    files: the tables by split, train always. label_range: of graded labels. guesses: sentences, for
    whoever must check them. doubts: which of `label`, `texts` and `label_range` may well be wrong.
    """

    kind: Kind
    files: dict[str, Table]
    text_1: Name
    text_2: Name | None = None
    negatives: tuple[Name, ...] = ()
    label: Name | None = None
    label_range: Range | None = None
    groups: tuple[Name, ...] = ()
    guesses: tuple[str, ...] = ()
    doubts: tuple[str, ...] = field(default=())

    @property
    def train(self) -> Table:
        """The table that is trained on."""
        return self.files["train"]

    @property
    def texts(self) -> tuple[Name, ...]:
        """The columns of texts."""
        second = () if self.text_2 is None else (self.text_2,)
        return (self.text_1, *second, *self.negatives)

    def sample(self) -> list[str]:
        """Some of the texts of train."""
        return [text for name in self.texts for text in self.train[name].sample]


def recognise(
    files: dict[str, Table],
    texts: Sequence[Name] = (),
    label: Name | None = None,
    label_range: Range | None = None,
) -> Recognised:
    """What these tables hold. texts, label, label_range: what is known, taken as it is.

    Raises DataError where no column is a text, or another file lacks a column.
    """
    train = files["train"]
    for name in (*texts, *([] if label is None else [label])):
        _check_there(train, name)
    chosen, doubts = (list(texts), []) if texts else _texts(train, label)
    found = _of_texts(files, chosen, label)
    found = _with_range(found, label_range)
    _check_others(found)
    return replace(
        found,
        guesses=tuple(_guesses(found, asked=bool(texts))),
        doubts=(*doubts, *found.doubts),
    )


def split_names(paths: Sequence[str]) -> dict[str, str]:
    """Which file is train, dev and test: by their names, else in this order. Raises DataError."""
    if len(paths) > 3:
        raise DataError(
            f"{len(paths)} files were given: TRAIN, DEV and TEST are three. Shards of one set are "
            "given as a folder or a pattern in quotes, such as 'pairs/*.csv'."
        )
    if len(paths) == 1:
        return {"train": paths[0]}
    named = {path: _split_of(path) for path in paths}
    if None not in named.values() and len(set(named.values())) == len(paths):
        found = {split: path for path, split in named.items() if split}
        if "train" in found:
            return {split: found[split] for split in ("train", "dev", "test") if split in found}
    return dict(zip(("train", "dev", "test"), paths, strict=False))


def is_judged(path: str) -> bool:
    """Whether this is a folder of a corpus, queries and judgements, in BEIR's format."""
    folder = Path(path).expanduser()
    return (folder / "qrels").is_dir() and any(folder.glob("corpus.*"))


def recognise_judged(path: str) -> Recognised:
    """What such a folder holds: its pairs of a query and a document. Raises DataError."""
    splits = JudgedFiles.of_beir(Path(path)).load()
    columns = (Column("query"), Column("document"))
    for column, texts in zip(columns, splits.train.columns, strict=False):
        for text in texts:
            column.add(text)
    table = Table(path, len(splits.train), columns)
    found = Recognised("retrieval", {"train": table}, "query", "document")
    said = f"{path}: a corpus with queries and judgements, {len(splits.train):,} pairs to train on"
    return replace(found, guesses=(said,))


_SPLIT_WORDS = {
    "train": ("train", "training"),
    "dev": ("dev", "valid", "validation", "val", "development"),
    "test": ("test", "eval", "evaluation", "heldout"),
}


def _split_of(path: str) -> str | None:
    """The split that a file's name says, if it says one."""
    name = Path(path).name.partition(".")[0].casefold()
    parts = "".join(c if c.isalnum() else " " for c in name).split()
    said = [s for s, words in _SPLIT_WORDS.items() if any(word in parts for word in words)]
    return said[0] if len(said) == 1 else None


def _check_there(table: Table, name: Name) -> None:
    names = [column.name for column in table.columns]
    if name not in names:
        raise DataError(
            f"{table.path}: no column {name!r}; the file has: {', '.join(map(str, names))}."
        )


def _known(table: Table, names: Sequence[str]) -> Column | None:
    """The column of one of these names, the surest of them."""
    by_name = {as_compared(str(column.name)): column for column in table.columns}
    return next((by_name[name] for name in names if name in by_name), None)


def _is_class(column: Column) -> bool:
    """Whether a column holds few short values, each of them often."""
    return (
        not column.is_numeric
        and column.words is not None
        and 2 <= column.distinct <= column.filled / _REPEATED
        and column.mean_length <= _CLASS_LENGTH
    )


def _texts(table: Table, label: Name | None) -> tuple[list[Name], list[str]]:
    """The columns of texts, in their roles; and whether they may well be others."""
    named = [_known(table, names) for names in (_FIRST, _SECOND, _THIRD)]
    found = [c for c in named if c is not None and c.is_text and c.name != label]
    if len(found) >= 2 and named[0] is not None and named[1] is not None:
        chosen = [column.name for column in found]
        return [*chosen, *_numbered(table, chosen)], []
    texts = [c for c in table.columns if c.is_text and c.name != label and not _is_class(c)]
    if not texts:
        texts = [
            c for c in table.columns if c.is_text and c.name != label and " " in "".join(c.sample)
        ]
    if not texts:
        names = ", ".join(str(column.name) for column in table.columns) or "none"
        raise DataError(
            f"{table.path}: no column holds a text in every row; its columns: {names}. Name the "
            "columns with --columns."
        )
    longest = sorted(texts, key=lambda column: -column.mean_length)[:2]
    chosen = [column.name for column in texts if column in longest]
    return chosen, ["texts"] if len(texts) > 2 else []


def _numbered(table: Table, chosen: Sequence[Name]) -> Iterator[Name]:
    """The columns of further negatives, where one was chosen."""
    for column in table.columns if len(chosen) > 2 else ():
        name = as_compared(str(column.name))
        if column.is_text and column.name not in chosen and _NUMBERED.fullmatch(name):
            yield column.name


def _of_texts(files: dict[str, Table], texts: Sequence[Name], label: Name | None) -> Recognised:
    """What a row is, by its texts and what stands beside them."""
    train = files["train"]
    others = [column for column in train.columns if column.name not in texts]
    second = texts[1] if len(texts) > 1 else None
    found = Recognised("positives", files, texts[0], second, tuple(texts[2:]))
    if found.negatives:
        return replace(found, kind="triplets")
    if second is None:
        classes = _class_column(others, label)
        if classes is None:
            return replace(found, kind="text")
        return replace(found, kind="same_label", label=classes.name)
    inference = next((c for c in others if _is_inference(c)), None)
    if inference is not None and label in {None, inference.name}:
        return replace(found, kind="nli", label=inference.name)
    return _of_pairs(found, others, label)


def _of_pairs(found: Recognised, others: Sequence[Column], label: Name | None) -> Recognised:
    """Pairs with what stands beside their texts: the label, if there is one, and groups."""
    numeric, unsure = _label(others) if label is None else (found.train[label], False)
    groups = [c.name for c in others if _is_class(c) and c.distinct <= _MOST_VALUES]
    groups = [name for name in groups if numeric is None or name != numeric.name][:_MOST_GROUPS]
    if numeric is None:
        return replace(found, groups=tuple(groups))
    return replace(
        found,
        kind="labelled",
        label=numeric.name,
        groups=tuple(groups),
        doubts=("label",) if unsure else (),
    )


def _is_inference(column: Column) -> bool:
    words = {word.strip().casefold() for word in column.words or ()}
    return "entailment" in words and words <= {*_INFERENCE, "-", ""}


def _class_column(columns: Sequence[Column], label: Name | None) -> Column | None:
    """The column of class labels beside a single text."""
    named = [c for name in _LABEL for c in columns if as_compared(str(c.name)) == name]
    usable = [c for c in (*named, *columns) if _is_class(c) or (c.is_numeric and _few_whole(c))]
    if label is not None:
        return next((column for column in columns if column.name == label), None)
    return next((c for c in usable if min((c.words or {0: 0}).values()) >= _LEAST_OF_A_CLASS), None)


def _few_whole(column: Column) -> bool:
    return column.whole and 2 <= column.distinct <= column.filled / _LEAST_OF_A_CLASS


def _label(columns: Sequence[Column]) -> tuple[Column | None, bool]:
    """The column of scores or of 0 and 1, and whether another may as well be it."""
    usable = [c for c in columns if c.is_numeric and as_compared(str(c.name)) not in _NEVER]
    named = [c for name in _LABEL for c in usable if as_compared(str(c.name)) == name]
    if named:
        return named[0], False
    ranked = sorted((c for c in usable if _likeness(c)), key=lambda c: -_likeness(c))
    if not ranked:
        return None, False
    return ranked[0], len(ranked) > 1


def _likeness(column: Column) -> int:
    """How much a column of numbers looks like scores."""
    if column.low == column.high:
        return 0
    if column.whole and (column.low, column.high) == (0, 1):
        return 3
    if column.low >= -1 and column.high <= 10:
        return 2 if not column.whole else 1
    return 1 if column.low >= 0 and column.high <= 100 and not column.whole else 0


def _with_range(found: Recognised, given: Range | None) -> Recognised:
    """The scale of the labels, where they are graded."""
    if found.kind != "labelled" or found.label is None:
        return found
    if given is not None:
        return replace(found, label_range=given)
    tables = [table for table in found.files.values() if _has(table, found.label)]
    columns = [table[found.label] for table in tables]
    low, high = min(c.low for c in columns), max(c.high for c in columns)
    if all(c.whole for c in columns) and low >= 0 and high <= 1:
        return found
    return replace(found, label_range=scale_of(low, high), doubts=(*found.doubts, "label_range"))


def scale_of(low: float, high: float) -> Range:
    """The ends of the smallest usual scale that holds labels from low to high."""
    for scale in _SCALES:
        if scale[0] <= low and high <= scale[1]:
            return scale
    if low >= -1 and high <= 1:
        return (-1, 1)
    return (math.floor(low), math.ceil(high))


def _has(table: Table, name: Name | None) -> bool:
    return any(column.name == name for column in table.columns)


def _check_others(found: Recognised) -> None:
    """Dev and test must have the columns of train."""
    label = [] if found.label is None else [found.label]
    for table in list(found.files.values())[1:]:
        for name in (*found.texts, *label):
            _check_there(table, name)


def _guesses(found: Recognised, *, asked: bool) -> list[str]:
    """What was taken to be what, in sentences."""
    said = [f"{split}: {table.path}, {table.rows:,} rows" for split, table in found.files.items()]
    if not found.train.has_header:
        said.append("the files have no header: columns are given by position, from 0")
    texts = ", ".join(map(str, found.texts))
    how = "as given" if asked else "guessed"
    columns = "column" if len(found.texts) == 1 else "columns"
    said.append(f"texts: {columns} {texts} ({how}); {_MEANING[found.kind]}")
    if found.label is not None:
        said.append(f"label: column {found.label}{_values(found)}")
    if found.groups:
        said.append(f"scores are broken down by {', '.join(map(str, found.groups))}")
    return said


_MEANING = {
    "labelled": "pairs with a label",
    "positives": "pairs that belong together, without a label",
    "triplets": "triplets of anchor, positive and hard negative",
    "nli": "inference: entailments are positives, contradictions hard negatives",
    "same_label": "texts with class labels: texts of one label belong together",
    "text": "texts alone, each its own positive",
    "retrieval": "queries, and the documents that answer them",
}


def _values(found: Recognised) -> str:
    if found.label is None:
        return ""
    column = found.train[found.label]
    if found.kind != "labelled":
        return f", {column.distinct} classes"
    if found.label_range is None:
        return ", 0 or 1"
    low, high = found.label_range
    return f", from {column.low:g} to {column.high:g}; taken as a scale from {low:g} to {high:g}"
