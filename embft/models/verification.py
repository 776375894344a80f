"""The gate: what was saved is what was trained, and not the base model."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from embft.data.pairs import Pairs
from embft.errors import VerificationError
from embft.results.records import Verification
from embft.spec.sides import Side
from embft.storage.files import write_atomic
from embft.storage.seal import damaged

Embeddings = npt.NDArray[np.float32]

# A good reload differs from the model in memory by exactly 0 on the same machine; the tolerance
# allows for kernels that choose another order of summation.
TOLERANCE = 1e-5
# Below this, nothing was learned: rounding alone moves embeddings by about 1e-7.
LEAST_CHANGE = 1e-6
# Later, another machine, device or library rounds otherwise: by shares of an embedding's length.
_ROUNDING = {"float32": 1e-3, "bfloat16": 5e-2, "float16": 5e-2}
_ROUNDING_QUANTISED = 0.2


@dataclass(frozen=True)
class Reference:
    """Embeddings of n texts, shape (n, width), by the base and by the trained model in memory.

    sides (n,): whether each was embedded as a query or as a document; of neither in files that
    older versions have written.
    """

    texts: tuple[str, ...]
    base: Embeddings
    trained: Embeddings
    sides: tuple[Side | None, ...]

    def write(self, path: Path) -> None:
        """Write it to a file, whole or not at all."""
        content, texts = io.BytesIO(), json.dumps(self.texts).encode()
        written, sides = (
            np.frombuffer(texts, np.uint8),
            np.array([each or "" for each in self.sides]),
        )
        np.savez(content, base=self.base, trained=self.trained, texts=written, sides=sides)
        write_atomic(path, content.getvalue())

    @classmethod
    def read(cls, path: Path) -> Reference:
        """What was written. Raises RecordError."""
        try:
            with np.load(path, allow_pickle=False) as found:
                texts = tuple(json.loads(bytes(found["texts"])))
                given = found["sides"].tolist() if "sides" in found else [""] * len(texts)
                sides = tuple(cast(Side | None, each or None) for each in given)
                return cls(texts, found["base"], found["trained"], sides)
        except (OSError, ValueError, KeyError, BadZipFile) as error:
            raise damaged(path, str(error)) from None


def verify(
    reloaded: Embeddings, in_memory: Embeddings, base: Embeddings, tolerance: float = TOLERANCE
) -> Verification:
    """Show that the saved model is the trained one: equal to it, and not the base.

    All three are embeddings of the same texts, shape (n, width). Raises VerificationError
    otherwise.
    """
    if not np.isfinite(reloaded).all():
        raise VerificationError("the saved model gives embeddings that are not finite numbers")
    against_memory = float(np.abs(reloaded - in_memory).max())
    against_base = float(np.abs(reloaded - base).max())
    if against_base < LEAST_CHANGE:
        raise VerificationError(
            "the saved model gives the base model's embeddings "
            f"(largest difference {against_base:.1e}): what was trained is not applied"
        )
    if against_memory > tolerance:
        raise VerificationError(
            "the saved model is not the trained one: its embeddings differ from those of the model "
            f"in memory by up to {against_memory:.1e}, {tolerance:.0e} is allowed"
        )
    return Verification(
        probe_texts=len(reloaded),
        against_memory=against_memory,
        against_base=against_base,
        tolerance=tolerance,
    )


def check_unchanged(
    found: Embeddings, trained: Embeddings, dtype: str, *, quantised: bool = False
) -> None:
    """Raise VerificationError unless a model that was verified before still gives its embeddings.

    found, trained: of the same texts, shape (n, width). dtype: of its weights, `float32` and the
    like. Differences are shares of an embedding's length, for it may run on another machine now.
    """
    allowed = _ROUNDING_QUANTISED if quantised else _ROUNDING.get(dtype, 5e-2)
    share = largest_share(found, trained)
    if not share <= allowed:
        raise VerificationError(
            f"the model's embeddings of {len(trained)} reference texts differ from those that it "
            f"had when it was trained by up to {share:.1e} of their length, {allowed:.0e} is "
            "allowed"
        )


def largest_share(found: Embeddings, expected: Embeddings) -> float:
    """The largest difference of two texts' embeddings, as a share of the expected one's length.

    found, expected: of the same texts, shape (n, width); infinite where the shapes differ.
    """
    if found.shape != expected.shape:
        return float("inf")
    lengths = np.maximum(np.linalg.norm(expected, axis=1), 1e-12)
    shares: npt.NDArray[np.floating] = np.linalg.norm(found - expected, axis=1) / lengths
    return float(shares.max(initial=0.0))


def reference_texts(dev: Pairs, most: int = 64) -> list[tuple[str, Side]]:
    """The first different texts of the dev split, as many of either column, each with its side."""
    columns = zip((dev.text_1, dev.text_2), dev.sides, strict=False)
    found = [[(text, side) for text in dict.fromkeys(texts)] for texts, side in columns]
    half = most // 2
    return list(dict.fromkeys([*found[0][:half], *found[1][:half], *found[0], *found[1]]))[:most]
