"""What may be loaded from a model's folder, which may come from anyone.

Covers what the loaders would do without being asked: read pickles, import what a configuration
names, follow paths out of the folder. Code that a model brings runs only where the spec says so and
the command line agrees.
"""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any

from embft.errors import ModelError
from embft.storage.seal import read_regular

# Pickled weights, and what the loaders read in their place where it stands beside them.
_PICKLES = {"pytorch_model": "model", "adapter_model": "adapter_model"}
# Modules of these packages are installed, not brought by the model.
_KNOWN_MODULES = ("sentence_transformers.", "embft.models.")
_MAX_CONFIG_BYTES = 64 * 2**20
ADVICE = (
    "Only if you have read that code: `model.trust_remote_code: true` in the spec, and "
    "--trust-remote-code on the command line"
)


def check_agreed(asked: bool, *, agreed: bool) -> None:
    """Raise ModelError where a spec asks for a model's own code and nobody here agreed to that."""
    if asked and not agreed:
        raise ModelError(
            "the spec sets model.trust_remote_code: true, which runs code that the base model "
            "brings: read that code, and agree with --trust-remote-code"
        )


def check_folder(folder: Path, *, trusted: bool = False) -> None:
    """Raise ModelError where loading this folder could run what somebody put there.

    trusted: the user has agreed to code that the model brings; without that the loaders refuse a
    configuration that needs it. Pickles are refused all the same.
    """
    for pickle, instead in _PICKLES.items():
        for path in folder.rglob(f"{pickle}*.bin"):
            names = (f"{instead}.safetensors", f"{instead}.safetensors.index.json")
            if not any((path.parent / name).is_file() for name in names):
                raise ModelError(
                    f"{path}: pickled weights run code when they are loaded, and no {names[0]} "
                    "stands beside them: save the model again with safe_serialization=True"
                )
    for module in _modules(folder):
        _check_module(folder, module, trusted=trusted)


def _modules(folder: Path) -> list[Any]:
    content = read_json(folder / "modules.json")
    if content is None:
        return []
    if not isinstance(content, list):
        raise ModelError(f"{folder / 'modules.json'}: must be a list of modules")
    return content


def _check_module(folder: Path, module: Any, *, trusted: bool) -> None:
    where = folder / "modules.json"
    if not isinstance(module, dict) or not isinstance(module.get("type"), str):
        raise ModelError(f"{where}: each module must be an object with a type")
    path = PurePosixPath(str(module.get("path", "")))
    if path.is_absolute() or ".." in path.parts:
        raise ModelError(f"{where}: the module path {str(path)!r} leads out of the model's folder")
    if not trusted and not module["type"].startswith(_KNOWN_MODULES):
        raise ModelError(
            f"{where}: a module of type {module['type']!r} would run code that is not "
            f"sentence-transformers'. {ADVICE}"
        )


def read_json(path: Path) -> Any:
    """A configuration file's content, or None where there is none. Raises ModelError."""
    try:
        return json.loads(read_regular(path, _MAX_CONFIG_BYTES))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ModelError(f"{path}: cannot be read: {reason}") from None
