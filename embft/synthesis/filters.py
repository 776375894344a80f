"""Which answers are not taken as another way to say a text, and why."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from embft.data.texts import normalise
from embft.errors import EmbftError, nearest

SURE = 0.5
"""A language is named only where it is more likely than all others together.

Measured on real English: 2 of 3,000 question titles full of product names and none of 2,000
customer questions were then taken for another language.
"""
SIMILAR = 0.7
"""A word more in a question of five is too similar, other words for half of it are not."""
THOUGHTS, THOUGHTS_END = "<think>", "</think>"
"""What models that think before they answer put around their thoughts."""
_WORD = re.compile(r"[^\W_]")


@dataclass(frozen=True)
class Filter:
    """max_similarity: from which similarity on an answer is too similar; None: only equal ones are.

    language: the code that an answer must not clearly differ from; None: any language will do.
    """

    max_similarity: float | None
    language: str | None

    def reason(self, text: str, answer: str) -> str | None:
        """Why the answer is not taken, in one word, or None when it is."""
        if not _WORD.search(answer):
            return "empty"
        if answer.startswith(THOUGHTS):
            return "unfinished"
        if normalise(answer) == normalise(text):
            return "identical"
        if self.max_similarity is not None and similarity(text, answer) >= self.max_similarity:
            return "too_similar"
        if self.language is not None and language_of(answer) not in {None, self.language}:
            return "off_language"
        return None


def choose_filter(
    texts: Sequence[str], max_similarity: float | None, language: str | None, *, by_rule: bool
) -> Filter:
    """The filter asked for. Without a similarity SIMILAR, without a language that of most texts
    (`any`: none). Answers by a rule are like their texts by nature and need neither. Raises
    EmbftError.
    """
    if by_rule:
        language = language or "any"
    elif max_similarity is None:
        max_similarity = SIMILAR
    if language not in {None, "any", *known_languages()}:
        raise EmbftError(
            f"--language {language}: {nearest(str(language), ['any', *known_languages()])}"
        )
    wanted = main_language(texts) if language is None else language
    return Filter(max_similarity, None if wanted == "any" else wanted)


def similarity(one: str, other: str) -> float:
    """Jaccard similarity of the texts' three-letter pieces, without case and punctuation."""
    first, second = _pieces(one), _pieces(other)
    return len(first & second) / len(first | second)


def _pieces(text: str) -> set[str]:
    padded = f" {normalise(text)} "
    return {padded[i : i + 3] for i in range(max(len(padded) - 2, 1))}


def language_of(text: str) -> str | None:
    """The code of the text's language, or None where it is uncertain."""
    code, confidence = _identifier().classify(text)
    return str(code) if confidence > SURE else None


def main_language(texts: Sequence[str]) -> str | None:
    """The language of most of the texts whose language is certain."""
    found = Counter(code for code in map(language_of, texts[:1000]) if code)
    return found.most_common(1)[0][0] if found else None


def known_languages() -> list[str]:
    """The codes of the languages that are distinguished."""
    return list(_identifier().labels)


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
