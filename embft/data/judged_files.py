"""From files of a corpus, queries and judgements to splits: train's as pairs, dev and test judged.

Covers BEIR's folders and three files with named columns, and what stands in for a split that is not
judged: dev is cut from train by query, dev stands in for test. What a judgement must be is in
`qrels.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from embft.data.column import GrowingColumns, take
from embft.data.files import DataFiles, Given
from embft.data.names import MissingColumnError, Place
from embft.data.pairs import Pairs, Splits
from embft.data.qrels import JudgementNames, read_judgements
from embft.data.read import Row, read_rows
from embft.data.retrieval import SETS, Fault, Judged, Retrieval, TextSet
from embft.data.shapes import as_labelled
from embft.data.synthetic import check_one_kind
from embft.data.texts import hashes, normalise
from embft.data.values import group_of, id_of, is_missing, text_of
from embft.errors import DataError

MIN_QUERIES = 10
_EXAMPLES = 5
_SUFFIXES = (".jsonl", ".jsonl.gz", ".parquet", ".json", ".csv", ".tsv")
_QRELS_SUFFIXES = (".tsv", ".txt", ".qrels", ".trec", ".csv", ".jsonl", ".parquet", ".tsv.gz", "")

Grades = dict[str, dict[str, int]]
"""The judged documents of each query: query id -> document id -> grade."""


@dataclass(frozen=True)
class CorpusNames:
    """The names of a corpus's columns; a title, where there is one, is put before the text."""

    id: str | int = "_id"
    title: str | int | None = "title"
    text: str | int = "text"


@dataclass(frozen=True)
class QueryNames:
    """The names of the queries' columns."""

    id: str | int = "_id"
    text: str | int = "text"


@dataclass(frozen=True)
class JudgedFiles:
    """The files of a corpus, of all queries, and of each split's judgements.

    groups: columns of the queries by which scores are broken down.
    """

    corpus: Given
    queries: Given
    qrels: Mapping[str, Given]
    corpus_names: CorpusNames = CorpusNames()
    query_names: QueryNames = QueryNames()
    qrels_names: JudgementNames = field(default_factory=JudgementNames)
    groups: Sequence[str] = ()

    @classmethod
    def of_beir(cls, folder: Path, groups: Sequence[str] = ()) -> JudgedFiles:
        """A folder in BEIR's format. Raises DataError for what is missing."""
        folder = folder.expanduser()
        corpus, queries = (_inside(folder, name, _SUFFIXES) for name in ("corpus", "queries"))
        qrels = {
            split: path
            for split in ("train", "dev", "test")
            if (path := _found(folder / "qrels", split, _QRELS_SUFFIXES)) is not None
        }
        if not qrels:
            raise DataError(
                f"{folder}: holds no judgements; a folder in BEIR's format has them as "
                "qrels/train.tsv, qrels/dev.tsv and qrels/test.tsv, at least one of them."
            )
        return cls(corpus, queries, qrels, groups=groups)

    def load(self, dev_fraction: float = 0.1, *, judged_negatives: bool = False) -> Splits:
        """The splits. dev_fraction: the share of train's queries that becomes dev where there is
        none. judged_negatives: train has a pair with label 0 for each document that was judged and
        is not relevant, of which triplets are made. Raises DataError.
        """
        known, judged, faults = self._read()
        return build_splits(known, judged, dev_fraction, faults, judged_negatives=judged_negatives)

    def sets(self) -> Retrieval:
        """The corpus and the splits that have judgements, without training pairs. Raises
        DataError.
        """
        known, judged, faults = self._read()
        found = {split: known.numbered(judged[split]) for split in SETS if split in judged}
        return Retrieval(known.corpus, found, faults)

    def documents(self) -> TextSet:
        """The corpus alone. Raises DataError."""
        return self._corpus(set())[0]

    def _read(self) -> tuple[Known, dict[str, Grades], tuple[Fault, ...]]:
        faults: list[Fault] = []
        graded = {split: self._grades(split, given, faults) for split, given in self.qrels.items()}
        queries = self._queries()
        wanted = {
            document for found in graded.values() for row in found.values() for document in row
        }
        corpus, rows = self._corpus(wanted)
        known = Known(queries, corpus, rows)
        unjudged = [name for name in queries.ids if not any(name in row for row in graded.values())]
        _note(faults, "unjudged_queries", "all", unjudged, len(queries))
        judged = {split: known.judged(split, found, faults) for split, found in graded.items()}
        return known, judged, tuple(faults)

    def _grades(self, split: str, given: Given, faults: list[Fault]) -> Grades:
        """What the judgements of a split say; of one given twice the higher grade counts."""
        found: Grades = {}
        clashes, total = list[str](), 0
        for judgement in read_judgements(DataFiles(given), self.qrels_names):
            total += 1
            row = found.setdefault(judgement.query, {})
            before = row.get(judgement.document)
            if before is not None and before != judgement.grade:
                clashes.append(
                    f"{judgement.place}: query {judgement.query!r}, document "
                    f"{judgement.document!r}: {before} and {judgement.grade}"
                )
            row[judgement.document] = max(judgement.grade, before or judgement.grade)
        if not found:
            raise DataError(
                f"{DataFiles(given)}: the file holds no judgements; give one that does."
            )
        if clashes:
            faults.append(
                Fault("graded_twice", split, len(clashes), total, tuple(clashes[:_EXAMPLES]))
            )
        return found

    def _queries(self) -> TextSet:
        names, files = self.query_names, DataFiles(self.queries)
        ids, texts, groups = list[str](), list[str](), [list[str]() for _ in self.groups]
        for at, (given, text, *more) in _named_rows(
            files, [names.id, names.text, *self.groups], "columns.queries", 2 + len(self.groups)
        ):
            ids.append(id_of(at, names.id, given))
            texts.append(text_of(at, names.text, text))
            for column, name, value in zip(groups, self.groups, more, strict=True):
                column.append(group_of(at, name, value))
        if not ids:
            raise DataError(f"{files}: the file holds no queries; give one that does.")
        _refuse_repeats(files, ids)
        return TextSet(ids, texts, dict(zip(self.groups, groups, strict=True)))

    def _corpus(self, wanted: set[str]) -> tuple[TextSet, dict[str, int]]:
        """The documents, and the rows of those with these ids."""
        names, files = self.corpus_names, DataFiles(self.corpus)
        kept, rows = GrowingColumns(2), dict[str, int]()
        for number, (at, values) in enumerate(_document_rows(files, names)):
            found = id_of(at, names.id, values[0])
            if found in wanted:
                rows.setdefault(found, number)
            kept.append((found, _document(at, names, values)))
        ids, texts = kept.finished()
        if not len(ids):
            raise DataError(f"{files}: the corpus holds no documents; give one that does.")
        _refuse_repeats(files, ids)
        return TextSet(ids, texts), rows


def read_corpus(folder: Path) -> TextSet:
    """The corpus of a folder in BEIR's format. Raises DataError."""
    corpus = _inside(folder.expanduser(), "corpus", _SUFFIXES)
    return JudgedFiles(corpus, "", {}).documents()


def _inside(folder: Path, name: str, suffixes: Sequence[str]) -> Path:
    found = _found(folder, name, suffixes)
    if found is None:
        there = ", ".join(sorted(p.name for p in folder.iterdir())) if folder.is_dir() else ""
        what = f"it holds: {there or 'nothing'}" if folder.is_dir() else "there is no such folder"
        raise DataError(
            f"{folder}: no {name}.jsonl; {what}. A folder in BEIR's format has corpus.jsonl, "
            "queries.jsonl and qrels/test.tsv; name files of another form under `data.retrieval`."
        )
    return found


def _found(folder: Path, name: str, suffixes: Sequence[str]) -> Path | None:
    paths = (folder / f"{name}{suffix}" for suffix in suffixes)
    return next((path for path in paths if path.is_file()), None)


def _named_rows(
    files: DataFiles, names: Sequence[str | int], where: str, required: int
) -> Iterator[Row]:
    """The rows of all files. where: the field that names the columns."""
    try:
        yield from read_rows(files, names, required)
    except MissingColumnError as error:
        raise DataError(f"{error.fact} Set `{where}` to the file's own names.") from None


def _document_rows(files: DataFiles, names: CorpusNames) -> Iterator[Row]:
    """Id, text and title of each document; None for the title of a file that has none."""
    for file in files.files:
        one, begun = DataFiles(file.path), False
        wanted = [names.id, names.text] + ([] if names.title is None else [names.title])
        try:
            for row in read_rows(one, wanted, required=2):
                begun = True
                yield row
        except MissingColumnError as error:
            if error.column != names.title:
                raise DataError(
                    f"{error.fact} Set `columns.corpus` to the file's own names."
                ) from None
            if not begun:
                yield from _named_rows(one, wanted[:2], "columns.corpus", 2)


def _document(at: Place, names: CorpusNames, values: Sequence[object]) -> str:
    """Title and text, a space between them, as BEIR joins them; "" of a document without either."""
    named = zip((names.text, names.title), values[1:], strict=False)
    parts = [
        "" if is_missing(value) or not str(value).strip() else text_of(at, name or "", value)
        for name, value in named
    ]
    return " ".join(part for part in reversed(parts) if part)


def _refuse_repeats(files: DataFiles, ids: Sequence[str]) -> None:
    """Raise DataError where an id stands twice."""
    found, first, count = np.unique(hashes(ids), return_index=True, return_counts=True)
    if len(found) < len(ids):
        twice = ids[int(first[int(np.argmax(count > 1))])]
        raise DataError(
            f"{files}: the id {twice!r} stands twice; each must be of one text. Remove one of them."
        )


@dataclass(frozen=True)
class Known:
    """The texts that judgements are about. rows: of the judged documents, by id."""

    queries: TextSet
    corpus: TextSet
    rows: Mapping[str, int]
    query_rows: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.query_rows.update({name: row for row, name in enumerate(self.queries.ids)})

    def judged(self, split: str, grades: Grades, faults: list[Fault]) -> Grades:
        """The judgements of known queries and documents, of queries that have a relevant one."""
        strange_queries = [name for name in grades if name not in self.query_rows]
        known = {q: row for q, row in grades.items() if q in self.query_rows}
        unknown = [d for row in known.values() for d in row if d not in self.rows]
        left = {
            query: {d: grade for d, grade in row.items() if d in self.rows}
            for query, row in known.items()
        }
        answered = {q: row for q, row in left.items() if any(grade > 0 for grade in row.values())}
        if not answered:
            raise self._nothing_left(split, strange_queries, unknown)
        _note(faults, "unknown_queries", split, strange_queries, len(grades))
        total = sum(map(len, known.values()))
        _note(faults, "unknown_documents", split, list(dict.fromkeys(unknown)), total)
        _note(
            faults, "unanswered_queries", split, [q for q in left if q not in answered], len(left)
        )
        return answered

    def _nothing_left(self, split: str, queries: list[str], documents: list[str]) -> DataError:
        if queries:
            return _strangers(split, "query", queries, self.queries.ids, "queries")
        if documents:
            return _strangers(split, "document", documents, self.corpus.ids, "corpus")
        return DataError(
            f"the judgements of {split} have no grade above 0, so no document answers any query: "
            "grades above 0 mean relevant."
        )

    def pairs(self, grades: Grades) -> Pairs:
        """A pair of each query and each document that is relevant to it."""
        found = self._rows(grades, least=1)
        return Pairs.unlabelled(*self._texts(found), groups=self._groups(found))

    def rated(self, grades: Grades) -> Pairs:
        """A pair of each query and each judged document, label 1 where it is relevant; without
        labels where all are.
        """
        found = self._rows(grades)
        labels = np.array([float(grade > 0) for *_, grade in found])
        if labels.all():
            return self.pairs(grades)
        return Pairs(*self._texts(found), labels, self._groups(found))

    def _rows(self, grades: Grades, least: int | None = None) -> list[tuple[int, int, int]]:
        """Query's row, document's row and grade, of judgements with at least this grade."""
        return sorted(
            (self.query_rows[query], self.rows[document], grade)
            for query, row in grades.items()
            for document, grade in row.items()
            if least is None or grade >= least
        )

    def _texts(self, found: Sequence[tuple[int, int, int]]) -> tuple[list[str], list[str]]:
        documents = np.array([row for _, row, _ in found], np.int64)
        return [self.queries.texts[q] for q, *_ in found], take(self.corpus.texts, documents)

    def _groups(self, found: Sequence[tuple[int, int, int]]) -> dict[str, list[str]]:
        return {
            name: [values[query] for query, *_ in found]
            for name, values in self.queries.groups.items()
        }

    def numbered(self, grades: Grades) -> Judged:
        """The queries by themselves, and the judgements by rows."""
        rows = sorted(self.query_rows[query] for query in grades)
        place = {self.queries.ids[row]: i for i, row in enumerate(rows)}
        groups = {
            name: [values[row] for row in rows] for name, values in self.queries.groups.items()
        }
        ids, texts = (
            [column[row] for row in rows] for column in (self.queries.ids, self.queries.texts)
        )
        judgements = sorted(
            (place[query], self.rows[document], grade)
            for query, row in grades.items()
            for document, grade in row.items()
        )
        return Judged(TextSet(ids, texts, groups), np.array(judgements, np.int64).reshape(-1, 3))


def _note(faults: list[Fault], name: str, split: str, found: Sequence[str], total: int) -> None:
    if found:
        faults.append(Fault(name, split, len(found), total, tuple(found[:_EXAMPLES])))


def _strangers(
    split: str, what: str, given: Sequence[str], known: Sequence[str], where: str
) -> DataError:
    few = list(known[:3])
    return DataError(
        f"the judgements of {split}: none of their {what} ids is in {where}: they are {given[:3]}, "
        f"and {where} has {few}. Are they of other files, or written otherwise?"
    )


def build_splits(
    known: Known,
    judged: Mapping[str, Grades],
    dev_fraction: float = 0.1,
    faults: tuple[Fault, ...] = (),
    *,
    judged_negatives: bool = False,
) -> Splits:
    """The splits of judged queries; what is missing stands in as `JudgedFiles.load` says."""
    train, dev, test = (judged.get(split) for split in ("train", "dev", "test"))
    cut = dev is None and train is not None
    if dev is None and train is not None:
        train, dev = _cut(known.queries, train, dev_fraction)
    dev = dev or test
    if dev is None:
        raise DataError("there are judgements for no split that a model could be chosen on")
    repeats = test is None or test is dev
    sets = known.numbered(dev)
    of_test = sets if repeats else known.numbered(test or dev)
    found = Retrieval(known.corpus, {"dev": sets, "test": of_test}, faults)
    pairs = as_labelled(known.pairs(dev))
    for split, judged_set in found.sets.items():
        check_one_kind(split, judged_set.queries.ids)
    own = known.rated(train or {}) if judged_negatives else known.pairs(train or {})
    return Splits(
        train=own,
        dev=pairs,
        test=pairs if repeats else as_labelled(known.pairs(test or dev)),
        dev_is_cut=cut,
        test_is_dev=repeats,
        retrieval=found,
    )


def _cut(queries: TextSet, train: Grades, fraction: float) -> tuple[Grades, Grades]:
    """What is left of train, and dev: about this fraction of the queries, by their texts alone.

    Queries whose texts are equal but for case and punctuation stay together.
    """
    if len(train) < MIN_QUERIES:
        raise DataError(
            f"{len(train)} judged queries are too few to set a part aside as dev; at least "
            f"{MIN_QUERIES} are needed. Give judgements for dev, or more for train."
        )
    text = dict(zip(queries.ids, queries.texts, strict=True))
    order = {query: _order(normalise(text[query])) for query in train}
    wanted = max(1, round(fraction * len(train)))
    last = sorted(order.values())[wanted - 1]
    dev = {query: row for query, row in train.items() if order[query] <= last}
    left = {query: row for query, row in train.items() if query not in dev}
    if not left:
        raise DataError(
            "the train queries are all the same text, so none can be set aside as dev: give "
            "judgements for dev."
        )
    return left, dev


def _order(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
