"""A small corpus with queries and judgements in BEIR's format, written for a test."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

_THINGS = ["dogs", "cats", "tea", "coffee", "music", "films"]
_VERBS = ["like", "love", "hate", "never", "always"]
DOCUMENTS = [f"i {v} {one} and {other}" for v in _VERBS for one in _THINGS for other in _THINGS][
    :60
]
QUERIES = [f"you {_VERBS[i % 5]} {_THINGS[i % 6]} not {_THINGS[i // 6 % 6]}" for i in range(40)]


def judgements(rows: Sequence[int]) -> list[tuple[str, str, int]]:
    """Two relevant documents, of grade 2 and 1, and one that is not, of each of these queries."""
    return [
        (f"q{i}", f"d{(i + step) % len(DOCUMENTS)}", grade)
        for i in rows
        for step, grade in ((3, 2), (23, 1), (41, 0))
    ]


def write_beir(
    folder: Path, splits: Mapping[str, Sequence[int]], *, title: str | None = None
) -> Path:
    """Write corpus, queries, and judgements of these queries in each split."""
    (folder / "qrels").mkdir(parents=True)
    heading = {} if title is None else {"title": title}
    _lines(
        folder / "corpus.jsonl",
        [{"_id": f"d{i}", **heading, "text": t} for i, t in enumerate(DOCUMENTS)],
    )
    _lines(
        folder / "queries.jsonl",
        [{"_id": f"q{i}", "text": t, "kind": t.split()[1]} for i, t in enumerate(QUERIES)],
    )
    for split, rows in splits.items():
        lines = ["query-id\tcorpus-id\tscore", *("\t".join(map(str, j)) for j in judgements(rows))]
        (folder / "qrels" / f"{split}.tsv").write_text("\n".join(lines) + "\n")
    return folder


def _lines(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
