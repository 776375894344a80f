"""`method: none` is an arm like any other where the space names it, else what all start from."""

from __future__ import annotations

from pathlib import Path

from embft.leaderboard.build import build_leaderboard
from embft.planning.plan import make_plan
from embft.planning.prepare import prepare
from embft.spec import parse_spec


def _spec(tiny_model: Path, pair_files: Path, space: str) -> str:
    return f"""\
name: base
data: {{train: {pair_files}/train.jsonl, dev: {pair_files}/dev.jsonl}}
model: {{base: {tiny_model}}}
train: {{epochs: 1}}
space: {space}
"""


def test_base_model_trials_of_the_space_are_ranked_with_their_params(
    tiny_model: Path, pair_files: Path, tmp_path: Path
) -> None:
    """Two poolings, trained or not, at two learning rates, which change nothing without training:
    two rows of the base model with their params, four trained ones, no baseline beside them.
    """
    axes = "{train.method: [none, full], model.pooling: [mean, cls], train.learning_rate: [1, 2]}"
    plan = make_plan(parse_spec(_spec(tiny_model, pair_files, axes)), tmp_path)
    prepare(plan, retry_failed=False)
    leaderboard = build_leaderboard(plan.folder.path)
    found = [(row.params["train.method"], row.params["model.pooling"]) for row in leaderboard.rows]
    assert sorted(found) == [
        *[("full", "cls")] * 2, *[("full", "mean")] * 2, ("none", "cls"), ("none", "mean")
    ]  # fmt: skip
    assert not any(row.is_baseline for row in leaderboard.rows)
    names = [row.trial for row in leaderboard.rows if row.params["train.method"] == "none"]
    assert all("learning_rate" not in name and "pooling" in name for name in names)


def test_each_way_to_embed_has_its_own_baseline(
    tiny_model: Path, pair_files: Path, tmp_path: Path
) -> None:
    """Where the space trains alone, each pooling starts from the base with that pooling."""
    text = _spec(tiny_model, pair_files, "{model.pooling: [mean, cls]}")
    plan = make_plan(parse_spec(text), tmp_path)
    base = [t for t in plan.trials if t.spec.is_baseline]
    assert [t.spec.model.pooling for t in base] == ["mean", "cls"]
    assert len({t.key for t in plan.trials}) == 4
    assert not any(t.params for t in base)
