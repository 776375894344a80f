"""The command line as a user runs it, and what it leaves running: helpers of tests."""

from __future__ import annotations

import atexit
import csv
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import psutil

from embft.results.folders import TrialDir

ROOT = Path(__file__).parents[2]
# What makes of the tiny spec a sweep that lasts until somebody ends it.
LONG = ("epochs: 2", "epochs: 400")
ACTOR = r"ray::\w+\.train"  # the command line of what Ray runs trials in
EMBFT = [str(Path(sys.executable).with_name("embft"))]


def embft(
    *arguments: str, cwd: Path, check: int | None = 0, seconds: float = 240, warm: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does; `check` is the exit status that must come back.

    warm: in a fork of a process that has imported everything (`warm.py`).
    """
    if warm:
        started = start_job("embft", *arguments, cwd=cwd, merged=False)
        code = started.wait(timeout=seconds)
        run = subprocess.CompletedProcess(arguments, code, *started.printed())
    else:
        run = subprocess.run(
            [*EMBFT, *arguments],
            cwd=cwd,
            env=environment(cwd),
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )
    if check is not None:
        assert run.returncode == check, run.stdout + run.stderr
    return run


def start(*arguments: str, cwd: Path) -> Started:
    """The same in the background, in a process group of its own; its errors are in its output."""
    return start_job("embft", *arguments, cwd=cwd)


def start_job(runs: str, *arguments: str, cwd: Path, merged: bool = True, **more: str) -> Started:
    """What `warm.py` can run, by name, in the background. merged: its errors are in its output.

    more: what else that job is given.
    """
    given = {"runs": runs, "arguments": arguments, "cwd": str(cwd), **more}
    return Started(_warm(), {**given, "environment": environment(cwd)}, merged=merged)


def start_cold(*arguments: str, cwd: Path, **variables: str) -> subprocess.Popen[str]:
    """The same without a warm process: the command itself, with these environment variables."""
    return subprocess.Popen(
        [*EMBFT, *arguments],
        cwd=cwd,
        env={**environment(cwd), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        # A shell's background job, as a test run may be, begins with SIGINT ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )


def environment(home: Path) -> dict[str, str]:
    """What the command finds: this folder is the user's home."""
    return {**os.environ, "HOME": str(home), "TMPDIR": "/tmp"}  # noqa: S108 - short for sockets


@cache
def _warm() -> Forks:
    """What forks for each command: one for all tests of this process."""
    return Forks()


class Forks:
    """The program `warm.py`, which forks for each job that it is given."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="embft-forks-", dir="/tmp"))
        self.address = self._folder / "socket"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.helpers.warm", str(self.address)],
            cwd=ROOT,
            env=environment(self._folder),
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        atexit.register(self.close)
        wait_for(lambda: self._process.poll() is not None or self.address.exists())

    def close(self) -> None:
        """End the program; what it has forked goes on."""
        self._process.kill()
        self._process.wait(timeout=60)
        shutil.rmtree(self._folder, ignore_errors=True)


class Started:
    """A job in a fork of its own, by the names that `subprocess.Popen` has."""

    def __init__(self, forks: Forks, job: dict[str, Any], *, merged: bool = False) -> None:
        self._files = [tempfile.TemporaryFile("w+") for _ in range(2)]  # noqa: SIM115 - read later
        self._answers = socket.socket(socket.AF_UNIX)
        self._answers.connect(str(forks.address))
        output, errors = (file.fileno() for file in self._files)
        descriptors = [output, output if merged else errors]
        socket.send_fds(self._answers, [json.dumps(job).encode()], descriptors)
        self._lines = self._answers.makefile()
        self.pid = int(self._lines.readline())
        self.returncode: int | None = None

    def begin(self) -> None:
        """Let a job that waits for it begin."""
        self._answers.sendall(b"\n")

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status, or minus the signal that ended it. Raises TimeoutExpired."""
        if self.returncode is None:
            if not select.select([self._answers], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("embft", timeout or 0)
            self.returncode = int(self._lines.readline())
            self._answers.close()
        return self.returncode

    def poll(self) -> int | None:
        """The same, or None while it runs."""
        with suppress(subprocess.TimeoutExpired):
            return self.wait(timeout=0)
        return None

    def send_signal(self, number: int) -> None:
        """Send it to the command's own process."""
        os.kill(self.pid, number)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for its end. Returns what it has printed, and on standard error."""
        self.wait(timeout)
        return self.printed()

    def printed(self) -> tuple[str, str]:
        """What it has printed by its end, and on standard error."""
        for file in self._files:
            file.seek(0)
        output, errors = (file.read() for file in self._files)
        return output, errors


def warm_program(name: str, *arguments: str, cwd: Path, seconds: float = 240) -> str:
    """What a program of `tests/helpers/programs/` prints, which must end well; in a fork of the
    warm process, so that its imports are made.
    """
    started = start_job(name, *arguments, cwd=cwd, merged=False)
    code, (output, errors) = started.wait(timeout=seconds), started.printed()
    assert code == 0, output + errors
    return output


def program(
    name: str,
    *,
    cwd: Path | None = None,
    arguments: Sequence[str] = (),
    seconds: float | None = None,
) -> str:
    """The same in a process of its own from the start."""
    run = run_program(name, cwd=cwd, arguments=arguments, seconds=seconds)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def run_program(
    name: str,
    *,
    cwd: Path | None = None,
    arguments: Sequence[str] = (),
    seconds: float | None = None,
    **variables: str,
) -> subprocess.CompletedProcess[str]:
    """A program of `tests/helpers/programs/` in a process of its own, however it ends."""
    return subprocess.run(
        [sys.executable, "-m", f"tests.helpers.programs.{name}", *arguments],
        cwd=cwd, env=_beside_the_tests(variables), capture_output=True, text=True, check=False,
        timeout=seconds,
    )  # fmt: skip


def start_program(name: str, *arguments: str) -> subprocess.Popen[bytes]:
    """The same in the background."""
    command = [sys.executable, "-m", f"tests.helpers.programs.{name}", *arguments]
    return subprocess.Popen(command, env=_beside_the_tests({}))


def _beside_the_tests(variables: Mapping[str, str]) -> dict[str, str]:
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, **variables, "PYTHONPATH": os.pathsep.join(paths)}


def wait_for(condition: object, seconds: float = 120) -> None:
    """Wait until a condition holds."""
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.1)


def relatives(folder: Path) -> list[psutil.Process]:
    """Living processes of a sweep in this folder: it is their home, or they work in it."""
    found = []
    for process in psutil.process_iter():
        try:
            home, here = process.environ().get("HOME"), process.cwd()
        except (psutil.Error, OSError):
            continue
        if str(folder) in {home, here} and process.status() != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


def wait_for_the_end(folder: Path, seconds: float) -> None:
    """Wait until nothing of a sweep in this folder is left; fail with what is."""
    end = time.monotonic() + seconds
    while left := relatives(folder):
        if time.monotonic() > end:
            alive = [p.as_dict(["pid", "ppid", "status", "cmdline"]) for p in left]
            raise AssertionError(f"still there: {alive}")
        time.sleep(0.1)


def rows(folder: Path) -> dict[str, dict[str, str]]:
    """leaderboard.csv by trial."""
    with (folder / "leaderboard.csv").open(newline="") as file:
        return {row["trial"]: row for row in csv.DictReader(file)}


def records(folder: Path) -> dict[str, bytes]:
    """Every result.json below a sweep's folder."""
    return {p.parent.name: p.read_bytes() for p in folder.glob("trials/*/result.json")}


Ask = Callable[..., str]
"""Runs a command in the test's own process: its arguments, `status=0` -> what it printed."""


def results_of(trials: Mapping[str, TrialDir]) -> Path:
    """The results folder of the fixture's sweep."""
    return next(iter(trials.values())).sweep.path.parent
