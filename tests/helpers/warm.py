"""A process that has imported what commands and workers import, and forks for each command.

Imports were a third of the tests' time: each sweep's driver has its own, and its warm process's
take ten seconds of processor time. All else is as it is for a user: driver, warm process, Ray
and workers are processes of their own, and the warm process is the driver's child. What is about
imports, or the memory that they take, runs the command itself (`commands.py`).

A job comes over the socket: JSON with `arguments`, `cwd`, `environment` and `runs`, beside the
descriptors of output and errors. `runs` names what is run: the command, a program of
`tests/helpers/programs/`, or a sweep for a crash test (`crash_rig.py`). The answers are the process
id of the fork that has it, and then how that ended.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing import util
from typing import Any

_MOST = 1 << 20  # bytes of a job


def serve(address: str) -> tuple[dict[str, Any], socket.socket]:
    """Fork for each job, until whoever started this is gone. Returns in the forks alone, with the
    job and the socket that it came by.
    """
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(address)
        server.listen()
        while True:
            ready, _, _ = select.select([server, sys.stdin], [], [], 1)
            with suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            if sys.stdin in ready:
                os._exit(0)
            if server in ready:
                asked, _ = server.accept()
                if os.fork() == 0:
                    return _keep(asked), asked
                asked.close()


def _keep(asked: socket.socket) -> dict[str, Any]:
    """Fork once more, and tell how that process ends. Returns in that process, with its job."""
    message, descriptors, _, _ = socket.recv_fds(asked, _MOST, 2)
    job: dict[str, Any] = json.loads(message)
    child = os.fork()
    if child == 0:
        os.setsid()
        for descriptor, number in zip(descriptors, (1, 2), strict=True):
            os.dup2(descriptor, number)
            os.close(descriptor)
        return job
    for descriptor in (0, 1, 2, *descriptors):
        os.close(descriptor)
    asked.sendall(json.dumps(child).encode() + b"\n")
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with suppress(OSError):
        asked.sendall(json.dumps(code).encode() + b"\n")
    os._exit(0)


def _run(job: dict[str, Any], asked: socket.socket) -> None:
    """Run what this job names, in this process."""
    sys.argv[:] = ["embft", *_become(job)]
    if job["runs"] == "crash_rig":
        from tests.helpers.crash_rig import run_sweep

        run_sweep(job, asked)
    asked.close()
    if job["runs"] != "embft":
        runpy.run_module(f"tests.helpers.programs.{job['runs']}", run_name="__main__")
        sys.exit()
    from embft.cli.main import main

    sys.exit(main())


def _become(job: dict[str, Any]) -> list[str]:
    """Take on what a new process of a user's would have. Returns the command's arguments."""
    os.chdir(job["cwd"])
    os.environ.clear()
    os.environ.update(job["environment"])
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    setattr(util, "spawnv_passfds", _fork_server_by_fork)  # noqa: B010 - mypy refuses the plain form
    arguments: list[str] = job["arguments"]
    return arguments


def _fork_server_by_fork(path: Any, arguments: Sequence[Any], passed: Sequence[int]) -> int:
    """In place of multiprocessing's: a fork server is forked, its imports made already."""
    code = str(arguments[-1])
    if "forkserver" not in code or threading.active_count() > 1:
        return _spawn(path, arguments, passed)
    child = os.fork()
    if child:
        return child
    kept = [0, 1, 2, *sorted(map(int, passed))]
    for low, high in zip(kept, [*kept[1:], os.sysconf("SC_OPEN_MAX")], strict=True):
        os.closerange(low + 1, high)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    status = 1
    try:
        exec(code, {"__name__": "__main__"})  # noqa: S102 - multiprocessing's own line
    except SystemExit as end:
        status = int(end.code or 0)
    finally:
        os._exit(status)


_spawn = util.spawnv_passfds

if __name__ == "__main__":
    from embft.scheduler import settings as ray_settings
    from embft.system.light_import import import_sklearn

    ray_settings.configure(None)
    for name in (
        "execution.preload",  # first, since it imports sentence-transformers as workers have it
        "cli.progress",
        "cli.ship",
        "cli.sweeps",
        "execution.evaluate",
        "leaderboard.build",
        "report.background",
        "report.output",
        "scheduler.tune",
    ):
        importlib.import_module(f"embft.{name}")
    import_sklearn("linear_model", "feature_extraction.text", "cluster")
    gc.freeze()  # as preloading does: each fork's collector would go through all of this again
    given, came_by = serve(sys.argv[1])
    _run(given, came_by)
