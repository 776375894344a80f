"""From one shape of pairs to another: labelled pairs, positives, triplets.

Covers what can be made of what, without a random number: the same rows give the same result. What
the shapes are says `Pairs`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from embft.data.pairs import Pairs
from embft.data.texts import normalise
from embft.errors import DataError
from embft.spec.shape import Shape

SEARCHED = 1000
"""Other rows that are looked at for a text that does not belong to an anchor."""

_Triple = tuple[int, str, Sequence[str]]
"""The row of the anchor, a text that belongs to it, and those known that do not."""


def to_shape(pairs: Pairs, shape: Shape, name: str = "train") -> Pairs:
    """The pairs in this shape. `name` is how messages call them. Raises DataError.

    labelled: see `as_labelled`. positives: the pairs labelled 1, or triplets without their
    negatives. triplets: each positive with a text that does not belong to its anchor: one that is
    labelled 0 with the same text_1 where there is one, else another row's text_2.
    """
    return pairs if pairs.shape == shape else _MAKERS[shape](pairs, name)


def as_labelled(pairs: Pairs, name: str = "dev") -> Pairs:
    """Labelled pairs as they are; others as pairs with label 1 and as many with label 0.

    Of a triplet (anchor, positive) is 1 and (anchor, negative) is 0, of each of its negatives. Of
    positives (anchor, positive) is 1, and (anchor, another row's positive) is 0: the next row's,
    half the data away, whose text belongs to no equal anchor and is not the anchor itself (but for
    case and punctuation). Equal pairs come once. Groups are those of the anchor's row.
    """
    if pairs.labelled:
        return pairs
    pairs = pairs.in_memory()
    triples = list(_triples(pairs, name))
    rated = [(row, text, 1.0) for row, text, _ in triples]
    rated += [(row, text, 0.0) for row, _, texts in triples for text in texts]
    distinct = {(pairs.text_1[row], text): (row, label) for row, text, label in reversed(rated)}
    ordered = sorted((row, -label, text) for (_, text), (row, label) in distinct.items())
    rows = [row for row, _, _ in ordered]
    anchors = pairs.take(rows)
    label = np.array([-rank for _, rank, _ in ordered])
    texts = [text for *_, text in ordered]
    return Pairs(anchors.text_1, texts, label, anchors.groups, origin=anchors.origin)


def _positives(pairs: Pairs, name: str) -> Pairs:
    kept = pairs.take(_positive_rows(pairs, name))
    found = Pairs.unlabelled(kept.text_1, kept.text_2, groups=kept.groups)
    return replace(found, origin=kept.origin)


def _triplets(pairs: Pairs, name: str) -> Pairs:
    pairs = pairs.in_memory()
    found = [(row, yes, no[0]) for row, yes, no in _triples(pairs, name) if no]
    if not found:
        raise DataError(
            f"{name}: no triplets can be made of it: every text belongs to every anchor. Give "
            f"triplets (`data.columns.negatives`), or pairs with label 0."
        )
    kept = pairs.take([row for row, *_ in found])
    positives, negatives = [yes for _, yes, _ in found], [no for *_, no in found]
    made = Pairs.unlabelled(kept.text_1, positives, [negatives], kept.groups)
    return replace(made, origin=kept.origin)


_MAKERS: dict[Shape, Callable[[Pairs, str], Pairs]] = {
    Shape.LABELLED: as_labelled,
    Shape.POSITIVES: _positives,
    Shape.TRIPLETS: _triplets,
}


def _positive_rows(pairs: Pairs, name: str) -> list[int]:
    """The rows whose texts belong together."""
    if not pairs.is_binary:
        raise DataError(
            f"{name}: its labels are graded, so it does not say which pairs belong together; "
            f"positives and triplets are made of labels 0 and 1. Set `data.shape: labelled`, or "
            f"give another file."
        )
    rows = np.flatnonzero(pairs.label == 1).tolist()
    if not rows:
        raise DataError(f"{name}: no pair has label 1, so there is nothing that belongs together.")
    return list(rows)


def _triples(pairs: Pairs, name: str) -> Iterator[_Triple]:
    """Each positive row with the texts that do not belong to its anchor: a triplet's own, else one,
    or none where there is none.
    """
    rows = _positive_rows(pairs, name)
    if pairs.negatives:
        own = list(zip(*pairs.negatives, strict=True))
        yield from ((row, pairs.text_2[row], own[row]) for row in rows)
        return
    anchors, texts = (list(map(normalise, side)) for side in (pairs.text_1, pairs.text_2))
    refused: dict[str, list[str]] = {}
    for row in np.flatnonzero(pairs.label == 0).tolist():
        refused.setdefault(anchors[row], []).append(pairs.text_2[row])
    related: dict[str, set[str]] = {}
    for row in rows:
        related.setdefault(anchors[row], {anchors[row]}).add(texts[row])
    for place, row in enumerate(rows):
        named = refused.get(anchors[row])
        if named:
            yield row, pairs.text_2[row], (named[place % len(named)],)
            continue
        # Neighbours in a file are often alike, so the search begins half the data away.
        steps = range(min(len(rows), SEARCHED))
        far = (rows[(place + len(rows) // 2 + step) % len(rows)] for step in steps)
        known = related[anchors[row]]
        other = next((found for found in far if texts[found] not in known), None)
        yield row, pairs.text_2[row], () if other is None else (pairs.text_2[other],)
