"""Positive pairs made of single texts: each text beside another that says nearly the same.

`generators.py` has the ways to such a text, `filters.py` what is not taken, `run.py` the rounds of
generating, judging and trying again, `cache.py` what was generated already.
"""
