"""Mined negatives: what is never taken, what is taken, and the estimate of wrong ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from embft.data.pairs import Pairs
from embft.data.texts import normalise
from embft.spec.negatives import NegativesSpec
from embft.synthesis.false_negatives import estimate, finding
from embft.synthesis.hard_negatives import Encoded, Question, Taken, mine, with_negatives
from embft.synthesis.mining_progress import Teller, read_step

OTHERS = [f"another page {i}" for i in range(30)]
# The query "where is it" has two positives in train, in rows far apart, and copies of both.
POOL = [
    "Page One", "page one!", "PAGE ONE", "Page Two", "page  two.", "Where is it?", *OTHERS,
]  # fmt: skip
TRAIN = Pairs.unlabelled(
    ["where is it", "what else", "Where is it??"], ["Page One", "another page 3", "page two"]
)


def _encoded(question: Question, scores: Mapping[str, float]) -> Encoded:
    """Vectors whose cosine with each query is as given, 0.5 and falling for other texts."""
    wanted = [scores.get(t, 0.5 - 0.01 * i) for i, t in enumerate(question.texts)]
    texts = np.array([[s, np.sqrt(1 - s * s)] for s in wanted], np.float32)
    return Encoded(np.array([[1, 0]] * len(question.queries), np.float32), texts)


def _mined(rule: Mapping[str, object], scores: Mapping[str, float] | None = None) -> list[set[str]]:
    """The negatives of each row of `TRAIN`."""
    question, given = Question.of(TRAIN, POOL), NegativesSpec.model_validate(rule)
    near = {"Page One": 0.9, "Page Two": 0.8, "Where is it?": 1.0}
    encoded = _encoded(question, near if scores is None else scores)
    made, _ = with_negatives(TRAIN, question, mine(question, encoded, given, 1, None), given, 1)
    return [set(row) for row in zip(*made.negatives, strict=True)]


@pytest.mark.parametrize(
    "rule",
    [
        {"range": (0, 5)},
        {"range": (0, 5), "margin": None},
        {"range": (0, 28), "number": 28, "margin": None},
        {"range": (0, 28), "number": 20, "sampling": "random", "margin": None},
        {"range": (0, 5), "margin": 0.01},  # nothing is found, all is drawn at random
    ],
)
def test_no_positive_is_taken(rule: dict[str, object]) -> None:
    """Neither a positive from elsewhere in train, nor a copy of one, nor the query's own text:
    though they are the nearest of all, and the query is written in two ways.
    """
    number = int(str(rule.get("number", 5)))
    for row in (0, 2):
        found = _mined(rule)[row]
        assert len(found) == number
        assert {normalise(text) for text in found} <= set(OTHERS)


def test_the_rule_is_kept() -> None:
    """Ranks, margin and number; the nearest by `top`, others by `random`."""
    first, second, third = _mined({"range": (2, 9), "number": 3, "margin": None})
    assert first == third == {"another page 2", "another page 3", "another page 4"}
    # Nearest to the other query are three of the pages named above, which do not belong to it.
    assert second == {"Page Two", "another page 0", "another page 1"}
    near = {"Page One": 0.9, "Page Two": 0.5, "another page 0": 0.49, "another page 1": 0.48}
    kept = _mined({"range": (0, 9), "number": 2, "margin": 0.95}, near)[0]
    assert kept == {"another page 2", "another page 3"}  # at most 0.95 of 0.5, the farther positive
    rule = {"range": (0, 20), "number": 3, "sampling": "random", "margin": None}
    drawn = _mined(rule)[0]
    assert drawn == _mined(rule)[0]
    assert drawn != first


class _Judge:
    def __init__(self, scores: Mapping[str, float]) -> None:
        self.scores = scores

    def predict(self, pairs: Sequence[tuple[str, str]], **_: Any) -> torch.Tensor:
        return torch.tensor([self.scores.get(text, 0.1) for _, text in pairs])


def test_a_judge_decides_by_the_margin() -> None:
    """What the cross-encoder scores nearly as high as the positive is no negative."""
    question = Question.of(TRAIN, POOL)
    rule = NegativesSpec.model_validate({"range": (0, 5), "number": 3, "cross_encoder": "x"})
    judge = _Judge({"Page One": 0.9, "Page Two": 0.9, "another page 1": 0.88})
    taken = mine(question, _encoded(question, {"Page One": 0.9, "Page Two": 0.8}), rule, 1, judge)
    texts = [text for text, _ in taken.negatives["where is it"]]
    assert "another page 1" not in texts
    assert len(texts) == 3


def test_rows_without_any_negative_are_left_out() -> None:
    """Where every text belongs to a query."""
    train = Pairs.unlabelled(["a", "a", "b"], ["x", "y", "x"])
    question = Question.of(train, ["x", "y"])
    rule = NegativesSpec(number=2, range=(0, 2))
    empty = Taken({"a": [], "b": []}, {"a": [0.5], "b": [0.5]})
    made, drawn = with_negatives(train, question, empty, rule, 1)
    assert (list(made.text_1), made.negatives, drawn) == (["b"], (["y"], ["y"]), 2)


def test_the_estimate() -> None:
    """A positive that is hidden and would be taken counts, one beyond the margin does not; texts
    above the margin are counted, with the nearest as the example.
    """
    question = Question.of(TRAIN, POOL)
    rule = NegativesSpec.model_validate({"range": (0, 5), "number": 2})
    near = {"Page One": 0.9, "Page Two": 0.6, "another page 0": 0.58, "another page 1": 0.3}
    encoded = _encoded(question, near)
    made = estimate(question, encoded, rule, mine(question, encoded, rule, 1, None))
    # Hidden, Page Two has one text above it, and 0.6 is below 0.95 of 0.9; Page One is above it.
    assert (made.hidden, made.would) == (2, 1)
    assert made.left_out >= 1
    assert made.likely == 0
    found = finding(made, rule, 1, 3, 3)
    assert found.severity == "warning"
    assert "Of 2 positives beside others of their query 50% would have been taken" in found.message
    assert "1 of the 6 were drawn at random" in found.message
    assert any(example["text_2"] == "another page 0" for example in found.examples)
    taken = mine(question, encoded, rule.model_copy(update={"margin": None}), 1, None)
    loose = estimate(question, encoded, rule.model_copy(update={"margin": None}), taken)
    assert loose.likely >= 1


def test_how_far_a_mining_is(tmp_path: Path) -> None:
    """Stage by stage: the queries that were searched for, and those that were judged."""
    question, rule = Question.of(TRAIN, POOL), NegativesSpec.model_validate({"range": (0, 5)})
    near = {"Page One": 0.9, "Page Two": 0.8, "Where is it?": 1.0}
    told = list[tuple[str, int, int]]()
    encoded = _encoded(question, near)
    mine(question, encoded, rule, 1, _Judge(near), lambda *each: told.append(each))
    assert told[0] == ("searching for queries", 0, 2)
    assert [done for stage, done, _ in told if "judging" in stage] == [0, 1, 2]
    teller = Teller(tmp_path / "progress.json")
    assert read_step(teller.path) is None
    teller("encoding texts", 100, 1000)
    first = read_step(teller.path)
    assert first is not None
    assert (first.done, first.seconds_left) == (100, None)
    teller.rate.begun -= 10.0  # as if ten seconds had passed
    teller.written -= 10.0
    teller("encoding texts", 200, 1000)
    second = read_step(teller.path)
    assert second is not None
    assert second.seconds_left == pytest.approx(80.0, rel=0.01)
    teller("encoding texts", 201, 1000)  # within half a second
    assert read_step(teller.path) == second
