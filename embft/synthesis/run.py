"""Rounds of generating, judging and trying again; then the pairs and the counts.

Covers the order of things. A round asks for an answer to every text that has none that was taken;
what it takes depends on the answers alone, so that a run that was killed and goes on from the cache
ends with the same pairs.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from embft.data.pairs import Pairs, write_jsonl
from embft.data.texts import normalise
from embft.errors import EmbftError
from embft.models.resolve import content_digest
from embft.storage.files import write_atomic
from embft.synthesis.cache import Cache, writing
from embft.synthesis.filters import Filter
from embft.synthesis.generators import Generate, Settings, check_models, make

VERSION = 2
"""Raise it when a change of ours makes a generator give other answers."""
EXAMPLES = 5

Progress = Callable[[int, int, int], None]
"""Attempt (from 0), answers so far in it, answers that it wants."""


@dataclass
class Judged:
    """What was taken and what was not.

    taken: text -> answer. attempts: how many were taken at which attempt, from 1. rejected: answers
    by reason. last: text without a pair -> reason and answer of the last attempt. known: normalised
    answers that were taken.
    """

    taken: dict[str, str] = field(default_factory=dict)
    attempts: Counter[int] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    last: dict[str, tuple[str, str]] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)


def synthesize(  # noqa: PLR0913 - what goes in, how, where to, and bounds
    given: Sequence[str],
    out: Path,
    settings: Settings,
    kept: Filter,
    *,
    retries: int = 5,
    batch_size: int = 16,
    limit: int | None = None,
    progress: Progress = lambda *_: None,
) -> dict[str, Any]:
    """Write the pairs (text, answer) as jsonl positives, and return the counts beside them.

    Beside `out` stand the counts (.counts.json) and the answers so far (.cache.jsonl), from which
    the same call goes on. A text whose answers were all rejected has no pair: never is a text its
    own positive. Raises EmbftError.
    """
    check_models(settings)
    _check_out(out)
    texts = list(dict.fromkeys(given))[:limit]
    digests = [content_digest(folder) for folder in settings.models]
    identity = {**asdict(settings), "models": digests, "version": VERSION}
    cache_file = out.with_suffix(".cache.jsonl")
    with writing(cache_file):
        cache = Cache(cache_file, identity)
        judged = _rounds(texts, lazy(settings), cache, kept, retries, batch_size, progress)
        answers = [judged.taken[text] for text in texts if text in judged.taken]
        asked = [text for text in texts if text in judged.taken]
        _write(Pairs.unlabelled(asked, answers), out)
        counts = {
            **identity,
            "models": [str(folder) for folder in settings.models],
            "model_digests": digests,
            **asdict(kept),
            "retries": retries,
            **_counts(texts, judged),
        }
        write_atomic(_counts_file(out), json.dumps(counts, indent=1, ensure_ascii=False))
    if not asked:
        raise EmbftError(
            f"{out}: every answer was rejected, so there are no pairs; {_counts_file(out)} shows "
            f"some of them, and why"
        )
    return counts


def _check_out(out: Path) -> None:
    if out.suffix != ".jsonl":
        raise EmbftError(f"{out}: pairs are written as JSON lines; give a name ending in .jsonl")


def _counts_file(out: Path) -> Path:
    return out.with_suffix(".counts.json")


def lazy(settings: Settings) -> Generate:
    """A generator that loads its models when it is first asked: with a full cache, never."""
    made: list[Generate] = []

    def generate(texts: Sequence[str], attempt: int) -> list[str]:
        if not made:
            made.append(make(settings))
        return made[0](texts, attempt)

    return generate


def _rounds(  # noqa: PLR0913, PLR0917 - the loop's parts
    texts: Sequence[str],
    generate: Generate,
    cache: Cache,
    kept: Filter,
    retries: int,
    batch_size: int,
    progress: Progress,
) -> Judged:
    judged = Judged()
    for attempt in range(retries + 1):
        wanted = [text for text in texts if text not in judged.taken]
        if not wanted:
            break
        fill(wanted, attempt, generate, cache, batch_size, progress)
        for text in wanted:
            _judge(judged, kept, text, cache.found[attempt, text], attempt)
    return judged


def fill(  # noqa: PLR0913, PLR0917 - see _rounds
    wanted: Sequence[str],
    attempt: int,
    generate: Generate,
    cache: Cache,
    batch_size: int,
    progress: Progress,
) -> None:
    """Have an answer to every wanted text in the cache."""
    # Texts of like length together, so that little of a batch is padding.
    missing = sorted((t for t in wanted if (attempt, t) not in cache.found), key=len)
    done = len(wanted) - len(missing)
    progress(attempt, done, len(wanted))
    for batch in _batches(missing, batch_size):
        cache.add(attempt, batch, generate(batch, attempt))
        done += len(batch)
        progress(attempt, done, len(wanted))


def _batches(texts: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    yield from (texts[start : start + size] for start in range(0, len(texts), size))


def _judge(judged: Judged, kept: Filter, text: str, answer: str, attempt: int) -> None:
    reason = kept.reason(text, answer)
    if reason is None and normalise(answer) in judged.known:
        reason = "repeated"
    if reason is None:
        judged.taken[text] = answer
        judged.attempts[attempt + 1] += 1
        judged.known.add(normalise(answer))
        judged.last.pop(text, None)
    else:
        judged.rejected[reason] += 1
        judged.last[text] = (reason, answer)


def _write(pairs: Pairs, out: Path) -> None:
    temporary = out.with_name(f".{out.name}.tmp")
    write_jsonl(pairs, temporary)
    write_atomic(out, temporary.read_bytes())
    temporary.unlink()


def _counts(texts: Sequence[str], judged: Judged) -> dict[str, Any]:
    """texts, kept; dropped: texts without a pair, by the reason of their last answer; rejected:
    answers; kept_at_attempt: which attempt brought the pair; examples of what was dropped.
    """
    dropped = Counter(reason for reason, _ in judged.last.values())
    examples: dict[str, list[dict[str, str]]] = {}
    for text, (reason, answer) in judged.last.items():
        shown = examples.setdefault(reason, [])
        if len(shown) < EXAMPLES:
            shown.append({"text": text, "answer": answer})
    return {
        "texts": len(texts),
        "kept": len(judged.taken),
        "dropped": dict(sorted(dropped.items())),
        "rejected_answers": dict(sorted(judged.rejected.items())),
        "kept_at_attempt": {str(n): count for n, count in sorted(judged.attempts.items())},
        "examples": examples,
    }
