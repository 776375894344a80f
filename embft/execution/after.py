"""Work on finished trials that a sweep or a command asks for, in processes that end with it.

Their memory goes with them, and a fault costs one trial's part. Knows no models; what is done is
given as a function.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from embft.results.folders import TrialDir
from embft.system.machine import available_cores


def each_in_a_process(
    work: Callable[[TrialDir], str],
    folders: Sequence[TrialDir],
    workers: int,
    preloaded: Sequence[str],
    ended: str,
) -> Iterator[tuple[TrialDir, str]]:
    """Each trial with what `work` has said of it, in their order: why it could not be done, or "".

    work: must be picklable. preloaded: modules that the processes are forked with; beside a sweep
    they come from its warm process. ended: what to say where a process was ended.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(preloaded))
    threads = max(1, available_cores() // workers)
    with ProcessPoolExecutor(workers, context, _start, (threads,)) as pool:
        waiting = [pool.submit(work, folder) for folder in folders]
        for folder, future in zip(folders, waiting, strict=True):
            try:
                yield folder, future.result()
            except BrokenProcessPool:
                yield folder, ended


def _start(threads: int) -> None:
    import torch
    from transformers.utils import logging

    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it without a traceback
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # which its server leaves waiting
    torch.set_num_threads(threads)
    logging.disable_progress_bar()
