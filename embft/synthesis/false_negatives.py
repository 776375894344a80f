"""How many mined negatives may be answers that nobody has judged, with examples.

Two figures, neither of which sees dev or test. Texts that the model scores nearly as high as the
positive are likely answers. And where queries have several positives, each is hidden in turn: the
share that would have been taken as negatives is what happens to an answer that was not judged.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from embft.data.audit.findings import EXAMPLES, MINED, Finding, sample, shorten
from embft.spec.negatives import NegativesSpec
from embft.synthesis.hard_negatives import LIKELY, Encoded, Question, Taken

SAMPLED = 1000
"""Queries that are looked at, drawn evenly."""
_SCORES = 50_000_000
_WARNED = 0.1

Example = dict[str, Any]
Scores = npt.NDArray[np.float32]


@dataclass
class Estimate:
    """queries: how many were looked at. candidates: texts within the range for them; left_out: of
    these, those beyond the margin. hidden: positives that were hidden, and would: how many of them
    would have been taken. taken, likely: negatives, and those of them at `LIKELY` of the positive's
    score or more.
    """

    queries: int = 0
    candidates: int = 0
    left_out: int = 0
    hidden: int = 0
    would: float = 0.0
    taken: int = 0
    likely: int = 0
    examples: list[tuple[float, Example]] = field(default_factory=list)

    def shown(self) -> tuple[Example, ...]:
        """The examples nearest to their queries."""
        ranked = sorted(self.examples, key=lambda each: -each[0])
        return tuple(example for _, example in ranked[:EXAMPLES])


def estimate(
    question: Question, encoded: Encoded | None, rule: NegativesSpec, taken: Taken
) -> Estimate:
    """Of what was mined. encoded: the vectors, where their cosines were the scores."""
    found = Estimate()
    for query, negatives in taken.negatives.items():
        bar = _bar(taken.least(query), LIKELY)
        found.taken += len(negatives)
        found.likely += sum(score > bar for _, score in negatives)
    rows = sample(len(question.queries), SAMPLED).tolist()
    found.queries = len(rows)
    first_row = {query: row for row, query in reversed([*enumerate(question.rows, 1)])}
    for query, texts, scores in _scored(question, encoded, rows):
        _look(found, _Query(question, query, first_row[query], texts, scores), rule)
    return found


def _scored(
    question: Question, encoded: Encoded | None, rows: Sequence[int]
) -> Iterator[tuple[str, dict[str, int], Scores]]:
    """Each query, where its positives and its own text stand, and its scores (t,) of all texts."""
    if encoded is None:
        return
    place = {text: i for i, text in enumerate(question.texts)}
    size = max(1, _SCORES // len(question.texts))
    for start in range(0, len(rows), size):
        part = list(rows[start : start + size])
        scores = encoded.queries[part] @ encoded.texts.T
        for row, own in zip(part, scores, strict=True):
            query = question.queries[row]
            yield query, {text: place[text] for text in question.related[query]}, own


@dataclass(frozen=True)
class _Query:
    question: Question
    text: str
    row: int
    related: dict[str, int]
    scores: Scores

    def example(self, text: int, positive: float) -> Example:
        return {
            "split": "train",
            "row": self.row,
            "text_1": shorten(self.text),
            "text_2": shorten(self.question.texts[text]),
            "score": round(float(self.scores[text]), 4),
            "score_of_the_positive": round(positive, 4),
        }


def _look(found: Estimate, query: _Query, rule: NegativesSpec) -> None:
    """Add one query to the estimate."""
    positives = [query.related[text] for text in query.question.positives(query.text)]
    others = query.scores.copy()
    others[list(query.related.values())] = -np.inf
    least = float(query.scores[positives].min())
    near = np.argpartition(-others, min(rule.range[1], len(others) - 1))[: rule.range[1]]
    near = near[np.isfinite(others[near])]
    beyond = near[others[near] > _bar(least, rule.margin or LIKELY)]
    found.candidates += len(near)
    found.left_out += 0 if rule.margin is None else len(beyond)
    for text in beyond[np.argsort(-others[beyond])][:1].tolist():
        found.examples.append((float(others[text]), query.example(text, least)))
    for hidden in positives if len(positives) > 1 else ():
        left = [text for text in positives if text != hidden]
        found.hidden += 1
        found.would += _chance(others, query.scores, hidden, left, rule)


def _chance(
    others: Scores, scores: Scores, hidden: int, left: Sequence[int], rule: NegativesSpec
) -> float:
    """How likely a text is taken as a negative if only the positives that are left are known."""
    allowed = np.inf if rule.margin is None else _bar(float(scores[list(left)].min()), rule.margin)
    score = scores[hidden]
    if score > allowed:
        return 0.0
    rank = int(((others > score) & (others <= allowed)).sum())
    first, last = rule.range
    if rule.sampling == "top":
        return float(first <= rank < first + rule.number)
    return rule.number / (last - first) if first <= rank < last else 0.0


def _bar(score: float, share: float) -> float:
    """The score below which the miner takes a text, for this score of the positive."""
    return score - abs(score) * (1 - share)


def finding(made: Estimate, rule: NegativesSpec, drawn: int, rows: int, total: int) -> Finding:
    """What an audit says of it. drawn: negatives drawn at random; rows: of train with negatives, of
    `total`.
    """
    count = rows * rule.number
    share = made.would / made.hidden if made.hidden else 0.0
    likely = made.likely / max(made.taken, 1)
    said = [f"{rule.number} negatives were mined for each of {rows:,} train pairs."]
    if drawn:
        said.append(f"{drawn:,} of the {count:,} were drawn at random, where too few were found.")
    if rows < total:
        said.append(f"{total - rows:,} pairs to which every text belongs are left out.")
    said += _said(made, rule, share)
    return Finding(
        MINED,
        "warning" if max(share, likely) >= _WARNED else "info",
        made.likely,
        max(made.taken, 1),
        " ".join(said),
        "Answers that nobody judged count as negatives where they are taken, and are pushed away "
        "from their queries.",
        "Lower data.negatives.margin, begin data.negatives.range later, or let a cross_encoder "
        "judge."
        if max(share, likely) >= _WARNED
        else "Look at the examples: if they answer their query, lower data.negatives.margin.",
        made.shown(),
        {
            "number": rule.number,
            "drawn_at_random": drawn,
            "likely_answers_left_out": made.left_out,
            "positives_hidden": made.hidden,
            "taken_if_not_judged": round(share, 4),
        },
    )


def _said(made: Estimate, rule: NegativesSpec, share: float) -> Iterator[str]:
    if rule.margin is not None and made.candidates:
        yield (
            f"Of {made.candidates:,} candidates of {made.queries:,} queries {made.left_out:,} "
            f"score above {rule.margin:g} of the positive: they may be answers and were left out."
        )
    if made.likely:
        yield (
            f"{made.likely:,} of the {made.taken:,} taken score above {LIKELY:g} of the positive: "
            "they may be answers."
        )
    if made.hidden:
        yield (
            f"Of {made.hidden:,} positives beside others of their query {share:.0%} would have "
            "been taken as negatives if nobody had judged them."
        )
