"""Other formats of an exported model: each compared with the model, scored again and timed before
it ships; refused where its embeddings are others.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, get_args

import numpy as np
from sentence_transformers import SentenceTransformer

from embft.data.pairs import Pairs
from embft.errors import ModelError, VerificationError
from embft.evaluation.embed import cosines
from embft.leaderboard.labels import metric_label, number
from embft.results.serving import Speed
from embft.shipping import onnx_format, openvino_format
from embft.shipping.examine import TOLERANCE_16_BIT, Examination, examine
from embft.shipping.format_model import Arrays, FormatModel, format_model
from embft.shipping.price import Price, embed_in_batches, price
from embft.shipping.reading import Original
from embft.shipping.speed import BATCH, measure_speed

Format = Literal["onnx", "onnx-int8", "openvino", "openvino-int8"]
FORMATS: tuple[Format, ...] = get_args(Format)

# How far embeddings of length 1 may lie apart; a random pair of texts' are about 1.4 apart.
TOLERANCE, TOLERANCE_INT8 = 1e-3, 0.25
_CALIBRATION = 128  # texts that show how large activations are
_FILES: dict[Format, str] = {
    "onnx": onnx_format.PLAIN,
    "onnx-int8": onnx_format.INT8,
    "openvino": openvino_format.PLAIN,
    "openvino-int8": openvino_format.INT8,
}


@dataclass(frozen=True)
class Trials:
    """What formats are tried on. texts: to compare. pairs, metric, threshold: to score, None where
    there are no labelled pairs. calibration: texts, not those that are scored.
    """

    texts: tuple[str, ...] = ()
    calibration: tuple[str, ...] = ()
    pairs: Pairs | None = None
    metric: str = "spearman"
    threshold: float | None = None
    tolerance: float | None = None


@dataclass(frozen=True)
class Shipped:
    """A format that shipped. difference: median distance of embeddings of length 1. speed, own: of
    this format, and of the model as sentence-transformers runs it, on the same machine in turn.
    """

    form: Format
    file: str
    size: int
    difference: float
    price: Price | None
    speed: Speed
    own: Speed

    def sentence(self) -> str:
        """What a reader must know to choose."""
        score = ""
        if self.price is not None:
            low, high = self.price.interval or (self.price.loss, self.price.loss)
            score = (
                f"{metric_label(self.price.metric)} on {self.price.pairs:,} test pairs "
                f"{number(self.price.other)}, a loss of {number(self.price.loss)} "
                f"({number(low)} to {number(high)}); "
            )
        return (
            f"`{self.file}` ({self.form}, {self.size / 1e6:.0f} MB): embeddings "
            f"{self.difference:.1g} apart; {score}{self.speed.texts:.0f} texts/s "
            f"(torch {self.own.texts:.0f}); one text {_ms(self.speed.p50)} at p50, "
            f"{_ms(self.speed.p95)} at p95 (torch {_ms(self.own.p50)}, {_ms(self.own.p95)})"
        )


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.1f} ms"


def check_formats(wanted: Sequence[Format]) -> None:
    """Raise ModelError where a package that they need is missing."""
    if any(form.startswith("onnx") for form in wanted):
        onnx_format.check_installed()
    if any(form.startswith("openvino") for form in wanted):
        onnx_format.check_installed(openvino_format.NEEDED, "openvino")


def disk_factor(wanted: Sequence[Format]) -> float:
    """How much disk these formats need, as a multiple of the model's weights in float32."""
    if not wanted:
        return 0.0
    return 1.0 + sum(0.3 if "int8" in form else 1.0 for form in wanted)  # the first one is ONNX


def add_formats(
    folder: Path, model: SentenceTransformer, wanted: Sequence[Format], trials: Trials
) -> list[Shipped]:
    """Write these formats into an exported folder. Raises ModelError where one cannot be made, and
    VerificationError where one is not the model; the folder is then not to be used.
    """
    if not wanted:
        return []
    own = _own_speed(model, trials)
    with TemporaryDirectory(prefix=".formats-", dir=folder.parent) as name:
        work = _Work(folder, Path(name), model, trials)
        onnx_format.write_onnx(model, work.path("onnx"))
        shipped = [_shipped(work, form, own) for form in FORMATS if form in wanted]
        for each in shipped:
            (folder / each.file).parent.mkdir(exist_ok=True)
            for part in _parts(work.path(each.form)):
                shutil.move(part, (folder / each.file).parent / part.name)
    return shipped


@dataclass(frozen=True)
class _Work:
    """Where formats are made, one from another, and tried before they are put into the folder."""

    folder: Path
    place: Path
    model: SentenceTransformer
    trials: Trials

    def path(self, form: Format) -> Path:
        """The file of this format, under the name that it will have."""
        return self.place / _FILES[form]

    def open(self, form: Format) -> FormatModel:
        """The model with this format's graph."""
        return open_format(self.folder, self.path(form))


def _own_speed(model: SentenceTransformer, trials: Trials) -> Speed:
    def embed(texts: Sequence[str]) -> object:
        return model.encode(list(texts), batch_size=BATCH, show_progress_bar=False)

    return measure_speed(embed, trials.texts)


def _shipped(work: _Work, form: Format, own: Speed) -> Shipped:
    _make(work, form)
    made, trials = work.open(form), work.trials
    found = examine(made.embed, Original(work.model), trials.texts, _tolerance(work, form))
    _refuse_faults(form, found)
    return Shipped(
        form=form,
        file=_FILES[form],
        size=sum(part.stat().st_size for part in _parts(work.path(form))),
        difference=found.difference,
        price=_price(work.model, made, trials),
        speed=measure_speed(made.embed, trials.texts),
        own=own,
    )


def _make(work: _Work, form: Format) -> None:
    if form == "onnx-int8":
        onnx_format.quantise_onnx(work.path("onnx"), work.path(form))
    elif form != "onnx" and not work.path("openvino").exists():
        openvino_format.write_openvino(work.path("onnx"), work.path("openvino"))
    if form == "openvino-int8":
        batches = _batches(work.open("openvino"), work.trials.calibration)
        openvino_format.quantise_openvino(work.path("openvino"), work.path(form), batches)


def _batches(model: FormatModel, texts: Sequence[str]) -> list[Arrays]:
    some = list(texts[:_CALIBRATION])
    return [model.tokens(some[i : i + 8]) for i in range(0, len(some), 8)]


def _tolerance(work: _Work, form: Format) -> float:
    if work.trials.tolerance is not None:
        return work.trials.tolerance
    if "int8" in form:
        return TOLERANCE_INT8
    dtype = work.model.dtype
    return TOLERANCE_16_BIT if dtype is not None and dtype.itemsize < 4 else TOLERANCE


def _refuse_faults(form: Format, found: Examination) -> None:
    if found.findings:
        faults = "; ".join(f"{each.fault}: {each.message}" for each in found.findings)
        raise VerificationError(
            f"--format {form} is refused, its embeddings are not the model's: {faults}"
        )


def _price(model: SentenceTransformer, made: FormatModel, trials: Trials) -> Price | None:
    if trials.pairs is None:
        return None

    def embed(texts: Sequence[str]) -> np.ndarray:
        return np.asarray(model.encode(list(texts), show_progress_bar=False), np.float32)

    own, other = (cosines(embed_in_batches(each, trials.pairs)) for each in (embed, made.embed))
    return price(trials.metric, trials.pairs, own, other, trials.threshold)


def _parts(path: Path) -> Iterator[Path]:
    yield path
    yield from (p for p in (path.with_suffix(".bin"), path.with_name(f"{path.name}.data"))
                if p.exists())  # fmt: skip


def open_format(folder: Path, file: Path) -> FormatModel:
    """A model's folder with this graph in it. Raises ModelError."""
    opened = (
        onnx_format.open_onnx(file)
        if file.suffix == ".onnx"
        else openvino_format.open_openvino(file)
    )
    return format_model(folder, opened)


def find_graph(given: Path, suffix: str) -> tuple[Path, Path]:
    """The model's folder, and the graph in it that a user means by a folder or a file.

    suffix: `.onnx` or `.xml`. Raises ModelError.
    """
    if given.is_file():
        above = (folder for folder in given.parents[:2] if (folder / "modules.json").exists())
        return next(above, given.parent), given
    usual = [given / file for file in _FILES.values() if file.endswith(suffix)]
    found = [path for path in usual if path.exists()][:1] or sorted(given.rglob(f"*{suffix}"))
    if len(found) != 1:
        names = ", ".join(str(path.relative_to(given)) for path in found[:6])
        what = (
            f"several *{suffix} files are there ({names}): give one of them"
            if found
            else (f"no *{suffix} file is there")
        )
        raise ModelError(f"{given}: {what}")
    return given, found[0]
