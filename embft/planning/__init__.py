"""From a spec and what is on disk to the plan: trials with key, folder and status.

Start at `plan.py`; `prefixes.py` finds trials that share their beginning, `estimate.py` says what a
sweep needs and `capacity.py` how many trials fit at once, `evaluator_sources.py` finds what the
spec's evaluators read. Starts no trial, and loads neither torch nor Ray.
"""
