"""The ways from a text to another that says nearly the same: functions of lists of texts.

A generator gets texts and the number of the attempt (from 0), and returns an answer for each text.
It draws everything from seed, text and attempt, so that an answer depends neither on the texts
beside it nor on what ran before. The rules need no model; those with models are in `language.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from embft.data.draw import Draw
from embft.data.word_noise import WordNoise
from embft.errors import EmbftError

Generate = Callable[[Sequence[str], int], list[str]]
"""Texts and the attempt -> an answer for each."""

RULES = {
    "noise": WordNoise(),
    "deletion": WordNoise(delete_words=0.2, swap_words=0, swap_characters=0),
    "swap": WordNoise(delete_words=0, swap_words=2, swap_characters=0),
}
MODELS = {"rewrite": 1, "queries": 1, "back-translate": 2}
"""The methods with models, and how many folders each takes."""


@dataclass(frozen=True)
class Settings:
    """What decides the answers.

    models: folders; of back-translation one to the other language and one back.
    max_new_tokens: of an answer.
    temperature, top_p: of sampling (Holtzman et al., 2020).
    """

    method: str
    models: tuple[Path, ...] = ()
    seed: int = 42
    temperature: float = 0.6
    top_p: float = 0.9
    max_new_tokens: int = 100

    @property
    def by_rule(self) -> bool:
        """Whether the method needs no model."""
        return self.method in RULES


def make(settings: Settings) -> Generate:
    """The generator of these settings. Raises ModelError when a model cannot be loaded."""
    return GENERATORS[settings.method](settings)


def check_models(settings: Settings) -> None:
    """Refuse a number of models that the method does not take."""
    wanted = MODELS.get(settings.method, 0)
    if len(settings.models) != wanted:
        what = {
            0: "needs no model",
            1: "needs one model's folder (--model FOLDER)",
            2: "needs two models' folders, there and back (--model FOLDER --model FOLDER)",
        }
        raise EmbftError(
            f"method {settings.method} {what[wanted]}; {len(settings.models)} were given"
        )


def stream(settings: Settings, text: str, attempt: int) -> Draw:
    """The random choices for one text."""
    return Draw(settings.seed, settings.method, attempt, text)


def stream_seed(settings: Settings, text: str, attempt: int) -> int:
    """A seed for one text, below 2**63."""
    parts = (settings.seed, settings.method, attempt, text)
    digest = hashlib.sha256(repr(parts).encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def _rule(settings: Settings) -> Generate:
    noise = RULES[settings.method]

    def generate(texts: Sequence[str], attempt: int) -> list[str]:
        return [noise.of(text, stream(settings, text, attempt)) for text in texts]

    return generate


def _rewrite(settings: Settings) -> Generate:
    from embft.synthesis.language import rewriter

    return rewriter(settings)


def _queries(settings: Settings) -> Generate:
    from embft.synthesis.language import questioner

    return questioner(settings)


def _back_translate(settings: Settings) -> Generate:
    from embft.synthesis.language import back_translator

    return back_translator(settings)


GENERATORS: dict[str, Callable[[Settings], Generate]] = {
    "rewrite": _rewrite,
    "queries": _queries,
    "back-translate": _back_translate,
    **dict.fromkeys(RULES, _rule),
}
