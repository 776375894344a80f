"""Nothing is deleted that was not listed with its bytes: prune, rm, cache, and artifacts.keep."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from embft.results.folders import TrialDir
from embft.results.records import Completed, Failed
from tests.helpers.commands import Ask, results_of


def models(results: Path) -> set[str]:
    return {path.parent.name for path in results.glob("*/trials/*/model")}


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_a_finished_sweep_that_shall_keep_less_says_so_and_removes_nothing(
    copied: dict[str, TrialDir], ask: Ask, tmp_path: Path
) -> None:
    """As plan and sweep say; `embft prune` removes what they have named."""
    results = results_of(copied)
    spec = tmp_path / "spec.yaml"
    spec.write_text(copied["lora"].sweep.spec_file.read_text() + "artifacts: {keep: none}\n")
    before = models(results)
    assert len(before) == 2
    command = f"embft prune {results}/shipped --models none"
    assert command in ask("plan", spec, "--results", results)
    announced = ask("sweep", spec, "--results", results)
    assert command in announced
    assert "2 finished trials beyond it still have their models" in announced
    assert models(results) == before
    assert "Removed: 2 things" in ask(*command.split()[1:], "--yes")
    assert models(results) == set()


def test_prune_lists_with_bytes_and_removes_only_with_yes(
    copied: dict[str, TrialDir], ask: Ask
) -> None:
    """By keep: of the trials' models the best by dev stays, and the recommended trial's."""
    results = results_of(copied)
    arguments = ["prune", "--results", results, "--models", "none"]
    listed = json.loads(ask(*arguments, "--format", "json"))
    assert not listed["removed"]
    sizes = {size(copied[method].model_folder) for method in ("lora", "full")}
    assert {each["bytes"] for each in listed["list"]} == sizes
    assert "Nothing was removed" in ask(*arguments)
    assert len(models(results)) == 2
    with copied["lora"].sweep.lock():
        assert "is running this sweep" in ask(*arguments, "--yes", status=2)
    assert len(models(results)) == 2
    ask("prune", "--results", results, "--models", "best", "--yes")
    best = max((copied["lora"], copied["full"]), key=dev)
    assert best.name in models(results)
    ask(*arguments, "--yes")
    assert models(results) == set()
    assert copied["lora"].removed_file.exists()
    assert copied["lora"].result() is not None
    assert "allowed: all, best, none" in ask("prune", "--models", "bets", status=2)


def dev(trial: TrialDir) -> float:
    result = trial.result()
    assert isinstance(result, Completed)
    return result.dev["spearman"]


def test_prune_of_what_a_spec_has_dropped_and_of_what_failed(
    copied: dict[str, TrialDir], ask: Ask, tmp_path: Path
) -> None:
    """Dropped trials go with the frozen data that only they used; failed ones by their rule."""
    results, sweep = results_of(copied), copied["lora"].sweep
    text = sweep.spec_file.read_text()
    spec = tmp_path / "spec.yaml"
    spec.write_text(text[: text.index("  - train.method: [lora]")])
    ask("sweep", spec, "--results", results)
    found = json.loads(ask("prune", sweep.path, "--dropped", "--format", "json"))
    assert {each["path"] for each in found["list"]} == {
        str(copied["lora"].path),
        str(copied["none"].path),
    }
    copied["full"].write_result(
        Failed(**copied["full"].read_input().repeated, reason="diverged", message="loss is NaN")
    )
    ask("prune", sweep.path, "--dropped", "--failed", "--yes")
    left = {path.name.partition("-")[0] for path in sweep.trials_folder.iterdir()}
    assert left == {"baseline"}
    assert len(list(sweep.trials_folder.iterdir())) == 1


def test_prune_of_leftovers(copied: dict[str, TrialDir], ask: Ask) -> None:
    """What no trial needs: unused frozen data, checkpoints of the finished, torn writes."""
    trial = copied["lora"]
    sweep = trial.sweep
    for each in sweep.trials_by_key().values():
        each.forget_attempts()
    for path in (
        sweep.path / ".report.html.1.tmp",
        sweep.data_folder / "0123456789ab" / "train.parquet",
        trial.checkpoints_folder / "weights",
        sweep.tokens_folder / "a",
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 10)
    found = json.loads(ask("prune", sweep.path, "--leftovers", "--format", "json"))
    assert [each["bytes"] for each in found["list"]] == [10, 10, 10, 10]
    rules = ask("prune", sweep.path)
    assert "--leftovers      4 things, 40 B" in rules
    before = {path for path in sweep.path.rglob("*") if path.is_file()}
    ask("prune", sweep.path, "--leftovers", "--yes")
    after = {path for path in sweep.path.rglob("*") if path.is_file()}
    assert len(before - after) == 4
    assert models(sweep.path.parent) == {copied["lora"].name, copied["full"].name}


def test_rm_takes_trials_and_sweeps_after_a_preview(copied: dict[str, TrialDir], ask: Ask) -> None:
    """A sweep's folder means the sweep, and not its recommended trial."""
    trial, results = copied["full"], results_of(copied)
    listed = ask("rm", trial.short, "--results", results)
    assert "the next sweep runs it again" in listed
    assert "Nothing was removed" in listed
    assert trial.path.is_dir()
    ask("rm", trial.short, "--results", results, "--yes")
    assert not trial.path.exists()
    assert "stopped, 3 of 4 trials done" in ask("status", "--results", results)
    assert "sweep shipped with 3 trials" in ask("rm", trial.sweep.path)
    ask("rm", trial.sweep.path, "--yes")
    assert not trial.sweep.path.exists()
    assert "no trial" in ask("rm", "0123abcd", "--results", results, status=2)


def test_cache_lists_and_clears(
    copied: dict[str, TrialDir], ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    kept = tmp_path / "embft" / "tiny-llama-1" / "config.json"
    kept.parent.mkdir(parents=True)
    kept.write_text("{}")
    tokens = copied["lora"].sweep.tokens_folder
    tokens.mkdir()
    (tokens / "a").write_text("abc")
    results = ["--results", results_of(copied)]
    found = json.loads(ask("cache", *results, "--format", "json"))
    assert [each["bytes"] for each in found["models"]] == [2]
    assert [each["bytes"] for each in found["sweeps"]] == [3]
    ask("cache", *results, "--clear", "models", "--yes")
    assert not kept.exists()
    assert tokens.exists()
    assert "did you mean 'sweeps'" in ask("cache", *results, "--clear", "sweep", status=2)
