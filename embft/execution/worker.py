"""A worker: the process that runs one step of a trial, and dies with its memory.

Each step runs in a process of its own, so that what is scored has been on disk, and two models are
never in memory at once. Imported by the warm process, which is why its imports are at the top.
"""

from __future__ import annotations

import json
import sys
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress

import torch
from transformers.utils import logging as transformers_logging

from embft.encoding.stopping import StoppedError
from embft.errors import EmbftError, FailureReason, ModelError, VerificationError
from embft.execution.exits import EXIT_STATUS, EXIT_STOPPED
from embft.execution.score_step import score_step
from embft.execution.train_step import train_step
from embft.results.folders import TrialDir
from embft.storage.errors import storage_reason
from embft.storage.files import write_atomic
from embft.system.waiting import give_way_to_others
from embft.training.step import DivergedError, NothingLearnedError

STEPS: dict[str, Callable[[TrialDir], None]] = {"train": train_step, "score": score_step}

_REASONS: dict[type[Exception], FailureReason] = {
    VerificationError: FailureReason.VERIFICATION_FAILED,
    DivergedError: FailureReason.DIVERGED,
    NothingLearnedError: FailureReason.NOTHING_LEARNED,
    ModelError: FailureReason.MODEL_ERROR,
    EmbftError: FailureReason.INVALID_INPUT,
    MemoryError: FailureReason.OUT_OF_MEMORY,
    torch.OutOfMemoryError: FailureReason.OUT_OF_MEMORY,
}
_NO_MEMORY = "can't allocate memory"  # how torch says it on a CPU, in a plain RuntimeError


def run_step(step: str, folder: TrialDir) -> None:
    """Run one step (`train` or `score`) of a trial and end this process.

    Exit status 0 when the step is done; 1 with `failure.json` when it is not.
    """
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    warnings.filterwarnings("ignore", category=FutureWarning)
    give_way_to_others()
    try:
        STEPS[step](folder)
    except StoppedError:
        sys.exit(EXIT_STOPPED)
    except Exception as error:  # noqa: BLE001 - whatever happens becomes the trial's failure
        sys.exit(_tell(folder, error))


def _tell(folder: TrialDir, error: Exception) -> int:
    """Write down why the step failed. Returns the exit status that says so too."""
    reason = _reason(error)
    message = str(error) if isinstance(error, EmbftError) else _last_line(error)
    with suppress(OSError):  # the log may be what no longer fits on the disk
        traceback.print_exc()
        sys.stderr.flush()
    try:
        write_atomic(folder.failure_file, json.dumps({"reason": reason, "message": message}))
    except OSError as untold:
        return EXIT_STATUS.get(storage_reason(untold) or reason, 1)
    return 1


def _reason(error: Exception) -> FailureReason:
    named = (name for kind, name in _REASONS.items() if isinstance(error, kind))
    found = next(named, None) or storage_reason(error)
    if found is None and isinstance(error, RuntimeError) and _NO_MEMORY in str(error):
        return FailureReason.OUT_OF_MEMORY
    return found or FailureReason.CRASHED


def _last_line(error: Exception) -> str:
    return "".join(traceback.format_exception_only(error)).strip()
