"""The data section: where the pairs come from, and what is done with them.

Only shapes and bounds of single values; `embft/sources.py` turns a section into pairs.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import Literal

from pydantic import Field, model_validator

from embft.spec.base import ColumnsSpec, Fields, Text

Shape = Literal["labelled", "positives", "triplets"]


def _ordered(label_range: tuple[float, float] | None) -> None:
    if label_range and label_range[0] >= label_range[1]:
        raise ValueError("label_range must be [low, high] with low below high")


class SplitSpec(Fields):
    """A dev or test file of another form than train; what is left out is as in `data`."""

    file: Text
    columns: ColumnsSpec | None = None
    label_range: tuple[float, float] | None = None
    groups: tuple[Text, ...] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> SplitSpec:
        _ordered(self.label_range)
        if self.label_range and self.columns and self.columns.label is None:
            raise ValueError("label_range is for labels, and columns name none: remove one of them")
        return self


class DataSpec(Fields):
    """A built-in dataset, or files of pairs.

    shape: what train is turned into where it is not what the loss needs.
    """

    dataset: Literal["dating"] | None = None
    train: Text | None = None
    dev: Text | SplitSpec | None = None
    test: Text | SplitSpec | None = None
    columns: ColumnsSpec = ColumnsSpec()
    groups: tuple[Text, ...] = ()
    label_range: tuple[float, float] | None = None
    shape: Shape | None = None
    dev_fraction: float = Field(default=0.1, gt=0, lt=1)
    on_leak: Literal["warn", "drop", "fail"] = "warn"

    @model_validator(mode="after")
    def _one_source(self) -> DataSpec:
        if (self.dataset is None) == (self.train is None):
            raise ValueError("needs either `dataset: dating` or `train: FILE`")
        given = [
            name
            for name, field in type(self).model_fields.items()
            if name not in {"dataset", "on_leak", "shape"} and getattr(self, name) != field.default
        ]
        if self.dataset and given:
            raise ValueError(
                f"a built-in dataset has its own files and columns: remove {', '.join(given)}"
            )
        _ordered(self.label_range)
        ranged = [split for split in (self.dev, self.test) if isinstance(split, SplitSpec)]
        ranged = [split for split in ranged if split.label_range and not split.columns]
        if self.columns.label is None and (self.label_range or ranged):
            raise ValueError(
                "label_range is for labels, and data.columns name none: remove it, or name the "
                "label's column"
            )
        return self

    def split(self, name: Literal["dev", "test"]) -> SplitSpec | None:
        """The dev or test file with everything said about how it is read, if there is one."""
        given: str | SplitSpec | None = getattr(self, name)
        if given is None:
            return None
        own = SplitSpec(file=given) if isinstance(given, str) else given
        # A range for the labels of other columns says nothing of these.
        label_range = self.label_range if own.columns in {None, self.columns} else None
        return SplitSpec(
            file=own.file,
            columns=own.columns or self.columns,
            label_range=own.label_range or label_range,
            groups=self.groups if own.groups is None else own.groups,
        )

    def relative_to(self, folder: PurePath) -> DataSpec:
        """The same data with its paths read as relative to `folder`."""
        moved: dict[str, object] = {}
        for name in ("train", "dev", "test"):
            given = getattr(self, name)
            if isinstance(given, SplitSpec):
                moved[name] = given.model_copy(update={"file": str(folder / given.file)})
            elif given is not None:
                moved[name] = str(folder / given)
        return self.model_copy(update=moved)
