"""A whole sweep through the command line, on real Ray and a tiny real model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from embft.errors import FailureReason
from embft.leaderboard.build import build_leaderboard
from embft.planning.plan import make_plan
from embft.planning.prepare import prepare
from embft.report.pairs import lead_models
from embft.results.folders import TrialDir
from embft.results.records import Completed, Failed
from embft.spec import parse_spec
from embft.storage.errors import StorageError
from tests.helpers.commands import embft, records, relatives, rows, warm_program

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that is both working directory and home."""
    return tmp_path_factory.mktemp("sweep")


@pytest.fixture
def finished(home: Path, tiny_spec: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished tiny sweep; run once, shared by the tests of this module.

    It runs where the environment names a Ray cluster, which is none of its business.
    """
    spec = home / "tiny.yaml"
    if not spec.exists():
        monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
        spec.write_text(tiny_spec)
        embft("sweep", "tiny.yaml", cwd=home, warm=False)
    return home / "results" / "tiny"


def test_ray_runs_without_what_nobody_asks(tmp_path: Path) -> None:
    """No autoscaler, log monitor, API server or idle worker beside a Ray of our own."""
    found = warm_program("ray_processes", cwd=tmp_path)
    assert "raylet" in found, "there are others to see"
    for left_out in ("monitor", "dashboard.py", "IDLE"):
        assert left_out not in found


def test_one_tuner_after_another_takes_its_share(tmp_path: Path, tiny_spec: str) -> None:
    """Tune holds 30 KB of each trial that it was given, so that it is given some at a time, in one
    thread, whose heap is used again. None of it imports Ray Data or pandas.
    """
    (tmp_path / "tiny.yaml").write_text(tiny_spec)
    said = f"[]\n[3, 2] {[True] * 5}\n1 False\nset() {{}}\n"
    assert warm_program("tuners_in_turn", cwd=tmp_path) == said


@pytest.mark.parametrize("how", ["asked", "no room", "raised"])
def test_no_tuner_begins_once_a_sweep_stops(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tuners' thread looks by itself: it may be between two of them."""
    from embft.scheduler import tune as sweep
    from embft.scheduler.cluster import Cluster
    from embft.scheduler.interruption import Interrupted, Stop

    scratch = tmp_path if how == "raised" else None  # with a Ray of its own it looks after that
    cluster, watch, ran = Cluster(1, 1.0, 1, 0.0, Stop(), scratch), sweep._Watch(), list[int]()
    error: Any = {"asked": Interrupted, "no room": StorageError, "raised": ZeroDivisionError}
    monkeypatch.setattr(sweep, "_STOP_SECONDS", 0.01)
    monkeypatch.setattr(sweep, "has_child", lambda _: 1 / 0)

    def fit(number: int) -> Any:
        ran.append(number)
        if how == "asked":
            cluster.stop.asked = True
        elif how == "no room":
            watch.error = StorageError(FailureReason.DISK_FULL, "full")
        time.sleep(0.2)
        return SimpleNamespace(errors=[])

    given: Any = (SimpleNamespace(fit=partial(fit, number)) for number in range(3))
    before = set(threading.enumerate())
    with pytest.raises(error[how]):
        sweep._fit(given, cluster, watch)
    for thread in set(threading.enumerate()) - before:
        thread.join(timeout=10)
    assert ran == [0]
    assert cluster.stop.asked


def test_what_tune_keeps_of_finished_trials_is_dropped() -> None:
    """Ray keeps ten values of each figure of each trial; a coming one may keep them elsewhere."""
    from ray.tune.trainable.metadata import _TrainingRunMetadata

    from embft.scheduler.tune import _Watch

    kept: Any = _TrainingRunMetadata()
    kept.update_metric("epoch", 1)
    assert kept.metric_n_steps
    _Watch().on_trial_complete(trial=SimpleNamespace(run_metadata=kept))
    assert not kept.metric_n_steps


def test_a_sweep_ends_with_leaderboard_and_report(finished: Path) -> None:
    """Four trials and a baseline complete; every promised file and column is there."""
    table = rows(finished)
    assert len(table) == 5
    assert "baseline" in table
    assert {row["status"] for row in table.values()} == {"completed"}
    columns = set(next(iter(table.values())))
    assert columns >= {
        "trial",
        "status",
        "seed",
        "train.method",
        "train.lora.rank",
        "train.learning_rate",
        "dev_spearman",
        "test_spearman",
        "test_spearman_low",
        "test_spearman_high",
        "test_auc",
        "test_margin",
        "train_seconds",
        "total_seconds",
        "trainable_parameters",
        "peak_memory_mb",
    }
    assert {"spec.yaml", "leaderboard.json", "report.html", "trials", "data"} <= {
        path.name for path in finished.iterdir()
    }
    assert (finished / "report.html").read_text().startswith("<!doctype html>")


def test_a_record_explains_itself(finished: Path) -> None:
    """result.json names schema, spec, digests, versions, machine, timings, memory, verification."""
    for path in finished.glob("trials/*/result.json"):
        result = TrialDir(path.parent).result()
        assert isinstance(result, Completed)
        assert result.schema_version >= 1
        assert len(result.data_digest) == len(result.model_digest) == 64
        assert result.provenance is not None
        assert {"torch", "sentence-transformers", "ray"} <= set(result.provenance.packages)
        assert result.peak_memory_mb
        assert (result.verification is None) == result.spec.is_baseline
        assert (path.parent / "scores.parquet").exists()


def test_the_best_epoch_is_the_best_on_dev(finished: Path) -> None:
    """The recorded epoch has the highest dev objective, and dev scores come from it."""
    for path in finished.glob("trials/method*/result.json"):
        result = TrialDir(path.parent).result()
        assert isinstance(result, Completed)
        assert result.best_epoch is not None
        curve = [epoch.dev["spearman"] for epoch in result.epochs]
        assert len(curve) == 2
        assert curve[int(result.best_epoch) - 1] == max(curve)
        assert result.dev["spearman"] == pytest.approx(max(curve), abs=1e-6)


def test_nothing_is_written_elsewhere(finished: Path) -> None:
    """Home and working directory hold the spec and the results folder, nothing else."""
    home = finished.parent.parent
    assert {path.name for path in home.iterdir()} - {"other.yaml"} == {"tiny.yaml", "results"}
    assert relatives(home) == []


def test_the_same_command_again_runs_nothing(finished: Path) -> None:
    """A finished sweep is found finished, at once, and its records stay as they are."""
    home, before = finished.parent.parent, records(finished)
    run = embft("sweep", "tiny.yaml", cwd=home)
    assert "5 done, 0 to run" in run.stdout
    assert records(finished) == before


def test_maps_come_with_the_last_report(finished: Path) -> None:
    """`--maps` lays out the pairs of the models that the report shows, and changes no record."""
    home, before = finished.parent.parent, records(finished)
    run = embft("sweep", "tiny.yaml", "--maps", cwd=home)
    assert not run.stderr
    # Which models those are may hang on their times: of equal ones the quickest is recommended.
    shown = {model.row.folder.name for model in lead_models(build_leaderboard(finished), ())}
    assert {path.parent.name for path in finished.glob("trials/*/map.parquet")} == shown
    assert len(shown) >= 3
    assert 'data-chart="map"' in (finished / "report.html").read_text()
    assert records(finished) == before


def test_an_edited_sweep_keeps_its_trials(finished: Path, tiny_spec: str) -> None:
    """A new point runs alone; a removed one leaves the table but not the disk."""
    home, before = finished.parent.parent, records(finished)
    edited = tiny_spec.replace("rank: [2, 4]", "rank: [4, 8]")
    (home / "tiny.yaml").write_text(edited)
    run = embft("sweep", "tiny.yaml", "--tracker", "jsonl", cwd=home)
    (home / "tiny.yaml").write_text(tiny_spec)
    assert "4 done, 1 to run" in run.stdout
    _tracked(finished)
    after = records(finished)
    assert {name: after[name] for name in before} == before
    assert len(rows(finished)) == 5
    assert {r["train.lora.rank"] for r in rows(finished).values()} == {"", "4", "8"}


def _tracked(sweep: Path) -> None:
    """`events.jsonl` says what ran, how it went epoch by epoch, and what it came to."""
    lines = [json.loads(line) for line in (sweep / "events.jsonl").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["start", "epoch", "epoch", "trial", "end"]
    start, first, second, trial, end = lines
    (ran,) = start["trials"]
    assert (start["done"], ran["params"]["train.lora.rank"], end["error"]) == (4, 8, None)
    assert [first["epoch"], second["epoch"]] == [1, 2]
    (folder,) = sweep.glob(f"trials/*-{trial['trial']}")
    result = TrialDir(folder).result()
    assert isinstance(result, Completed)
    assert (trial["dev"], trial["test"]) == (result.dev, result.test)
    assert second["dev"] == result.epochs[1].dev


def test_a_sweep_that_only_loses_trials_shows_the_others(finished: Path, tiny_spec: str) -> None:
    """Where nothing is left to run, plan and leaderboard still follow the edited spec."""
    home = finished.parent.parent
    (home / "tiny.yaml").write_text(tiny_spec.replace("rank: [2, 4]", "rank: [4]"))
    run = embft("sweep", "tiny.yaml", cwd=home)
    assert "4 done, 0 to run" in run.stdout
    assert {row["train.method"] for row in rows(finished).values()} == {"", "full", "lora"}
    assert len(rows(finished)) == 4
    (home / "tiny.yaml").write_text(tiny_spec)
    embft("sweep", "tiny.yaml", cwd=home)
    assert len(rows(finished)) == 5


def test_an_interrupted_trial_keeps_what_goes_on(tmp_path: Path, tiny_spec: str) -> None:
    """Starting a trial again clears what an attempt left, except what its training goes on from.

    The number of threads stays as well; a trial that came to a record starts afresh.
    """
    plan = make_plan(parse_spec(tiny_spec), tmp_path)
    trial = prepare(plan, retry_failed=False)[1]
    folder = trial.folder
    folder.create(trial.input(threads=1))
    folder.append_progress({"event": "scoring"})
    for kept in (folder.checkpoints_folder, folder.model_folder):
        kept.mkdir()
    folder.create(trial.input(threads=2))
    assert {path.name for path in folder.path.iterdir()} == {"checkpoints", "model", "trial.json"}
    assert folder.read_input().threads == 1
    folder.result_file.write_text("{}")
    folder.create(trial.input(threads=2))
    assert {path.name for path in folder.path.iterdir()} == {"trial.json"}
    assert folder.read_input().threads == 2


def test_another_sweep_takes_over_finished_trials(finished: Path, tiny_spec: str) -> None:
    """A trial that another sweep has finished is not run twice."""
    home = finished.parent.parent
    (home / "other.yaml").write_text(tiny_spec.replace("name: tiny", "name: other"))
    run = embft("sweep", "other.yaml", cwd=home)
    assert "5 done, 0 to run" in run.stdout
    assert len(rows(home / "results" / "other")) == 5


def test_plan_leaderboard_and_report_commands(finished: Path) -> None:
    """plan, leaderboard and report work on the finished sweep, tables as JSON too."""
    home = finished.parent.parent
    plan = json.loads(embft("plan", "tiny.yaml", "--format", "json", cwd=home).stdout)
    assert [row["status"] for row in plan] == ["completed"] * 5
    leaderboard = json.loads(
        embft("leaderboard", "results/tiny", "--format", "json", cwd=home).stdout
    )
    assert leaderboard["metric"] == "spearman"
    assert leaderboard["verdict"]
    (finished / "report.html").unlink()
    embft("report", "results/tiny", cwd=home)
    assert (finished / "report.html").exists()


def test_power_comes_from_trained_trials(finished: Path) -> None:
    """Once trials have scores, their own differences say what is detectable; plan repeats it."""
    home = finished.parent.parent
    found = json.loads(embft("power", "tiny.yaml", "--format", "json", cwd=home).stdout)
    assert found["basis"] == "trained trials"
    assert found["correlations"] is None
    assert found["configurations"] == 4
    said = embft("plan", "tiny.yaml", cwd=home).stdout
    assert "Smallest difference in Spearman correlation between two trained models" in said
    assert "From trained trials' own scores" in said


def test_a_failed_trial_is_a_row_and_exit_1(tmp_path: Path, tiny_spec: str) -> None:
    """A trial that learns nothing says so; the others complete; --retry-failed runs it."""
    space = "space: {train.method: [full], train.learning_rate: [1e-3, 1e-30]}\n"
    spec = tiny_spec[: tiny_spec.index("space:")] + space
    (tmp_path / "bad.yaml").write_text(spec)
    embft("sweep", "bad.yaml", cwd=tmp_path, check=1)
    table = rows(tmp_path / "results" / "tiny")
    failed = [name for name, row in table.items() if row["status"] == "failed"]
    assert len(failed) == 1
    assert len(table) == 3
    result = TrialDir(tmp_path / "results" / "tiny" / "trials" / failed[0]).result()
    assert isinstance(result, Failed)
    assert result.reason is FailureReason.NOTHING_LEARNED
    assert "learning_rate than 1e-30" in result.message
    again = embft("sweep", "bad.yaml", cwd=tmp_path, check=1)
    assert "3 done, 0 to run" in again.stdout
    retried = embft("sweep", "bad.yaml", "--retry-failed", cwd=tmp_path, check=1)
    assert "2 done, 1 to run" in retried.stdout


def test_bad_input_is_exit_2_without_a_traceback(tmp_path: Path) -> None:
    """What the user can fix is one message on standard error."""
    (tmp_path / "bad.yaml").write_text("name: a\ndata: {train: gone.csv}\nmodel: {base: ./x}\n")
    for arguments in (["sweep", "bad.yaml"], ["plan", "bad.yaml"], ["sweep", "nosuch.yaml"]):
        run = embft(*arguments, cwd=tmp_path, check=2)
        assert "Traceback" not in run.stderr
        assert run.stderr.startswith("embft: ")
    assert not (tmp_path / "results").exists()


@pytest.mark.long
def test_a_cluster_that_stands_runs_the_same_sweep(tmp_path: Path, tiny_spec: str) -> None:
    """With --address the trials run on a head and a second node, and both outlive the sweep."""
    ray = str(Path(sys.executable).with_name("ray"))
    port, environment = "6399", {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
    common = ["--num-cpus=1", "--object-store-memory=78643200", "--disable-usage-stats"]
    head = ["--head", f"--port={port}", "--include-dashboard=false", "--node-ip-address=127.0.0.1"]
    nodes: list[subprocess.Popen[bytes]] = []
    try:
        second = [f"--address=127.0.0.1:{port}", "--node-ip-address=127.0.0.1"]
        for arguments in (head, second):
            nodes.append(
                subprocess.Popen(
                    [ray, "start", "--block", *arguments, *common],
                    env={**environment, "HOME": str(tmp_path)},
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
            )
            time.sleep(6)
        (tmp_path / "tiny.yaml").write_text(tiny_spec + "resources: {concurrent_trials: 2}\n")
        embft("sweep", "tiny.yaml", "--address", f"127.0.0.1:{port}", cwd=tmp_path, warm=False)
        assert len(rows(tmp_path / "results" / "tiny")) == 5
        assert [node.poll() for node in nodes] == [None, None]
    finally:
        for node in nodes:
            if node.poll() is None:
                for process in psutil.Process(node.pid).children(recursive=True):
                    process.kill()
                node.kill()


def test_an_address_where_no_cluster_stands_is_exit_2(tmp_path: Path, tiny_spec: str) -> None:
    """The message names the address."""
    (tmp_path / "tiny.yaml").write_text(tiny_spec)
    run = embft("sweep", "tiny.yaml", "--address", "127.0.0.1:1", cwd=tmp_path, check=2)
    assert "--address 127.0.0.1:1" in run.stderr
    assert "Traceback" not in run.stderr
