"""What a sweep needs: estimated from the base model's files, measured in real workers."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from embft.errors import EmbftError
from embft.execution.launcher import run_trial
from embft.execution.measure import measure, measured_seconds, predicted_seconds, read_measured
from embft.planning import estimate
from embft.planning.estimate import (
    OURS_BYTES,
    Size,
    check_fits,
    longest_first,
    need,
    size_of,
)
from embft.planning.plan import make_plan
from embft.planning.prefixes import share_prefixes
from embft.planning.prepare import prepare
from embft.planning.sweep_power import sweep_power
from embft.planning.weights import weight_shapes
from embft.spec import parse_spec


def test_a_spec_that_cannot_fit_its_memory_is_refused(tmp_path: Path, tiny_spec: str) -> None:
    """The message names the need, the budget and what to do; a budget that may do passes."""
    for memory, fits in (("500MB", False), ("2GB", True)):
        plan = make_plan(parse_spec(tiny_spec + f"resources: {{memory: {memory}}}\n"), tmp_path)
        found = need(plan, plan.trials)
        assert found.memory > OURS_BYTES
        if fits:
            check_fits(plan, found)
        else:
            with pytest.raises(EmbftError, match=r"resources\.memory allows 500 MB"):
                check_fits(plan, found)


def test_fewer_models_need_less_disk(tmp_path: Path, tiny_spec: str) -> None:
    """What artifacts.keep drops is not counted; a disk that is too small is refused."""
    needs = {}
    for keep in ("all", "top:2", "best", "none"):
        plan = make_plan(parse_spec(tiny_spec + f"artifacts: {{keep: '{keep}'}}\n"), tmp_path)
        needs[keep] = need(plan, plan.trials)
    kept = [needs[keep].kept for keep in ("all", "top:2", "best", "none")]
    assert kept == sorted(kept, reverse=True)
    assert len(set(kept)) == 4
    huge = make_plan(parse_spec(tiny_spec), tmp_path)
    too_much = replace(needs["all"], disk=10**18, kept=10**18, memory=0)
    with pytest.raises(EmbftError, match=r"artifacts\.keep"):
        check_fits(huge, too_much)


def test_of_several_at_once_the_longest_start_first(tiny_model: Path, pair_files: Path) -> None:
    """After the baseline, by epochs and passes; equal ones as planned, shared prefixes as given."""
    text = f"""\
name: order
data: {{train: {pair_files}/train.jsonl, dev: {pair_files}/dev.jsonl}}
model: {{base: {tiny_model}}}
train: {{lora: {{target_modules: [query]}}}}
space:
  train.method: [lora, full]
  train.epochs: [1, 3]
  train.learning_rate: [1e-3, 1e-4]
"""
    plan = make_plan(parse_spec(text), Path("unused"))
    trains = [trial.spec.train for trial in longest_first(plan, plan.trials)]
    assert [(t.method, t.epochs, t.learning_rate) for t in trains[1:]] == [
        (method, epochs, rate)
        for epochs in (3, 1)
        for method in ("full", "lora")
        for rate in (1e-3, 1e-4)
    ]
    assert trains[0].method == "none"
    shared = text.replace("train: {lora", "train: {schedule: constant, lora")
    plan = make_plan(parse_spec(shared), Path("unused"))
    prefixed = share_prefixes(plan.trials)
    assert longest_first(plan, prefixed) == prefixed


def test_the_estimate_of_a_real_model_is_its_size(minilm: Path, pair_files: Path) -> None:
    """All-MiniLM-L6-v2 has 22.7 million weights; LoRA of rank 8 on two layers trains 73,728."""
    assert sum(_product(shape) for shape in weight_shapes(minilm).values()) == 22_713_728
    text = f"""\
name: size
data: {{train: {pair_files}/train.jsonl, dev: {pair_files}/dev.jsonl}}
model: {{base: {minilm}}}
space: {{train.method: [full, lora]}}
"""
    plan = make_plan(parse_spec(text), Path("unused"))
    full, lora = (size_of(trial) for trial in plan.trials if not trial.spec.is_baseline)
    assert full.model - lora.model == 4 * (22_713_728 - 73_728)


def _product(shape: tuple[int, ...]) -> int:
    found = 1
    for length in shape:
        found *= length
    return found


def test_measuring_predicts_and_leaves_nothing_behind(tmp_path: Path, tiny_spec: str) -> None:
    """Each kind is measured once, its sizes are the real ones, and no trial is left over."""
    plan = make_plan(parse_spec(tiny_spec), tmp_path)
    pending = prepare(plan, retry_failed=False)
    found = measure(plan, pending)
    assert set(found) == {trial.key for trial in pending}
    assert len({id(kind) for kind in found.values()}) == 4  # two ranks, full, and the baseline
    assert read_measured(plan) == found
    assert not plan.folder.measuring_folder.exists()
    assert all(trial.folder.result() is None for trial in pending)
    foreseen = sweep_power(plan)
    assert foreseen.basis == "base model"
    trial = next(t for t in pending if t.spec.train.method == "full")
    assert predicted_seconds(plan, trial, found[trial.key]) > found[trial.key].rest
    trial.folder.create(trial.input(threads=1))
    assert run_trial(trial.folder) == "completed"
    sizes = [p.stat().st_size for p in trial.folder.model_folder.rglob("*") if p.is_file()]
    assert found[trial.key].model == pytest.approx(sum(sizes), rel=0.01)


def test_measuring_after_an_interrupted_sweep(tmp_path: Path, tiny_spec: str) -> None:
    """The mark that stopped the sweep does not stop it; nor does what a killed one left."""
    plan = make_plan(parse_spec(tiny_spec), tmp_path)
    plan.folder.measuring("x").path.mkdir(parents=True)
    plan.folder.stop_file.touch()
    assert len(measured_seconds(plan)) == len(plan.trials)
    assert not plan.folder.measuring_folder.exists()


def test_measuring_keeps_to_the_memory_budget(tmp_path: Path, tiny_spec: str) -> None:
    """What does not fit is found out without taking it."""
    plan = make_plan(parse_spec(tiny_spec + "resources: {memory: 300MB}\n"), tmp_path)
    with pytest.raises(EmbftError, match=r"cannot measure .*resources\.memory"):
        measured_seconds(plan)


def test_auto_counts_what_this_machine_takes(
    tmp_path: Path, tiny_spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its cores and memory; a worker's size is measured, or estimated from the base model."""
    monkeypatch.setattr(estimate, "available_cores", lambda: 16)
    monkeypatch.setattr(estimate, "available_memory", lambda: 8 * 10**9)
    plan = make_plan(parse_spec(tiny_spec + "resources: {concurrent_trials: auto}\n"), tmp_path)
    assert need(plan, plan.trials).at_once == len(plan.trials)
    sizes = {trial.key: Size(0, 0, 3 * 10**9) for trial in plan.trials}
    assert need(plan, plan.trials, sizes).at_once == 2


@pytest.fixture(scope="module")
def long_texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labelled pairs of texts of some hundred words, and the same as positives."""
    folder = tmp_path_factory.mktemp("long")
    for split, count in {"train": 96, "dev": 20}.items():
        rows = [
            {"text_1": f"{split} {i} " + "we love tea " * 80, "text_2": f"{i} " + "no cats " * 90}
            for i in range(count)
        ]
        labelled = [{**row, "label": i % 2} for i, row in enumerate(rows)]
        for name, each in (("labelled", labelled), ("positives", rows)):
            lines = "\n".join(json.dumps(row) for row in each)
            (folder / f"{name}-{split}.jsonl").write_text(lines + "\n")
    return folder


@pytest.mark.parametrize(
    ("loss", "data", "said", "changed"),
    [
        ("cosine_similarity", "labelled", "the same gradients", {}),
        ("cosent", "labelled", "cosent then compares the rows of a part alone", {}),
        (
            "multiple_negatives_ranking",
            "positives",
            "the same comparisons",
            {"loss": "cached_multiple_negatives_ranking"},
        ),
        ("cached_multiple_negatives_ranking", "positives", "the same gradients", {}),
    ],
)
def test_micro_batches_that_fit_are_proposed(  # noqa: PLR0917 - fixtures and cases
    tmp_path: Path,
    minilm: Path,
    long_texts: Path,
    loss: str,
    data: str,
    said: str,
    changed: dict[str, str],
) -> None:
    """A batch that cannot fit is refused before anything runs, with the parts of it that fit, which
    pass the same check; much larger ones do not.
    """
    files = f"train: {long_texts}/{data}-train.jsonl, dev: {long_texts}/{data}-dev.jsonl"
    files += ", columns: {label: null}" * (data == "positives")

    def check(memory: int, **train: object) -> None:
        settings = {"loss": loss, "batch_size": 64, "precision": "fp32", **train}
        text = f"name: long\ndata: {{{files}}}\nmodel: {{base: {minilm}}}\n"
        text += f"train: {json.dumps(settings)}\nresources: {{memory: {memory}}}\n"
        plan = make_plan(parse_spec(text), tmp_path)
        check_fits(plan, need(plan, plan.trials))

    budget = OURS_BYTES + 1_600_000_000
    with pytest.raises(EmbftError, match=said) as refused:
        check(budget)
    found = re.search(r"train\.micro_batch_size to (\d+)", str(refused.value))
    assert found is not None, refused.value
    assert all(f"train.{name} to {value}" in str(refused.value) for name, value in changed.items())
    rows = int(found[1])
    check(budget, micro_batch_size=rows, **changed)
    assert 1 <= rows < 64
    if not changed:
        with pytest.raises(EmbftError, match=r"resources\.memory allows"):
            check(budget, micro_batch_size=4 * rows)
    with pytest.raises(EmbftError, match=r"allows 800 MB: allow more"):
        check(800_000_000)  # which no part of a batch fits
