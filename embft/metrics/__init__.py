"""Metrics: pure arithmetic over scores and labels.

Start at `definitions.py`, which names each metric; `pairs.py` and `weighted.py` compute them,
`resampling.py` and `bootstrap.py` give intervals, `comparison.py` compares two models on the same
pairs, `power.py` says what difference a comparison can show, `optimism.py` what selection adds to a
score, `calibration.py` how far cosines are from labels. Knows no models, no files and no Ray.
"""
