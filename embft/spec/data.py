"""The data section: where the pairs come from, and what is done with them.

Only shapes and bounds of single values; `embft/data/build.py` turns a section into pairs.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from embft.spec.base import Below, Column, ColumnsSpec, Fields, Files, Names, Text, moved
from embft.spec.negatives import NegativesSpec
from embft.spec.retrieval import RetrievalSpec
from embft.spec.shape import Shape
from embft.spec.sides import SidesSpec

SOURCES = ("dataset", "train", "text", "nli", "same_label", "beir", "retrieval")
JUDGED_DATASETS = ("handbook",)
_READING = ("dev", "test", "columns", "groups", "label_range", "dev_fraction")


def _ordered(label_range: tuple[float, float] | None) -> None:
    if label_range and label_range[0] >= label_range[1]:
        raise ValueError("label_range must be [low, high] with low below high")


class _File(Fields):
    file: Files


class SplitSpec(_File):
    """A dev or test file of another form than train; what is left out is as in `data`."""

    columns: ColumnsSpec | None = None
    label_range: tuple[float, float] | None = None
    groups: Names | None = None

    @model_validator(mode="after")
    def _consistent(self) -> SplitSpec:
        _ordered(self.label_range)
        if self.label_range and self.columns and self.columns.label is None:
            raise ValueError("label_range is for labels, and columns name none: remove one of them")
        return self


class TextSpec(_File):
    """A file of texts without pairs: each is its own positive (unsupervised SimCSE)."""

    column: Column = "text"


class NliSpec(_File):
    """A file of inference: entailments as positives, contradictions as hard negatives."""

    premise: Column = "premise"
    hypothesis: Column = "hypothesis"
    label: Column = "label"
    negatives: bool = True


class SameLabelSpec(_File):
    """A file of texts with class labels, of which pairs are made.

    labels: those to train on, by name, or a share of them; the others are held out, as test.
    """

    text: Column = "text"
    label: Column = "label"
    pairs: int | None = Field(default=None, ge=1, le=10_000_000)
    labels: Annotated[float, Field(gt=0, le=1)] | Names | None = None


class NoiseSpec(Fields):
    """Noise on the words of every train text; see `embft/data/word_noise.py`."""

    delete_words: float = Field(default=0.1, ge=0, lt=1)
    swap_words: int = Field(default=1, ge=0, le=100)
    swap_characters: float = Field(default=0.05, ge=0, le=1)


class DataSpec(Fields):
    """Where the pairs come from: one of a built-in dataset, `train`, `text`, `nli`, `same_label`,
    or judged queries over a corpus: `beir`, a folder in BEIR's format, or `retrieval`.

    columns, groups and label_range say how `train`, `dev` and `test` are read. sides: which columns
    hold queries and which documents, for models that put other words before either. shape: what
    train is turned into where its own is not what the loss needs. negatives: what a model finds for
    train's pairs. fraction: of train's rows that
    are trained on, nested (`embft/data/fraction.py`). seed: of everything drawn in making the data,
    which the trials' seeds do not change.
    """

    dataset: Literal["dating", "handbook"] | None = None
    train: Files | None = None
    text: TextSpec | None = None
    nli: NliSpec | None = None
    same_label: SameLabelSpec | None = None
    beir: Text | None = None
    retrieval: RetrievalSpec | None = None
    dev: Files | SplitSpec | None = None
    test: Files | SplitSpec | None = None
    columns: ColumnsSpec = ColumnsSpec()
    sides: SidesSpec = SidesSpec()
    groups: Names = ()
    label_range: tuple[float, float] | None = None
    # Not strict: what has passed the validator before is Python, where a text is no Shape.
    shape: Annotated[Shape, Field(strict=False)] | None = None
    noise: NoiseSpec | None = None
    negatives: NegativesSpec | None = None
    fraction: float = Field(default=1.0, gt=0, le=1)
    seed: int = 42
    dev_fraction: float = Field(default=0.1, gt=0, lt=1)
    on_leak: Literal["warn", "drop", "fail"] = "warn"

    @model_validator(mode="after")
    def _one_source(self) -> DataSpec:
        sources = [name for name in SOURCES if getattr(self, name) is not None]
        if len(sources) != 1:
            raise ValueError(
                f"needs one of `dataset: dating`, `train: FILE`, `text`, `nli`, `same_label`, "
                f"`beir: FOLDER` and `retrieval`; here is {' and '.join(sources) or 'none'}"
            )
        if self.text is not None and self.dev is None:
            raise ValueError(
                "`text` pairs each text with itself, which every model scores perfectly: give "
                "labelled pairs as `dev`"
            )
        given = [
            name
            for name in _READING
            if getattr(self, name) != type(self).model_fields[name].default
        ]
        if self.dataset and given:
            raise ValueError(
                f"a built-in dataset has its own files and columns: remove {', '.join(given)}"
            )
        if self.is_judged:
            self._refuse_pairs(sources[0], given)
            return self
        unread = [name for name in given if name in {"columns", "groups", "label_range"}]
        if unread and not (self.train or self.dev or self.test):
            raise ValueError(
                f"{' and '.join(unread)} would not be used: they say how the files of `train`, "
                f"`dev` and `test` are read, and here is only `{sources[0]}`, which names its own "
                "columns: remove them"
            )
        return self

    @property
    def is_judged(self) -> bool:
        """Whether dev and test are judged queries over a corpus."""
        return bool(self.beir or self.retrieval or self.dataset in JUDGED_DATASETS)

    @staticmethod
    def _refuse_pairs(source: str, given: list[str]) -> None:
        """Raise ValueError for fields that say how pairs are read."""
        strange = [name for name in given if name in {"dev", "test", "columns", "label_range"}]
        if strange:
            raise ValueError(
                f"{' and '.join(strange)} would not be used: with `{source}` dev and test are "
                "judgements, and columns are named in `retrieval.columns`: remove them"
            )

    @model_validator(mode="after")
    def _ranges_have_labels(self) -> DataSpec:
        _ordered(self.label_range)
        ranged = [split for split in (self.dev, self.test) if isinstance(split, SplitSpec)]
        ranged = [split for split in ranged if split.label_range and not split.columns]
        if self.columns.label is None and (self.label_range or ranged):
            raise ValueError(
                "label_range is for labels, and data.columns name none: remove it, or name the "
                "label's column"
            )
        return self

    @model_validator(mode="after")
    def _negatives_can_be_mined(self) -> DataSpec:
        if self.negatives is None:
            return self
        if self.same_label is not None:
            raise ValueError(
                "negatives: a text of the same label may be mined, which belongs to the anchor: "
                "`shape: triplets` gives each row a text of another label instead"
            )
        if self.noise is not None:
            raise ValueError(
                "negatives and noise do not go together: a positive's own text would be mined as "
                "the negative of its noisy copy; remove one of them"
            )
        return self

    def split(self, name: Literal["dev", "test"]) -> SplitSpec | None:
        """The dev or test file with everything said about how it is read, if there is one."""
        given: str | tuple[str, ...] | SplitSpec | None = getattr(self, name)
        if given is None:
            return None
        own = given if isinstance(given, SplitSpec) else SplitSpec(file=given)
        # A range for the labels of other columns says nothing of these.
        label_range = self.label_range if own.columns in {None, self.columns} else None
        return SplitSpec(
            file=own.file,
            columns=own.columns or self.columns,
            label_range=own.label_range or label_range,
            groups=self.groups if own.groups is None else own.groups,
        )

    def relative_to(self, folder: Below) -> DataSpec:
        """The same data with its paths read as relative to `folder`."""
        return self.model_copy(
            update={
                name: _moved(given, folder)
                for name in (*SOURCES[1:], "dev", "test", "negatives")
                if (given := getattr(self, name)) is not None
            }
        )


def _moved(
    given: str | tuple[str, ...] | _File | RetrievalSpec | NegativesSpec, folder: Below
) -> Any:
    if isinstance(given, RetrievalSpec | NegativesSpec):
        return given.relative_to(folder)
    if isinstance(given, _File):
        return given.model_copy(update={"file": moved(given.file, folder)})
    return moved(given, folder)
