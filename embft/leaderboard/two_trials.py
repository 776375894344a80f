"""Any two trials, of one sweep or of two: what they differ in, as settings, scores and costs.

Scores are compared pair by pair, or by an evaluator's units, where both trials were scored on the
same. Ranks nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from embft.data.pairs import Pairs
from embft.errors import EmbftError
from embft.leaderboard.compare import Difference, differences
from embft.leaderboard.environments import conditions
from embft.leaderboard.labels import higher_is_better
from embft.leaderboard.pair_scores import Model, pairs_digest, read_scores, read_texts
from embft.leaderboard.resampled import Draw
from embft.leaderboard.rows import Row
from embft.metrics.comparison import compare
from embft.metrics.resampling import Resampling
from embft.spec.differences import differing, in_effect

_MISSING = "none"


@dataclass(frozen=True)
class Plain:
    """A metric of which the single values are not on disk: a difference without an interval."""

    name: str
    first: float
    second: float


@dataclass(frozen=True)
class Apart:
    """A test pair on which two models disagree, with its label and both cosines."""

    text_1: str
    text_2: str
    label: float
    first: float
    second: float


@dataclass(frozen=True)
class TwoTrials:
    """The first against the second.

    settings, environment: dotted path or name -> the values of both. pairs: how many test pairs.
    test, dev: differences of metrics of pairs, whose intervals hold together. evaluators: those of
    evaluators' metrics on test, each interval by itself. plain: metrics without an interval.
    apart: the pairs on which they disagree most; empty where the texts are not on disk.
    """

    first: Row
    second: Row
    settings: Mapping[str, tuple[Any, Any]]
    environment: Mapping[str, tuple[str, str]]
    pairs: int
    test: tuple[Difference, ...]
    dev: tuple[Difference, ...]
    evaluators: tuple[Difference, ...]
    plain: tuple[Plain, ...]
    apart: tuple[Apart, ...]


def compare_trials(first: Row, second: Row, most_apart: int = 3) -> TwoTrials:
    """Compare two completed trials. Raises EmbftError where they were scored on other pairs."""
    if pairs_digest(first, "test") != pairs_digest(second, "test"):
        raise EmbftError(
            f"{first.folder.short} and {second.folder.short} were scored on different test pairs: "
            "their scores do not compare; score one model on the other's pairs with `embft "
            "evaluate TRIAL --data SPEC`"
        )
    one, two = (_model(row, "test") for row in (first, second))
    texts = read_texts(first, "test")
    test = tuple(differences(one, two, texts).values())
    evaluators = tuple(_by_units(first, second, {each.name for each in test}))
    known = {each.name for each in (*test, *evaluators)}
    return TwoTrials(
        first=first,
        second=second,
        settings=_settings(first, second),
        environment=_environment(first, second),
        pairs=len(one.test.label),
        test=test,
        dev=_on_dev(first, second),
        evaluators=evaluators,
        plain=tuple(
            Plain(name, value, second.test[name])
            for name, value in first.test.items()
            if name in second.test and name not in known
        ),
        apart=tuple(_apart(one, two, texts, most_apart)),
    )


def _model(row: Row, split: str) -> Model:
    """The row with this split's scores in the place of test's. Raises EmbftError without them."""
    scores = read_scores(row, split)
    if scores is None:
        raise EmbftError(
            f"{row.folder.short} {row.trial} is {row.status} and has no per-pair scores "
            "(scores.parquet in its folder), so that it cannot be compared: choose completed trials"
        )
    return Model(row.trial, row.trial, row, None, scores)


def _on_dev(first: Row, second: Row) -> tuple[Difference, ...]:
    """The same on dev, where both were scored on the same dev pairs."""
    if pairs_digest(first, "dev") != pairs_digest(second, "dev"):
        return ()
    one, two = (_model(row, "dev") for row in (first, second))
    return tuple(differences(one, two, read_texts(first, "dev")).values())


def _by_units(first: Row, second: Row, known: set[str]) -> Iterator[Difference]:
    """Evaluators' metrics that both have on the same queries, texts, draws or tasks."""
    for name in first.test:
        if name in known or name not in second.test:
            continue
        draw = Draw(name, Resampling(500, only=(name,), intervals=False))
        one, two = draw.of([first], "test"), draw.of([second], "test")
        if one is None or two is None or one.on != two.on:
            continue
        found = compare(one.result, two.result, name)
        if found is None:
            continue
        sign = 1 if higher_is_better(name) else -1
        better = sign * (int(found.low > 0) - int(found.high < 0))
        values = first.test[name], second.test[name]
        yield Difference(name, *values, found.difference, found.low, found.high, better)


def _settings(first: Row, second: Row) -> dict[str, tuple[Any, Any]]:
    """The fields of the specs, as they take effect, in which the trials differ; of a base model's
    training, which there is none of, only that.
    """
    one, two = (in_effect(row.completed.spec) if row.completed else {} for row in (first, second))
    found = differing(one, two)
    if not (first.is_baseline or second.is_baseline):
        return found
    trains = [name for name in found if name.startswith("train.") or name == "seed"]
    return {k: v for k, v in found.items() if k not in trains or k == "train.method"}


def _environment(first: Row, second: Row) -> dict[str, tuple[str, str]]:
    one, two = (
        conditions(row.completed.provenance) if row.completed and row.completed.provenance else {}
        for row in (first, second)
    )
    names = dict.fromkeys((*one, *two))
    both = {name: (one.get(name, _MISSING), two.get(name, _MISSING)) for name in names}
    return {name: values for name, values in both.items() if values[0] != values[1]}


def _apart(first: Model, second: Model, texts: Pairs | None, most: int) -> Iterator[Apart]:
    if texts is None:
        return
    gap = np.abs(first.test.score - second.test.score)
    for row in np.argsort(-gap, kind="stable")[:most].tolist():
        yield Apart(
            texts.text_1[row],
            texts.text_2[row],
            float(first.test.label[row]),
            float(first.test.score[row]),
            float(second.test.score[row]),
        )
