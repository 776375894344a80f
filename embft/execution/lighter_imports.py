"""What importing sentence-transformers brings along for nothing is left out, or done once.

It imports scikit-learn for functions of its evaluators, and datasets, and with it pandas, for its
trainer: no trial calls either. transformers looks through the files of all its architectures twice.
Together that was a third of the warm process's start. Where another version needs more of them, all
is imported as usual. What each worker would do once more for itself is done before they are forked.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from embft.system.light_import import import_without
from embft.system.speedups import speedup

_LIBRARY = "sentence_transformers"


def import_sentence_transformers() -> None:
    """Import it, as lightly as this version allows."""
    if _LIBRARY in sys.modules:
        return
    speedup("one look at the architectures", _look_once)
    import_without(_LIBRARY, "sklearn", "sklearn.metrics", "datasets")
    speedup("models without the version of datasets", _leave_out_datasets)
    speedup("names of weights read once", _read_names_of_weights)


def _leave_out_datasets() -> None:
    """Each model notes for a model card, which embft writes itself, which version of datasets there
    is, and asks of the texts that it encodes whether they are a column of datasets. It imports it
    for either: a third of a second in every worker. Where it is not imported, nothing is of it.
    """
    for name in ("base.model_card", "base.model"):
        module = importlib.import_module(f"{_LIBRARY}.{name}")
        if not callable(module.is_datasets_available):
            raise TypeError(f"its {name} asks in another way")
        setattr(module, "is_datasets_available", _is_datasets_imported)  # noqa: B010 - for mypy


def _is_datasets_imported() -> bool:
    return "datasets" in sys.modules


def _read_names_of_weights() -> None:
    """With the first model transformers compiles the patterns by which it renames the weights of
    all architectures, a thousand of them.
    """
    mapping = importlib.import_module("transformers.conversion_mapping")
    mapping.get_checkpoint_conversion_mapping("bert")


def _look_once() -> None:
    """Have `transformers.models` take what `transformers` has found of the architectures."""
    import transformers

    import_utils: Any = importlib.import_module("transformers.utils.import_utils")
    plain = import_utils.define_import_structure
    models = Path(transformers.__file__).parent / "models"

    def structure(module_path: Any, prefix: str | None = None) -> Any:
        if prefix is not None or Path(module_path) != models / "__init__.py":
            return plain(module_path, prefix)
        named = plain(models, prefix="models")
        return {
            kind: {name.removeprefix("models."): each for name, each in modules.items()}
            for kind, modules in named.items()
        }

    import_utils.define_import_structure = structure
    try:
        importlib.import_module("transformers.models")
    finally:
        import_utils.define_import_structure = plain
