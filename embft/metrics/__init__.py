"""Metrics: pure arithmetic over scores and labels.

`registry.py` knows every metric by name; those of pairs are declared, each beside its code, in
`pair_definitions.py`, and computed by `pairs.py` from the sums of `weighted.py`.
`resampling.py` and `bootstrap.py` give intervals, `comparison.py` compares two models on the same
pairs, `best.py` says which of many may be the best (with `seed_variance.py`), `power.py` what
difference a comparison can show, `optimism.py` what selection adds to a score, `calibration.py` how
far cosines are from labels. Knows no models, no files and no Ray.
"""
