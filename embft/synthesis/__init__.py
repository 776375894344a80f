"""Data that needs a model to be made: mined negatives, and synthetic pairs.

Negatives: `hard_negatives.py` asks the miner, `false_negatives.py` estimates how many are wrong,
`mining.py` has it done once in a process of its own, `mining_work.py` is what that process does,
`mining_progress.py` says how far it is.

Pairs, each text beside another that says nearly the same: `generators.py` has the ways to such a
text, `filters.py` what is not taken, `run.py` the rounds of generating, judging and trying again,
`cache.py` what was generated already. Trains nothing and scores nothing.
"""
