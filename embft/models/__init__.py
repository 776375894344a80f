"""The model of a trial: find, build, save, load again, verify.

Start at `resolve.py` (a base model's name -> a folder on this machine) and `base.py` (the folder ->
a model that reads texts as the spec says: `prompt_template.py` has the tokens around a text,
`pooling.py` which hidden states become the embedding). `adapter.py` adds, attaches and merges
low-rank matrices, `save.py` writes and reads what was trained, `verification.py` compares the two,
`trained.py` loads what a name leads to, checked, `safety.py` says what may be loaded. Does not
train and does not score.
"""
