"""Pairs made of texts with class labels: texts of the same label belong together.

Covers which labels are trained on, which texts are set aside, and the drawing of pairs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from embft.data.draw import Draw
from embft.data.files import DataFiles, Given
from embft.data.pairs import Pairs, Splits
from embft.data.read import read_rows
from embft.data.shapes import as_labelled, to_shape
from embft.data.texts import normalise
from embft.data.values import class_of, text_of
from embft.errors import DataError, nearest
from embft.spec.shape import Shape

JUDGED = 1000
"""The most anchors of dev and of test, each with a text of its label and one of another."""

ByLabel = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class SameLabel:
    """A file of texts with class labels, and how pairs are made of it.

    labels: those to train on: their names, or a share of them (drawn by the seed), or None for all.
    pairs: how many anchors train has; None: half as many as it has texts, so that each text is used
    once. shape: of train; a hard negative is a text of another label.
    """

    path: Given
    text: str | int = "text"
    label: str | int = "label"
    pairs: int | None = None
    labels: Sequence[str] | float | None = None
    shape: Shape = Shape.POSITIVES

    @property
    def files(self) -> DataFiles:
        """The files that the labelled texts are read from."""
        return DataFiles(self.path)

    def split(self, dev_fraction: float, seed: int) -> Splits:
        """Train of the texts of the chosen labels; dev of a fraction of their texts, set aside.

        Test is made of the labels that are held out, or, where there are none, of another such
        fraction. Dev and test are labelled pairs. Raises DataError.
        """
        texts = self._texts()
        trained, held = self._choice(texts, Draw(seed, "labels"))
        draw = Draw(seed, "texts")
        parts: dict[str, dict[str, list[str]]] = {"dev": {}, "test": {}, "train": {}}
        for label in trained:
            order = draw.shuffled(texts[label])
            aside = max(2, round(len(order) * dev_fraction))
            ends = [0, aside, aside if held else 2 * aside, len(order)]
            for part, (start, end) in zip(parts, pairwise(ends), strict=True):
                parts[part][label] = order[start:end]
        if held:
            parts["test"] = {label: texts[label] for label in held}
        made = {name: self._made(name, part, seed) for name, part in parts.items()}
        train = to_shape(made["train"], self.shape)
        return Splits(train, as_labelled(made["dev"]), as_labelled(made["test"]), dev_is_cut=True)

    def _made(self, name: str, texts: ByLabel, seed: int) -> Pairs:
        once = sum(len(of_label) // 2 for of_label in texts.values())
        count = min(JUDGED, once) if name != "train" else self.pairs or once
        return draw_triplets(texts, count, Draw(seed, name), f"{self.files} ({name})")

    def _texts(self) -> dict[str, list[str]]:
        """The distinct texts of each label, labels in order. Texts of two labels are left out."""
        found: dict[str, tuple[str, str]] = {}
        ambiguous = set()
        for at, (text, label) in read_rows(self.files, [self.text, self.label], required=2):
            shown, named = text_of(at, self.text, text), class_of(at, self.label, label)
            if found.setdefault(normalise(shown), (shown, named))[1] != named:
                ambiguous.add(normalise(shown))
        by_label: dict[str, list[str]] = {}
        for key, (text, label) in found.items():
            if key not in ambiguous:
                by_label.setdefault(label, []).append(text)
        few = [label for label, texts in by_label.items() if len(texts) < MIN_TEXTS]
        if few or len(by_label) < 2:
            here = f"{few[0]!r} has {len(by_label[few[0]])}" if few else f"here are {len(by_label)}"
            raise DataError(
                f"{self.files}: pairs of the same label need two labels or more, with {MIN_TEXTS} "
                f"different texts each; {here}"
            )
        return dict(sorted(by_label.items()))

    def _choice(self, texts: ByLabel, draw: Draw) -> tuple[list[str], list[str]]:
        """The labels to train on, and those held out."""
        names = list(texts)
        if self.labels is None:
            return names, []
        if isinstance(self.labels, float):
            count = min(max(round(len(names) * self.labels), 1), len(names))
            chosen = set(draw.shuffled(names)[:count])
        else:
            chosen = set(self.labels)
            for label in self.labels:
                if label not in texts:
                    raise DataError(
                        f"{self.files}: no text has the label {label!r}; {nearest(label, names)}"
                    )
        trained = [name for name in names if name in chosen]
        held = [name for name in names if name not in chosen]
        if len(trained) < 2 or len(held) == 1:
            raise DataError(
                f"{self.files}: {len(trained)} labels to train on and {len(held)} held out: pairs "
                f"of different labels need two at least. Change `data.same_label.labels`."
            )
        return trained, held


MIN_TEXTS = 6
"""Fewest texts of a label: two for each split."""


def draw_triplets(texts: ByLabel, count: int, draw: Draw, name: str) -> Pairs:
    """`count` triplets: two texts of a label, and one of another. Labels take turns.

    Within a label every text is used once before any is used again, and no pair comes twice, in
    either order. Raises DataError where there are fewer pairs than `count`.
    """
    most = sum(len(of_label) * (len(of_label) - 1) // 2 for of_label in texts.values())
    if count > most:
        raise DataError(
            f"{name}: {count} pairs are wanted, its texts make {most}; lower "
            f"`data.same_label.pairs`."
        )
    labels = draw.shuffled(list(texts))
    decks = {label: _Deck(texts[label], draw) for label in labels}
    rows: list[tuple[str, str, str]] = []
    while len(rows) < count:
        for label in labels:
            pair = decks[label].deal()
            if pair is not None and len(rows) < count:
                other = draw.picks([name for name in labels if name != label])
                rows.append((*pair, draw.picks(texts[other])))
    first, second, third = zip(*rows, strict=True)
    return Pairs.unlabelled(first, second, [third])


class _Deck:
    """The texts of one label, shuffled anew when they are used up."""

    def __init__(self, texts: Sequence[str], draw: Draw) -> None:
        self.texts, self.draw = texts, draw
        self.order: list[int] = []
        self.seen: set[tuple[int, int]] = set()

    def deal(self) -> tuple[str, str] | None:
        """Two texts that were not dealt together before, or None where all were."""
        size = len(self.texts)
        while len(self.seen) < size * (size - 1) // 2:
            if len(self.order) < 2:
                self.order = self.draw.shuffled(range(size))
            one, other = self.order.pop(), self.order.pop()
            key = (min(one, other), max(one, other))
            if key not in self.seen:
                self.seen.add(key)
                return self.texts[one], self.texts[other]
        return None
