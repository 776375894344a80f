"""Trials whose workers meet real faults: segmentation faults, kills, hangs, no memory, no room.

A `sitecustomize` module, which Python itself imports, lets a worker meet the fault that a file in
its trial's folder names, at the moment when it saves what it has trained. Nothing in embft knows.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from multiprocessing import forkserver
from pathlib import Path
from types import ModuleType

import psutil
import pytest
import torch

from embft.execution import train_step, warm_process
from embft.execution.failure import failure_of
from embft.execution.inputs import read_splits
from embft.execution.launcher import run_trial
from embft.execution.monitor import End, Limits, watch
from embft.execution.warm_process import ASKING, overhead, warm_memory
from embft.execution.warming import CONTEXT, warm_up
from embft.models.base import build
from embft.models.resolve import spec_base
from embft.planning.plan import make_plan
from embft.planning.prepare import prepare
from embft.results.folders import TrialDir
from embft.results.records import Completed, Failed
from embft.spec import parse_spec
from embft.storage.errors import StorageError
from embft.storage.lock import wait_for_worker
from embft.system.processes import tree_memory
from embft.training.step import DivergedError
from tests.helpers.commands import embft, start, start_cold, wait_for

FAULTS = """
import os, sys

def hook(event, arguments):
    if event != "open" or "reference.npz" not in os.path.basename(str(arguments[0])):
        return
    file = os.path.join(os.path.dirname(str(arguments[0])), "data", "fault")
    fault = next((p for p in (file, file + "-once") if os.path.exists(p)), None)
    if fault is None:
        return
    with open(fault) as reported:
        code = reported.read()
    if fault.endswith("-once"):
        os.remove(fault)
    exec(code, {})

sys.addaudithook(hook)
"""

SEGFAULT = "import ctypes; ctypes.string_at(0)"
STOP = "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)"
DEADLOCK = "import threading; lock = threading.Lock(); lock.acquire(); lock.acquire()"
BUSY = "while True: pass"
KILL = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
LEAVE = "import subprocess; subprocess.Popen(['sleep', '40'])"
HOARD = """
import time
held = []
while len(held) < 400:
    held.append(b"x" * 10_000_000)
    time.sleep(0.01)
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def faulty_workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A warm process whose workers can meet faults."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "sitecustomize.py").write_text(FAULTS)
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(folder), before or ""])
    forkserver._forkserver._stop()  # type: ignore[attr-defined]  # one of an earlier module
    warm_up()
    yield
    forkserver._forkserver._stop()  # type: ignore[attr-defined]
    os.environ.pop("PYTHONPATH")
    if before is not None:
        os.environ["PYTHONPATH"] = before


def make_trial(results: Path, spec: str) -> TrialDir:
    """A trial of full fine-tuning that is ready to run."""
    plan = make_plan(parse_spec(spec), results)
    trial = next(t for t in prepare(plan, retry_failed=False) if t.spec.train.method == "full")
    trial.folder.create(trial.input(threads=1))
    return trial.folder


def lay(folder: TrialDir, fault: str, *, once: bool = False) -> None:
    """Let the trial's next worker, or every one of its workers, meet a fault."""
    (folder.path / "data").mkdir(exist_ok=True)
    (folder.path / "data" / ("fault-once" if once else "fault")).write_text(fault)


def failed(folder: TrialDir, reason: str, limits: Limits | None = None) -> Failed:
    """Run the trial, which must fail for this reason."""
    assert run_trial(folder, limits) == "failed"
    result = folder.result()
    assert isinstance(result, Failed)
    assert result.reason == reason, result.message
    return result


@pytest.fixture
def trial(tmp_path: Path, tiny_spec: str) -> TrialDir:
    """A trial that is ready to run."""
    return make_trial(tmp_path, tiny_spec)


def test_a_worker_runs_nothing_of_the_program_that_started_it(
    trial: TrialDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That program is the sweep's, or a Ray actor's, with which it would import all of Ray."""
    ran = tmp_path / "ran"
    program = tmp_path / "program.py"
    program.write_text(f"open({str(ran)!r}, 'w').close()")
    main = ModuleType("__main__")
    main.__file__ = str(program)
    monkeypatch.setitem(sys.modules, "__main__", main)
    trial.write_input(trial.read_input().model_copy(update={"model_digest": "another"}))
    failed(trial, "model_error")  # the worker has been as far as its first step
    assert not ran.exists()
    assert sys.modules["__main__"] is main


def test_a_segmentation_fault_is_a_crash_that_says_where(trial: TrialDir) -> None:
    """The record names the signal, and its log ends with the line of Python that met it."""
    lay(trial, SEGFAULT)
    result = failed(trial, "crashed")
    assert "Segmentation fault" in result.message
    assert "Fatal Python error: Segmentation fault" in result.log_tail
    assert "train_step" in result.log_tail
    assert len(result.epochs) == 2


def test_what_may_pass_is_tried_again_and_counted(trial: TrialDir) -> None:
    """A trial that crashed once completes at the second attempt, and its record tells of both."""
    lay(trial, SEGFAULT, once=True)
    assert run_trial(trial, Limits(max_failures=1)) == "completed"
    result = trial.result()
    assert isinstance(result, Completed)
    assert [attempt.reason for attempt in result.attempts] == ["crashed"]
    assert "Segmentation fault" in result.attempts[0].message


def _end_many(status: int) -> list[int]:
    """How workers that end at once with this status are said to have ended."""
    found = []
    for _ in range(10):
        worker = CONTEXT.Process(target=os._exit, args=(status,), daemon=True)
        with ASKING, warm_process._no_main():
            worker.start()
        found.append(watch(worker, Limits(), None).exit_code)
    return found


def test_each_of_many_workers_is_said_to_end_as_it_did() -> None:
    """At every start multiprocessing asks about all workers: of two that ask, one gets "255"."""
    statuses = [0, 3, 5, 7]
    with ThreadPoolExecutor(len(statuses)) as threads:
        found = list(threads.map(_end_many, statuses))
    assert found == [[status] * 10 for status in statuses]


def test_attempts_end(trial: TrialDir) -> None:
    """A trial that is killed each time fails after max_failures further attempts."""
    lay(trial, KILL)
    result = failed(trial, "killed", Limits(max_failures=2))
    assert [attempt.reason for attempt in result.attempts] == ["killed", "killed"]
    assert "SIGKILL" in result.message


def test_a_trial_whose_sweep_is_gone_has_not_failed(trial: TrialDir) -> None:
    """What ended the sweep's own process ended the worker too; the next sweep goes on."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert run_trial(trial, Limits(asker=gone.pid)) == "pending", "nobody waits for it"
    lay(trial, KILL, once=True)
    assert run_trial(trial, Limits(root=gone.pid)) == "pending"
    assert trial.result() is None
    assert run_trial(trial, Limits(root=gone.pid)) == "completed"
    assert not trial.checkpoints_folder.exists()


def test_a_signal_to_the_whole_sweep_is_no_failure(trial: TrialDir) -> None:
    """It ends the worker first, and then the sweep says that it stops."""
    later = f"sleep 0.4; touch {trial.sweep.stop_file}"
    lay(trial, f"import subprocess; subprocess.Popen(['sh', '-c', {later!r}])\n{KILL}", once=True)
    assert run_trial(trial) == "pending"
    assert trial.result() is None
    trial.sweep.stop_file.unlink()
    assert run_trial(trial) == "completed"


def test_a_zombie_is_no_sweep() -> None:
    """A driver that was killed, and that nobody has reaped yet, has left its trials."""
    driver = subprocess.Popen([sys.executable, "-c", ""])
    wait_for(lambda: psutil.Process(driver.pid).status() == psutil.STATUS_ZOMBIE)
    assert Limits(root=driver.pid).abandoned()
    driver.wait()
    assert Limits(root=driver.pid).abandoned()
    assert not Limits(root=os.getpid()).abandoned()


def test_a_program_that_a_worker_leaves_does_not_hold_its_trial(trial: TrialDir) -> None:
    """The next worker starts at once, and so could another sweep."""
    lay(trial, LEAVE, once=True)
    assert run_trial(trial, Limits(heartbeat=10.0)) == "completed"
    wait_for_worker(trial.log_file)


@pytest.mark.parametrize("fault", [STOP, DEADLOCK])
def test_a_worker_that_does_nothing_hangs(trial: TrialDir, fault: str) -> None:
    """A stopped and a deadlocked worker are ended after the heartbeat's time."""
    lay(trial, fault)
    assert "resources.heartbeat" in failed(trial, "hung", Limits(heartbeat=1.0)).message


def test_a_trial_has_only_its_time(trial: TrialDir) -> None:
    """A worker that works for ever is ended at the timeout, and is not tried again."""
    lay(trial, BUSY)
    result = failed(trial, "timed_out", Limits(timeout=6.0, heartbeat=1.0, max_failures=3))
    assert result.attempts == ()
    assert result.total_seconds < 9


def test_a_worker_over_its_memory_is_ended(trial: TrialDir) -> None:
    """The record has peak, limit and advice; the budget is exceeded by little."""
    lay(trial, HOARD)
    budget = overhead(os.getpid()) + 900_000_000
    result = failed(trial, "out_of_memory", Limits(memory=budget))
    assert result.peak_memory_mb is not None
    assert result.memory_limit_mb is not None
    assert result.memory_limit_mb < result.peak_memory_mb < 1.3 * result.memory_limit_mb
    assert "train.batch_size" in result.message
    assert "lora" in result.message
    assert 200e6 < warm_memory(os.getpid()) < 600e6, "what it is forked from counts once"


@pytest.mark.long
def test_a_sweep_keeps_to_its_memory(tmp_path: Path, tiny_spec: str) -> None:
    """Driver, Ray and workers that take a gigabyte a second, together: little over the budget."""
    budget = 1_800_000_000
    spec = tiny_spec.replace("epochs: 2", "epochs: 20") + f"resources: {{memory: {budget}}}\n"
    (tmp_path / "tiny.yaml").write_text(spec)
    # Not warm: the budget knows a warm process by its command line.
    sweep = start_cold("sweep", "tiny.yaml", cwd=tmp_path)
    wanted = "results/tiny/trials/method*/trial.json"
    wait_for(lambda: len(list(tmp_path.glob(wanted))) == 4)
    for path in tmp_path.glob(wanted):
        lay(TrialDir(path.parent), HOARD)
    peak = 0
    while sweep.poll() is None:
        peak = max(peak, tree_memory(sweep.pid))
        time.sleep(0.05)
    output, _ = sweep.communicate()
    assert sweep.returncode == 1, output
    print(f"\nat most {peak / 1e6:.0f} MB, {peak / budget:.1%} of the budget")
    results = [TrialDir(path.parent).result() for path in tmp_path.glob(wanted)]
    assert {getattr(result, "reason", None) for result in results} == {"out_of_memory"}
    assert peak < 1.25 * budget


def test_half_the_batch_is_tried_where_memory_ran_out(trial: TrialDir) -> None:
    """The next attempt trains in parts of half a batch, just as if the spec had said so."""
    lay(trial, HOARD, once=True)
    budget = overhead(os.getpid()) + 900_000_000
    assert run_trial(trial, Limits(memory=budget, halve_batch=True)) == "completed"
    result = trial.result()
    assert isinstance(result, Completed)
    assert result.spec.train.batch_size == 8
    assert result.micro_batch_size == 4
    assert [attempt.reason for attempt in result.attempts] == ["out_of_memory"]
    text = trial.sweep.spec_file.read_text()
    halved = make_trial(
        trial.sweep.path.parent.parent / "halved",
        text.replace("batch_size: 8", "batch_size: 8, micro_batch_size: 4"),
    )
    assert run_trial(halved) == "completed"
    expected = halved.result()
    assert isinstance(expected, Completed)
    assert [epoch.loss for epoch in result.epochs] == [epoch.loss for epoch in expected.epochs]
    assert result.test == expected.test


def test_a_smaller_batch_is_not_tried_where_scoring_ran_out_of_memory(trial: TrialDir) -> None:
    """The model is trained by then: it would be the same again."""
    lay(trial, f"import os\nif os.path.exists({str(trial.trained_file)!r}): exec({HOARD!r})")
    budget = overhead(os.getpid()) + 900_000_000
    result = failed(trial, "out_of_memory", Limits(memory=budget, halve_batch=True))
    assert result.attempts == ()
    assert "model.max_tokens" in result.message
    assert "batch_size" not in result.message


def test_memory_that_a_library_found_missing_comes_with_advice(trial: TrialDir) -> None:
    """As where the worker was ended for it."""
    lay(trial, "raise MemoryError('no room for 3 GiB')")
    result = failed(trial, "out_of_memory")
    assert "no room for 3 GiB" in result.message
    assert "train.batch_size" in result.message


def test_broken_weights_are_a_training_that_diverged(trial: TrialDir) -> None:
    """The last step's loss may have been finite; dev's embeddings tell."""
    given = trial.read_input()
    splits = read_splits(trial, given)
    model = build(spec_base(given.spec.model).folder, given.spec.model, given.train_spec)
    with torch.no_grad():
        next(model.parameters()).fill_(float("nan"))
    with pytest.raises(DivergedError, match="learning_rate"):
        train_step._evaluate(model, splits, given, ())


@pytest.mark.parametrize("status", [75, 255])
def test_a_killed_warm_process_kills_its_worker(trial: TrialDir, status: int) -> None:
    """The record says so, and not that the worker crashed."""
    end = End(status, 0, None, None, by_kernel=False)
    failure = failure_of(trial, trial.read_input(), "train", end, Limits())
    assert failure.reason == "killed"
    assert "warm process" in failure.message


@pytest.fixture
def small_cgroup() -> Iterator[Path]:
    """A control group of the system whose processes may hold 1 GB together."""
    top = Path("/sys/fs/cgroup/memory")
    first = top.is_dir()
    group = (top if first else Path("/sys/fs/cgroup")) / f"embft-test-{os.getpid()}"
    try:
        group.mkdir()
        name = "memory.limit_in_bytes" if first else "memory.max"
        (group / name).write_text("1000000000")
    except OSError as error:
        pytest.skip(f"no control group may be made here: {error}")
    yield group
    group.rmdir()


def test_a_kill_by_the_kernel_is_told_from_others(trial: TrialDir, small_cgroup: Path) -> None:
    """Where the kernel ended the worker because memory ran out, the record says that."""
    join = f"import os; open({str(small_cgroup / 'cgroup.procs')!r}, 'w').write(str(os.getpid()))"
    lay(trial, join + HOARD)
    result = failed(trial, "out_of_memory")
    assert "the system ended the worker" in result.message


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 2 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no file system may be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)  # noqa: S607


def remount(folder: Path, option: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{option}", str(folder)], check=True)  # noqa: S607


def test_a_full_disk_stops_a_trial_that_goes_on_with_room(small_disk: Path, tiny_spec: str) -> None:
    """It leaves no record, so that the same command runs it; with room it completes."""
    trial = make_trial(small_disk, tiny_spec)
    filler = small_disk / "filler"
    filler.write_bytes(b"x" * (psutil.disk_usage(str(small_disk)).free - 40_000))
    with pytest.raises(StorageError) as stopped:
        run_trial(trial)
    assert stopped.value.reason == "disk_full"
    assert trial.result() is None
    filler.unlink()
    assert run_trial(trial) == "completed"


def test_a_worker_that_may_not_write_is_a_failed_trial(trial: TrialDir) -> None:
    """Where only the worker cannot write, the trial fails with that reason, and others go on."""
    if os.getuid() != 0:
        pytest.skip("only root can become someone else")
    lay(trial, "import os; os.setuid(65534)")
    assert "not writable" in failed(trial, "unwritable").message


def test_a_folder_that_takes_no_record_stops_the_sweep(small_disk: Path, tiny_spec: str) -> None:
    """On a file system that turned read-only, no trial can have a result: that is said."""
    trial = make_trial(small_disk, tiny_spec)
    remount(small_disk, "ro")
    try:
        with pytest.raises(StorageError) as stopped:
            run_trial(trial)
        assert stopped.value.reason == "unwritable"
    finally:
        remount(small_disk, "rw")


@pytest.mark.long
def test_a_sweep_on_a_full_disk_stops_and_goes_on(small_disk: Path, tiny_spec: str) -> None:
    """What cannot fit is refused before it starts; a disk that fills later stops the sweep.

    The command says what is full and how to carry on; with room it completes all trials.
    """
    (small_disk.parent / "tiny.yaml").write_text(tiny_spec)
    arguments = ("sweep", "tiny.yaml", "--results", str(small_disk))
    refused = embft(*arguments, cwd=small_disk.parent, check=2)
    assert "of disk (estimated" in refused.stderr
    remount(small_disk, "size=80m")
    sweep = start(*arguments, cwd=small_disk.parent)
    wait_for(lambda: list(small_disk.glob("tiny/trials/*/result.json")))
    with (small_disk / "filler").open("wb", buffering=0) as filler, suppress(OSError):
        while filler.write(b"x" * 4096):
            pass
    output, _ = sweep.communicate(timeout=120)
    assert sweep.returncode == 1, output
    assert "full" in output
    assert "To carry on: embft sweep tiny.yaml" in output
    assert "Traceback" not in output
    (small_disk / "filler").unlink()
    embft(*arguments, cwd=small_disk.parent)
    assert len(list(small_disk.glob("tiny/trials/*/result.json"))) == 5
