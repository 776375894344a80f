"""Evaluation: a model and data in, scores out. Does not know how the model was made.

`embed.py` turns texts into embeddings and pairs into cosines, `scoring.py` cosines into metrics
with intervals. `run.py` names what else can be measured and finds the user's own functions:
`clusters.py`, `collapse.py`, `retrieval.py`, `probe.py`, `labelled.py` (clustering, classification
and STS of files of their own) and `mteb_task.py`, all of which take the `Context` of `context.py`.
`standalone.py` loads one model and runs everything on it.
"""
