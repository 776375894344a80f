"""What makes a training step cheap on a CPU: a layer's small operations as compiled loops.

Others come in by `entry.py` alone. Start at `encoder.py`, which computes a model's layers by the
functions of `functions.py`, whose loops stand in `rows.py`, `attention.py` and `adapters.py`, made
of the parts in `vectors.py`. `loops.py` compiles them, `threads.py` divides them among cores,
`random_bits.py` draws random bits. `adamw.py` is the optimizer's pass over all weights.
"""
