"""The data section of a spec -> train, dev and test pairs.

Where the section's fields meet the readers of `data/`, which know no spec.
"""

from __future__ import annotations

from pathlib import Path

from embft.data.load import Columns, PairFile
from embft.data.pairs import Splits
from embft.data.shapes import to_shape
from embft.data.splits import Source, build_splits
from embft.errors import DataError
from embft.spec import ColumnsSpec, DataSpec, SweepSpec
from embft.spec.data import SplitSpec


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
    if spec.dataset == "dating":
        from embft.data.dating import generate

        made = generate()
        train = made.train if spec.shape is None else to_shape(made.train, spec.shape)
        return Splits(train, made.dev, made.test)
    dev, test = spec.split("dev"), spec.split("test")
    return build_splits(
        _train(spec),
        _file(dev) if dev else None,
        _file(test) if test else None,
        dev_fraction=spec.dev_fraction,
        shape=spec.shape,
    )


def _train(spec: DataSpec) -> Source:
    columns = _columns(spec.columns)
    return PairFile(Path(str(spec.train)), columns, spec.groups, spec.label_range)


def _file(split: SplitSpec) -> PairFile:
    columns = _columns(split.columns or ColumnsSpec())
    return PairFile(Path(split.file), columns, split.groups or (), split.label_range)


def _columns(spec: ColumnsSpec) -> Columns:
    return Columns(spec.text_1, spec.text_2, spec.label, spec.text_3)
