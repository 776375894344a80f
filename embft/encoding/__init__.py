"""Texts to tokens to embeddings, without work on padding.

Start at `encoder.py`; `packing.py` puts texts end to end, `token_cache.py` keeps their tokens,
`linear.py` picks the faster of two libraries, `stopping.py` ends the work once a sweep stops.
Knows no labels and no scores.
"""
