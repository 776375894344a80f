"""Whether what is served is the model, and where it is not, which fault it has.

Works on any function from texts to embeddings: a server, another format. It is asked for texts
alone, in batches of equal and of mixed length, for long ones, and with prompts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from embft.errors import EmbftError
from embft.shipping.endpoint import RefusedError
from embft.shipping.probes import LongText, Probes, long_text, longest, probes
from embft.shipping.reading import OWN, Original, Reading

Embeddings = npt.NDArray[np.float32]
Distances = npt.NDArray[np.float64]
Embed = Callable[[Sequence[str]], Embeddings]

# Distances are between embeddings scaled to length 1. Other kernels and libraries in float32 move
# them by some 1e-6, float16 by 1e-3, bfloat16 by 1e-2, 8 bits by 0.1; another model by about 1.
TOLERANCE, TOLERANCE_16_BIT = 2e-4, 5e-2
_COARSE = 0.35  # beyond this it is not a matter of precision
_SAME = 1e-4  # one server's embeddings of inputs that it reads as one
_LENGTHS = 0.02  # by which share lengths may differ
_BETTER = 0.5  # a fault is named where the distance with it is less than so much of that without
_COMPARED = 6  # texts that every reading is tried on

POOLING_WORDS = {
    "mean": "the mean of all tokens",
    "cls": "the first token (cls)",
    "lasttoken": "the last token",
    "max": "the maximum over the tokens",
    "weightedmean": "the mean weighted by place",
    "text_mean": "the mean of the text's own tokens",
}


@dataclass(frozen=True)
class Finding:
    """One fault. difference: the largest distance of embeddings that shows it, None where it shows
    otherwise.
    """

    fault: str
    message: str
    difference: float | None = None


@dataclass(frozen=True)
class Examination:
    """What was found. difference: the median distance of texts alone from the model's own
    embeddings. texts: how many were asked for.
    """

    findings: tuple[Finding, ...]
    difference: float
    texts: int


def examine(
    embed: Embed, original: Original, texts: Sequence[str], tolerance: float
) -> Examination:
    """Ask for embeddings of these texts and others, and compare with the reference's.

    Raises EmbftError where no embeddings come.
    """
    asked = _Asked(embed, tolerance)
    chosen = probes(texts, original.count_tokens, original.max_tokens)
    long = long_text([*texts, *chosen.short], original.count_tokens, original.max_tokens)
    findings = [*_dimensions(asked, original, chosen)]
    if findings:
        return Examination(tuple(findings), float("inf"), asked.count)
    cut = [*_truncation(asked, original, long)]
    short = _within(chosen.short, original, asked.read_tokens)
    served = asked.alone(short)
    reading, left = _reading(served, original, short)
    difference = float(np.median(distances(served, original.embed(short))))
    if not _explains(reading, left, asked, original, long):
        findings += cut
    findings += _reading_faults(reading, original, difference)
    findings += _precision(left, served, asked)
    if left <= _COARSE:
        findings += _normalisation(served, original.embed(short, reading), asked)
    findings += _batches(asked, chosen, left)
    if reading == OWN and left <= asked.tolerance:
        findings += _forms(asked, original, chosen)
        findings += _prompts(asked, original, short)
    return Examination(tuple(findings), difference, asked.count)


@dataclass
class _Asked:
    """What is served, and what is known of it so far. read_tokens: of a text, where it is less than
    the model reads.
    """

    embed: Embed
    tolerance: float
    read_tokens: int | None = None
    count: int = 0
    known: dict[str, Embeddings] = field(default_factory=dict)

    def alone(self, texts: Sequence[str]) -> Embeddings:
        """Each text in a request of its own, shape (n, width)."""
        for text in texts:
            if text not in self.known:
                self.known[text] = self.batch([text])[0]
        return np.stack([self.known[text] for text in texts])

    def batch(self, texts: Sequence[str]) -> Embeddings:
        """Embed all texts in one request, shape (texts, dimensions)."""
        self.count += len(texts)
        found = self.embed(texts)
        if not np.isfinite(found).all():
            raise EmbftError("embeddings came back that are not finite numbers")
        return found

    def same(self, one: str, other: str) -> bool:
        """Whether it reads two texts as one."""
        first, second = self.alone([one, other])
        return bool(distances(first[None], second[None])[0] <= _SAME)


def distances(one: Embeddings, other: Embeddings) -> Distances:
    """Between embeddings scaled to length 1, row by row, shape (n,)."""
    found: Distances = np.linalg.norm(_unit(one) - _unit(other), axis=1)
    return found


def _unit(embeddings: Embeddings) -> npt.NDArray[np.float64]:
    vectors = embeddings.astype(np.float64)
    scaled: npt.NDArray[np.float64] = vectors / np.maximum(
        np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12
    )
    return scaled


def _within(texts: Sequence[str], original: Original, most: int | None) -> list[str]:
    """The texts that are not cut; where all are, the first words of the shortest one."""
    whole = [text for text in texts if most is None or original.count_tokens(text) <= most]
    if whole or most is None:
        return whole
    words = texts[0].split()
    return [" ".join(words[: max(1, longest(words, original.count_tokens, most))])]


def _dimensions(asked: _Asked, original: Original, chosen: Probes) -> Iterator[Finding]:
    texts = chosen.short[-_COMPARED:]
    served, own = asked.alone(texts), original.embed(texts)
    width, expected = served.shape[1], own.shape[1]
    if width == expected:
        return
    cut = width < expected and np.median(distances(served, own[:, :width])) <= asked.tolerance
    how = ": they are the first ones of the model's" if cut else ""
    yield Finding("dimensions", f"{width} numbers a text, where the model gives {expected}{how}")


def _truncation(asked: _Asked, original: Original, long: LongText) -> Iterator[Finding]:
    """Which words of a long text change its embedding tells how many of them are read."""
    whole, count = " ".join(long.words), original.count_tokens
    try:
        asked.alone([whole])
    except RefusedError as error:
        yield Finding("truncation", f"a text of {count(whole):,} tokens is refused ({error})")
        return
    if asked.same(whole, long.changed(long.tail, long.read)):
        read = _last_read(asked, long)
        asked.read_tokens = count(" ".join(long.words[:read]))
        yield Finding(
            "truncation",
            f"no more than about {asked.read_tokens:,} tokens of a text are read, where the model "
            f"reads {_tokens(original, long)}",
        )
    elif long.cut and not asked.same(whole, long.changed(long.read + 1)):
        yield Finding(
            "truncation",
            f"what stands after the model's {original.max_tokens:,} tokens changes the embedding: "
            "it reads more of a text than the model, or cuts at the other end",
        )


def _tokens(original: Original, long: LongText) -> str:
    if long.cut:
        return f"{original.max_tokens:,}"
    return f"at least {original.count_tokens(' '.join(long.words)):,}"


def _last_read(asked: _Asked, long: LongText) -> int:
    """How many words it reads, by halving."""
    low, high = 1, long.read
    while low < high:
        middle = (low + high) // 2
        if asked.same(" ".join(long.words), long.changed(middle)):
            high = middle
        else:
            low = middle + 1
    return low


def _reading(served: Embeddings, original: Original, texts: Sequence[str]) -> tuple[Reading, float]:
    """The reading that fits best, and the median distance from it.

    Among readings that fit as well the one with the fewest faults.
    """
    some = slice(None, None, max(1, len(texts) // _COMPARED))
    few, theirs = texts[some], served[some]
    own = float(np.median(distances(theirs, original.embed(few))))
    if own <= TOLERANCE:
        return OWN, own
    found = [
        (reading, float(np.median(distances(theirs, original.embed(few, reading)))))
        for reading in original.readings()
    ]
    best = min(distance for _, distance in found)
    fits = next(pair for pair in found if pair[1] <= max(TOLERANCE, 1.25 * best))
    return fits if fits[1] < _BETTER * own else (OWN, own)


def _explains(
    reading: Reading, left: float, asked: _Asked, original: Original, long: LongText
) -> bool:
    """Whether a text that is cut elsewhere follows from tokens that are missing around it."""
    whole = " ".join(long.words)
    if reading == OWN or whole not in asked.known:
        return False
    apart = distances(asked.alone([whole]), original.embed([whole], reading))
    return bool(apart[0] <= max(asked.tolerance, 3 * left))


def _reading_faults(reading: Reading, original: Original, size: float) -> Iterator[Finding]:
    for name, value in reading.faults.items():
        yield Finding(*_READING_WORDS[name](value, original), difference=size)


def _weights_words(_: str, __: Original) -> tuple[str, str]:
    return "weights", "these are the base model's embeddings: what was trained is not served"


def _token_words(value: str, _: Original) -> tuple[str, str]:
    return {
        "no_template": ("prompt", "the template around each text is missing"),
        "no_special": ("prompt", "no special tokens and no template stand around a text"),
        "all_padding": ("padding", "texts are padded, and the padding is read as text"),
    }[value]


def _prompt_words(value: str, original: Original) -> tuple[str, str]:
    default = original.default_prompt
    if value == "none":
        return "prompt", f"the model's own prompt {default!r} is not put before texts"
    if value == "twice":
        return "prompt", f"the model's own prompt {default!r} stands before texts twice"
    return "prompt", f"the prompt {original.prompts[value]!r} ({value}) is put before every text"


def _pooling_words(value: str, original: Original) -> tuple[str, str]:
    own = original.pooling
    return "pooling", (
        f"an embedding is {POOLING_WORDS[value]}, where the model takes "
        f"{POOLING_WORDS.get(own, own)}"
    )


_READING_WORDS = {
    "weights": _weights_words,
    "tokens": _token_words,
    "prompt": _prompt_words,
    "pooling": _pooling_words,
}


def _precision(left: float, served: Embeddings, asked: _Asked) -> Iterator[Finding]:
    """What no reading explains."""
    if left <= asked.tolerance:
        return
    if left > _COARSE:
        yield Finding(
            "unknown",
            "the embeddings are others, and none of the known faults explains them: another "
            "model, or other files of this one",
            left,
        )
        return
    digits = next((d for d in range(1, 5) if _rounded(served, d)), None)
    like = (
        f"numbers rounded to {digits} digits after the point"
        if digits
        else "8 bits or fewer"
        if left > 3e-2
        else "16 bits (bfloat16)"
        if left > 3e-3
        else "16 bits (float16) or reduced products"
    )
    yield Finding("precision", f"all embeddings are a little off, as from {like}", left)


def _rounded(served: Embeddings, digits: int) -> bool:
    scaled = served.astype(np.float64) * 10**digits
    return bool(np.abs(scaled - np.round(scaled)).max() < 1e-3 * 10 ** (digits - 3) + 1e-4)


def _normalisation(served: Embeddings, own: Embeddings, asked: _Asked) -> Iterator[Finding]:
    theirs, ours = (np.linalg.norm(each.astype(np.float64), axis=1) for each in (served, own))
    if np.abs(theirs / np.maximum(ours, 1e-12) - 1).max() <= max(_LENGTHS, asked.tolerance):
        return
    unit = np.abs(theirs - 1).max() <= _LENGTHS
    done = np.abs(ours - 1).max() <= _LENGTHS
    lengths = f"lengths {theirs.min():.2g} to {theirs.max():.2g}"
    if unit and not done:
        text = "embeddings are scaled to length 1, which the model does not do"
    elif done:
        text = f"embeddings are not scaled to length 1, as the model does ({lengths})"
    else:
        text = f"{lengths}, where the model's are {ours.min():.2g} to {ours.max():.2g}"
    yield Finding("normalisation", text)


def _batches(asked: _Asked, chosen: Probes, left: float) -> Iterator[Finding]:
    """A text's embedding must not depend on the texts beside it."""
    allowed = max(asked.tolerance, 3 * left)
    for kind, texts in (("equal", chosen.equal), ("mixed", chosen.mixed)):
        alone, together = asked.alone(texts), asked.batch(texts)
        apart = distances(together, alone)
        if apart.max() <= allowed:
            continue
        crossed = np.stack([distances(np.repeat(t[None], len(alone), 0), alone) for t in together])
        if crossed.min(axis=1).max() <= allowed:
            yield Finding("order", "embeddings of a batch come back in another order")
        elif kind == "mixed":
            yield Finding(
                "padding",
                f"in a batch of mixed lengths {int((apart > allowed).sum())} of {len(texts)} texts "
                "get other embeddings than alone: padding is read as text (the attention mask)",
                float(apart.max()),
            )
        else:
            yield Finding(
                "batch",
                "texts of equal length get other embeddings in a batch than alone",
                float(apart.max()),
            )
        return


def _forms(asked: _Asked, original: Original, chosen: Probes) -> Iterator[Finding]:
    """Capitals, line breaks, spaces: what a server may change in a text before it is read."""
    texts = _within(chosen.forms, original, asked.read_tokens)
    apart = distances(asked.alone(texts), original.embed(texts))
    for text, distance in zip(texts, apart.tolist(), strict=True):
        if distance > asked.tolerance:
            shown = text if len(text) <= 60 else f"{text[:59]}…"
            yield Finding("text", f"texts are changed before they are read: {shown!r}", distance)
            return


def _prompts(asked: _Asked, original: Original, short: Sequence[str]) -> Iterator[Finding]:
    """A prompt that the user puts before a text."""
    for name, prompt in original.prompts.items():
        text = short[len(short) // 2]
        served = asked.alone([prompt + text])
        apart = float(distances(served, original.prompted(text, name)[None])[0])
        if apart > asked.tolerance and not original.default_prompt:
            yield Finding(
                "prompt",
                f"with the prompt {prompt!r} ({name}) before a text the embedding is another one: "
                "the model leaves the prompt's tokens out of its pooling",
                apart,
            )
            return
