"""Noise on the words of a text: deletion, swapped words, swapped characters.

The rule-based way to a text that says nearly the same. Needs no model; see `Draw` for why the same
seed gives the same noise everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from embft.data.column import GrowingColumns
from embft.data.draw import Draw
from embft.data.pairs import Pairs


@dataclass(frozen=True)
class WordNoise:
    """How much noise. delete_words: the chance of each word to be left out (one always stays).
    swap_words: how many times two words of a text change places. swap_characters: the chance of
    each character of a word to change places with the next one.
    """

    delete_words: float = 0.1
    swap_words: int = 1
    swap_characters: float = 0.05

    def of(self, text: str, draw: Draw) -> str:
        """The text with noise. Where it has spaces, it has one between words."""
        words = text.split()
        if not words:
            return text
        kept = [word for word in words if not draw.tosses(self.delete_words)]
        words = kept or [draw.picks(words)]
        for _ in range(self.swap_words):
            one, other = draw.below(len(words)), draw.below(len(words))
            words[one], words[other] = words[other], words[one]
        return " ".join(self._scrambled(word, draw) for word in words)

    def _scrambled(self, word: str, draw: Draw) -> str:
        letters, place = list(word), 0
        while place < len(letters) - 1:
            if draw.tosses(self.swap_characters):
                letters[place : place + 2] = letters[place + 1], letters[place]
                place += 1  # what was swapped stays where it is
            place += 1
        return "".join(letters)


def noisy(pairs: Pairs, noise: WordNoise, seed: int) -> Pairs:
    """The pairs with noise on every text; a text that stands twice gets noise of its own twice."""
    columns = [
        _noisy_column(texts, noise, Draw(seed, "noise", side))
        for side, texts in enumerate(pairs.columns)
    ]
    first, second, *negatives = columns
    return Pairs(first, second, pairs.label, pairs.groups, tuple(negatives), pairs.labelled)


def _noisy_column(texts: Sequence[str], noise: WordNoise, draw: Draw) -> Sequence[str]:
    columns = GrowingColumns(1)
    for text in texts:
        columns.append([noise.of(text, draw)])
    (noisy_texts,) = columns.finished()
    return noisy_texts
