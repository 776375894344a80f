"""The command line as a user runs it, and what it leaves running: helpers of tests."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil

# What makes of the tiny spec a sweep that lasts until somebody ends it.
LONG = ("epochs: 2", "epochs: 400")
EMBFT = [str(Path(sys.executable).with_name("embft"))]


def embft(*arguments: str, cwd: Path, check: int | None = 0) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does; `check` is the exit status that must come back."""
    environment = {**os.environ, "HOME": str(cwd), "TMPDIR": "/tmp"}  # noqa: S108 - short for sockets
    run = subprocess.run(
        [*EMBFT, *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    if check is not None:
        assert run.returncode == check, run.stdout + run.stderr
    return run


def python(code: str, cwd: Path | None = None) -> str:
    """What a program of its own prints, which must end well."""
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def start(*arguments: str, cwd: Path) -> subprocess.Popen[str]:
    """The same in the background, in a process group of its own."""
    return subprocess.Popen(
        [*EMBFT, *arguments],
        cwd=cwd,
        env={**os.environ, "HOME": str(cwd), "TMPDIR": "/tmp"},  # noqa: S108
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def wait_for(condition: object, seconds: float = 120) -> None:
    """Wait until a condition holds."""
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.1)


def relatives(folder: Path) -> list[psutil.Process]:
    """Living processes that belong to a sweep in this folder: they have it as their HOME."""
    found = []
    for process in psutil.process_iter():
        try:
            environment = process.environ()
        except (psutil.Error, OSError):
            continue
        if environment.get("HOME") == str(folder) and process.status() != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


def wait_for_the_end(folder: Path, seconds: float) -> None:
    """Wait until nothing of a sweep in this folder is left; fail with what is."""
    end = time.monotonic() + seconds
    while left := relatives(folder):
        told = [(p.pid, p.ppid(), p.status(), " ".join(p.cmdline())[:120]) for p in left]
        assert time.monotonic() < end, f"still there: {told}"
        time.sleep(0.1)


def rows(folder: Path) -> dict[str, dict[str, str]]:
    """leaderboard.csv by trial."""
    with (folder / "leaderboard.csv").open(newline="") as file:
        return {row["trial"]: row for row in csv.DictReader(file)}


def records(folder: Path) -> dict[str, bytes]:
    """Every result.json below a sweep's folder."""
    return {p.parent.name: p.read_bytes() for p in folder.glob("trials/*/result.json")}
