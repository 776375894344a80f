"""What the user did not choose but may have to know: versions, machine, threads."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import embft
from embft.results.records import Provenance
from embft.system.speedups import missing

_PACKAGES = (
    "numba",
    "numpy",
    "peft",
    "ray",
    "scikit-learn",
    "scipy",
    "sentence-transformers",
    "tokenizers",
    "torch",
    "transformers",
)
# Those that a training step runs.
_TRAINING_PACKAGES = ("numba", "numpy", "peft", "sentence-transformers", "torch", "transformers")
_TOKEN_PACKAGES = ("sentence-transformers", "tokenizers", "transformers")


def now() -> str:
    """The time in UTC, to the second, as ISO 8601."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def provenance(
    *, started: str, threads: int, precision: str, device: str, training: Mapping[str, str]
) -> Provenance:
    """Describe this process's surroundings. started: when the trial began. training: the speed-ups
    that it was trained without, each with the reason.
    """
    return Provenance(
        embft=embft.__version__,
        python=platform.python_version(),
        platform=platform.platform(),
        processor=processor(),
        cpu_count=os.cpu_count() or 1,
        threads=threads,
        precision=precision,
        device=device,
        packages=_versions(_PACKAGES),
        without={**training, **missing()},
        revision=_git_revision(),
        started=started,
        finished=now(),
    )


def training_identity(precision: str, device: str) -> dict[str, str]:
    """What the last digits of a training depend on beside its key and its threads.

    A checkpoint that was written under another identity is not used.
    """
    packages = _versions(_TRAINING_PACKAGES)
    return {"embft": embft.__version__, **packages, "processor": processor()} | {
        "precision": precision,
        "device": device,
    }


def token_identity() -> dict[str, str]:
    """What a text's tokens depend on beside the model."""
    return _versions(_TOKEN_PACKAGES)


def _versions(packages: Sequence[str]) -> dict[str, str]:
    """Of those that are installed: numba, for one, training can do without."""
    found = dict[str, str]()
    for name in packages:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def processor() -> str:
    """The processor's name, as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())


@lru_cache
def _git_revision() -> str | None:
    """The revision of the folder the sweep was started in, `-dirty` with uncommitted changes."""
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],  # noqa: S607
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return described.stdout.strip() or None
