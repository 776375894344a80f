"""A retriever's test queries before and after: values, parts, and what was found for them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from embft.errors import RecordError
from embft.leaderboard.build import build_leaderboard
from embft.leaderboard.queries import (
    QueryScores,
    by_group,
    by_length,
    group_columns,
    parts_finding,
    queries_finding,
    query_cases,
    query_scores,
)
from embft.leaderboard.rows import Leaderboard
from embft.results.dataset import open_retrieval
from embft.results.folders import TrialDir
from embft.results.retrieved import read_retrieved
from embft.results.units import UnitValues, load_units
from embft.spec import parse_spec
from tests.helpers.judged import write_beir
from tests.helpers.pages import render_report
from tests.helpers.trials import run_spec

EVIL = "you <img src=x onerror=alert(1)> </script> not"


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> dict[str, TrialDir]:
    """A base model and one that was trained, on 20 test queries of five kinds."""
    folder = tmp_path_factory.mktemp("queries")
    write_beir(folder / "beir", {"train": range(15), "dev": range(15, 20), "test": range(20, 40)})
    queries = folder / "beir" / "queries.jsonl"
    queries.write_text(queries.read_text().replace("you like tea not", EVIL))
    text = f"""\
name: queries
data: {{beir: beir, groups: [kind]}}
model: {{base: {tiny_model}}}
train: {{method: full, loss: multiple_negatives_ranking, epochs: 2, learning_rate: 1e-3}}
"""
    return run_spec(parse_spec(text, folder=folder), folder / "results")


@pytest.fixture(scope="module")
def leaderboard(trials: dict[str, TrialDir]) -> Leaderboard:
    return build_leaderboard(trials["full"].sweep.path)


@pytest.fixture(scope="module")
def scores(leaderboard: Leaderboard) -> QueryScores:
    (found,) = query_scores(leaderboard)
    return found


def test_values_are_those_of_the_records(scores: QueryScores, trials: dict[str, TrialDir]) -> None:
    """By query, before and after; the counts are of them."""
    before, after = (
        load_units(trials[method].units_file)["test"]["ndcg_at_10"] for method in ("none", "full")
    )
    assert scores.metric == "ndcg_at_10"
    assert scores.ids == after.ids
    np.testing.assert_array_equal(scores.change, after.values - before.values)
    assert scores.better == (after.values > before.values + 1e-9).sum()
    assert scores.worse == (after.values < before.values - 1e-9).sum()
    assert scores.mean_change is not None
    assert scores.mean_change.value == pytest.approx(scores.change.mean())
    assert scores.mean_change.low < scores.mean_change.value < scores.mean_change.high


def test_parts_are_of_all_queries(scores: QueryScores) -> None:
    """By group and by length: together they are all queries, and their means add up."""
    assert group_columns(scores) == ["kind"]
    for parts in (by_group(scores, "kind"), by_length(scores)):
        assert sum(part.count for part in parts) == 20
        total = sum(part.count * part.after for part in parts)
        assert total / 20 == pytest.approx(scores.after.values.mean())


def test_cases_show_what_was_found(
    leaderboard: Leaderboard, scores: QueryScores, trials: dict[str, TrialDir]
) -> None:
    """Those that gained most first; of each the documents in the order of the model, with grades,
    and those that are relevant with their places.
    """
    cases = query_cases(leaderboard, scores, most=3)
    assert cases is not None
    order = np.argsort(scores.change)[::-1]
    first = cases.better[0]
    assert first.after - (first.before or 0.0) == pytest.approx(scores.change[order[0]])
    after = read_retrieved(trials["full"].retrieved_file, "test")
    row = after.query.index(first.id)
    assert [hit.id for hit in first.found_after] == after.documents[row]
    assert [hit.grade or 0 for hit in first.found_after] == after.grades[row]
    folder = trials["full"]
    corpus = open_retrieval(folder.sweep.dataset(folder.read_input().data)).corpus
    text = dict(zip(corpus.ids, corpus.texts, strict=True))
    for hit in (*first.found_before, *first.found_after, *first.relevant):
        assert hit.text == text[hit.id]
    for hit in first.relevant:
        assert hit.relevant
        if hit.after is not None:
            assert first.found_after[hit.after - 1].id == hit.id
    assert len(first.relevant) == 2
    hardest = [case.after for case in cases.hardest]
    assert hardest == sorted(hardest)
    assert hardest[0] == scores.after.values.min()


def test_findings_claim_a_direction_only_where_there_is_one(scores: QueryScores) -> None:
    """By the interval of the mean change."""
    assert scores.before is not None
    values = scores.before.values
    same = replace(scores, after=UnitValues("query", scores.ids, values[::-1].copy()))
    raised = UnitValues("query", scores.ids, np.minimum(values + 0.1, 1.0))
    lowered = UnitValues("query", scores.ids, np.maximum(values - 0.1, 0.0))
    assert "no significant change" in queries_finding(same)
    assert "rises by 0.1" in queries_finding(replace(scores, after=raised))
    assert "falls by" in queries_finding(replace(scores, after=lowered))
    assert "on average" in queries_finding(replace(scores, before=None))
    parts = by_group(replace(scores, after=raised), "kind")
    up = sum(part.change is not None and part.change.sign > 0 for part in parts)
    assert up > 0
    assert f"it rises significantly in {up} of" in parts_finding(scores, "kind", parts)


def test_the_page_has_a_section_of_queries(leaderboard: Leaderboard) -> None:
    """With their texts escaped, and how many documents they are ranked among."""
    page = render_report(leaderboard)
    assert 'id="queries"' in page
    assert "Queries that got better" in page
    assert "<img src=x" not in page
    assert "all 60 documents of the corpus" in page


def test_what_was_found_is_not_read_from_a_damaged_file(
    leaderboard: Leaderboard, scores: QueryScores, trials: dict[str, TrialDir]
) -> None:
    """The record vouches for it."""
    path = trials["full"].retrieved_file
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    try:
        with pytest.raises(RecordError, match=r"retrieved\.parquet"):
            query_cases(leaderboard, scores)
    finally:
        path.write_bytes(content)
