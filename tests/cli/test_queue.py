"""Several specs in one command: planned together, before the first of them begins."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.commands import embft

SEARCH = "search: {algorithm: random, trials: 7, objectives: [score, train_seconds]}\n"


@pytest.fixture
def specs(tmp_path: Path, tiny_spec: str) -> Path:
    """A grid of four trials, and a search for seven."""
    (tmp_path / "one.yaml").write_text(tiny_spec.replace("name: tiny", "name: one"))
    text = tiny_spec.replace("name: tiny", "name: two") + SEARCH + "scheduler: asha\n"
    (tmp_path / "two.yaml").write_text(text)
    return tmp_path


def test_a_dry_run_plans_all_and_runs_nothing(specs: Path) -> None:
    """Each under its place in the queue, with what it searches for, and at the end what they come
    to together.
    """
    shown = embft("sweep", "one.yaml", "two.yaml", "--dry-run", cwd=specs).stdout
    said = " ".join(shown.split())
    assert "Sweep 1 of 2: one.yaml one: 5 trials with the baseline, 0 done, 5 to run" in said
    assert "Sweep 2 of 2: two.yaml two: 1 trial, the baseline, 0 done, 1 to run" in said
    assert "Objectives: Spearman correlation on dev (max), seconds of training (min)." in said
    assert "asha goes by the score alone; of a trial that is stopped early the searcher" in said
    assert (
        "the fewest rows trained on, then fewest trainable parameters (objective.prefer: " in said
    )
    assert "Together 2 sweeps, 6 trials to run and up to 7 to propose." in said
    assert not (specs / "results").exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("one.yaml", "./one.yaml"), "one.yaml is given twice: each spec is one sweep"),
        (("one.yaml", "copy.yaml"), "its name, one, is that of one.yaml too"),
        (("one.yaml", "two.yaml", "bad.yaml"), "bad.yaml:1: unknown field 'nmae'"),
        (("one.yaml", "gone.yaml"), "gone.yaml: cannot read the spec"),
    ],
)
def test_nothing_begins_where_one_spec_is_at_fault(
    specs: Path, given: tuple[str, ...], message: str
) -> None:
    """Not the good ones before it either."""
    (specs / "copy.yaml").write_text((specs / "one.yaml").read_text())
    (specs / "bad.yaml").write_text("nmae: x\n")
    run = embft("sweep", *given, cwd=specs, check=2)
    assert message in run.stderr
    assert "Traceback" not in run.stderr
    assert not (specs / "results").exists()
