"""Evaluation: a model and data in, scores out. Does not know how the model was made.

`embed.py` turns texts into embeddings and pairs into cosines, `scoring.py` turns cosines into
metrics with intervals.
"""
