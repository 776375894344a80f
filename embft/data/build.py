"""The data section of a spec -> train, dev and test pairs.

Where the section's fields meet the readers of `data/`, which know no spec.
"""

from __future__ import annotations

from dataclasses import replace

from embft.data.load import Columns, PairFile
from embft.data.nli import NliFile
from embft.data.noise import Noise, noisy
from embft.data.pairs import Splits
from embft.data.same_label import SameLabel
from embft.data.shapes import to_shape
from embft.data.single import TextFile
from embft.data.splits import Source, build_splits, with_files
from embft.errors import DataError
from embft.spec import ColumnsSpec, DataSpec, SweepSpec
from embft.spec.data import SameLabelSpec, SplitSpec
from embft.spec.shape import Shape


def spec_data(spec: SweepSpec) -> Splits:
    """The splits of a spec's first trial, whatever `on_leak` says."""
    _, trial = next(spec.trials())
    return load_data(trial.data.model_copy(update={"on_leak": "warn"}))


def load_data(spec: DataSpec) -> Splits:
    """The splits that a data section names, treated as its `on_leak` says. Raises DataError."""
    splits = _read(spec)
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


def _read(spec: DataSpec) -> Splits:
    splits = _made(spec)
    train = splits.train if spec.shape is None else to_shape(splits.train, spec.shape)
    if spec.noise is not None:
        noise = Noise(**spec.noise.model_dump())
        train = noisy(train, noise, spec.seed)
    return replace(splits, train=train)


def _made(spec: DataSpec) -> Splits:
    dev, test = (_file(part) if part else None for part in (spec.split("dev"), spec.split("test")))
    if spec.dataset == "dating":
        from embft.data.dating import generate

        return generate()
    if spec.same_label is not None:
        made = _same_label(spec.same_label, spec.shape).split(spec.dev_fraction, spec.seed)
        return with_files(made, dev, test)
    return build_splits(_train(spec), dev, test, dev_fraction=spec.dev_fraction)


def _train(spec: DataSpec) -> Source:
    if spec.text is not None:
        return TextFile(spec.text.file, spec.text.column)
    if spec.nli is not None:
        fields = spec.nli.model_dump(exclude={"file"})
        return NliFile(spec.nli.file, **fields)
    columns = _columns(spec.columns)
    return PairFile(spec.train or "", columns, spec.groups, spec.label_range)


def _same_label(spec: SameLabelSpec, shape: Shape | None) -> SameLabel:
    fields = spec.model_dump(exclude={"file"})
    return SameLabel(spec.file, **fields, shape=shape or Shape.POSITIVES)


def _file(split: SplitSpec) -> PairFile:
    columns = _columns(split.columns or ColumnsSpec())
    return PairFile(split.file, columns, split.groups or (), split.label_range)


def _columns(spec: ColumnsSpec) -> Columns:
    return Columns(spec.text_1, spec.text_2, spec.label, spec.text_3)
