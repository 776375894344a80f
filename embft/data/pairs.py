"""Pairs of texts, labelled or not, and the three splits they come in.

Covers the types, their digest and their file on disk. Does not read the users' formats
(`load.py`), turns no shape into another (`shapes.py`) and does not judge what it holds (`audit`).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from embft.data.column import (
    PART,
    GrowingColumns,
    Rows,
    TextColumn,
    numbers,
    parts,
    take,
    write_columns,
)
from embft.data.mining import Mining
from embft.data.origin import Origin
from embft.data.retrieval import Retrieval
from embft.spec.shape import Shape
from embft.spec.sides import Side, SidesSpec

SPLITS = ("train", "dev", "test")
SIDES = SidesSpec().columns
_SIDES = "sides"


@dataclass(frozen=True)
class Pairs:
    """`n` pairs of texts, or `n` triplets.

    text_1, text_2: n texts each. negatives: columns of n hard negatives each, of triplets only.
    label: shape (n,), float64 in [0, 1]; binary labels are 0.0 and 1.0, graded scores are scaled by
    the range that the spec names. groups: column name -> n values, the columns by which scores are
    broken down. labelled: whether the labels were given; where they were not, each is 1.0. origin:
    where the rows were read, if they were read from files. sides: whether the texts of each column
    are queries or documents, which decides what a model with prompts puts before them. scale: the
    ends of the scale that graded labels were given on, where it is known.

    shape says what a row is: `labelled` (text_1, text_2, label); `positives` (text_1 is the anchor,
    text_2 belongs to it); `triplets` (anchor, positive, and one text or
    several that do not belong to it).
    """

    text_1: Sequence[str]
    text_2: Sequence[str]
    label: npt.NDArray[np.float64]
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)
    negatives: tuple[Sequence[str], ...] = ()
    labelled: bool = True
    origin: Origin | None = field(default=None, compare=False, repr=False)
    sides: tuple[Side, ...] = SIDES
    scale: tuple[float, float] | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if self.negatives and self.labelled:
            raise ValueError("triplets have no label")

    @classmethod
    def unlabelled(
        cls,
        text_1: Sequence[str],
        text_2: Sequence[str],
        negatives: Sequence[Sequence[str]] = (),
        groups: Mapping[str, Sequence[str]] | None = None,
    ) -> Pairs:
        """Positives, or triplets where there are columns of negatives."""
        ones = np.ones(len(text_1))
        return cls(text_1, text_2, ones, groups or {}, tuple(negatives), labelled=False)

    def __len__(self) -> int:
        return len(self.text_1)

    @property
    def shape(self) -> Shape:
        """What a row is: scored or positive pairs, triplets, or pairs of two classes."""
        if self.negatives:
            return Shape.TRIPLETS
        return Shape.LABELLED if self.labelled else Shape.POSITIVES

    @property
    def columns(self) -> tuple[Sequence[str], ...]:
        """The columns of texts: two, and of triplets those of the negatives."""
        return (self.text_1, self.text_2, *self.negatives)

    @property
    def column_sides(self) -> tuple[Side, ...]:
        """The side of each of `columns`."""
        first, second, third = self.sides
        return (first, second, *[third] * len(self.negatives))

    @cached_property
    def is_binary(self) -> bool:
        """Whether every label is 0 or 1."""
        return bool(np.isin(self.label, (0.0, 1.0)).all())

    def take(self, rows: Rows) -> Pairs:
        """The pairs at these positions, in this order; many of them in a temporary file."""
        wanted = np.asarray(rows, np.int64)
        kept = GrowingColumns(len(self.columns) + len(self.groups))
        for start in range(0, len(wanted), PART):
            part = wanted[start : start + PART]
            kept.extend([take(c, part) for c in (*self.columns, *self.groups.values())])
        first, second, *others = kept.finished()
        negatives, values = others[: len(self.negatives)], others[len(self.negatives) :]
        groups = dict(zip(self.groups, values, strict=True))
        origin = None if self.origin is None else self.origin.take(wanted)
        return replace(
            self,
            text_1=first,
            text_2=second,
            label=self.label[wanted],
            groups=groups,
            negatives=tuple(negatives),
            origin=origin,
        )

    def in_memory(self) -> Pairs:
        """The same with lists, of pairs that were opened."""
        return Pairs(
            list(self.text_1),
            list(self.text_2),
            self.label,
            {name: list(values) for name, values in self.groups.items()},
            tuple(map(list, self.negatives)),
            self.labelled,
            self.origin,
            self.sides,
            self.scale,
        )

    def given_label(self, row: int) -> float:
        """The label of a row as it stands in its file."""
        return self.as_given(float(self.label[row]))

    def as_given(self, label: float) -> float:
        """A label, or a mean of labels, on the scale of the file."""
        low, high = self.scale or (0.0, 1.0)
        # To 10 digits, since scaling there and back costs the last ones.
        return float(f"{low + label * (high - low):.10g}")

    def digest(self) -> str:
        """SHA-256 over the content in its order; the files it came from do not matter."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        digest = hashlib.sha256()
        if not self.labelled:
            digest.update(self.shape.encode())
        if self.sides != SIDES:
            digest.update(json.dumps(self.sides).encode())
        for *texts, label in parts(*self.columns, self.label):
            given = [*texts, label.tolist()] if self.labelled else texts
            digest.update("".join(map(json.dumps, zip(*given, strict=True))).encode())
        for text in _json_of_lists(dict(sorted(self.groups.items()))):
            digest.update(text.encode())
        return digest.hexdigest()

    def write(self, path: Path) -> None:
        """Write the pairs as parquet. The caller makes the write atomic."""
        columns = {f"text_{i}": texts for i, texts in enumerate(self.columns, 1)}
        label = {"label": self.label} if self.labelled else {}
        groups = {f"group:{name}": values for name, values in self.groups.items()}
        metadata = {} if self.sides == SIDES else {_SIDES: json.dumps(self.sides)}
        write_columns(path, {**columns, **label, **groups}, metadata)

    @classmethod
    def read(cls, path: Path) -> Pairs:
        """Read the pairs that `write` wrote."""
        return cls.opened(path).in_memory()

    @classmethod
    def opened(cls, path: Path) -> Pairs:
        """As `read`, but texts and groups stay in the file until they are looked at."""
        import pyarrow.parquet as pq

        file = pq.ParquetFile(path)
        names = file.schema_arrow.names
        column = {name: TextColumn(file, name) for name in names if name != "label"}
        count = _count_texts(column)
        first, second, *negatives = (column[f"text_{i}"] for i in range(1, count + 1))
        groups = {
            name.removeprefix("group:"): values
            for name, values in column.items()
            if name.startswith("group:")
        }
        written = (file.schema_arrow.metadata or {}).get(_SIDES.encode())
        sides = SIDES if written is None else tuple(json.loads(written))
        if "label" not in names:
            return replace(cls.unlabelled(first, second, negatives, groups), sides=sides)
        label = numbers(file.read(columns=["label"])["label"]).astype(np.float64)
        return cls(first, second, label, groups, sides=sides)


def _count_texts(names: Iterable[str]) -> int:
    return sum(re.fullmatch(r"text_\d+", name) is not None for name in names)


@dataclass(frozen=True)
class Splits:
    """The three splits of one dataset, and what a reader of the scores must know of them.

    test_is_dev: no test split was given, so reports on "test" repeat dev and are optimistic.
    dev_is_cut: no dev split was given, so it was cut off from train. retrieval: the corpus and the
    judged queries, where the data are such; the pairs are then made of the relevant judgements.
    mining: the recipe of train's negatives, where they are still to be mined. recipe: its digest
    with that of the pairs that they were mined for, where they were (see `train_recipe`).
    """

    train: Pairs
    dev: Pairs
    test: Pairs
    dev_is_cut: bool = False
    test_is_dev: bool = False
    retrieval: Retrieval | None = None
    mining: Mining | None = None
    recipe: str | None = None

    @property
    def train_recipe(self) -> str | None:
        """What decides train where its negatives are mined, before and after; without groups."""
        if self.mining is None:
            return self.recipe
        both = f"{replace(self.train, groups={}).digest()}:{self.mining.digest}"
        return hashlib.sha256(both.encode()).hexdigest()

    @property
    def negatives(self) -> int:
        """How many a row of train has, or will have."""
        return len(self.train.negatives) if self.mining is None else self.mining.rule.number

    @property
    def train_shape(self) -> Shape:
        """What a row of train is once its negatives are mined."""
        return self.train.shape if self.mining is None else Shape.TRIPLETS

    def __getitem__(self, split: str) -> Pairs:
        if split not in SPLITS:
            raise KeyError(split)
        found: Pairs = getattr(self, split)
        return found

    def digest(self) -> str:
        """SHA-256 over the content of the splits, and of what they are judged by."""
        return splits_digest(self.digests())

    def digests(self) -> dict[str, str]:
        """The digest of each split, and of `retrieval` where there is such."""
        found = {split: self[split].digest() for split in SPLITS}
        if self.mining is not None:  # known by what decides them, before they are mined
            both = f"{found['train']}:{self.mining.digest}"
            found["train"] = hashlib.sha256(both.encode()).hexdigest()
        return found if self.retrieval is None else {**found, RETRIEVAL: self.retrieval.digest()}


RETRIEVAL, RECIPE = "retrieval", "recipe"


def splits_digest(splits: Mapping[str, str]) -> str:
    """The digest of a dataset by those of its parts."""
    parts = [splits[name] for name in (*SPLITS, RETRIEVAL) if name in splits]
    return hashlib.sha256(":".join(parts).encode()).hexdigest()


def _json_of_lists(lists: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """What `json.dumps` makes of lists by name, a part at a time."""
    yield "{"
    for place, (name, values) in enumerate(lists.items()):
        yield f"{', ' if place else ''}{json.dumps(name)}: ["
        for start, (part,) in enumerate(parts(values)):
            yield f"{', ' if start else ''}{json.dumps(part)[1:-1]}"
        yield "]"
    yield "}"


def write_jsonl(pairs: Pairs, path: Path) -> None:
    """Write pairs as the jsonl that `data.train` reads, groups as columns."""
    with path.open("w", encoding="utf-8") as file:
        for i in range(len(pairs)):
            label = pairs.label[i].item()
            row = {
                **{f"text_{n}": texts[i] for n, texts in enumerate(pairs.columns, 1)},
                **(
                    {"label": int(label) if label.is_integer() else label} if pairs.labelled else {}
                ),
                **{name: values[i] for name, values in pairs.groups.items()},
            }
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
