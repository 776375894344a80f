"""What every section of a spec is made of."""

from __future__ import annotations

import re
from typing import Annotated, Any, Protocol

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


def as_tuple(value: Any) -> Any:
    """A list as a tuple: what has passed a validator is Python, where a list is none."""
    return tuple(value) if isinstance(value, list) else value


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str) else as_tuple(value)


def _columns(value: Any) -> Any:
    return (value,) if isinstance(value, int) else _listed(value)


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


class Below(Protocol):
    """What a path in a spec is read below: a folder, or whatever else makes another path of it."""

    def __truediv__(self, given: str, /) -> object: ...


def moved(given: Paths, folder: Below) -> Paths:
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
# In their order, which counts; one is short for a list of it.
Columns = Annotated[
    tuple[Column, ...],
    BeforeValidator(_columns, json_schema_input_type=Column | tuple[Column, ...]),
    Field(min_length=1),
]


class ColumnsSpec(Fields):
    """The columns of the user's files; a number is the position in a file without a header.

    `label: null`: the rows are positives. `negatives`: they are triplets, which have no label: a
    column of hard negatives, or of lists of them, or several columns; `text_3` is one column.
    """

    text_1: Column = "text_1"
    text_2: Column = "text_2"
    label: Column | None = "label"
    text_3: Column | None = None
    negatives: Columns | None = None

    @model_validator(mode="before")
    @classmethod
    def _no_label_beside_negatives(cls, given: Any) -> Any:
        """With negatives the label's default does not hold."""
        if not isinstance(given, dict) or "label" in given:
            return given
        triplets = given.get("text_3") is not None or given.get("negatives") is not None
        return {**given, "label": None} if triplets else given

    @model_validator(mode="after")
    def _triplets_or_labels(self) -> ColumnsSpec:
        if self.text_3 is not None and self.negatives is not None:
            raise ValueError("text_3 and negatives both name hard negatives: keep negatives alone")
        named = "text_3" if self.text_3 is not None else "negatives"
        if self.hard and self.label is not None:
            raise ValueError(
                f"triplets (text_1, text_2, {named}) have no label: remove either label or {named}"
            )
        return self

    @property
    def hard(self) -> tuple[str | int, ...]:
        """The columns of hard negatives."""
        if self.negatives is not None:
            return self.negatives
        return () if self.text_3 is None else (self.text_3,)
