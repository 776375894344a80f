"""The contract on disk: what a sweep and its trials leave in the results folder.

`folders.py` owns the folders of sweeps and trials and every file name in them, `records.py` the
types of a trial's input and result, `key.py` says what decides a trial's result. `plan_record.py`
is the list of trials, `dataset.py` the data as a sweep froze it, `evaluators.py` what its
evaluators read, `scores.py` the score of each pair, `provenance.py` where a record comes from,
`retention.py` which trained models stay. Trains, scores and compares nothing.
"""
