"""From a spec and what is on disk to the plan: trials with key, folder and status.

Start at `plan.py`, which writes nothing. `prepare.py` makes the sweep's folder ready for it:
`clean.py` removes what interruptions left, `freeze.py` copies what the sweep reads, `take_over.py`
takes over what other sweeps have finished. `checks.py` refuses a loss or an objective that the data
do not fit, `names.py` names the trials' folders, `prefixes.py` finds trials that share their
beginning, `estimate.py` says what a sweep needs and `capacity.py` how many trials fit at once,
`audit.py` audits the data. Starts no trial, and loads neither torch nor Ray.
"""
