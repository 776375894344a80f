"""The built-in dataset: whether two people, by what each says of themselves, go together.

Covers its making, which is deterministic and needs no file. Its words are in `dating_phrases.py`.
A model that looks at words alone ranks it backwards: who clashes over a subject names the same
subject, and who goes together says so in different words. Phrasings and part of the topics are
held back from train, so that learning is rewarded and remembering is not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from embft.data.dating_phrases import (
    DISLIKES,
    JOINS,
    LEADS,
    LIKES,
    REFUSES,
    TOPICS,
    WANTS,
)
from embft.data.draw import Draw
from embft.data.pairs import SPLITS, Pairs, Splits
from embft.data.texts import normalise

VERSION: Final = 1

_Subject = tuple[str, str]  # category, subcategory
_SEED = 20_240_611
_SIZES: Final = {"train": 1200, "dev": 300, "test": 1000}
# The stretch of each topic list that a split speaks of: train and test share one topic of four.
_STRETCH: Final = {"train": slice(0, 4), "dev": slice(2, 5), "test": slice(3, 7)}
# How often the two name the very same topic.
_SAME_TOPIC_AGREEING = 0.15
_SAME_TOPIC_CLASHING = 0.6
# Of the subtle mismatches, how many speak of both ways.
_ACROSS = 0.15
_SUBJECTS: Final = [(category, name) for category, names in TOPICS.items() for name in names]
# Of 20 pairs in a row: pair type, label, how many.
_MIX: Final = (
    ("compatible", 1, 5),
    ("incompatible", 0, 5),
    ("dealbreaker", 1, 2),
    ("dealbreaker", 0, 2),
    ("subtle_mismatch", 1, 1),
    ("subtle_mismatch", 0, 1),
    ("complex", 1, 2),
    ("complex", 0, 2),
)


@dataclass(frozen=True)
class _Stance:
    """What somebody holds of one topic."""

    topic: str
    likes: bool


@dataclass(frozen=True)
class _Row:
    text_1: str
    text_2: str
    label: int
    category: str
    subcategory: str
    pair_type: str


def generate() -> Splits:
    """The three splits: 1,200, 300 and 1,000 pairs, half of them compatible (label 1).

    The same on every platform. Groups: category, subcategory, pair_type. No text is in two splits,
    no pair comes twice.
    """
    seen: set[str] = set()
    made = [_as_pairs(_rows(split, _SEED + i, seen)) for i, split in enumerate(SPLITS)]
    return Splits(train=made[0], dev=made[1], test=made[2])


def _rows(split: str, seed: int, seen: set[str]) -> Iterator[_Row]:
    """The pairs of a split, in an order that mixes subjects and labels; their texts join `seen`."""
    author = _Author(split, seed)
    kinds = [(kind, label) for kind, label, count in _MIX for _ in range(count)]
    for _ in range(_SIZES[split] // len(kinds)):
        subjects = author.shuffled(_SUBJECTS)
        for subject, (kind, label) in zip(subjects, author.shuffled(kinds), strict=True):
            yield _fresh(author, seen, subject, kind, label)


def _fresh(author: _Author, seen: set[str], subject: _Subject, kind: str, label: int) -> _Row:
    """A pair of two texts that nobody has said yet, in this split or another."""
    make = _complex if kind == "complex" else _plain
    while True:
        row = make(author, subject, kind, label)
        texts = {normalise(row.text_1), normalise(row.text_2)}
        if len(texts) == 2 and not texts & seen:
            seen |= texts
            return row


def _plain(author: _Author, subject: _Subject, kind: str, label: int) -> _Row:
    """Two people on one subject; with a dealbreaker, one speaks of the partner to be found."""
    first, second = _stances(author, subject, kind, label, likes=author.tosses())
    asks = kind == "dealbreaker"
    texts = author.shuffled([author.says(first), author.says(second, asks)])
    text_1, text_2 = author.led(texts)
    return _Row(text_1, text_2, label, *subject, kind)


def _complex(author: _Author, subject: _Subject, kind: str, label: int) -> _Row:
    """Two people on two or three subjects. Who goes together agrees in all of them, who does not
    in one of three at most.
    """
    count = 3 if author.tosses(0.3) else 2
    others = [other for other in _SUBJECTS if other != subject]
    likes, yields = author.tosses(), count == 3 and author.tosses()
    stances = []
    for number, about in enumerate([subject, *author.shuffled(others)[: count - 1]]):
        agree = int(label or (yields and number == 0))
        stances.append(_stances(author, about, kind, agree, likes))
    sides = zip(*author.shuffled(stances), strict=True)
    text_1, text_2 = author.shuffled([author.joined(side) for side in sides])
    traits = "two_traits" if count == 2 else "three_traits"
    return _Row(text_1, text_2, label, "several", traits, kind)


def _stances(
    author: _Author, subject: _Subject, kind: str, label: int, likes: bool
) -> tuple[_Stance, _Stance]:
    """What two people hold of one subject, agreeing if label is 1.

    Who disagrees mostly names the same topic, and who agrees another topic of the same way, so
    that shared words speak against the pair. Subtle mismatches never share a topic, and a few are
    the hard core: topics of both ways, where who likes both sorts is at odds with the other.
    """
    ways = author.topics(subject)
    way = int(author.tosses())
    topic = author.picks(ways[way])
    subtle = kind == "subtle_mismatch"
    if subtle and author.tosses(_ACROSS):
        across = author.picks(ways[1 - way])
        return _Stance(topic, likes), _Stance(across, likes != bool(label))
    share = 0.0 if subtle else _SAME_TOPIC_AGREEING if label else _SAME_TOPIC_CLASHING
    same = author.tosses(share)
    other = topic if same else author.picks([t for t in ways[way] if t != topic])
    return _Stance(topic, likes), _Stance(other, likes == bool(label))


class _Author(Draw):
    """Writes one split: its phrasings, its topics, its random choices."""

    def __init__(self, split: str, seed: int) -> None:
        super().__init__(seed)
        self.split = split

    def topics(self, subject: _Subject) -> list[list[str]]:
        """The topics of the subject's two ways, as far as this split speaks of them."""
        category, name = subject
        return [way.split(" | ")[_STRETCH[self.split]] for way in TOPICS[category][name]]

    def says(self, stance: _Stance, asks: bool = False) -> str:
        """The stance as a sentence; `asks`: as a demand on the partner."""
        tables = (REFUSES, WANTS) if asks else (DISLIKES, LIKES)
        return self.picks(tables[stance.likes][self.split]).format(stance.topic)

    def joined(self, stances: Sequence[_Stance]) -> str:
        """The stances in one sentence, no phrasing used twice."""
        tables = (DISLIKES, LIKES)
        orders = [self.shuffled(table[self.split]) for table in tables]
        said = [orders[stance.likes].pop().format(stance.topic) for stance in stances]
        text = said[0]
        for more in said[1:]:
            text += self.picks(JOINS[self.split]) + _lower(more)
        return text

    def led(self, texts: Sequence[str]) -> list[str]:
        """The texts, half of them with a beginning, each with another."""
        leads = self.shuffled(LEADS[self.split])
        return [leads.pop() + _lower(text) if self.tosses() else text for text in texts]


def _lower(text: str) -> str:
    """The sentence as it stands after others: its first letter small, but for "I"."""
    return text if text.startswith(("I ", "I'")) else text[0].lower() + text[1:]


def _as_pairs(rows: Iterator[_Row]) -> Pairs:
    found = list(rows)
    return Pairs(
        [row.text_1 for row in found],
        [row.text_2 for row in found],
        np.array([row.label for row in found], np.float64),
        {
            name: [getattr(row, name) for row in found]
            for name in ("category", "subcategory", "pair_type")
        },
    )
