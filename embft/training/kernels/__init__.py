"""What makes a training step cheap on a CPU: a layer's small operations as compiled loops.

Others come in by `entry.py` alone. Start at `fuse.py`: of known layers `encoder.py` computes all,
of any other model `modules.py` single modules, both by `functions.py`, `projecting.py` and
`attending.py`, whose loops stand in `rows.py`, `attention.py`, `softmax.py` and `adapters.py`, made
of the parts in `vectors.py`. `loops.py` compiles them, `threads.py` divides them among cores,
`random_bits.py` draws random bits. `adamw.py` is the optimizer's pass over all weights.
"""
