"""What every section of a spec is made of."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator


class Fields(BaseModel):
    """A section of the spec: immutable, and without unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    @classmethod
    def written(cls) -> dict[str, Any]:
        """The fields as a spec has them, with their types."""
        return {name: field.annotation for name, field in cls.model_fields.items()}


def _text(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be empty")
    return value


def _as_set(value: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(sorted(set(value)))


def _listed(value: Any) -> Any:
    # A tuple, for what has passed a validator is Python, where a list is none.
    return (
        tuple(value) if isinstance(value, list) else (value,) if isinstance(value, str) else value
    )


def matching(pattern: str, allowed: str) -> AfterValidator:
    """Refuses what has not this pattern. allowed: the pattern in words, with an example."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"{value[:100]!r} is no name: {allowed}")
        return value

    return AfterValidator(check)


_NAME = "^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
# A sweep's, which is a folder's too.
Name = Annotated[
    str,
    matching(
        _NAME,
        "letters, digits, dots, hyphens and underscores are allowed, 100 at most, and no spaces; "
        "such as lora-rates",
    ),
    Field(json_schema_extra={"pattern": _NAME}),
]
Paths = str | tuple[str, ...]


def _one(value: Paths) -> Paths:
    return value[0] if isinstance(value, tuple) and len(value) == 1 else value


def moved(given: Paths, folder: PurePath) -> Paths:
    """The same files, their paths read as relative to `folder`."""
    if isinstance(given, tuple):
        return tuple(str(moved(each, folder)) for each in given)
    # The user's own folder, and an address, are nowhere in this one.
    return given if given.startswith("~") or "://" in given else str(folder / given)


Text = Annotated[str, AfterValidator(_text)]
# A set, written as a list or as one name: order, and what stands in it twice, make no other trial.
Names = Annotated[
    tuple[Text, ...],
    BeforeValidator(_listed, json_schema_input_type=str | tuple[str, ...]),
    AfterValidator(_as_set),
]
Numbers = Annotated[tuple[int, ...], AfterValidator(_as_set)]
# A file, a pattern or a folder; several are shards of one set.
Files = Annotated[Text | Annotated[Names, Field(min_length=1)], AfterValidator(_one)]
Column = Annotated[str, AfterValidator(_text)] | Annotated[int, Field(ge=0)]


class ColumnsSpec(Fields):
    """The columns of the user's files; a number is the position in a file without a header.

    `label: null`: the rows are positives. `text_3`, the hard negative: they are triplets, which
    have no label.
    """

    text_1: Column = "text_1"
    text_2: Column = "text_2"
    label: Column | None = "label"
    text_3: Column | None = None

    @model_validator(mode="before")
    @classmethod
    def _no_label_beside_negatives(cls, given: Any) -> Any:
        """With text_3 the label's default does not hold."""
        if isinstance(given, dict) and given.get("text_3") is not None and "label" not in given:
            return {**given, "label": None}
        return given

    @model_validator(mode="after")
    def _triplets_or_labels(self) -> ColumnsSpec:
        if self.text_3 is not None and self.label is not None:
            raise ValueError(
                "triplets (text_1, text_2, text_3) have no label: remove either label or text_3"
            )
        return self
