"""What a plan says of objectives and labels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from embft.data.audit import audit
from embft.data.build import load_data
from embft.data.load import Columns, load_pairs
from embft.data.pairs import Pairs, Splits
from embft.errors import EmbftError
from embft.planning.checks import (
    check_corpus_fields,
    check_objective,
    check_ranked,
    objective_note,
)
from embft.planning.learnable import LearningChecks
from embft.spec import DataSpec, EvaluatorSpec, Objective, parse_spec


@pytest.mark.parametrize(
    ("metric", "mode", "remarked"),
    [("auc", "min", True), ("auc", "max", False), ("spearman", "min", True), ("own", "min", False)],
)
def test_a_direction_that_ranks_the_worst_first(metric: str, mode: str, remarked: bool) -> None:
    note = objective_note(Objective.model_validate({"metric": metric, "mode": mode}))
    assert (note is not None) == remarked
    assert note is None or f"of {metric} higher is better" in note


@pytest.fixture
def constant(tmp_path: Path) -> Path:
    """A file of graded pairs that all have one label."""
    path = tmp_path / "same.csv"
    rows = "".join(f"a first text {i},a second one {i},4.2\n" for i in range(30))
    path.write_text(f"text_1,text_2,label\n{rows}")
    return path


def test_labels_are_quoted_as_the_file_has_them(constant: Path) -> None:
    """Not as they are scaled: the row must be found."""
    pairs = load_pairs(constant, Columns(), label_range=(0, 5))
    assert pairs.label[0] == pytest.approx(0.84)
    splits = Splits(pairs, pairs.take([0, 1, 2]), pairs)
    with pytest.raises(EmbftError, match=r"labels of the dev split are 4\.2: no metric"):
        check_objective("spearman", splits)
    trial = next(iter(parse_spec(f"name: a\ndata: {{train: {constant}}}").trials()))[1]
    with pytest.raises(EmbftError, match=r"all 30 labels are 4\.2"):
        LearningChecks().check(trial, "digest", splits)
    found = audit(splits).find("single_label_train")
    assert found is not None
    assert "have the label 4.2." in found.message


def test_examples_and_means_of_an_audit_too(tmp_path: Path) -> None:
    """A finding's example has the label of its row; a mean is on the same scale."""
    for name, start in (("train", 0), ("dev", 3)):
        rows = "".join(f"text {name} {i},other {i},{start + i % 3}\n" for i in range(60))
        (tmp_path / f"{name}.csv").write_text(f"text_1,text_2,label\n{rows}...,!!,4\n")
    spec = DataSpec.model_validate(
        {"train": str(tmp_path / "train.csv"), "dev": str(tmp_path / "dev.csv")}
        | {"label_range": (0.0, 5.0)}
    )
    found = audit(load_data(spec))
    shift, wordless = found.find("label_shift_dev"), found.find("empty_texts")
    assert shift is not None
    assert wordless is not None
    assert "The mean label is 4.00 in dev and 1.05 in train." in shift.message
    assert wordless.examples[0]["label"] == 4.0


def test_no_auc_of_graded_labels() -> None:
    """A shortcut to graded labels is given in words that fit them."""
    draw = np.random.default_rng(0)
    cue = draw.integers(0, 2, 400)
    one = [f"{'great' if c else 'poor'} thing number {i}" for i, c in enumerate(cue)]
    two = [f"another text {i}" for i in range(400)]
    graded = np.clip(0.2 + 0.6 * cue + draw.normal(0, 0.05, 400), 0, 1)
    pairs = Pairs(one, two, graded)
    splits = Splits(pairs.take(range(200)), pairs.take(range(200, 400)), pairs)
    found = [f for f in audit(splits).findings if f.name.startswith("shortcut_")]
    assert found
    assert not any("AUC" in finding.message for finding in found)
    binary = replace(splits, train=_halves(splits.train), dev=_halves(splits.dev))
    assert any("an AUC of" in f.message for f in audit(binary).findings)


def _halves(pairs: Pairs) -> Pairs:
    return replace(pairs, label=(pairs.label > 0.5).astype(np.float64))


@pytest.mark.parametrize(("metric", "had"), [("map_at_10", False), ("ndcg_at_10", True)])
def test_pairs_have_few_metrics_of_retrieval(metric: str, had: bool, constant: Path) -> None:
    """A plan refuses the others, which every trial would."""
    pairs = load_pairs(constant, Columns(), label_range=(0, 5))
    splits = Splits(pairs, pairs, pairs)
    text = f"name: a\ndata: {{train: {constant}}}\nevaluators: [retrieval]\n"
    spec = parse_spec(f"{text}objective: {{metric: {metric}}}\n")
    trial = next(iter(spec.trials()))[1]
    if had:
        check_ranked(trial.objective.metric, trial.evaluators, splits)
    else:
        with pytest.raises(EmbftError, match="does not have on pairs: use one of mrr, recall_at_1"):
            check_ranked(trial.objective.metric, trial.evaluators, splits)


@pytest.mark.parametrize("field", [{"index": [4]}, {"precision": "bf16"}])
def test_fields_of_a_corpus_are_refused_where_there_is_none(field: dict[str, object]) -> None:
    """Pairs would leave them without effect; the usual value is no matter."""
    pairs = Pairs(["a", "b"], ["c", "d"], np.array([0.0, 1.0]))
    splits = Splits(pairs, pairs, pairs)
    check_corpus_fields([EvaluatorSpec.of("retrieval")], splits)
    (name,) = field
    with pytest.raises(EmbftError, match=rf"retrieval: `{name}` is for a corpus"):
        check_corpus_fields([EvaluatorSpec.of({"retrieval": field})], splits)
