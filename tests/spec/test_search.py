"""What a search, a scheduler and their objectives refuse, with file, line and what to do."""

from __future__ import annotations

import importlib.util
import re
from typing import Any

import pytest

from embft.errors import SpecError
from embft.spec import parse_spec
from embft.spec.distributions import space_size

HEAD = "name: a\ndata: {train: x.csv}\ntrain: {epochs: 3}\n"
SPACE = HEAD + "space: {train.learning_rate: {loguniform: [1e-5, 1e-3]}}\n"
EPOCHS = HEAD + "space: {train.epochs: {randint: [2, 9]}}\n"
TPE = "search: {algorithm: tpe, trials: 3, objectives: %s}\n"

REFUSED = {
    "unknown objective": (
        SPACE + TPE % "[score, trainig]",
        "s.yaml:5: search.objectives.1 is 'trainig': did you mean 'training'?",
    ),
    "no score": (EPOCHS + TPE % "[training]", "s.yaml:5: .*has no score.*write [score, training]"),
    "twice": (SPACE + TPE % "[score, training, training]", "s.yaml:5: .*'training' stands twice"),
    "of a grid": (
        HEAD + "space: {train.epochs: [2, 3]}\nsearch: {objectives: [score, training]}\n",
        "s.yaml:5: .*a grid runs all of its points and has no objectives",
    ),
    "not measured": (
        SPACE + TPE % "[score, serving]",
        "s.yaml:5: .*nothing measures what models come to in service: add `serving: true`",
    ),
    "rows alike": (
        SPACE + TPE % "[score, training]",
        "s.yaml:5: .*training, the rows trained on, which is the same for all points of this "
        "space: vary train.epochs, train.max_steps or the training data",
    ),
    "parameters alike": (
        EPOCHS + TPE % "[score, parameters]",
        "vary train.method, train.lora.rank",
    ),
    "latency alike": (
        SPACE + "serving: true\n" + TPE % "[score, latency_p50]",
        "s.yaml:6: .*vary model.base, model.layer or model.max_tokens",
    ),
}


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED)
def test_objectives_that_nothing_can_be_found_for(text: str, message: str) -> None:
    """They are known before anything runs."""
    pattern = ".*".join(map(re.escape, message.split(".*")))
    with pytest.raises(SpecError, match=pattern):
        parse_spec(text, "s.yaml")


@pytest.mark.parametrize(
    "more",
    [
        "space: {train.lora.rank: [4, 8], train.method: [lora]}\n" + TPE % "[score, parameters]",
        "space: {train.epochs: {randint: [2, 9]}}\n" + TPE % "[training, score, train_seconds]",
        "space: {train.learning_rate: [1e-4, 1e-3]}\n" + TPE % "[score, train_seconds]",
        "serving: true\nspace: {model.max_tokens: [16, 32]}\n" + TPE % "[score, latency_p50]",
        "serving: true\nspace: {train.loss: [cosent, angle]}\n" + TPE % "[score, serving]",
        "objective: {prefer: serving}\nspace: {train.epochs: [2, 3]}\n" + TPE % "[score, serving]",
        "train: {early_stopping_patience: 1}\nspace: {train.learning_rate: [1e-4, 1e-3]}\n"
        + TPE % "[score, training]",
        "space: [{train.method: [lora]}, {train.method: [full]}]\n" + TPE % "[score, parameters]",
    ],
)
def test_objectives_in_which_trials_may_differ(more: str) -> None:
    """By an axis, by when a training ends, or by what only a measurement tells."""
    spec = parse_spec("name: a\ndata: {train: x.csv}\n" + more)
    assert len(spec.search.costs) == len(spec.search.objectives) - 1


def test_a_recommendation_goes_by_the_first_cost_unless_it_is_written() -> None:
    """Who searches for fast trainings does not mean the fewest parameters."""
    search = TPE % "[score, train_seconds, training]"
    assert parse_spec(EPOCHS + search).objective.prefer == "training"
    own = "objective: {prefer: none}\n"
    assert parse_spec(EPOCHS + own + search).objective.prefer == "none"


def test_optuna_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is named, and what does without."""
    found: Any = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "optuna" else found(name, *a)
    )
    with pytest.raises(
        SpecError, match=r"s.yaml:5: .*pip install 'embft\[search\]', or use random"
    ):
        parse_spec(SPACE + "search: {algorithm: tpe, trials: 3}\n", "s.yaml")


UNFIT = {
    "end of a distribution": (
        HEAD + "space: {train.epochs: {randint: [1, 20000]}}\n"
        "search: {algorithm: tpe, trials: 3}\n",
        "s.yaml:4: train.epochs is 19999: it should be less than or equal to 10000 (an end of "
        "{randint: [1, 20000]})",
    ),
    "in a union": (
        HEAD + "space:\n  - {train.method: [lora]}\n"
        "  - {train.learning_rate: {loguniform: [1e-5, 100]}}\n"
        "search: {algorithm: tpe, trials: 3}\n",
        "s.yaml:6: train.learning_rate is 100.0: it should be less than or equal to 10 (an end of",
    ),
    "no score of this metric": (
        SPACE + "stop: {score: 2}\nsearch: {algorithm: tpe, trials: 3}\n",
        "s.yaml:5: stop.score is 2, and the Spearman correlation of a trial is at least -1 and at "
        "most 1: give a score that a trial may reach",
    ),
    "every trial has it": (
        SPACE + "objective: {metric: auc}\nstop: {score: -0.5}\n"
        "search: {algorithm: tpe, trials: 3}\n",
        "s.yaml:6: stop.score is -0.5, and the AUC-ROC",
    ),
    "no mapping": (
        SPACE + "stop: 2h\nsearch: {algorithm: tpe, trials: 3}\n",
        "s.yaml:5: stop is '2h': it should be a mapping of time, score, no_better_for, resolved",
    ),
    "no objective": (SPACE + TPE % "[]", "s.yaml:5: search.objectives: is empty: name the score"),
}


@pytest.mark.parametrize(("text", "message"), UNFIT.values(), ids=UNFIT)
def test_values_that_fit_no_field(text: str, message: str) -> None:
    """The message says what was written, where that is not the value itself."""
    with pytest.raises(SpecError, match=re.escape(message)):
        parse_spec(text, "s.yaml")


@pytest.mark.parametrize(
    ("space", "size"),
    [
        ("{train.epochs: [2, 3], train.batch_size: {choice: [8, 16, 32]}}", 6),
        ("[{train.epochs: {randint: [2, 5]}}, {train.lora.rank: {lograndint: [1, 3]}}]", 5),
        ("{train.batch_size: {quniform: [16, 64, 16]}}", 4),
        ("{train.epochs: [2], train.learning_rate: {uniform: [1e-4, 1e-3]}}", float("inf")),
    ],
)
def test_how_many_points_a_space_has(space: str, size: float) -> None:
    """The upper end of whole numbers is left out; of other distributions there is no end."""
    spec = parse_spec(HEAD + f"space: {space}\nsearch: {{algorithm: random, trials: 9}}\n")
    assert space_size(spec.space) == size
