"""Pairs that are similar but not equal: near duplicates in a split, near leaks between splits.

A pair's shingles are the five-byte substrings of its two normalised texts; two pairs are near when
the Jaccard similarity of their shingles is 0.8 or more. Candidates come from MinHash (Broder,
1997) with banding (Leskovec, Rajaraman and Ullman, 2014, ch. 3), eight bands of five, which find
96 % of the pairs at 0.8 and 99.8 % at 0.9; each is then checked exactly. So every pair counted is
one, and a few may be missed. Similar meaning in other words is not looked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from embft.data.audit.corpus import Corpus
from embft.data.audit.findings import EXAMPLES, Finding, example, grade, sample
from embft.data.audit.overlap import sources
from embft.data.column import PART
from embft.data.texts import IntArray

THRESHOLD = 0.8
WIDTH = 5
BANDS, ROWS = 8, 5
WINDOW = 8
"""Neighbours looked at on each side in a band's order; keeps crowded buckets linear."""
PROMISING, CHECKS = 0.65, 30_000
"""Agreement of signatures from which candidates are checked, and how many are at the most."""
LOOKED_UP = 10_000
"""Candidates whose texts are in memory at once."""
QUERIES = 100_000
"""Rows of a split that are looked up; beyond that, that many drawn evenly."""

_Hashes = npt.NDArray[np.uint32]
_Keys = npt.NDArray[np.uint64]
_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Units:
    """The n distinct normalised pairs of one split. rows: the first row of each.

    signatures: (n, BANDS * ROWS), of each least hash the low 8 bits, which agree by chance once in
    256 times (Li and König, 2010). bands: (n, BANDS), a hash of each band's whole least hashes.
    """

    split: str
    ids: IntArray
    rows: IntArray
    signatures: npt.NDArray[np.uint8]
    bands: _Hashes


@dataclass(frozen=True)
class Found:
    """For each query the near unit (or -1) and its similarity, and whether the search was whole."""

    units: IntArray
    similarity: _Floats
    all_checked: bool


@dataclass(frozen=True)
class Near:
    """What of one split nearly repeats something of another one, or of itself.

    rows: of the split; others: the row of the source that each nearly repeats; similarity: of the
    two. looked_at: how many distinct pairs of the split were, of `distinct`. all_checked: whether
    the search was whole.
    """

    split: str
    source: str
    rows: IntArray
    others: IntArray
    similarity: _Floats
    looked_at: int
    distinct: int
    all_checked: bool

    @property
    def count_text(self) -> str:
        """`12 of the 80`, or `At least 12 of the 80`."""
        return f"{'' if self.all_checked else 'At least '}{len(self.rows)} of the {self.looked_at}"

    @property
    def drawn_text(self) -> str:
        """Of how many those that were looked at were drawn; empty where they are all."""
        return f" (drawn from {self.distinct})" if self.looked_at < self.distinct else ""

    @property
    def details(self) -> dict[str, Any]:
        """The figures of a finding."""
        return {
            "threshold": THRESHOLD,
            "distinct": self.distinct,
            "sampled": bool(self.drawn_text),
            "all_checked": self.all_checked,
        }


def near_repeats(corpus: Corpus) -> Iterator[Near]:
    """Near duplicates inside each split, then between splits; only where there are any."""
    units = {split: _units(corpus, split) for split in corpus.splits if len(corpus.splits[split])}
    between = [both for both in sources(corpus) if units.keys() >= set(both)]
    for split, source in [(name, name) for name in units] + between:
        asked, known = units[split], units[source]
        queries = sample(len(asked.rows), QUERIES)
        found = _search(corpus, asked, queries, known)
        hits = np.flatnonzero(found.units >= 0)
        if len(hits):
            yield Near(
                split,
                source,
                asked.rows[queries[hits]],
                known.rows[found.units[hits]],
                found.similarity[hits],
                len(queries),
                len(asked.rows),
                found.all_checked,
            )


def near_pairs(corpus: Corpus) -> Iterator[Finding]:
    """Near duplicates inside each split, and near leaks between them."""
    for near in near_repeats(corpus):
        yield _finding(corpus, near)


def _finding(corpus: Corpus, near: Near) -> Finding:
    split, source = near.split, near.source
    inside = split == source
    where = f"another {split} pair" if inside else f"a pair of {source}"
    return Finding(
        f"near_duplicates_{split}" if inside else f"near_leak_{split}_from_{source}",
        grade(len(near.rows), near.looked_at, "info" if inside and split == "train" else "warning"),
        len(near.rows),
        near.looked_at,
        f"{near.count_text} distinct {split} pairs{near.drawn_text} nearly repeat {where}: four "
        f"fifths or more of their five-letter pieces are the same, without being equal.",
        "Such pairs add less information than their number says, and intervals are too narrow."
        if inside
        else f"Scores on {split} partly reward memory and come out too high.",
        "Look at the examples; keep one of each group, or keep a group on one side of the split.",
        tuple(
            example(
                corpus.splits[split],
                split,
                row,
                near=example(corpus.splits[source], source, other),
                similarity=round(float(similarity), 3),
            )
            for row, other, similarity in list(
                zip(near.rows, near.others, near.similarity, strict=True)
            )[:EXAMPLES]
        ),
        near.details,
    )


def _units(corpus: Corpus, split: str) -> Units:
    ids, rows = np.unique(corpus.normal_pairs(split), return_index=True)
    order = np.argsort(rows)
    ids, rows = ids[order], rows[order].astype(np.int64)
    signatures = np.empty((len(rows), BANDS * ROWS), np.uint8)
    bands = np.empty((len(rows), BANDS), np.uint32)
    for start in range(0, len(rows), PART):
        part = slice(start, start + PART)
        least = _pair_signatures(corpus, split, rows[part])
        signatures[part], bands[part] = least.astype(np.uint8), _bands(least)
    return Units(split, ids, rows, signatures, bands)


def _pair_signatures(corpus: Corpus, split: str, rows: IntArray) -> _Hashes:
    """MinHash signature of each of these rows' two texts together."""
    ids = np.concatenate([side[rows] for side in corpus.normal[split]])
    _, first, place = np.unique(ids, return_index=True, return_inverse=True)
    texts = list(chain(*corpus.normalised(split, rows)))
    of_text = _signatures([texts[i] for i in first])
    # The least hash over both texts' shingles is the lesser of the two least hashes.
    return np.minimum(of_text[place[: len(rows)]], of_text[place[len(rows) :]])


def _padded(text: str) -> bytes:
    """The text's bytes with a space at both ends, and enough of them for one shingle."""
    return f" {text} ".encode("utf-8", "surrogatepass").ljust(WIDTH)


def _signatures(texts: Sequence[str], chunk: int = 4096) -> _Hashes:
    """MinHash signature of each text. Shape (number of texts, BANDS * ROWS)."""
    random = np.random.default_rng(0)
    odd = random.integers(0, 2**32, BANDS * ROWS, np.uint32) | np.uint32(1)
    add = random.integers(0, 2**32, BANDS * ROWS, np.uint32)
    signatures = np.empty((len(texts), BANDS * ROWS), np.uint32)
    for start in range(0, len(texts), chunk):
        hashes, starts = _shingle_hashes([_padded(text) for text in texts[start : start + chunk]])
        part = signatures[start : start + chunk]
        for column in range(BANDS * ROWS):
            part[:, column] = np.minimum.reduceat(_mix(hashes * odd[column] + add[column]), starts)
    return signatures


def _mix(hashes: _Hashes) -> _Hashes:
    """A permutation of 32 bits that makes the order depend on all of them."""
    hashes ^= hashes >> np.uint32(15)
    hashes *= np.uint32(0x2C1B3C6D)
    return hashes


def _shingle_hashes(texts: Sequence[bytes]) -> tuple[_Hashes, IntArray]:
    """The hash of every shingle, text after text, and where each text's begin."""
    lengths = np.array([len(text) for text in texts])
    data = np.frombuffer(b"".join(texts), np.uint8).astype(np.uint64)
    values = np.zeros(len(data) - WIDTH + 1, np.uint64)
    for offset in range(WIDTH):
        values = (values << np.uint64(8)) | data[offset : offset + len(values)]
    inside = np.ones(len(data), bool)
    for offset in range(1, WIDTH):
        inside[np.cumsum(lengths) - offset] = False
    values = values[inside[: len(values)]] * np.uint64(0x9E3779B97F4A7C15)
    starts = np.concatenate([[0], np.cumsum(lengths - WIDTH + 1)[:-1]])
    return (values >> np.uint64(32)).astype(np.uint32), starts


def _bands(signatures: _Hashes) -> _Hashes:
    """A hash of each band of whole signatures. Shape (n, BANDS)."""
    keys = np.zeros((len(signatures), BANDS), np.uint64)
    for row in range(ROWS):
        keys = (keys ^ signatures[:, row::ROWS]) * np.uint64(0x9E3779B97F4A7C15)
        keys ^= keys >> np.uint64(29)
    return (keys >> np.uint64(32)).astype(np.uint32)


def _band_keys(bands: _Hashes, band: int) -> _Keys:
    """Upper half: the band's hash. Lower half: the next's, so that the alike are neighbours."""
    upper, lower = bands[:, band].astype(np.uint64), bands[:, (band + 1) % BANDS]
    return (upper << np.uint64(32)) | lower


def _search(corpus: Corpus, asked: Units, queries: IntArray, known: Units) -> Found:
    """Look for a near unit among the known for each queried one."""
    candidates = np.full((BANDS, len(queries)), -1)
    agreement = np.zeros((BANDS, len(queries)))
    for band in range(BANDS):
        keys = _band_keys(known.bands, band)
        order = np.argsort(keys, kind="stable")
        for part in np.array_split(np.arange(len(queries)), len(queries) // 20_000 + 1):
            candidates[band, part], agreement[band, part] = _best(
                asked, queries[part], known, (order, keys[order]), band
            )
    return _check(corpus, asked, queries, known, *_promising(candidates, agreement))


def _promising(candidates: IntArray, agreement: _Floats) -> tuple[IntArray, IntArray]:
    """Places of queries, and a candidate for each, the most promising first."""
    likely = np.argwhere(agreement >= PROMISING)
    places, others = likely[:, 1], candidates[agreement >= PROMISING]
    order = np.argsort(-agreement[agreement >= PROMISING], kind="stable")
    both = np.stack([places[order], others[order]], axis=1)
    _, first = np.unique(both, axis=0, return_index=True)
    distinct = both[np.sort(first)]
    return distinct[:, 0], distinct[:, 1]


def _check(  # noqa: PLR0913, PLR0917 - the last step of the search, which its arrays describe
    corpus: Corpus,
    asked: Units,
    queries: IntArray,
    known: Units,
    places: IntArray,
    others: IntArray,
) -> Found:
    """Compare the candidates exactly, until each query has a near one or CHECKS are done."""
    found, similarity = np.full(len(queries), -1), np.zeros(len(queries))
    checks = 0
    while len(places):
        left = _shingles(corpus, asked, queries[places[:LOOKED_UP]])
        right = _shingles(corpus, known, others[:LOOKED_UP])
        for place, other, one, two in zip(places, others, left, right, strict=False):
            if found[place] >= 0:
                continue
            if checks == CHECKS:
                return Found(found, similarity, all_checked=False)
            checks += 1
            exact = len(one & two) / len(one | two)
            if exact >= THRESHOLD:
                found[place], similarity[place] = other, exact
        places, others = places[LOOKED_UP:], others[LOOKED_UP:]
        open_ = found[places] < 0
        places, others = places[open_], others[open_]
    return Found(found, similarity, all_checked=True)


def _best(
    asked: Units, units: IntArray, known: Units, sorted_by: tuple[IntArray, _Keys], band: int
) -> tuple[IntArray, _Floats]:
    """For each unit the bucket neighbour whose signature agrees most (or -1), and the share."""
    order, keys = sorted_by
    signatures = asked.signatures[units]
    own = _band_keys(asked.bands[units], band)
    middle = np.searchsorted(keys, own)
    best, agreement = np.full(len(units), -1), np.zeros(len(units))
    for offset in range(-WINDOW, WINDOW + 1):
        place = np.clip(middle + offset, 0, len(keys) - 1)
        other = order[place]
        same = (keys[place] >> np.uint64(32)) == (own >> np.uint64(32))
        rows = np.flatnonzero(same & (known.ids[other] != asked.ids[units]))
        agree = (known.signatures[other[rows]] == signatures[rows]).mean(axis=1)
        better = agree > agreement[rows]
        best[rows[better]] = other[rows[better]]
        agreement[rows[better]] = agree[better]
    return best, agreement


def _shingles(corpus: Corpus, units: Units, wanted: IntArray) -> Iterator[set[bytes]]:
    """The shingles of each of these units' two texts."""
    for both in zip(*corpus.normalised(units.split, units.rows[wanted]), strict=True):
        padded = [_padded(text) for text in both]
        yield {
            text[start : start + WIDTH] for text in padded for start in range(len(text) - WIDTH + 1)
        }
