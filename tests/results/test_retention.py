"""Which models a sweep keeps: the best by dev, so many as the spec says, and records always."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from embft.errors import ModelError, SpecError
from embft.execution.launcher import run_trial
from embft.models.trained import load_trained
from embft.planning.plan import PlannedTrial, make_plan
from embft.planning.prepare import prepare
from embft.results import removal
from embft.results.folders import TrialDir
from embft.results.observer import Observed
from embft.results.records import Completed
from embft.results.retention import Retention
from embft.spec import parse_spec


@pytest.fixture(scope="module")
def finished(tiny_model: Path, pair_files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep's trials, run one after another by the launcher; no model is removed yet."""
    folder = tmp_path_factory.mktemp("artifacts")
    plan = make_plan(parse_spec(_spec(tiny_model, pair_files, "all")), folder)
    for trial in prepare(plan, retry_failed=False):
        trial.folder.create(trial.input(threads=1))
        assert run_trial(trial.folder) == "completed"
    return folder


def _spec(model: Path, pairs: Path, keep: str) -> str:
    return f"""\
name: tiny
data: {{train: {pairs}/train.jsonl, dev: {pairs}/dev.jsonl, test: {pairs}/test.jsonl}}
model: {{base: {model}}}
train: {{epochs: 1, batch_size: 8}}
space: {{train.method: [lora, full], train.learning_rate: [1e-3, 1e-2]}}
artifacts: {{keep: {keep}}}
"""


def test_only_the_best_models_stay_and_every_record(
    finished: Path, tiny_model: Path, pair_files: Path
) -> None:
    """From all to top:2 to best to none: the better by dev stay, records are left as they are."""
    before = {p: p.read_bytes() for p in finished.glob("tiny/trials/*/result.json")}
    for keep, count in (("all", 4), ("top:2", 2), ("best", 1), ("none", 0)):
        spec = parse_spec(_spec(tiny_model, pair_files, keep))
        plan = make_plan(spec, finished)
        models = list(finished.glob("tiny/trials/*/model"))
        finish = (trial.folder for trial in plan.trials)
        beyond = Retention(spec.artifacts, spec.objective, finish).beyond
        assert models == list(finished.glob("tiny/trials/*/model"))  # nothing goes unasked
        removals = list(removal.models(plan.folder, keep))
        assert {each.model_of for each in removals} == set(beyond)
        assert all(each.size > 0 for each in removals)
        for each in removals:
            each.remove()
        results = [t.folder.result() for t in plan.trials if not t.spec.is_baseline]
        scores = sorted(r.dev["spearman"] for r in results if isinstance(r, Completed))[::-1]
        with_model = [t for t in plan.trials if t.folder.model_folder.exists()]
        assert len(with_model) == count
        kept = [t.folder.result() for t in with_model]
        assert (
            sorted(r.dev["spearman"] for r in kept if isinstance(r, Completed))[::-1]
            == (scores[:count])
        )
        assert all(t.finished is not None for t in plan.trials)
    assert {p: p.read_bytes() for p in before} == before
    gone = next(t.folder for t in plan.trials if not t.spec.is_baseline)
    with pytest.raises(ModelError, match=r"artifacts\.keep"):
        load_trained(str(gone.path))
    _taken_over(finished, tiny_model, pair_files, gone)


def _taken_over(results: Path, model: Path, pairs: Path, gone: TrialDir) -> None:
    """Another sweep takes over trials whose models are gone, instead of training them again."""
    text = _spec(model, pairs, "all").replace("name: tiny", "name: other")
    assert prepare(make_plan(parse_spec(text), results), retry_failed=False) == ()
    (copy,) = results.glob(f"other/trials/*-{gone.key}")
    assert TrialDir(copy).removed_file.exists()


@pytest.mark.parametrize("keep", ["bests", "top:0", "top", "3"])
def test_other_words_are_refused(tiny_model: Path, pair_files: Path, keep: str) -> None:
    """The message says what is allowed."""
    with pytest.raises(SpecError, match="top:3"):
        parse_spec(_spec(tiny_model, pair_files, f"'{keep}'"))


def test_a_model_that_is_still_to_be_measured_waits(
    finished: Path, tiny_model: Path, pair_files: Path, tmp_path: Path
) -> None:
    """It goes once it was, or with the sweep's end; an interrupted sweep measures it later."""
    shutil.copytree(finished / "tiny", tmp_path / "tiny")
    spec = parse_spec(_spec(tiny_model, pair_files, "none"))
    plan = make_plan(spec, tmp_path)
    one, two, three = [t for t in plan.trials if not t.spec.is_baseline][:3]
    for trial in (one, two, three):
        shutil.rmtree(trial.folder.model_folder, ignore_errors=True)
        trial.folder.model_folder.mkdir()
    waits = {one.folder.path, two.folder.path, three.folder.path}
    retention = Retention(spec.artifacts, spec.objective, needed=lambda f: f.path in waits)

    def ended(trial: PlannedTrial) -> None:
        result = trial.folder.result()
        assert result is not None
        retention.on_trial(Observed(trial.folder, trial.spec, trial.params), result)

    ended(one)
    assert one.folder.model_folder.is_dir()
    waits.remove(one.folder.path)
    ended(two)
    assert not one.folder.model_folder.is_dir()
    retention.on_end(KeyboardInterrupt())
    assert two.folder.model_folder.is_dir()
    retention.on_end(None)
    assert not two.folder.model_folder.is_dir()
    assert three.folder.model_folder.is_dir()
