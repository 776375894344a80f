"""What fine-tuning did to the test queries of a retriever: before and after, query by query.

Covers the base model and the configuration that charts are about, and each corpus that they rank:
values of one metric by query, by group and by length, and queries with what was found for them.
Ranks and draws nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from embft.data.column import take
from embft.data.retrieval import Judged
from embft.leaderboard.corpora import RankedCorpus, ranked_corpora
from embft.leaderboard.labels import config_label, metric_label, number
from embft.leaderboard.rows import Leaderboard, Row
from embft.leaderboard.unit_values import read_units
from embft.metrics.contrast import Contrast, contrast, level_of_each
from embft.results.retrieved import Retrieved, read_retrieved
from embft.results.units import UnitValues
from embft.spec.names import one_line

FloatArray = npt.NDArray[np.float64]
USUAL = "ndcg_at_10"
SPLIT = "test"
_ONLY = "the fine-tuned model"
_SAME = 1e-9  # values that differ by no more are equal
_MOST_VALUES = 24
_PARTS = 4  # of queries by their length


@dataclass(frozen=True)
class QueryScores:
    """One metric of n test queries of a corpus. before: of the base model, None where it was not
    scored; after: of the configuration `label`. texts, groups: of the queries, in the same order.
    """

    corpus: RankedCorpus
    metric: str
    label: str
    ids: tuple[str, ...]
    texts: tuple[str, ...]
    groups: Mapping[str, tuple[str, ...]]
    before: UnitValues | None
    after: UnitValues

    @property
    def title(self) -> str:
        """What the queries are, with the evaluator that they belong to."""
        return f"test queries of {self.corpus.name}" if self.corpus.name else "test queries"

    @cached_property
    def change(self) -> FloatArray:
        """After minus before (n,); zeros where nothing is before."""
        if self.before is None:
            return np.zeros(len(self.after))
        return self.after.values - self.before.values

    @cached_property
    def moved(self) -> npt.NDArray[np.int8]:
        """Whether each query has a higher value after (1), a lower one (-1), or the same (0)."""
        return np.where(np.abs(self.change) > _SAME, np.sign(self.change), 0).astype(np.int8)

    @property
    def better(self) -> int:
        """How many queries have a higher value after."""
        return int((self.moved > 0).sum())

    @property
    def worse(self) -> int:
        """How many have a lower one."""
        return int((self.moved < 0).sum())

    @cached_property
    def mean_change(self) -> Contrast | None:
        """The mean change with its interval, which knows of queries that share documents."""
        if self.before is None:
            return None
        every = np.ones(len(self.after), bool)
        return contrast(self.change, [(1.0, every)], self.after.drawn)

    @cached_property
    def words(self) -> npt.NDArray[np.int64]:
        """How many words each query has."""
        return np.array([len(text.split()) for text in self.texts], np.int64)


@dataclass(frozen=True)
class Part:
    """Some of the queries: how many, the means before and after, and the change with an interval
    that holds for all parts together; None where too few queries carry it.
    """

    name: str
    count: int
    before: float | None
    after: float
    change: Contrast | None


@dataclass(frozen=True)
class Hit:
    """A document that was found or that should have been. grade: None where it was not judged.

    rank: its place before and after, from 1; None where it is not among those that are kept.
    """

    id: str
    text: str
    grade: int | None
    before: int | None
    after: int | None

    @property
    def relevant(self) -> bool:
        """Whether it was judged relevant."""
        return bool(self.grade and self.grade > 0)


@dataclass(frozen=True)
class QueryCase:
    """One query with what was found for it, the best first, and what is relevant to it."""

    id: str
    text: str
    groups: Mapping[str, str]
    before: float | None
    after: float
    found_before: tuple[Hit, ...]
    found_after: tuple[Hit, ...]
    relevant: tuple[Hit, ...]


@dataclass(frozen=True)
class Cases:
    """Queries that got better, that got worse, and that are hardest, the most of each first."""

    better: tuple[QueryCase, ...] = ()
    worse: tuple[QueryCase, ...] = ()
    hardest: tuple[QueryCase, ...] = ()


def query_scores(leaderboard: Leaderboard) -> list[QueryScores]:
    """Of each corpus the values by query of the objective, or else of nDCG@10, or else at its
    largest cut-off.

    Empty where no queries are judged, or the trials' values are not on disk.
    """
    shown = leaderboard.shown
    if shown is None or shown.best.completed is None:
        return []
    # Of two evaluators that give one metric the first counts.
    named = {each.entry.name: each for each in reversed(ranked_corpora(shown.best))}
    found = (_of_corpus(leaderboard, shown.best, each) for each in reversed(named.values()))
    return [each for each in found if each is not None]


def _of_corpus(leaderboard: Leaderboard, row: Row, corpus: RankedCorpus) -> QueryScores | None:
    cutoffs = sorted(corpus.entry.fields.model_dump()["k"], reverse=True)
    own = [corpus.entry.prefixed(name) for name in (USUAL, *(f"ndcg_at_{k}" for k in cutoffs))]
    found = ((m, _by_query(row, m, corpus)) for m in (leaderboard.metric, *own))
    metric, after = next((each for each in found if each[1] is not None), ("", None))
    if after is None:
        return None
    base, shown = _base(leaderboard), leaderboard.shown
    before = _by_query(base, metric, corpus) if base else None
    queries = corpus.judged.sets[SPLIT].queries
    return QueryScores(
        corpus,
        metric,
        config_label(shown.params, leaderboard.axes) if shown and leaderboard.axes else _ONLY,
        tuple(queries.ids),
        tuple(queries.texts),
        {name: tuple(map(str, values)) for name, values in queries.groups.items()},
        before,
        after,
    )


def _base(leaderboard: Leaderboard) -> Row | None:
    """The base model that the configuration started from, unless that is the base model itself."""
    row = leaderboard.shown.best if leaderboard.shown else None
    base = leaderboard.baseline_of(row) if row else None
    return None if base is row else base


def _by_query(row: Row, metric: str, corpus: RankedCorpus) -> UnitValues | None:
    """The row's values of a metric of this corpus, of exactly its judged queries."""
    judged = corpus.judged.sets.get(SPLIT)
    if judged is None or corpus.entry.metric(metric) is None:
        return None
    found = read_units(row, SPLIT, metric)
    ids = tuple(judged.queries.ids)
    return found if found is not None and found.unit == "query" and found.ids == ids else None


def by_group(scores: QueryScores, column: str) -> list[Part]:
    """The parts by a column of the queries, by name."""
    values = np.array(scores.groups[column], dtype=str)
    names = sorted(set(values.tolist()))
    return _parts(scores, [(name, values == name) for name in names])


def group_columns(scores: QueryScores) -> list[str]:
    """The columns by which scores can be broken down."""
    kinds = {name: len(set(values)) for name, values in scores.groups.items()}
    return [name for name, count in kinds.items() if 1 < count <= _MOST_VALUES]


def by_length(scores: QueryScores) -> list[Part]:
    """Parts of about equal size by the number of words; fewer where many queries are as long."""
    words = scores.words
    cuts = np.unique(np.quantile(words, np.linspace(0, 1, _PARTS + 1)[1:-1], method="lower"))
    place = np.searchsorted(cuts, words)
    masks = [place == number for number in np.unique(place)]
    return _parts(scores, [(_length_name(words[mask]), mask) for mask in masks])


def _length_name(words: npt.NDArray[np.int64]) -> str:
    low, high = int(words.min()), int(words.max())
    if low == high:
        return "1 word" if low == 1 else f"{low} words"
    return f"{low} to {high} words"


def _parts(scores: QueryScores, masks: Sequence[tuple[str, npt.NDArray[np.bool_]]]) -> list[Part]:
    level = level_of_each(len(masks))
    units, before = scores.after.drawn, scores.before
    return [
        Part(
            name,
            int(mask.sum()),
            None if before is None else float(before.values[mask].mean()),
            float(scores.after.values[mask].mean()),
            None if before is None else contrast(scores.change, [(1.0, mask)], units, level),
        )
        for name, mask in masks
    ]


def query_cases(leaderboard: Leaderboard, scores: QueryScores, most: int = 8) -> Cases | None:
    """So many of each kind; None where what was found is not on disk."""
    shown, base = leaderboard.shown, _base(leaderboard)
    after = _retrieved(shown.best, scores) if shown else None
    if after is None:
        return None
    before = _retrieved(base, scores) if base and scores.before is not None else None
    lookup = _Lookup(scores, before, after)
    now = scores.after.values
    rising, hard = np.argsort(scores.change, kind="stable"), np.argsort(now, kind="stable")
    chosen = {
        "better": [i for i in rising[::-1][:most].tolist() if scores.moved[i] > 0],
        "worse": [i for i in rising[:most].tolist() if scores.moved[i] < 0],
        "hardest": [i for i in hard[:most].tolist() if now[i] < 1],
    }
    lookup.read({i for rows in chosen.values() for i in rows})
    return Cases(**{kind: tuple(map(lookup.case, rows)) for kind, rows in chosen.items()})


def _retrieved(row: Row, scores: QueryScores) -> Retrieved | None:
    """What the row's model found for exactly these queries."""
    path = row.folder.retrieved_by(scores.corpus.folder)
    if row.completed is None:
        return None
    row.folder.check_files(row.completed, path.name)
    try:
        found = read_retrieved(path, SPLIT)
    except (OSError, pa.ArrowInvalid, KeyError):
        return None
    return found if tuple(found.query) == scores.ids else None


class _Lookup:
    """Queries with their documents' texts, which are looked up together."""

    def __init__(
        self,
        scores: QueryScores,
        before: Retrieved | None,
        after: Retrieved,
    ) -> None:
        self.scores, self.judged = scores, scores.corpus.judged
        self.before, self.after = before, after
        self.texts: dict[str, str] = {}

    @property
    def _set(self) -> Judged:
        return self.judged.sets[SPLIT]

    def read(self, queries: set[int]) -> None:
        """Look up the documents that were found for these queries, and those relevant to them."""
        tables = [table for table in (self.before, self.after) if table is not None]
        wanted = {name for table in tables for i in queries for name in table.documents[i]}
        corpus = self.judged.corpus
        own = np.isin(self._set.judgements[:, 0], list(queries))
        rows = {int(row) for row in self._set.judgements[own, 1]}
        rows |= {row for row, name in enumerate(corpus.ids) if name in wanted}
        places = sorted(rows)
        ids, texts = take(corpus.ids, places), take(corpus.texts, places)
        self.texts = dict(zip(ids, texts, strict=True))
        self.names = dict(zip(places, ids, strict=True))

    def case(self, query: int) -> QueryCase:
        """One of the queries that were read."""
        own = self._set.judgements[self._set.judgements[:, 0] == query]
        grades = {self.names[int(row)]: int(grade) for _, row, grade in own.tolist()}
        found = [_names(table, query) for table in (self.before, self.after)]
        before, after = (tuple(self._hit(n, grades, found) for n in names) for names in found)
        relevant = sorted((-g, name) for name, g in grades.items() if g > 0)
        scores = self.scores
        return QueryCase(
            scores.ids[query],
            scores.texts[query],
            {name: values[query] for name, values in scores.groups.items()},
            None if scores.before is None else float(scores.before.values[query]),
            float(scores.after.values[query]),
            before,
            after,
            tuple(self._hit(name, grades, found) for _, name in relevant),
        )

    def _hit(self, name: str, grades: Mapping[str, int], found: Sequence[Sequence[str]]) -> Hit:
        before, after = (names.index(name) + 1 if name in names else None for names in found)
        return Hit(name, self.texts[name], grades.get(name), before, after)


def _names(table: Retrieved | None, query: int) -> list[str]:
    return [] if table is None else list(table.documents[query])


def queries_finding(scores: QueryScores) -> str:
    """How many queries have other values than before, and whether the mean has changed."""
    name, now = metric_label(scores.metric), number(float(scores.after.values.mean()))
    queries = f"{len(scores.ids)} {scores.title}"
    if scores.before is None:
        return f"{name} of {queries}: {now} on average"
    same = len(scores.ids) - scores.better - scores.worse
    counts = f"{scores.better} of the {queries} score higher than before"
    counts += f", {scores.worse} lower, {same} the same"
    change = scores.mean_change
    if change is None:
        return counts
    interval = f"{number(change.low)} to {number(change.high)}"
    if not change.sign:
        return f"{counts}: no significant change of the mean {name} ({interval})"
    way = "rises" if change.value > 0 else "falls"
    return f"{counts}: the mean {name} {way} by {number(abs(change.value))} ({interval})"


def parts_finding(scores: QueryScores, what: str, parts: Sequence[Part]) -> str:
    """The lowest part, and how many of the parts have changed significantly."""
    name, low = metric_label(scores.metric), min(parts, key=lambda part: part.after)
    lowest = f"{name} by {what} is lowest for {one_line(low.name)} ({number(low.after, 2)})"
    tested = [part.change for part in parts if part.change is not None]
    if not tested:
        return lowest
    up, down = (sum(change.sign == sign for change in tested) for sign in (1, -1))
    if not up and not down:
        return f"{lowest}; no significant change in any of the {len(tested)}"
    falls = f", falls in {down}" if down else ""
    return f"{lowest}; it rises significantly in {up} of {len(tested)}{falls}"
