"""Training: a model and pairs in, the same model with its best weights out.

Start at `loop.py`. `batches.py` says which rows share a batch, `losses.py` builds the loss,
`checkpoint.py` and `random_state.py` make it resumable, the rest, and `kernels/`, make a step
cheap. Knows no metrics (a callback scores the model) and no Ray.
"""
