"""`serving.json`: what a trial's smaller embeddings cost in score and save in bytes; its speed.

Made on demand, after the trial's record, and no part of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from embft.errors import RecordError
from embft.results.folders import TrialDir
from embft.storage.files import write_atomic
from embft.storage.seal import damaged, sealed, unsealed

Kind = Literal["float32", "int8", "binary", "binary, rescored"]
VECTORS = 1_000_000
"""So many make the index whose bytes are given."""


@dataclass(frozen=True)
class Speed:
    """texts: a second, in batches of 32, the median of three rounds. p50, p95: seconds that a text
    in a request of its own takes, at most so long for half and for 19 of 20 of them.
    """

    texts: float
    p50: float
    p95: float


@dataclass(frozen=True)
class Loss:
    """On one split: the score, what it loses against the whole embeddings (above 0 it is worse),
    and the interval of that, which holds for all variants at once; None where it is undefined.
    """

    score: float
    loss: float
    interval: tuple[float, float] | None

    def is_within(self, tolerance: float) -> bool:
        """Whether the loss is shown to be no more than so much."""
        return self.interval is not None and self.interval[1] <= tolerance


@dataclass(frozen=True)
class Variant:
    """One way to store the embeddings. bytes: of the index of a million vectors, its structure not
    counted. on_front: whether no variant is both smaller and better on dev.
    """

    dimensions: int
    kind: Kind
    bytes: int
    dev: Loss
    test: Loss
    on_front: bool = False


@dataclass(frozen=True)
class Serving:
    """One trial's. variants: the whole embeddings in float32 first. metric: what is compared.

    dimensions: those that were asked for beside the whole. speed: of the model on this processor
    with so many threads, or of another trial's of the same architecture.
    """

    metric: str
    dimensions: tuple[int, ...]
    pairs: Mapping[str, int]
    variants: tuple[Variant, ...]
    speed: Speed
    processor: str = ""
    threads: int = 0


_FORM: TypeAdapter[Serving] = TypeAdapter(Serving)


def smallest(variants: Sequence[Variant], tolerance: float) -> Variant:
    """The smallest index that is shown on dev to lose no more; the whole embeddings, which come
    first, where none is.
    """
    good = [each for each in variants if each.dev.is_within(tolerance)]
    return min(good, key=lambda each: (each.bytes, each.dev.loss), default=variants[0])


def write_serving(folder: TrialDir, found: Serving) -> None:
    """Write it beside the trial's record."""
    write_atomic(folder.serving_file, sealed(_plain(asdict(found))))


def _plain(value: Any) -> Any:
    """As JSON has it, which knows no NaN: the score of a form in which it is undefined."""
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, float) and not isfinite(value) else value


def read_serving(folder: TrialDir) -> Serving | None:
    """A trial's; None where there is none yet. Raises RecordError where it is damaged."""
    try:
        return _FORM.validate_python(unsealed(folder.serving_file))
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise damaged(folder.serving_file, str(error)) from None


def known_serving(folder: TrialDir) -> Serving | None:
    """The same, and None too where it is damaged: it is made again."""
    try:
        return read_serving(folder)
    except RecordError:
        return None
