"""A recipe of hard negatives carried out once, in a process of its own, and kept in a folder.

The folder holds what the process is given (`job.json`, train and the pool), and in the end what it
has mined. Vectors of many texts and a cross-encoder's scores lie beside it while they are made, so
that what was killed goes on; recipes of the same model and texts have them in common.
"""

from __future__ import annotations

import json
import multiprocessing
import os
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from embft.data.audit.findings import Finding
from embft.data.column import write_columns
from embft.data.mining import Mining
from embft.data.pairs import Pairs
from embft.errors import EmbftError
from embft.results.folders import MiningDir
from embft.storage.files import new_folder, write_atomic
from embft.storage.lock import folder_lock
from embft.storage.seal import check_digests, digests, sealed, unsealed
from embft.synthesis.mining_progress import Seen, read_step
from embft.system.machine import available_cores

_SHORT = 12
_LOOK = 0.5  # seconds between two looks at how far a mining is


@dataclass(frozen=True)
class Mined:
    """train: triplets. finding: what an audit says of the negatives."""

    train: Pairs
    finding: Finding


def mined(folder: Path, train: Pairs, mining: Mining, seen: Seen | None = None) -> Mined:
    """What the recipe makes of train: carried out in a process of its own, unless the folder of
    minings has it already. seen: is shown how far that is. Raises EmbftError.
    """
    own = MiningDir(folder / f"{mining.digest[:_SHORT]}-{train.digest()[:_SHORT]}")
    folder.mkdir(parents=True, exist_ok=True)
    with folder_lock(MiningDir(folder).lock_file):
        found = _read(own)
        if found is None:
            _write_job(own, train, mining)
            _run(own, seen)
            found = _read(own)
    if found is None:
        raise EmbftError(
            f"{own.path}: mining has ended without negatives; the same command tries again"
        )
    return found


def _read(folder: MiningDir) -> Mined | None:
    """What was mined, or None where that is not whole."""
    try:
        content = unsealed(folder.found_file)
        check_digests(folder.path, content["files"])
        finding = {**content["finding"], "examples": tuple(content["finding"]["examples"])}
        return Mined(Pairs.read(folder.mined_file), Finding(**finding))
    except (OSError, EmbftError, KeyError, TypeError):
        return None


def write_mined(folder: MiningDir, train: Pairs, finding: Finding) -> None:
    """Keep what was mined; the last file that is written makes it whole."""
    mined_file = folder.mined_file
    temporary = mined_file.with_name(f".{mined_file.name}.tmp")
    train.write(temporary)
    temporary.replace(mined_file)
    content = {"finding": vars(finding), "files": digests(folder.path, [mined_file])}
    write_atomic(folder.found_file, sealed(content))


def _write_job(folder: MiningDir, train: Pairs, mining: Mining) -> None:
    """What the process is given, whole or not at all."""
    folder.failure_file.unlink(missing_ok=True)
    folder.progress_file.unlink(missing_ok=True)
    if folder.job_file.exists():
        return
    job: dict[str, Any] = {
        "rule": mining.rule.model_dump(mode="json"),
        "seed": mining.seed,
        "source": dict(mining.source),
        "shared": f"{mining.encoded[:_SHORT]}-{train.digest()[:_SHORT]}",
        "judged": None if mining.judge is None else f"judged-{mining.judge[:_SHORT]}.jsonl",
    }
    with new_folder(folder.path) as temporary:
        made = MiningDir(temporary)
        train.write(made.train_file)
        write_columns(made.pool_file, {"text": mining.pool.texts})
        made.job_file.write_text(sealed(job))


def _run(folder: MiningDir, seen: Seen | None) -> None:
    """Mine in a process of its own. Raises EmbftError where that fails."""
    context = multiprocessing.get_context("forkserver")
    worker = context.Process(target=_enter, args=(folder, available_cores()), daemon=True)
    worker.start()
    try:
        _wait(worker, folder, seen)
    except BaseException:
        worker.kill()
        raise
    if worker.exitcode == 0:
        return
    reason = f"its process ended with status {worker.exitcode}"
    with suppress(OSError, ValueError):
        reason = str(json.loads(folder.failure_file.read_text())["message"])
    if worker.exitcode is not None and worker.exitcode < 0:
        reason = (
            f"its process was ended by signal {-worker.exitcode}, perhaps for want of memory; the "
            "same command goes on"
        )
    raise EmbftError(f"data.negatives: no negatives could be mined: {reason}")


def _wait(worker: BaseProcess, folder: MiningDir, seen: Seen | None) -> None:
    """Until the process has ended; what it says of its progress is shown once."""
    last = None
    while worker.is_alive():
        worker.join(_LOOK)
        step = read_step(folder.progress_file)
        if seen is not None and step is not None and step != last:
            seen(step)
        last = step


def _enter(folder: MiningDir, threads: int) -> None:
    """The process: computes, and ends with the one that has started it."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _end_with_parent()
    with folder.log_file.open("ab") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    from embft.synthesis.mining_work import work

    try:
        work(folder, threads)
    except (EmbftError, OSError, MemoryError, RuntimeError) as error:
        message = (
            str(error) if isinstance(error, EmbftError) else f"{type(error).__name__}: {error}"
        )
        write_atomic(folder.failure_file, json.dumps({"message": message}))
        raise SystemExit(1) from None


def _end_with_parent() -> None:
    import threading
    from multiprocessing import connection, parent_process

    parent = parent_process()

    def wait() -> None:
        if parent is not None:
            connection.wait([parent.sentinel])
            os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
