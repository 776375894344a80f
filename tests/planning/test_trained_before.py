"""Edited evaluators, groups and test files are scored again: no weight is trained a second time."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from embft.cli.main import main
from embft.data.pairs import Pairs, Splits
from embft.execution.measure import predicted_seconds
from embft.execution.score_step import score_step
from embft.planning import trained_before
from embft.planning.estimate import size_of
from embft.planning.plan import Plan, PlannedTrial, make_plan
from embft.planning.prepare import prepare
from embft.planning.take_over import begin
from embft.results.folders import SweepDir, TrialDir
from embft.results.key import training_digest
from embft.results.records import Completed, Failed, Status
from embft.results.retention import remove_model
from embft.scheduler.early_stopping import EVALUATION
from embft.scheduler.searchers import METRIC
from embft.scheduler.stepped import SteppedTrial
from embft.spec import load_spec
from tests.helpers.commands import embft
from tests.helpers.judged import write_beir
from tests.helpers.trials import run_whole

SPEC = """\
name: study
data: {train: train.jsonl, dev: dev.jsonl, test: test.jsonl, groups: [kind]}
model: {base: ./base}
train: {epochs: 1, batch_size: 24}
space:
  - train.method: [lora]
    train.learning_rate: [1e-2]
  - train.method: [full]
    train.learning_rate: [1e-3]
evaluators: [collapse]
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, pair_files: Path) -> Path:
    """A folder with files, a spec, and the results of its sweep."""
    home = tmp_path_factory.mktemp("finished")
    shutil.copytree(pair_files, home, dirs_exist_ok=True)
    shutil.copytree(tiny_model, home / "base")
    (home / "study.yaml").write_text(SPEC)
    run_whole(planned(home))
    return home


@pytest.fixture
def home(finished: Path, tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    shutil.copytree(finished, tmp_path / "home")
    return tmp_path / "home"


def planned(home: Path) -> Plan:
    return make_plan(load_spec(home / "study.yaml"), home / "results")


def edit(home: Path, old: str, new: str) -> None:
    text = (home / "study.yaml").read_text()
    assert old in text
    (home / "study.yaml").write_text(text.replace(old, new))


def append(path: Path) -> None:
    row = {"text_1": "i love tea", "text_2": "we like tea", "label": 1, "kind": "tea"}
    with path.open("a") as file:
        file.write(json.dumps(row) + "\n")


def trials(plan: Plan) -> dict[str, PlannedTrial]:
    return {t.spec.train.method: t for t in plan.trials if not t.spec.is_baseline}


def ask(*arguments: str) -> str:
    ran = CliRunner().invoke(main, arguments)
    assert ran.exit_code == 0, ran.output
    return ran.output


def another_evaluator(home: Path) -> None:
    edit(home, "[collapse]", "[clusters]")


def no_evaluator(home: Path) -> None:
    edit(home, "evaluators: [collapse]", "")


def other_groups(home: Path) -> None:
    edit(home, ", groups: [kind]", "")


def other_test(home: Path) -> None:
    append(home / "test.jsonl")


def no_test(home: Path) -> None:
    edit(home, ", test: test.jsonl", "")


def an_evaluators_file(home: Path) -> None:
    edit(home, "[collapse]", "[{sts: {data: more.jsonl, label_range: [0, 1]}}]")
    shutil.copy(home / "dev.jsonl", home / "more.jsonl")


def everything_that_scores(home: Path) -> None:
    another_evaluator(home)
    other_groups(home)
    other_test(home)


@pytest.mark.parametrize(
    "change",
    [another_evaluator, no_evaluator, other_groups, other_test, no_test, an_evaluators_file],
)
def test_what_decides_no_weight_is_scored_again(home: Path, change: Callable[[Path], None]) -> None:
    """Each edit makes other trials, each of which has the training of the one before."""
    before = trials(planned(home))
    change(home)
    after = trials(planned(home))
    for method, trial in after.items():
        assert trial.key != before[method].key
        assert trial.trained is not None
        assert trial.trained.by == before[method].key


@pytest.mark.parametrize(
    "change",
    [
        lambda home: append(home / "train.jsonl"),
        lambda home: append(home / "dev.jsonl"),
        lambda home: edit(home, "epochs: 1", "epochs: 2"),
        lambda home: edit(home, "model: {", "model: {pooling: cls, "),
        lambda home: edit(home, "name: study", "name: study\nseeds: [7]"),
        lambda home: edit(home, "name: study", "name: study\nobjective: {metric: auc}"),
        lambda home: edit(home, "name: study", "name: study\nobjective: {mode: min}"),
        lambda home: (home / "base/config_sentence_transformers.json").write_text("{}"),
    ],
    ids=["train", "dev", "epochs", "pooling", "seed", "metric", "mode", "base"],
)
def test_what_decides_a_weight_is_trained(home: Path, change: Callable[[Path], object]) -> None:
    change(home)
    assert [trial.before for trial in trials(planned(home)).values()] == [None, None]


def test_the_evaluator_that_chooses_the_epoch_decides_the_weights(home: Path) -> None:
    """Its fields and what it reads count; those of the others do not."""
    shutil.copy(home / "dev.jsonl", home / "more.jsonl")
    chosen = "{name: own, sts: {data: more.jsonl, dev: more.jsonl, label_range: [0, 1]}}"
    edit(home, "[collapse]", f"[{chosen}]")
    edit(home, "name: study", "name: study\nobjective: {metric: own_sts_spearman}")
    run_whole(planned(home))
    edit(home, f"[{chosen}]", f"[clusters, {chosen}]")
    assert all(trial.trained for trial in trials(planned(home)).values())
    append(home / "more.jsonl")
    assert [trial.before for trial in trials(planned(home)).values()] == [None, None]


def test_judged_queries_of_test_decide_no_weight(tmp_path: Path) -> None:
    """Those of dev, and the corpus, do; columns of groups do not."""

    def digest(name: str, test: range = range(30, 40), dev: range = range(20, 30)) -> str:
        from embft.data.build import load_data
        from embft.spec import DataSpec

        folder = write_beir(tmp_path / name, {"train": range(20), "dev": dev, "test": test})
        return training_digest(load_data(DataSpec(beir=str(folder))))

    same = digest("one")
    assert digest("two", test=range(30, 38)) == same
    assert digest("three", dev=range(20, 29)) != same


def test_groups_decide_no_weight() -> None:
    texts = ["a", "b"], ["c", "d"]
    plain = Pairs(*texts, np.array([0.0, 1.0]))
    grouped = Pairs(*texts, np.array([0.0, 1.0]), groups={"kind": ["x", "y"]})
    assert training_digest(Splits(grouped, grouped, plain)) == training_digest(
        Splits(plain, plain, grouped)
    )


def test_a_trial_that_is_scored_again_is_the_one_that_was_trained(home: Path) -> None:
    """The same files, curve and verification; scores of what was not edited to the last digit; its
    record says whose training it has, and where and when that was.
    """
    before = trials(planned(home))
    everything_that_scores(home)
    plan = planned(home)
    run_whole(plan)
    for method, trial in trials(plan).items():
        old, new = before[method].folder, trial.folder
        one, two = old.result(), new.result()
        assert isinstance(one, Completed)
        assert isinstance(two, Completed)
        assert two.trained_by == one.key
        assert two.trained_under == one.provenance
        assert {k: v for k, v in two.files.items() if k.startswith("model/")} == {
            k: v for k, v in one.files.items() if k.startswith("model/")
        }
        assert two.epochs == one.epochs
        assert two.timings.train == one.timings.train
        assert two.dev["spearman"] == one.dev["spearman"]
        assert two.verification
        assert not any(event["event"] == "step" for event in new.progress())
        assert any(name not in one.test for name in two.test)  # the added evaluator's
    assert not planned(home).pending()


def test_a_chain_of_edits_names_the_trial_that_was_trained(home: Path) -> None:
    """Also where all folders in between are gone, and from another sweep beside it."""
    first = trials(planned(home))
    another_evaluator(home)
    run_whole(planned(home))
    for trial in first.values():
        shutil.rmtree(trial.folder.path)
    other_test(home)
    edit(home, "name: study", "name: another")
    plan = planned(home)
    assert {t.trained.by for t in trials(plan).values() if t.trained} == {
        trial.key for trial in first.values()
    }
    run_whole(plan)


def test_a_model_that_was_not_kept_is_trained_again_and_the_plan_says_so(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = trials(planned(home))
    remove_model(before["full"].folder, "best")
    another_evaluator(home)
    after = trials(planned(home))
    assert after["lora"].trained
    assert after["full"].trained is None
    assert after["full"].before is not None
    monkeypatch.chdir(home)
    printed = " ".join(ask("plan", "study.yaml").split())
    assert "Scored again, not trained: 1 of the pending trials" in printed
    assert "Trained again: 1 of the pending trials" in printed
    assert f"those of {before['full'].folder.short}." in printed
    rows = json.loads(ask("plan", "study.yaml", "--format", "json"))
    assert [(row["status"], row["scored_again"]) for row in rows] == [
        ("pending", False),
        ("pending", True),
        ("pending", False),
    ]
    said = ask("diff", "study.yaml")
    assert f"scored again, not trained (the training of {before['lora'].folder.short})" in said
    assert f"trained again, the model of {before['full'].folder.short} was not kept" in said


@pytest.mark.parametrize("harm", ["model", "reference", "trained", "data"])
def test_what_is_not_whole_is_not_taken_over(home: Path, harm: str) -> None:
    """A damaged model, reference or record of a training; frozen data that nobody can compare."""
    old = trials(planned(home))["full"].folder
    target = {
        "model": next(old.model_folder.glob("*.safetensors")),
        "reference": old.reference_file,
        "trained": old.trained_file,
        "data": next(old.sweep.data_folder.glob("*/train.parquet")),
    }[harm]
    target.write_bytes(target.read_bytes()[:-1] + b"x")
    other_test(home)
    assert trials(planned(home))["full"].trained is None


def test_trainings_of_another_version_are_not_taken_over(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which one a record is of, its key says."""
    monkeypatch.setattr(trained_before, "TRAINED_ALIKE", (5,))
    another_evaluator(home)
    assert [trial.before for trial in trials(planned(home)).values()] == [None, None]


def test_an_interrupted_scoring_goes_on(home: Path) -> None:
    """Killed before, amid and after the taking over; also where the other trial is gone by then."""
    another_evaluator(home)
    first = trials(planned(home))["full"]
    assert first.trained is not None
    prepare(planned(home), retry_failed=False)
    first.folder.create(first.input(threads=1))  # killed here
    begin(trials(planned(home))["full"], threads=1)
    first.folder.trained_file.unlink()  # or here, before the last file of the taking over
    begin(trials(planned(home))["full"], threads=1)
    assert first.folder.trained_file.exists()
    shutil.rmtree(first.trained.folder.path)
    plan = planned(home)
    again = trials(plan)["full"]
    assert again.trained is not None
    assert again.trained.by == first.trained.by
    run_whole(plan)
    result = again.folder.result()
    assert isinstance(result, Completed)
    assert result.trained_by == first.trained.by


def test_a_trial_that_goes_before_it_is_taken_over_is_trained(home: Path) -> None:
    """Between the plan and the beginning of its trial."""
    another_evaluator(home)
    plan = planned(home)
    prepare(plan, retry_failed=False)
    trial = trials(plan)["full"]
    assert trial.trained is not None
    shutil.rmtree(trial.trained.folder.path)
    begin(trial, threads=1)
    assert trial.folder.read_input().trained_by is None


def test_a_scoring_that_failed_is_not_taken_over_once_more(home: Path) -> None:
    """What failed is trained again where that is asked for: its model may be at fault."""
    another_evaluator(home)
    trial = trials(planned(home))["full"]
    prepare(planned(home), retry_failed=False)
    begin(trial, threads=1)
    given = trial.folder.read_input()
    trial.folder.write_result(
        Failed(**given.repeated, reason="verification_failed", message="it differs")
    )
    assert trials(planned(home))["full"].before is None


def test_a_scheduler_hears_of_a_trial_that_is_only_scored(home: Path) -> None:
    """It has no evaluations to decide about: it ends with the last one of its training."""

    def run(folder: TrialDir) -> Status:
        score_step(folder)
        return Status.COMPLETED

    another_evaluator(home)
    plan = planned(home)
    prepare(plan, retry_failed=False)
    trial = trials(plan)["full"]
    begin(trial, threads=1)
    told = SteppedTrial(trial.folder, run, "spearman").step()
    result = trial.folder.result()
    assert isinstance(result, Completed)
    assert told == {
        "status": Status.COMPLETED,
        "done": True,
        METRIC: result.epochs[-1].dev["spearman"],
        EVALUATION: len(result.epochs),
    }


def test_a_plan_needs_little_for_what_is_only_scored(home: Path) -> None:
    """Neither steps nor checkpoints; nor the disk of a model, whose files two trials have."""
    from embft.execution.measure import Measured

    another_evaluator(home)
    plan = planned(home)
    trial = trials(plan)["full"]
    measured = Measured(1.0, 1.0, 5.0, 1, 1, 1)
    assert predicted_seconds(plan, trial, measured) == 5.0
    assert (size_of(trial).model, size_of(trial).checkpoints) == (0, 0)
    prepare(plan, retry_failed=False)
    begin(trial, threads=1)
    assert trial.trained is not None
    for name in ("model/model.safetensors", "reference.npz"):
        path = trial.folder.path / name
        assert path.samefile(trial.trained.folder.path / name)


@pytest.mark.slow
def test_an_edited_sweep_scores_again_and_trains_only_what_is_new(home: Path) -> None:
    """By the command: one trial is new, two are scored again, and the report has them all."""
    before = {trial.key for trial in trials(planned(home)).values()}
    everything_that_scores(home)
    edit(home, "[1e-3]", "[1e-3, 2e-3]")
    printed = " ".join(embft("sweep", "study.yaml", cwd=home).stdout.split())
    assert "0 done, 4 to run (2 of them scored again, not trained)" in printed
    assert printed.count(": scored again in ") == 2
    assert printed.count("completed in ") == 2
    sweep = SweepDir(home / "results/study")
    found = [TrialDir(path.parent) for path in sweep.path.glob("trials/*/result.json")]
    by = {result.trained_by for folder in found if (result := folder.result()) is not None}
    assert by == {None, *before}
    assert "its training is that of" in sweep.report_file().read_text()
    assert "0 to run" in embft("sweep", "study.yaml", cwd=home).stdout
