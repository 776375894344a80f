"""Whether the label can be guessed without comparing the two texts.

Guessers are fitted on train and scored by AUC on dev pairs that do not stand in train. Covers
length, each side alone, and single words.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from embft.data.audit.corpus import Corpus
from embft.data.audit.findings import Finding, sample
from embft.system.light_import import import_sklearn

FIT, SCORE = 20_000, 10_000
"""Rows of train that a guesser is fitted on, and of dev that it is scored on, at the most."""
FEWEST = 10
"""Fewest held-out pairs of each label for which an AUC says something."""
NOTABLE, GRAVE = 0.6, 0.8
WORDS = 20_000

_Bools = npt.NDArray[np.bool_]
_Floats = npt.NDArray[np.float64]
_Guess = Callable[[Sequence[Sequence[str]], _Bools, Sequence[Sequence[str]]], tuple[_Floats, Any]]


@dataclass(frozen=True)
class Held:
    """What the guessers see: normalised texts of both sides and labels, to fit and to score."""

    fit: Sequence[Sequence[str]]
    fit_label: _Bools
    score: Sequence[Sequence[str]]
    score_label: _Bools
    sampled: bool
    graded: bool = False

    def guessed(self, area: float, low: float | None = None, high: float = 1.0) -> str:
        """How well labels can be guessed, in words. low, high: the ends of its interval."""
        between = "" if low is None else f"{low:.2f} to {min(1, high):.2f}; "
        if not self.graded:
            return f"an AUC of {area:.2f} ({between}0.5 is chance)"
        return (
            f"a chance of {area:.2f} to see which of two pairs, one from each half of the labels' "
            f"scale, has the higher label ({between}0.5 is guessing)"
        )


def shortcuts(corpus: Corpus) -> Iterator[Finding]:
    """One finding for each guesser that works, or one that says why none was tried."""
    if not corpus.splits["train"].labelled:
        return
    held = _hold_out(corpus)
    fewest = min(held.score_label.sum(), (~held.score_label).sum())
    if fewest < FEWEST or len(set(held.fit_label.tolist())) < 2:
        yield _unchecked(int(fewest))
        return
    for name, (words, guess) in _GUESSERS.items():
        scores, details = guess(held.fit, held.fit_label, held.score)
        yield from _judge(name, words, scores, held, details)
    yield from _single_words(held)


def auc(scores: _Floats, label: _Bools) -> tuple[float, float]:
    """Area under the ROC curve and its standard error (Hanley and McNeil, 1982)."""
    import_sklearn("metrics")
    from sklearn.metrics import roc_auc_score

    area = float(roc_auc_score(label, scores))
    positives, negatives = int(label.sum()), int((~label).sum())
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area)
    variance += (positives - 1) * (q1 - area**2) + (negatives - 1) * (q2 - area**2)
    return area, math.sqrt(max(variance, 0.0) / (positives * negatives))


def _hold_out(corpus: Corpus) -> Held:
    train, dev = corpus.splits["train"], corpus.splits["dev"]
    middle = (train.label.min() + train.label.max()) / 2
    new = np.flatnonzero(~np.isin(corpus.normal_pairs("dev"), corpus.normal_pairs("train")))
    fit = sample(len(train), FIT)
    score = new[sample(len(new), SCORE)]
    return Held(
        corpus.normalised("train", fit),
        train.label[fit] > middle,
        corpus.normalised("dev", score),
        dev.label[score] > middle,
        len(fit) < len(train) or len(score) < len(new),
        not train.is_binary,
    )


def _unchecked(fewest: int) -> Finding:
    return Finding(
        "shortcuts_unchecked",
        "info",
        0,
        0,
        f"Whether the label can be guessed from one text alone was not checked: train needs both "
        f"labels, and dev {FEWEST} pairs of each that do not stand in train (it has {fewest}).",
        "A model that scores well may have learnt such a shortcut.",
        "Give more dev pairs, of both labels.",
        details={"fewest_dev_pairs_of_a_label": fewest, "needed": FEWEST},
    )


def _judge(
    name: str, words: str, scores: _Floats, held: Held, details: dict[str, Any]
) -> Iterator[Finding]:
    area, error = auc(scores, held.score_label)
    if area < NOTABLE or area - 1.96 * error <= 0.5:
        return
    right = int(((scores > 0.5) == held.score_label).sum())
    drawn = f" (fitted on {len(held.fit_label)} rows drawn from train)" if held.sampled else ""
    area_text = held.guessed(area, area - 1.96 * error, area + 1.96 * error)
    yield Finding(
        name,
        "problem" if area >= GRAVE else "warning",
        right,
        len(held.score_label),
        f"From {words}, without comparing the texts, the label of dev pairs can be guessed with "
        f"{area_text}{drawn}.",
        "Fine-tuning can learn this shortcut: scores rise, and do not carry over to other data.",
        "Compare with this what a model reaches, and balance the labels for each such cue.",
        details={"auc": area, "standard_error": error, "sampled": held.sampled, **details},
    )


def _logistic(fit: Any, label: _Bools, score: Any) -> tuple[_Floats, _Floats]:
    """Probabilities for `score`, and the coefficients."""
    import_sklearn("linear_model")
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(solver="liblinear", random_state=0).fit(fit, label)
    return model.predict_proba(score)[:, 1], model.coef_[0]


def _from_length(
    fit: Sequence[Sequence[str]], label: _Bools, score: Sequence[Sequence[str]]
) -> tuple[_Floats, dict[str, Any]]:
    features = _lengths(fit)
    mean, spread = features.mean(axis=0), features.std(axis=0) + 1e-9
    scores, weights = _logistic(
        (features - mean) / spread, label, (_lengths(score) - mean) / spread
    )
    names = ("length_1", "length_2", "difference", "total")
    weighed = zip(names, weights.round(3).tolist(), strict=True)
    return scores, {"standardised_weights": dict(weighed)}


def _lengths(sides: Sequence[Sequence[str]]) -> _Floats:
    """Log lengths of both sides, their absolute difference, log total. Shape (n, 4)."""
    first, second = (np.array([len(text) for text in side], float) for side in sides)
    gap = np.abs(np.log1p(first) - np.log1p(second))
    return np.stack([np.log1p(first), np.log1p(second), gap, np.log1p(first + second)], axis=1)


def _bag(texts: Sequence[str]) -> tuple[Any, Any]:
    """A fitted counter of words and its binary counts; None if no word occurs twice."""
    import_sklearn("feature_extraction.text")
    from sklearn.feature_extraction.text import CountVectorizer

    counter = CountVectorizer(
        binary=True,
        lowercase=False,
        tokenizer=str.split,
        token_pattern=None,
        min_df=2,
        max_features=WORDS,
    )
    try:
        return counter, counter.fit_transform(texts)
    except ValueError:
        return None, None


def _from_side(side: int) -> _Guess:
    def guess(
        fit: Sequence[Sequence[str]], label: _Bools, score: Sequence[Sequence[str]]
    ) -> tuple[_Floats, dict[str, Any]]:
        counter, counts = _bag(fit[side])
        if counter is None:
            return np.full(len(score[side]), 0.5), {}
        scores, weights = _logistic(counts, label, counter.transform(score[side]))
        names, order = counter.get_feature_names_out(), np.argsort(weights)
        return scores, {
            "words_for_low": [str(names[i]) for i in order[:8] if weights[i] < 0],
            "words_for_high": [str(names[i]) for i in order[::-1][:8] if weights[i] > 0],
        }

    return guess


_GUESSERS: dict[str, tuple[str, _Guess]] = {
    "shortcut_length": ("the lengths of the texts", _from_length),
    "shortcut_side_1": ("the words of text 1 alone", _from_side(0)),
    "shortcut_side_2": ("the words of text 2 alone", _from_side(1)),
}


def _single_words(held: Held, most: int = 5) -> Iterator[Finding]:
    """The words whose presence tells most in train, each with its AUC on the held-out pairs."""
    counter, counts = _bag([f"{one} {two}" for one, two in zip(*held.fit, strict=True)])
    if counter is None:
        return
    positive = held.fit_label
    rate_high = np.asarray(counts[positive].sum(axis=0)).ravel() / positive.sum()
    rate_low = np.asarray(counts[~positive].sum(axis=0)).ravel() / (~positive).sum()
    gap = rate_high - rate_low  # twice the AUC of presence, less one
    joined = [f"{one} {two}" for one, two in zip(*held.score, strict=True)]
    present = counter.transform(joined).tocsc()
    found = []
    for place in np.argsort(-np.abs(gap))[:most]:
        scores = present[:, place].toarray().ravel() * np.sign(gap[place])
        area, error = auc(scores, held.score_label)
        if area >= NOTABLE and area - 1.96 * error > 0.5:
            word = str(counter.get_feature_names_out()[place])
            stands_for = "high" if gap[place] > 0 else "low"
            found.append({"word": word, "auc": round(area, 3), "stands_for": stands_for})
    if found:
        yield _words_finding(found, len(gap), held)


def _words_finding(found: list[dict[str, Any]], total: int, held: Held) -> Finding:
    best = max(found, key=lambda word: float(word["auc"]))
    return Finding(
        "shortcut_words",
        "problem" if best["auc"] >= GRAVE else "warning",
        len(found),
        total,
        f"{len(found)} of {total} words tell the label of dev pairs by their mere presence; the "
        f"most telling is {best['word']!r}, with {held.guessed(best['auc'])}.",
        "Fine-tuning can learn the word instead of the meaning: scores do not carry over.",
        "Add pairs in which these words stand with the other label.",
        tuple(found),
        {"sampled": held.sampled},
    )
