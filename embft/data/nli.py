"""Pairs of natural language inference: entailments as positives, contradictions as negatives.

As in supervised SimCSE (Gao, Yao and Chen, 2021): the anchor is a premise, its positive a
hypothesis that it entails, its hard negative one that it contradicts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from embft.data.files import DataFiles, Given
from embft.data.names import cut
from embft.data.pairs import Pairs
from embft.data.read import read_rows
from embft.data.values import is_missing, text_of
from embft.errors import DataError

_MEANINGS = {
    **dict.fromkeys(("entailment", "0"), "entailment"),
    **dict.fromkeys(("neutral", "1"), "neutral"),
    **dict.fromkeys(("contradiction", "2"), "contradiction"),
    **dict.fromkeys(("-", "", "-1"), "undecided"),
}


@dataclass(frozen=True)
class NliFile:
    """A file of premises, hypotheses and what holds between them.

    label: `entailment`, `neutral` or `contradiction`, or 0, 1, 2 in this order; rows with `-`, -1
    or nothing have no agreed label and are left out. negatives: make triplets, of the premises that
    have both an entailment and a contradiction; else positives, of all that have an entailment.
    """

    path: Given
    premise: str | int = "premise"
    hypothesis: str | int = "hypothesis"
    label: str | int = "label"
    negatives: bool = True

    @property
    def files(self) -> DataFiles:
        """The files that the rows are read from."""
        return DataFiles(self.path)

    def load(self) -> Pairs:
        """A row for each entailment; contradictions take turns. Raises DataError."""
        found: dict[str, dict[str, list[str]]] = {}
        for premise, hypothesis, meaning in self._rows():
            of_premise = found.setdefault(premise, {"entailment": [], "contradiction": []})
            if meaning in of_premise and hypothesis not in of_premise[meaning]:
                of_premise[meaning].append(hypothesis)
        rows = [
            (premise, positive, negatives[i % len(negatives)] if negatives else None)
            for premise, said in found.items()
            for negatives in [said["contradiction"]]
            for i, positive in enumerate(said["entailment"])
            if negatives or not self.negatives
        ]
        if not rows:
            wanted = "both an entailment and a contradiction" if self.negatives else "an entailment"
            raise DataError(
                f"{self.files}: none of its {len(found)} premises has {wanted}. Give a file that "
                f"has them" + (", or set `data.nli.negatives: false`." if self.negatives else ".")
            )
        third = [[negative or "" for *_, negative in rows]] if self.negatives else []
        return Pairs.unlabelled([row[0] for row in rows], [row[1] for row in rows], third)

    def _rows(self) -> Iterator[tuple[str, str, str]]:
        columns = [self.premise, self.hypothesis, self.label]
        for at, (premise, hypothesis, label) in read_rows(self.files, columns, required=3):
            yield (
                text_of(at, self.premise, premise),
                text_of(at, self.hypothesis, hypothesis),
                _meaning(at, self.label, label),
            )


def _meaning(at: object, column: str | int, value: object) -> str:
    # Where some labels are missing, pandas writes the others as 0.0, 1.0 and 2.0.
    key = "" if is_missing(value) else str(value).strip().lower().removesuffix(".0")
    if isinstance(value, bool) or key not in _MEANINGS:
        raise DataError(
            f"{at}, column {column!r}: {cut(value)} is no label of inference; allowed: entailment, "
            f"neutral, contradiction, or 0, 1, 2 in this order; - or -1 where there is none."
        )
    return _MEANINGS[key]
