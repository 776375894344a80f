"""Training: a model and pairs in, the same model with its best weights out.

`loop.py` is the loop, `batches.py` says which rows share a batch, `losses.py` builds the loss,
`checkpoint.py` and `random_state.py` make it resumable, the rest makes a step cheap. Knows no
metrics (a callback scores the model) and no Ray.
"""

from embft.training.checkpoint import Checkpoints
from embft.training.loop import Hooks, Step, Trained, train
from embft.training.precision import resolve_precision
from embft.training.step import DivergedError

__all__ = [
    "Checkpoints",
    "DivergedError",
    "Hooks",
    "Step",
    "Trained",
    "resolve_precision",
    "train",
]
