"""How a sweep ends before its end where someone asks it to, and how it goes on."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from embft.results.folders import TrialDir
from tests.conftest import tiny_text
from tests.helpers.commands import (
    LONG,
    embft,
    program,
    relatives,
    run_program,
    start,
    start_cold,
    wait_for,
    wait_for_the_end,
)

pytestmark = pytest.mark.slow

# A terminal and `timeout` give the signal to every process of the sweep, which is the harder case.
BOTH = [pytest.param(False, marks=pytest.mark.long), True]


def _actors(folder: Path) -> list[str]:
    """Ray's actors of the sweep in this folder, which it has once it has started."""
    return [line for p in relatives(folder) if "ray::Resource" in (line := " ".join(p.cmdline()))]


@pytest.mark.parametrize(
    ("number", "whole_group"),
    [(signal.SIGINT, True), (signal.SIGTERM, False), (signal.SIGTERM, True)],
)
def test_an_interruption_ends_cleanly(
    tmp_path: Path, tiny_spec: str, number: signal.Signals, whole_group: bool
) -> None:
    """Ctrl-C and SIGTERM exit 130, say how to go on, and leave no process behind. The whole group
    has SIGTERM while Ray starts: it does not end what this process then waits for half a minute.
    """
    (tmp_path / "tiny.yaml").write_text(tiny_spec.replace(*LONG))
    sweep = start("sweep", "tiny.yaml", cwd=tmp_path)
    if whole_group and number == signal.SIGTERM:
        wait_for(lambda: any("raylet" in " ".join(p.cmdline()) for p in relatives(tmp_path)))
    else:
        wait_for(lambda: list(tmp_path.glob("results/tiny/trials/method*/progress.jsonl")))
    (os.killpg if whole_group else os.kill)(sweep.pid, number)
    output, _ = sweep.communicate(timeout=60)
    assert sweep.returncode == 130, output
    assert "Traceback" not in output
    assert "To carry on: embft sweep tiny.yaml" in output
    wait_for_the_end(tmp_path, 15)
    assert (tmp_path / "results" / "tiny" / "report.html").exists()
    records = [path.read_text() for path in tmp_path.glob("results/tiny/trials/*/result.json")]
    assert [record for record in records if '"failed"' in record] == []


@pytest.mark.parametrize("whole_group", BOTH)
def test_an_interruption_while_the_folder_vanishes(
    tmp_path: Path, tiny_spec: str, whole_group: bool
) -> None:
    """It ends within seconds, without a traceback: no exit handler asks a Ray that is gone."""
    (tmp_path / "tiny.yaml").write_text(tiny_spec.replace(*LONG))
    sweep = start("sweep", "tiny.yaml", cwd=tmp_path)
    wait_for(lambda: list(tmp_path.glob("results/tiny/trials/method*/progress.jsonl")))
    wait_for(lambda: _actors(tmp_path))
    (tmp_path / "results" / "tiny").rename(tmp_path / "gone")
    (tmp_path / "results" / "tiny").write_text("a file in its place\n")
    asked = time.monotonic()
    (os.killpg if whole_group else os.kill)(sweep.pid, signal.SIGTERM)
    output, _ = sweep.communicate(timeout=60)
    assert time.monotonic() - asked < 30  # Ray's own exit handlers wait for 60 s
    assert sweep.returncode == 130, output
    assert "Traceback" not in output
    assert "To carry on: embft sweep tiny.yaml" in output
    wait_for_the_end(tmp_path, 15)


def test_ctrl_c_while_the_warm_process_imports(tmp_path: Path, tiny_spec: str) -> None:
    """It reaches the warm process as well, which says nothing and ends with the sweep."""
    (tmp_path / "tiny.yaml").write_text(tiny_spec)
    sweep = start_cold(
        "sweep", "tiny.yaml", cwd=tmp_path
    )  # the tests' own warm process has imported it all
    wait_for(lambda: any("forkserver" in " ".join(p.cmdline()) for p in relatives(tmp_path)))
    time.sleep(1)
    os.killpg(sweep.pid, signal.SIGINT)
    output, _ = sweep.communicate(timeout=60)
    assert sweep.returncode == 130, output
    assert "Traceback" not in output
    wait_for_the_end(tmp_path, 15)


def test_a_refused_sweep_leaves_no_warm_process(tmp_path: Path, tiny_spec: str) -> None:
    """It begins to import before all is known that may be refused, and ends with the command."""
    (tmp_path / "tiny.yaml").write_text(f"{tiny_spec}resources: {{memory: 1MB}}\n")
    sweep = start_cold("sweep", "tiny.yaml", cwd=tmp_path)
    wait_for(lambda: any("forkserver" in " ".join(p.cmdline()) for p in relatives(tmp_path)))
    output, _ = sweep.communicate(timeout=60)
    assert sweep.returncode == 2, output
    assert "resources.memory allows 1 MB" in output
    wait_for_the_end(tmp_path, 2)


@pytest.fixture(scope="module")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, pair_files: Path
) -> tuple[str, list[dict[str, object]]]:
    """The spec of a training of many epochs, and what it comes to."""
    spec = tiny_text(tiny_model, pair_files).replace("epochs: 2", "epochs: 30")
    spec = spec.replace("[2, 4]", "[2]").partition("  - train.method: [full]")[0]
    home = tmp_path_factory.mktemp("whole")
    (home / "tiny.yaml").write_text(spec)
    embft("sweep", "tiny.yaml", cwd=home)
    return spec, _decided(home)


@pytest.mark.parametrize("whole_group", BOTH)
def test_an_interrupted_training_goes_on_to_the_same_record(
    tmp_path: Path, undisturbed: tuple[str, list[dict[str, object]]], whole_group: bool
) -> None:
    """Ctrl-C in a training saves where it is; the same command ends at the undisturbed numbers.

    In a terminal it reaches every process of the sweep.
    """
    spec, wanted = undisturbed
    (tmp_path / "tiny.yaml").write_text(spec)
    sweep = start("sweep", "tiny.yaml", cwd=tmp_path)
    wait_for(lambda: len(_events(tmp_path, "epoch")) >= 5)
    (os.killpg if whole_group else os.kill)(sweep.pid, signal.SIGINT)
    output, _ = sweep.communicate(timeout=60)
    assert sweep.returncode == 130, output
    assert "Stopping: what runs saves where it is." in output
    (saved,) = {path.parent for path in tmp_path.glob("results/tiny/trials/*/checkpoints/*")}
    assert saved.name == "checkpoints"
    embft("sweep", "tiny.yaml", cwd=tmp_path)
    assert not saved.exists()
    assert _decided(tmp_path) == wanted
    assert len(_events(tmp_path, "resumed")) == 1


def _events(home: Path, kind: str) -> list[dict[str, object]]:
    found = sorted(home.glob("results/tiny/trials/method*"))
    return [
        event for path in found for event in TrialDir(path).progress() if event["event"] == kind
    ]


def _decided(home: Path) -> list[dict[str, object]]:
    """The records without what may differ between two runs of one trial."""
    volatile = {"timings", "provenance", "peak_memory_mb"}
    results = [
        TrialDir(p.parent).result() for p in sorted(home.glob("results/*/trials/*/result.json"))
    ]
    plain = [result.model_dump(exclude=volatile) for result in results if result]
    for record in plain:
        for epoch in record["epochs"]:
            del epoch["seconds"]
    return plain


@pytest.mark.parametrize("arguments", [["SIGINT"], ["SIGTERM"], ["SIGINT", "as an ImportError"]])
def test_an_interruption_before_anything_runs(tmp_path: Path, arguments: list[str]) -> None:
    """While a plan is made, a signal ends the command with 130 and one line, whatever error a
    library makes of it.
    """
    (tmp_path / "s.yaml").write_text("name: a\ndata: {dataset: dating}\n")
    run = run_program("interrupted_plan", cwd=tmp_path, arguments=arguments)
    assert run.returncode == 130
    assert run.stderr.splitlines() == ["embft: interrupted: the same command carries on"]


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
def test_an_interruption_waits_for_the_end_of_an_import(number: str) -> None:
    """What is imported is whole, and nothing in it can take the interruption for something else."""
    assert program("interrupted_import", arguments=[number], seconds=60) == "[]\n"


def test_a_signal_at_any_moment_of_the_wait_is_noted() -> None:
    """Also in one in which a lock of the wait's own would be held: the handler runs in its thread.

    With an Event in its place this waited for ever, within a thousand rounds.
    """
    program("signals_while_waiting", seconds=120)
