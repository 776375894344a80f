"""The contract on disk: what a sweep and its trials leave in the results folder.

`trial.py` owns a trial's folder and its records, `key.py` says what decides a trial's result,
`index.py` finds trials by key, `dataset.py` keeps the data as a sweep froze it, `evaluators.py`
what its evaluators read, `scores.py` the score of each pair, `provenance.py` where a record comes
from, `retention.py` which trained models stay. Trains, scores and compares nothing.
"""
