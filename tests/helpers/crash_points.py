"""Sweeps under strace: every call that changes something below the results folder, by its number.

`Rig` runs a sweep whole, killed at one of these calls, or with one of them failing. `records` is
what must be the same afterwards, `unsynced` says which renames a power cut would undo.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embft.storage.seal import canonical_json, unsealed
from tests.helpers.commands import start_job

CHANGING = (
    "write", "pwrite64", "writev", "fsync", "fdatasync", "ftruncate", "rename", "renameat",
    "renameat2", "link", "linkat", "symlink", "symlinkat", "mkdir", "mkdirat", "unlink",
    "unlinkat", "rmdir", "sendfile",
)  # fmt: skip

# The fields of a record that two runs of the same trial may differ in: what time it was, how long
# things took, and how much memory that needed. Everything else must be equal to the last bit, the
# digests of the saved model and of the per-pair scores included.
VOLATILE = (
    "timings", "total_seconds", "seconds", "peak_memory_mb", "started", "finished", "log_tail",
)  # fmt: skip

_CALL = re.compile(r"^(\d+) +(\w+)\((.*)$")
_PATH = re.compile(r'[<"](/[^>"]*)[>"]')
_TEMPORARY = re.compile(r"\.\d+\.tmp|\.tmp\w{6}$")


@dataclass(frozen=True)
class Call:
    """One system call of the sweep's process. number: its place among the calls of its name."""

    name: str
    number: int
    paths: tuple[str, ...]
    failed: bool
    opens: bool = False

    def __str__(self) -> str:
        return f"{self.name} {self.number} {' '.join(self.paths)}"


@dataclass(frozen=True)
class Ended:
    """How a sweep ended: exit status or minus the signal, its output, and its calls in order."""

    code: int
    output: str
    calls: tuple[Call, ...] = ()


def strace_works() -> bool:
    """Whether strace is there and may attach to a process."""
    if shutil.which("strace") is None:
        return False
    probe = subprocess.run(
        ["strace", "-e", "trace=none", "true"],  # noqa: S607
        capture_output=True,
        check=False,
    )
    return probe.returncode == 0


class Rig:
    """Runs sweeps in forks of the warm process (`crash_rig.py`)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def sweep(
        self,
        spec: Path,
        results: Path,
        *,
        trace: bool = False,
        inject: str = "",
        mutant: str = "",
        arguments: Sequence[str] = ("--retry-failed",),
        seconds: float = 60,
    ) -> Ended:
        """`embft sweep SPEC --results RESULTS`; traced, or with strace's `inject=` expression."""
        log = self.folder / "strace.txt"
        log.unlink(missing_ok=True)
        started = start_job(
            "crash_rig", *arguments, cwd=self.folder,
            spec=str(spec), results=str(results), mutant=mutant,
        )  # fmt: skip
        tracer = _attach(started.pid, log, inject) if trace or inject else None
        started.begin()
        timer = _kill_after(started.pid, seconds)
        code = started.wait()
        timer.kill()
        timer.wait()
        if tracer:
            tracer.wait(timeout=30)
        calls = tuple(read_calls(log, started.pid)) if tracer else ()
        return Ended(code, started.printed()[0], calls)


def _attach(pid: int, log: Path, inject: str) -> subprocess.Popen[bytes]:
    """Start strace on a process that waits, and come back when it holds it."""
    what = ["-e", f"trace=openat,{','.join(CHANGING)}"]
    what += ["-e", f"inject={inject}"] if inject else []
    tracer = subprocess.Popen(
        ["strace", "-f", "-y", "-s", "0", "-o", str(log), *what, "-p", str(pid)],  # noqa: S607
        stderr=subprocess.DEVNULL,
    )
    status = Path(f"/proc/{pid}/status")
    end = time.monotonic() + 20
    while "TracerPid:\t0" in status.read_text():
        assert time.monotonic() < end, "strace did not attach"
        time.sleep(0.002)
    return tracer


def _kill_after(pid: int, seconds: float) -> subprocess.Popen[bytes]:
    """A watchdog: a sweep that hangs is ended, and counts as killed."""
    code = f"import os, time; time.sleep({seconds}); os.kill({pid}, {int(signal.SIGKILL)})"
    return subprocess.Popen([sys.executable, "-S", "-c", code])


def read_calls(log: Path, pid: int) -> Iterator[Call]:
    """The calls of a process's main thread, in order, with their numbers."""
    counts: dict[str, int] = {}
    for line in log.read_text(errors="replace").splitlines():
        match = _CALL.match(line)
        if match is None or int(match[1]) != pid or match[2] not in (*CHANGING, "openat"):
            continue
        counts[match[2]] = counts.get(match[2], 0) + 1
        arguments, _, result = match[3].rpartition(") = ")
        arguments = arguments or match[3]
        paths = tuple(dict.fromkeys(_joined(arguments)))
        opens = match[2] == "openat" and "O_CREAT" in arguments
        yield Call(match[2], counts[match[2]], paths, result.startswith("-1"), opens)


def _joined(arguments: str) -> Iterator[str]:
    """Whole paths: a name beside a folder's descriptor is below that folder."""
    at = re.match(r'(?:\d+|AT_FDCWD)<([^>]*)>, "([^"]*)"', arguments)
    if at:
        yield os.path.normpath(Path(at[1], at[2]))
    for path in _PATH.findall(arguments):
        if not at or path != at[1]:
            yield path


def points(ended: Ended, results: Path) -> list[Call]:
    """The calls that change something below the results folder, or the folder itself."""
    return [
        call
        for call in ended.calls
        if call.name in CHANGING and any(inside(path, results) for path in _changed(call))
    ]


def _changed(call: Call) -> tuple[str, ...]:
    """The paths that a call changes: a link changes nothing where it leads."""
    return call.paths[-1:] if call.name.startswith("symlink") else call.paths


def inside(path: str, folder: Path) -> bool:
    """Whether a path of a log is this folder or below it."""
    return path == str(folder) or path.startswith(f"{folder}/")


def plain(call: Call) -> tuple[str, tuple[str, ...]]:
    """A call as any run has it: without process ids."""
    return call.name, tuple(_TEMPORARY.sub(".tmp", path) for path in call.paths)


def unsynced(ended: Ended, results: Path) -> list[str]:
    """The renames that a power cut could undo or leave empty, in words.

    Whatever a rename brings into place must be synced after its last write and before the rename,
    and its folder after the rename; a new folder's parent after it was made. Renames within
    a folder that has a temporary name itself bring nothing into place yet.
    """
    wrong: list[str] = []
    dirty: set[str] = set()
    renamed: dict[str, str] = {}
    for call in ended.calls:
        ours = [path for path in call.paths if inside(path, results)]
        if not ours or call.failed:
            continue
        if call.name in {"write", "pwrite64", "writev", "sendfile", "ftruncate"} or call.opens:
            dirty.add(ours[0])
        elif call.name in {"fsync", "fdatasync"}:
            dirty.discard(ours[0])
            renamed.pop(ours[0], None)
        elif call.name.startswith("mkdir") and ours[0] != str(results) and ".tmp" not in ours[0]:
            renamed[str(Path(ours[0]).parent)] = ours[0]
        elif call.name.startswith("rename"):
            source, target = ours[0], ours[-1]
            torn = {path for path in dirty if path == source or path.startswith(f"{source}/")}
            dirty -= torn
            if ".tmp/" in target:
                dirty |= {target + path.removeprefix(source) for path in torn}
            else:
                wrong += [f"renamed before {path} was synced" for path in sorted(torn)]
                renamed[str(Path(target).parent)] = target
    return [*wrong, *(f"{target}: its folder was not synced" for target in renamed.values())]


def records(results: Path) -> dict[str, str]:
    """Each trial's record without its volatile fields, as one text. Every seal is checked."""
    return {
        path.parent.name: canonical_json(_stable(unsealed(path)))
        for path in sorted(results.glob("*/trials/*/result.json"))
    }


def _stable(content: Any) -> Any:
    if isinstance(content, dict):
        return {k: _stable(v) for k, v in content.items() if k not in VOLATILE}
    return [_stable(item) for item in content] if isinstance(content, list) else content


def leftovers(results: Path) -> list[str]:
    """Temporary files and folders that nobody will finish any more."""
    return [str(path.relative_to(results)) for path in results.rglob(".*.tmp")]
