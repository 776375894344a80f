"""A sweep without Ray in a fork of the warm process (`warm.py`): what the crash tests kill.

Everything of `embft sweep` runs as it is but for two things. Ray is left out: the trials' launcher
is called one after another, since Ray writes nothing that embft reads. And a trial's steps run in
the sweep's own process: killing that one process at a call is then what a power cut is, the sudden
end of driver, launcher and worker together (`test_random_kills.py` ends them one by one, with Ray).
The page that a report is made of is a constant here; that it is written, and how, is not.

The fork waits for one more byte on the socket, so that strace can be attached to it first.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

_PR_SET_PTRACER, _PTRACER_ANY = 0x59616D61, -1


def run_sweep(job: dict[str, Any], asked: socket.socket) -> NoReturn:
    """One `embft sweep`, with this job's mutant if it has one, once it may begin."""
    _leave_ray_out()
    ctypes.CDLL(None).prctl(_PR_SET_PTRACER, ctypes.c_ulong(_PTRACER_ANY), 0, 0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asked.recv(1)
    asked.close()
    code = 70
    try:
        from embft.cli.main import main as embft

        if job["mutant"]:
            MUTANTS[job["mutant"]]()
        embft(["sweep", job["spec"], "--results", job["results"], *job["arguments"]])
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _search(choices: Any, cluster: Any, resources: Any) -> None:
    """Run what a search proposes, one trial after another."""
    from embft.execution import launcher
    from embft.results.folders import TrialDir
    from embft.scheduler.tune import _proposed

    nobody: Any = SimpleNamespace(add=lambda _: None)
    search = _proposed(choices.search, cluster, resources, choices, nobody)
    while isinstance(found := search.suggest("trial"), dict):
        launcher.run_trial(TrialDir(Path(found["trial"])))
        search.on_trial_complete("trial")
    if search.error is not None:
        raise search.error


def _leave_ray_out() -> None:
    import torch

    import embft.execution.train_step
    import embft.report.page
    import embft.scheduler.ahead
    import embft.scheduler.cluster
    import embft.scheduler.interruption
    import embft.scheduler.tune
    from embft.execution import launcher, warm_process, warming
    from embft.execution.monitor import End
    from embft.execution.worker import run_step

    torch.set_num_threads(1)

    @contextlib.contextmanager
    def no_cluster(*_: object, **__: object) -> Iterator[embft.scheduler.cluster.Cluster]:
        yield embft.scheduler.cluster.Cluster(
            1, 1.0, 1, 0.0, stop=embft.scheduler.interruption.Stop(), scratch=Path()
        )

    @contextlib.contextmanager
    def none_ahead(*_: object) -> Iterator[embft.scheduler.ahead.Ahead]:
        yield embft.scheduler.ahead.Ahead()

    def run_trials(  # noqa: PLR0917 - as the sweep calls it
        trials: Sequence[Any],
        cluster: Any,
        resources: Any,
        observers: object,  # noqa: ARG001
        done: int,  # noqa: ARG001
        choices: Any,
        ahead: object,  # noqa: ARG001
    ) -> list[str]:
        lost = []
        for trial in trials:
            try:
                launcher.run_trial(trial.folder)
            except OSError as error:  # Ray tells the driver of it, and goes on
                lost.append(str(error))
        if choices.search is not None:
            _search(choices, cluster, resources)
        return lost

    def run_worker(step: str, folder: Any, *_: object) -> Any:
        kept = os.dup(1), os.dup(2)
        log = folder.open_log()
        os.dup2(log, 1)
        os.dup2(log, 2)
        # The sweep's own streams lead past descriptors 1 and 2 while Ray's words go to a file.
        streams = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = (os.fdopen(os.dup(n), "w", buffering=1) for n in (1, 2))
        code = 0
        try:
            run_step(step, folder)
        except SystemExit as end:
            code = int(end.code or 0)
        except Exception:  # noqa: BLE001 - a worker that fails so ends with status 1
            code = 1
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            sys.stdout, sys.stderr = streams
            for descriptor, number in zip(kept, (1, 2), strict=True):
                os.dup2(descriptor, number)
                os.close(descriptor)
            os.close(log)
        return End(exit_code=code, peak_memory=0, limit=None, breach=None, by_kernel=False)

    replaced: list[tuple[Any, str, object]] = [
        (embft.scheduler.ahead, "begun_ahead", none_ahead),
        (embft.scheduler.cluster, "ray_cluster", no_cluster),
        (embft.scheduler.tune, "run_trials", run_trials),
        (launcher, "_run_worker", run_worker),
        (warm_process, "warm_up", lambda: None),  # nothing is forked from one
        (warming, "warm_up", lambda: None),
        (embft.execution.train_step, "_STEP_INTERVAL", 0.0),  # each run writes the same lines
    ]
    for module, name, replacement in replaced:
        setattr(module, name, replacement)
    sys.modules["embft.report.page"]._rendered = lambda *_, **__: iter(["<!doctype html>\n"])  # type: ignore[attr-defined]


def _everywhere(name: str, replacement: object) -> None:
    """Replace a function of ours in each module that has imported it by name."""
    for module in [m for n, m in sys.modules.items() if n.startswith("embft")]:
        if hasattr(module, name):
            setattr(module, name, replacement)


def _no_fsync() -> None:
    setattr(os, "fsync", lambda *_: None)  # noqa: B010


def _no_folder_sync() -> None:
    _everywhere("sync_folder", lambda *_: None)


def _direct_write() -> None:
    def write(path: Path, content: bytes | str | Iterable[str]) -> None:
        whole = content if isinstance(content, bytes | str) else "".join(content)
        path.write_bytes(whole.encode() if isinstance(whole, str) else whole)

    _everywhere("write_atomic", write)


def _direct_folder() -> None:
    def replace(temporary: Path, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(temporary, folder)
        shutil.rmtree(temporary)

    _everywhere("replace_folder", replace)


def _no_checkpoint_check() -> None:
    from safetensors.torch import load_file

    from embft.training.checkpoint import Checkpoint, Checkpoints

    def read(_: Checkpoints, folder: Path) -> Checkpoint:
        state = json.loads((folder / "state.json").read_bytes())
        state.pop("identity")
        return Checkpoint(state, load_file(folder / "tensors.safetensors"))

    setattr(Checkpoints, "_read", read)  # noqa: B010


MUTANTS: dict[str, Callable[[], None]] = {
    "no fsync": _no_fsync,
    "no fsync of folders": _no_folder_sync,
    "written in place": _direct_write,
    "folder copied in place": _direct_folder,
    "checkpoints not checked": _no_checkpoint_check,
}
