"""What a trial's folder is called: what varies, readable for a person; its key follows."""

from __future__ import annotations

import re

from embft.results.plan_record import BASELINE
from embft.spec import Point, TrialSpec
from embft.spec.names import folder_name

_UNFIT_FOR_A_NAME = re.compile(r"[^\w=,.+-]")
_NAME_BYTES = 120


def readable(params: Point, trial: TrialSpec) -> str:
    """A trial's params as the readable part of a folder's name, `rank=8,learning_rate=0.0002`."""
    if trial.is_baseline and not params:
        return BASELINE
    shown = [
        f"{name.rpartition('.')[2]}={folder_name(value)}"
        for name, value in params.items()
        if not trial.is_baseline or name == "train.method" or name.partition(".")[0] != "train"
    ]
    text = _UNFIT_FOR_A_NAME.sub("_", ",".join([*shown, f"seed={trial.seed}"]))
    return text.encode()[:_NAME_BYTES].decode(errors="ignore")  # a file system counts bytes
