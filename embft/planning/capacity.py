"""How many trials a machine takes at once, what each of them gets, and on which device it runs.

Arithmetic over what the machine has; asks neither Ray nor torch.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass

from embft.errors import EmbftError
from embft.system.machine import Device

# The steps of a small model are too short to be divided among cores: two trials with a core each
# are faster than one after another with two (`benchmarks/concurrency.py`).
CORES_EACH = 1
_SHARED_BYTES = 10**9  # what driver, Ray and warm process hold


@dataclass(frozen=True)
class Demand:
    """What the trials of a sweep ask for. trials: how many. worker: bytes that the largest holds.
    gpus: of each trial; None where the spec does not say.
    """

    trials: int
    worker: int
    gpus: float | None = None


def trials_at_once(demand: Demand, cores: int, memory: int, gpus: float = 0.0) -> int:
    """What `concurrent_trials: auto` comes to: as many as cores (with GPUs: as these) and memory
    (bytes) allow, at least one, and no more than there are trials.
    """
    by_device = int(gpus / (demand.gpus or 1.0)) if gpus > 0 else cores // CORES_EACH
    by_memory = (memory - _SHARED_BYTES) // max(1, demand.worker)
    return max(1, min(by_device, by_memory, demand.trials))


def gpu_share(device: Device, asked: float | None, gpus: float, concurrent: int) -> float:
    """The GPUs of each trial: what was asked for, else an even share and one at most; 0 on a CPU.

    Raises EmbftError where there are not as many.
    """
    if device in {"cpu", "mps"}:
        return 0.0
    if gpus <= 0:
        if device == "cuda" or asked:
            field = "resources.device is cuda" if device == "cuda" else "resources.gpus_per_trial"
            raise EmbftError(f"{field}, but Ray found no GPU here: set resources.device to cpu")
        return 0.0
    share = asked if asked is not None else min(1.0, gpus / concurrent)
    if share > gpus:
        raise EmbftError(
            f"resources.gpus_per_trial is {share:g}, but there are {gpus:g} GPUs: ask for fewer"
        )
    return share


def may_have_gpu(asked: Device) -> bool:
    """Whether trials may come to run on GPUs, as far as can be said in no time."""
    return asked not in {"cpu", "mps"} and shutil.which("nvidia-smi") is not None
