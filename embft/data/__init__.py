"""Data: from the spec's files, or the built-in dataset, to train, dev and test pairs.

Knows no models and no metrics.
"""
