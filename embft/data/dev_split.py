"""Setting a part of train aside as dev, by content alone.

The same pairs give the same cut, whatever their order in the file and whatever the seed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from embft.data.column import PART, parts
from embft.data.pairs import Pairs
from embft.data.texts import IntArray, hashes, normalise, numbered, pair_ids
from embft.errors import DataError

MIN_PAIRS = 10
Bools = npt.NDArray[np.bool_]


def split_dev(train: Pairs, fraction: float = 0.1, name: str = "train") -> tuple[Pairs, Pairs]:
    """What is left of train, and dev: about `fraction` of the pairs, never more, at least one.

    Pairs that share a text (but for case and punctuation) stay on the same side, so that no text
    of dev is known from training. Where that cannot be, because most pairs hang together, only
    equal pairs stay together. Each side holds both low and high labels if there are two of each.
    `name` is how messages call the data. Raises DataError if there are too few pairs.
    """
    if len(train) < MIN_PAIRS:
        raise DataError(
            f"{name}: {len(train)} pairs are too few to set a part aside as dev; at least "
            f"{MIN_PAIRS} are needed. Give a file as `data.dev`, or more pairs."
        )
    ids, of_row = row_numbers(train)
    for units in (components(ids), pair_ids(ids[0], ids[1])):
        chosen = _choose(units, of_row, train.label, fraction)
        if chosen is not None:
            return train.take(np.flatnonzero(~chosen)), train.take(np.flatnonzero(chosen))
    raise DataError(
        f"{name}: no part can be set aside as dev, because nearly all of its {len(train)} pairs "
        f"are equal. Give a file as `data.dev`, or more different pairs."
    )


def row_numbers(train: Pairs) -> tuple[list[IntArray], npt.NDArray[np.uint64]]:
    """For each column the identifiers of its normalised texts, and a number for each row."""
    of_text: list[list[IntArray]] = [[] for _ in train.columns]
    of_row = []
    for part in parts(*train.columns):
        texts = [list(map(normalise, side)) for side in part]
        of_row.append(_row_hashes(texts))
        for into, side in zip(of_text, texts, strict=True):
            into.append(hashes(side))
    ids = numbered(np.concatenate([each for side in of_text for each in side]))
    return np.split(ids, len(train.columns)), np.concatenate(of_row)


def _row_hashes(sides: Sequence[Sequence[str]]) -> npt.NDArray[np.uint64]:
    """A number for each row, from its normalised texts alone and in any order."""
    digests = (
        hashlib.blake2b("\0".join(sorted(row)).encode("utf-8", "surrogatepass"), digest_size=8)
        for row in zip(*sides, strict=True)
    )
    joined = b"".join(digest.digest() for digest in digests)
    return np.frombuffer(joined, ">u8").astype(np.uint64)


def components(sides: Sequence[IntArray]) -> IntArray:
    """For each row the connected component of the graph whose edges join the texts of a row."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    first, others = sides[0], sides[1:]
    size = int(max(side.max() for side in sides)) + 1
    edges = (np.tile(first, len(others)), np.concatenate(others))
    graph = coo_array((np.ones(len(edges[0]), np.int8), edges), shape=(size, size))
    _, of_text = connected_components(graph, directed=False)
    return np.asarray(of_text[first], np.int64)


def _choose(
    units: IntArray,
    hashes: npt.NDArray[np.uint64],
    label: npt.NDArray[np.float64],
    fraction: float,
) -> Bools | None:
    """Which pairs become dev: whole units, by ascending hash, while they fit. None: too few fit."""
    high = label > (label.min() + label.max()) / 2
    kinds = np.stack([~high, high])
    total = kinds.sum(axis=1)
    # Two of a kind are shared out; a single one stays in train.
    wanted = np.clip(np.round(total * fraction), np.minimum(total - 1, 1), total - 1).astype(int)
    wanted = np.maximum(wanted, 0)
    _, unit = np.unique(units, return_inverse=True)
    smallest = np.full(unit.max() + 1, np.iinfo(np.uint64).max, np.uint64)
    np.minimum.at(smallest, unit, hashes)
    sizes = np.stack([np.bincount(unit, weights=kind) for kind in kinds], axis=1).astype(int)
    taken, left = _fill(np.argsort(smallest), sizes, wanted)
    enough = (wanted - left).sum() >= max(1, wanted.sum() / 2)
    both = ((wanted - left) > 0)[wanted > 0].all()
    return np.asarray(taken[unit], bool) if enough and both else None


def _fill(order: IntArray, sizes: IntArray, wanted: IntArray) -> tuple[Bools, IntArray]:
    """Which units are taken, each in its turn if it fits, and what is still wanted of each kind."""
    taken = np.zeros(len(order), bool)
    low, high = wanted.tolist()
    for candidate, of_low, of_high in _in_turn(order, sizes):
        if of_low <= low and of_high <= high:
            taken[candidate] = True
            low, high = low - of_low, high - of_high
            if low + high == 0:
                break
    return taken, np.array([low, high])


def _in_turn(order: IntArray, sizes: IntArray) -> Iterator[tuple[int, int, int]]:
    """Units in this order with their two sizes; lists of all would take 200 bytes a unit."""
    for start in range(0, len(order), PART):
        units = order[start : start + PART]
        yield from zip(units.tolist(), *sizes[units].T.tolist(), strict=True)
