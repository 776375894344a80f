"""The texts that a served model is asked for: what each kind of them would bring to light."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from embft.data.dating import generate

_MOST_SHORT = 12
_BATCH = 6
_SHARE_CHANGED = 0.2
_LONGEST = 1100  # tokens: longer ones take seconds each
_SPARE_TOKENS = 24  # that a text is longer than what the model reads

Count = Callable[[str], int]


@dataclass(frozen=True)
class Probes:
    """Texts that a model reads whole, the shortest first, and batches of them.

    equal: of as many tokens each. mixed: of unlike lengths. forms: texts with line breaks, capitals
    and the like.
    """

    short: tuple[str, ...]
    equal: tuple[str, ...]
    mixed: tuple[str, ...]
    forms: tuple[str, ...]


def probes(texts: Sequence[str], count: Count, most_tokens: int | None) -> Probes:
    """Choose from these texts, and the built-in ones where they are few.

    count: how many tokens a text has. most_tokens: how many are read of it.
    """
    wanted = [*texts, *generate().dev.text_1[:_MOST_SHORT]]
    whole = [fitted for text in wanted if (fitted := _fitted(text, count, most_tokens))]
    ordered = sorted(dict.fromkeys(whole[: 2 * _MOST_SHORT]), key=count)
    step = max(1, -(-len(ordered) // _MOST_SHORT))
    short = tuple(dict.fromkeys([*ordered[::step], ordered[-1]]))
    ends = itertools.chain.from_iterable(zip(short, reversed(short), strict=True))
    mixed = tuple(dict.fromkeys(ends))[:_BATCH]
    return Probes(short, _equal(short, count), mixed, _forms(short[len(short) // 2]))


def _fitted(text: str, count: Count, most_tokens: int | None) -> str:
    """The text, without its last words where it would not be read whole."""
    words = text.split()
    if most_tokens is None or count(text) <= most_tokens:
        return text if words else ""
    return " ".join(words[: longest(words, count, most_tokens)])


def longest(words: Sequence[str], count: Count, most_tokens: int) -> int:
    """How many of these words have together no more than so many tokens."""
    low, high = 0, len(words)
    while low < high:
        middle = (low + high + 1) // 2
        if count(" ".join(words[:middle])) <= most_tokens:
            low = middle
        else:
            high = middle - 1
    return low


def _equal(short: Sequence[str], count: Count) -> tuple[str, ...]:
    """Texts of as many tokens each: of the largest group, or one in several orders of its words."""
    groups = [tuple(group) for _, group in itertools.groupby(short, key=count)]
    best = max(groups, key=len)
    if len(best) > 1:
        return best[:_BATCH]
    text = short[-1]
    words = text.split()
    turned = [" ".join(words[i:] + words[:i]) for i in range(len(words))]
    same = [each for each in dict.fromkeys(turned) if count(each) == count(text)]
    return tuple(same[:_BATCH]) if len(same) > 1 else (text, text)


def _forms(text: str) -> tuple[str, ...]:
    words = text.split()
    half = (len(words) + 1) // 2
    lines = f"{' '.join(words[:half])}\n{' '.join(words[half:])}"
    return (text.upper(), lines, f"  {text}  ", f"{text} \N{LEFT DOUBLE QUOTATION MARK}é…")


@dataclass(frozen=True)
class LongText:
    """A text of many words, and how many of them the model reads.

    cut: whether there are more words than it reads.
    """

    words: tuple[str, ...]
    read: int
    cut: bool

    def changed(self, first: int, end: int | None = None) -> str:
        """The text with other words in the place of those from `first` up to `end`."""
        end = len(self.words) if end is None else end
        inside = self.words[first:end]
        moved = [self.words[(i * 7 + 3) % len(self.words)] for i in range(len(inside))]
        return " ".join([*self.words[:first], *reversed(moved), *self.words[end:]])

    @property
    def tail(self) -> int:
        """The first of the last words that are read."""
        return self.read - max(1, int(_SHARE_CHANGED * self.read))


def long_text(texts: Sequence[str], count: Count, most_tokens: int | None) -> LongText:
    """A text longer than the model reads, or of `_LONGEST` tokens where it reads more."""
    limit = min(most_tokens or _LONGEST, _LONGEST)
    words = [word for text in texts for word in text.split()]
    have = list(itertools.islice(itertools.cycle(words), 1))
    while count(" ".join(have)) < limit + _SPARE_TOKENS:
        have = list(itertools.islice(itertools.cycle(words), 2 * len(have)))
    keep = longest(have, count, limit + _SPARE_TOKENS) or len(have)
    read = longest(have, count, limit)
    return LongText(tuple(have[:keep]), read, cut=(most_tokens or limit + 1) <= limit)
