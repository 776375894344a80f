"""A model that something else serves, verified: compared with the model, and priced where it
differs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sentence_transformers import SentenceTransformer

from embft.data.dating import generate
from embft.data.pairs import Pairs
from embft.errors import EmbftError, ModelError
from embft.evaluation.embed import Embeddings, cosines, pair_cosines
from embft.models.base import load_base
from embft.models.trained import Found, load_found, trial_reference
from embft.results.dataset import read_split
from embft.results.folders import TrialDir
from embft.results.records import Completed
from embft.shipping.examine import TOLERANCE, TOLERANCE_16_BIT, Examination, examine
from embft.shipping.formats import Trials
from embft.shipping.price import Price, embed_in_batches, price, price_metric, some_pairs
from embft.shipping.reading import Original


@dataclass(frozen=True)
class Yardstick:
    """What a served model is measured by: the model itself, texts, and pairs to price faults on.

    pairs: None where no labelled pairs are known.
    """

    original: Original
    texts: tuple[str, ...]
    tolerance: float
    pairs: Pairs | None
    metric: str
    threshold: float | None


@dataclass(frozen=True)
class Verdict:
    """What was found, and what it costs; no price where nothing was found or there are no pairs."""

    examination: Examination
    price: Price | None

    @property
    def is_same(self) -> bool:
        """Whether what is served is the model."""
        return not self.examination.findings


def yardstick(
    found: Found, trial: TrialDir | None, pairs: Pairs | None, tolerance: float | None
) -> Yardstick:
    """Load the model that should be served. trial: whose test pairs price a fault, unless others
    are given. Raises as `load_found` does.
    """
    model = load_found(found)
    result = trial.result() if trial else None
    result = result if isinstance(result, Completed) else None
    threshold = result.threshold if result and pairs is None else None
    if trial and pairs is None:
        pairs = _pairs(trial, "test")
    short = str(model.dtype) in {"torch.bfloat16", "torch.float16"}
    return Yardstick(
        original=Original(model, _base(found)),
        texts=_texts(found, pairs),
        tolerance=tolerance or (TOLERANCE_16_BIT if short else TOLERANCE),
        pairs=None if pairs is None else some_pairs(pairs),
        metric=price_metric(result.spec.objective.metric if result else "spearman"),
        threshold=threshold,
    )


def tried_on(found: Found, trial: TrialDir, tolerance: float | None) -> Trials:
    """What other formats of a trial's model are tried on: its own data."""
    result, pairs = trial.result(), _pairs(trial, "test")
    result = result if isinstance(result, Completed) else None
    train = _pairs(trial, "train")
    texts = _texts(found, pairs) or tuple(generate().dev.text_1[:64])
    calibration = texts if train is None else tuple(some_pairs(train, 256).text_1)
    return Trials(
        texts=texts,
        calibration=calibration,
        pairs=None if pairs is None else some_pairs(pairs),
        metric=price_metric(result.spec.objective.metric if result else "spearman"),
        threshold=result.threshold if result else None,
        tolerance=tolerance,
    )


def verify_served(embed: Callable[[Sequence[str]], Embeddings], by: Yardstick) -> Verdict:
    """Compare what is served with the model, and price what differs. Raises EmbftError where it
    gives no embeddings.
    """
    examination = examine(embed, by.original, by.texts, by.tolerance)
    if not examination.findings or by.pairs is None:
        return Verdict(examination, None)
    own = pair_cosines(by.original.model, by.pairs)
    served = cosines(embed_in_batches(embed, by.pairs))
    return Verdict(examination, price(by.metric, by.pairs, own, served, by.threshold))


def _pairs(trial: TrialDir, split: str) -> Pairs | None:
    try:
        return read_split(trial.sweep.dataset(trial.read_input().data), split)
    except (FileNotFoundError, EmbftError):
        return None


def _base(found: Found) -> SentenceTransformer | None:
    """The base of a trained model, where it is still to be had."""
    if found.saved is None:
        return None
    try:
        return load_base(found.base().folder, found.spec)
    except ModelError:
        return None


def _texts(found: Found, pairs: Pairs | None) -> tuple[str, ...]:
    """The reference texts of a trial, or else some of the pairs' texts."""
    reference = trial_reference(found)
    if reference is not None:
        return reference.texts
    return () if pairs is None else tuple(dict.fromkeys(some_pairs(pairs, 64).text_1))
