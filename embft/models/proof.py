"""The gate: what was saved is what was trained, and not the base model."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from embft.errors import ProofError
from embft.results.records import Proof

Embeddings = npt.NDArray[np.float32]

# A good reload differs from the model in memory by exactly 0 on the same machine; the tolerance
# leaves room for kernels that choose another order of summation.
TOLERANCE = 1e-5
# Below this, nothing was learned: rounding alone moves embeddings by about 1e-7.
LEAST_CHANGE = 1e-6


def prove(
    reloaded: Embeddings, in_memory: Embeddings, base: Embeddings, tolerance: float = TOLERANCE
) -> Proof:
    """Show that the saved model is the trained one: equal to it, and not the base.

    All three are embeddings of the same texts, shape (n, width). Raises ProofError otherwise.
    """
    if not np.isfinite(reloaded).all():
        raise ProofError("the saved model gives embeddings that are not finite numbers")
    against_memory = float(np.abs(reloaded - in_memory).max())
    against_base = float(np.abs(reloaded - base).max())
    if against_base < LEAST_CHANGE:
        raise ProofError(
            "the saved model gives the base model's embeddings "
            f"(largest difference {against_base:.1e}): what was trained is not applied"
        )
    if against_memory > tolerance:
        raise ProofError(
            "the saved model is not the trained one: its embeddings differ from those of the model "
            f"in memory by up to {against_memory:.1e}, {tolerance:.0e} is allowed"
        )
    return Proof(
        probe_texts=len(reloaded),
        against_memory=against_memory,
        against_base=against_base,
        tolerance=tolerance,
    )
