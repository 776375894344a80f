"""What a spec's `evaluators` may hold: built-in names, users' functions, and labelled texts.

Only their fields, and which metrics each gives. `evaluator_files.py` finds their files,
`evaluation/` runs them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from embft.errors import nearest
from embft.metrics.registry import computed_by
from embft.spec.base import Column, ColumnsSpec, Fields, Names, Text

Prefix = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,59}$")]
KINDS = ("function", "clustering", "classification", "sts", "mteb")
BUILT_IN = ("attention", "clusters", "collapse", "probe", "retrieval")


class LabelledSpec(Fields):
    """Texts with class labels: `data` is reported under test, `dev` is for choosing.

    labels: texts of these labels alone are read, for instance those that training held out.
    """

    data: Text
    dev: Text | None = None
    text: Column = "text"
    label: Column = "label"
    # Not strict: what has passed a validator before is Python, where a list is no tuple.
    labels: Annotated[Names, Field(min_length=2, strict=False)] | None = None


class ClusteringSpec(LabelledSpec):
    """MTEB's clustering: draws of texts, k-means with as many clusters as labels, v-measure.

    fraction: the share of the texts that is embedded. draw_size: texts of each draw, taken with
    replacement; `all`: every text once, and another seed of k-means for each draw. batch_size: of
    the mini-batch k-means.
    """

    fraction: float = Field(default=1.0, gt=0, le=1)
    draws: int = Field(default=10, ge=1, le=1000)
    draw_size: Literal["all"] | Annotated[int, Field(ge=2)] = 16_384
    batch_size: int = Field(default=512, ge=1)
    seed: int = Field(default=42, ge=0, lt=2**32)


class ClassificationSpec(LabelledSpec):
    """MTEB's classification: logistic regression on a few texts of each label.

    train: where those are drawn from; without it from the scored file, whose other texts are scored
    then.
    """

    train: Text | None = None
    samples_per_label: int = Field(default=16, ge=1)
    draws: int = Field(default=10, ge=1, le=1000)
    seed: int = Field(default=42, ge=0, lt=2**32)


class StsSpec(Fields):
    """Pairs with graded labels: correlation of cosine and label."""

    data: Text
    dev: Text | None = None
    columns: ColumnsSpec = ColumnsSpec()
    # Lists come as Python's, once an entry has been looked at before its validation.
    label_range: tuple[float, float] = Field(default=(0.0, 5.0), strict=False)

    @model_validator(mode="after")
    def _labelled_pairs(self) -> StsSpec:
        if self.columns.label is None:
            raise ValueError("pairs with a graded label are needed: columns.label must be a column")
        return self


class MtebSpec(Fields):
    """A task of the mteb package, by its name there."""

    task: Text


class EvaluatorSpec(Fields):
    """One entry of `evaluators`; plain text stands for `function`.

    function: a built-in evaluator, or `module:function` of the user's own; `folder` is where that
    module stands, the spec's folder by default. name: put before the names of its metrics.
    """

    name: Prefix | None = None
    function: Text | None = None
    folder: Text | None = None
    clustering: ClusteringSpec | None = None
    classification: ClassificationSpec | None = None
    sts: StsSpec | None = None
    mteb: MtebSpec | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        return {"function": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_kind(self) -> EvaluatorSpec:
        given = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            found = " and ".join(given) or "none"
            raise ValueError(f"an evaluator is one of {', '.join(KINDS)}; here is {found}")
        if self.function and self.function not in BUILT_IN and not self.is_users:
            raise ValueError(
                f"{self.function!r}: {nearest(self.function, BUILT_IN)}, or module:function for "
                "your own"
            )
        if self.folder and not self.is_users:
            raise ValueError("folder is for module:function only")
        return self

    @model_serializer(mode="wrap")
    def _short(self, handler: SerializerFunctionWrapHandler) -> Any:
        found = {name: value for name, value in handler(self).items() if value is not None}
        return found["function"] if found.keys() == {"function"} else found

    @property
    def kind(self) -> str:
        """Which of `KINDS` it is."""
        return next(kind for kind in KINDS if getattr(self, kind) is not None)

    @property
    def is_users(self) -> bool:
        """Whether it is a function of the user's."""
        module, colon, function = (self.function or "").partition(":")
        return bool(module and colon and function)

    @property
    def label(self) -> str:
        """How messages call it."""
        return self.name or self.function or (self.mteb.task if self.mteb else self.kind)

    @property
    def files(self) -> dict[str, str]:
        """The data files that it reads: what for -> path."""
        fields = self.clustering or self.classification or self.sts
        roles = ("data", "dev", "train")
        found = {role: getattr(fields, role, None) for role in roles} if fields else {}
        return {role: path for role, path in found.items() if path is not None}

    def dev_metrics(self) -> frozenset[str] | None:
        """The names of its metrics on dev; None where only running it can tell."""
        if self.is_users:
            return None
        names = computed_by(self.function or self.kind, objective=True)
        if self.files and "dev" not in self.files:
            names = ()
        return frozenset(self.prefixed(name) for name in names)

    def prefixed(self, metric: str) -> str:
        """A metric's name as it is recorded."""
        return f"{self.name}_{metric}" if self.name else metric

    def content(self) -> Any:
        """What decides its result, the files' and modules' content apart: no paths."""
        found = self.model_dump(mode="json", exclude_defaults=True)
        if not isinstance(found, Mapping):
            return found
        kept = {name: value for name, value in found.items() if name != "folder"}
        if self.files:
            kept[self.kind] = {k: v for k, v in kept[self.kind].items() if k not in self.files}
        return kept

    def relative_to(self, folder: PurePath) -> EvaluatorSpec:
        """The same entry with its paths read as relative to `folder`."""
        if self.is_users:
            return self.model_copy(update={"folder": str(folder / (self.folder or ""))})
        if not self.files:
            return self
        moved = {role: str(folder / path) for role, path in self.files.items()}
        return self.model_copy(
            update={self.kind: getattr(self, self.kind).model_copy(update=moved)}
        )
