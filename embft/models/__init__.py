"""The model of a trial: build, save, load again, prove.

`base.py` loads a base model and makes it read texts as the spec says: `template.py` (the tokens
around a text) and `pooling.py` (which hidden states become the embedding). `adapter.py` adds,
attaches and merges low-rank matrices, `save.py` writes and reads what was trained, `proof.py`
compares the two. Does not find base models (`base_model.py`), train (`training.py`) or score
(`evaluation/`).
"""

from embft.models.base import build, default_device, load_base, use_device
from embft.models.proof import LEAST_CHANGE, TOLERANCE, prove
from embft.models.save import (
    adapter_base,
    load_saved,
    save,
    total_parameters,
    trainable_parameters,
)

__all__ = [
    "LEAST_CHANGE",
    "TOLERANCE",
    "adapter_base",
    "build",
    "default_device",
    "load_base",
    "load_saved",
    "prove",
    "save",
    "total_parameters",
    "trainable_parameters",
    "use_device",
]
