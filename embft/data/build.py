"""The data section of a spec -> train, dev and test pairs.

Where the section's fields meet the readers of `data/`, which know no spec.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from embft.data.fraction import Nested
from embft.data.judged_files import CorpusNames, JudgedFiles, QueryNames
from embft.data.load import Columns, PairFile
from embft.data.nli import NliFile
from embft.data.pairs import Splits
from embft.data.qrels import JudgementNames
from embft.data.same_label import SameLabel
from embft.data.shapes import to_shape
from embft.data.splits import Source, build_splits, with_files
from embft.data.unpaired import TextFile
from embft.data.word_noise import WordNoise, noisy
from embft.errors import DataError
from embft.spec import ColumnsSpec, DataSpec, SweepSpec
from embft.spec.data import SameLabelSpec, SplitSpec
from embft.spec.retrieval import JUDGED, RetrievalSpec
from embft.spec.shape import Shape
from embft.spec.sides import Side


class Loaded:
    """What data sections name, each source read once, however many fractions of it are wanted."""

    def __init__(self) -> None:
        self._known: dict[DataSpec, tuple[Splits, Nested]] = {}

    def of(self, spec: DataSpec) -> tuple[Splits, Nested]:
        """The splits before anything is done to train, and train's fractions."""
        source = spec.model_copy(
            update={"fraction": 1.0, "noise": None, "on_leak": "warn", "negatives": None}
        )
        if source not in self._known:
            made = _made(spec)
            self._known[source] = made, Nested(made.train, spec.seed)
        return self._known[source]


def spec_data(spec: SweepSpec) -> Splits:
    """The splits of a spec's first trial with the most data, whatever `on_leak` says."""
    sections = [trial.data for _, trial in spec.trials()]
    largest = max(sections, key=lambda section: section.fraction)
    return load_data(largest.model_copy(update={"on_leak": "warn"}))


def fraction_rows(spec: SweepSpec) -> dict[float, int]:
    """How many rows of train each fraction of the first data has; empty for a single fraction."""
    first, *others = dict.fromkeys(trial.data for _, trial in spec.trials())
    same = [
        data for data in others if data.model_copy(update={"fraction": first.fraction}) == first
    ]
    if not same:
        return {}
    known = Loaded()
    return {data.fraction: len(load_data(data, known).train) for data in (first, *same)}


def load_data(spec: DataSpec, known: Loaded | None = None) -> Splits:
    """The splits that a data section names, treated as its `on_leak` says. Raises DataError.

    known: what has been read before, and is not read again.
    """
    splits = _read(spec, known or Loaded())
    if spec.on_leak == "warn":
        return splits
    from embft.data.audit import audit, drop_leaked

    found = audit(splits)
    leaked = sum(len(rows) for name, rows in found.leaked_rows.items() if name != "train")
    if leaked and spec.on_leak == "fail":
        raise DataError(
            f"{leaked} rows of dev and test also stand in another split, and data.on_leak is fail: "
            "`embft data audit` shows them; remove them, or set data.on_leak to drop or warn"
        )
    return drop_leaked(splits, found) if leaked else splits


def _read(spec: DataSpec, known: Loaded) -> Splits:
    splits, nested = known.of(spec)
    # Before all else is made of train: a small training set knows no text of the rest.
    train = nested.take(spec.fraction)
    train = train if spec.shape is None else to_shape(train, spec.shape)
    if spec.noise is not None:
        noise = WordNoise(**spec.noise.model_dump())
        train = noisy(train, noise, spec.seed)
    return _with_sides(replace(splits, train=train), spec.sides.columns)


def _with_sides(splits: Splits, sides: tuple[Side, ...]) -> Splits:
    if sides == splits.dev.sides:
        return splits
    train, dev = (replace(pairs, sides=sides) for pairs in (splits.train, splits.dev))
    same = splits.test is splits.dev
    test = dev if same else replace(splits.test, sides=sides)
    return replace(splits, train=train, dev=dev, test=test)


def _made(spec: DataSpec) -> Splits:
    dev, test = (_file(part) if part else None for part in (spec.split("dev"), spec.split("test")))
    if spec.dataset == "dating":
        from embft.data.dating import generate

        return generate()
    negatives = spec.shape in {Shape.TRIPLETS, Shape.LABELLED}
    if spec.dataset == "handbook":
        from embft.data.handbook import generate as generate_handbook

        return generate_handbook().splits(judged_negatives=negatives)
    if spec.beir is not None or spec.retrieval is not None:
        return _judged(spec).load(spec.dev_fraction, judged_negatives=negatives)
    if spec.same_label is not None:
        made = _same_label(spec.same_label, spec.shape).split(spec.dev_fraction, spec.seed)
        return with_files(made, dev, test)
    return build_splits(_train(spec), dev, test, dev_fraction=spec.dev_fraction)


def _judged(spec: DataSpec) -> JudgedFiles:
    if spec.retrieval is None:
        return JudgedFiles.of_beir(Path(spec.beir or ""), spec.groups)
    return judged_files(spec.retrieval, spec.groups)


def judged_files(spec: RetrievalSpec, groups: Sequence[str] = ()) -> JudgedFiles:
    """The files of a corpus, queries and judgements that a spec names."""
    columns = spec.columns
    given = {split: getattr(spec.qrels, split) for split in JUDGED}
    return JudgedFiles(
        spec.corpus,
        spec.queries,
        {split: files for split, files in given.items() if files is not None},
        CorpusNames(**columns.corpus.model_dump()),
        QueryNames(**columns.queries.model_dump()),
        JudgementNames(**columns.qrels.model_dump()),
        groups,
    )


def _train(spec: DataSpec) -> Source:
    if spec.text is not None:
        return TextFile(spec.text.file, spec.text.column)
    if spec.nli is not None:
        fields = spec.nli.model_dump(exclude={"file"})
        return NliFile(spec.nli.file, **fields)
    columns = columns_of(spec.columns)
    return PairFile(spec.train or "", columns, spec.groups, spec.label_range)


def _same_label(spec: SameLabelSpec, shape: Shape | None) -> SameLabel:
    fields = spec.model_dump(exclude={"file"})
    return SameLabel(spec.file, **fields, shape=shape or Shape.POSITIVES)


def _file(split: SplitSpec) -> PairFile:
    columns = columns_of(split.columns or ColumnsSpec())
    return PairFile(split.file, columns, split.groups or (), split.label_range)


def columns_of(spec: ColumnsSpec) -> Columns:
    """The columns of a file as a spec names them."""
    return Columns(spec.text_1, spec.text_2, spec.label, spec.hard)
