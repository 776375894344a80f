"""What a plan makes of its data: one baseline for what is scored alike, and shapes that fit."""

from __future__ import annotations

import json
from pathlib import Path

from embft.plan import make_plan
from embft.spec import parse_spec


def write(path: Path, rows: list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def pairs(count: int, mark: str) -> list[dict[str, object]]:
    return [
        {"text_1": f"{mark} dogs {i}", "text_2": f"{mark} cats {i}", "label": i % 2}
        for i in range(count)
    ]


def test_train_data_as_an_axis_has_one_baseline(tmp_path: Path, tiny_model: Path) -> None:
    """The untrained model is scored once where trials differ in their train data alone, and once
    more where dev does.
    """
    for name in ("a", "b", "dev", "other"):
        write(tmp_path / f"{name}.jsonl", pairs(12, name))
    text = f"name: t\nmodel: {{base: {tiny_model}}}\n" + "data: {dev: dev.jsonl}\n"
    space = "space: {data.train: [a.jsonl, b.jsonl], data.noise.delete_words: [0.1, 0.5]}\n"
    plan = make_plan(parse_spec(text + space, folder=tmp_path), tmp_path / "results")
    assert [trial.spec.is_baseline for trial in plan.trials] == [True, *[False] * 4]
    assert len(plan.data) == 4
    space = "space: {data.train: [a.jsonl, b.jsonl], data.dev: [dev.jsonl, other.jsonl]}\n"
    plan = make_plan(parse_spec(text + space, folder=tmp_path), tmp_path / "results")
    assert [trial.spec.is_baseline for trial in plan.trials].count(True) == 2
