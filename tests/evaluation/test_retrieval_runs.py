"""Judged queries in whole trials: beside pairs, with long documents, and what a plan refuses."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from embft.errors import EmbftError
from embft.evaluation import corpus as corpus_module
from embft.leaderboard.build import build_leaderboard
from embft.leaderboard.corpora import corpus_notes
from embft.leaderboard.queries import query_cases, query_scores
from embft.leaderboard.rows import Leaderboard
from embft.planning import corpora
from embft.planning.estimate import check_fits, need
from embft.planning.plan import make_plan
from embft.planning.prepare import prepare
from embft.results.folders import TrialDir
from embft.results.records import Completed
from embft.results.retrieved import read_retrieved
from embft.results.units import load_units
from embft.spec import parse_spec
from tests.helpers.judged import write_beir
from tests.helpers.pages import render_report
from tests.helpers.trials import run_spec

FAQ = """\
evaluators:
  - name: faq
    retrieval: {corpus: c.jsonl, queries: q.jsonl, qrels: test.tsv, dev: dev.tsv, k: [1, 10]}
objective: {metric: faq_ndcg_at_10}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A corpus, queries and judgements as files of their own; one document has 100,000 words."""
    write_beir(tmp_path / "beir", {"dev": range(10), "test": range(10, 30)})
    for name, file in (("corpus", "c"), ("queries", "q")):
        (tmp_path / "beir" / f"{name}.jsonl").rename(tmp_path / f"{file}.jsonl")
    for split in ("dev", "test"):
        (tmp_path / "beir" / "qrels" / f"{split}.tsv").rename(tmp_path / f"{split}.tsv")
    with (tmp_path / "c.jsonl").open("a") as corpus:
        corpus.write(json.dumps({"_id": "long", "text": "i love tea and films " * 20_000}) + "\n")
    return tmp_path


def _text(model: Path, pairs: Path, more: str) -> str:
    return f"""\
name: beside
data: {{train: {pairs}/train.jsonl, dev: {pairs}/dev.jsonl, test: {pairs}/test.jsonl}}
model: {{base: {model}}}
train: {{method: full, epochs: 1, batch_size: 16, learning_rate: 1e-3}}
{more}"""


def _completed(folder: TrialDir) -> Completed:
    result = folder.result()
    assert isinstance(result, Completed)
    return result


def test_judged_queries_beside_pairs_choose_the_model(
    folder: Path, tiny_model: Path, pair_files: Path
) -> None:
    """An evaluator with files of its own: measured after each epoch, in the record with intervals
    and values by query, ranked by, and what it is ranked among is said.
    """
    spec = parse_spec(_text(tiny_model, pair_files, FAQ), folder=folder)
    trials = run_spec(spec, folder / "results")
    result = _completed(trials["full"])
    assert {"faq_ndcg_at_10", "faq_mrr_at_1"} <= result.epochs[0].dev.keys()
    low, high = result.test_intervals["faq_ndcg_at_10"]
    assert low <= result.test["faq_ndcg_at_10"] <= high
    assert "faq_ndcg_at_100" not in result.test
    units = load_units(trials["full"].units_file)
    assert len(units["dev"]["faq_ndcg_at_10"]) == 10
    assert units["test"]["faq_ndcg_at_10"].estimate() == pytest.approx(
        result.test["faq_ndcg_at_10"]
    )
    leaderboard = build_leaderboard(folder / "results" / "beside")
    assert leaderboard.decision is not None
    assert leaderboard.decision.unit == "query"
    assert list(corpus_notes(leaderboard)) == [
        "Queries are ranked against all 61 documents of the corpus of faq, exactly."
    ]
    _check_section(leaderboard, trials)


def _check_section(leaderboard: Leaderboard, trials: Mapping[str, TrialDir]) -> None:
    """The evaluator's queries are shown as those of retrieval data are, with what was found."""
    (scores,) = query_scores(leaderboard)
    assert (scores.corpus.name, scores.metric) == ("faq", "faq_ndcg_at_10")
    assert len(scores.ids) == 20
    assert scores.before is not None
    cases = query_cases(leaderboard, scores)
    assert cases is not None
    hardest = cases.hardest[0]
    assert hardest.after == scores.after.values.min()
    kept = read_retrieved(trials["full"].retrieved_by(scores.corpus.folder), "test")
    row = kept.query.index(hardest.id)
    assert [hit.id for hit in hardest.found_after] == kept.documents[row]
    assert len(hardest.found_before) == len(hardest.found_after) == 10
    page = render_report(leaderboard)
    assert "The hardest queries of faq" in page
    assert "of the 20 test queries of faq" in page


def test_judgements_for_test_alone_compare_base_models(tmp_path: Path, tiny_model: Path) -> None:
    """A whole trial of `train.method: none`: no pairs are asked for, dev is test."""
    write_beir(tmp_path / "beir", {"test": range(20)})
    text = f"name: bases\ndata: {{beir: beir}}\nmodel: {{base: {tiny_model}}}\n"
    spec = parse_spec(text + "train: {method: none}\n", folder=tmp_path)
    trial = run_spec(spec, tmp_path / "results")["none"]
    result = _completed(trial)
    assert result.dev["ndcg_at_10"] == result.test["ndcg_at_10"]
    assert len(read_retrieved(trial.retrieved_file, "test").query) == 20
    assert build_leaderboard(tmp_path / "results" / "bases").test_is_dev


def test_dev_of_a_sample_is_said(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the report's method; the corpus is in a file while it is searched, and the file goes."""
    monkeypatch.setattr(corpus_module, "IN_MEMORY", 8)
    write_beir(tmp_path / "beir", {"train": range(10), "dev": range(10, 14), "test": range(20, 30)})
    text = f"""\
name: sample
data: {{beir: beir}}
model: {{base: {tiny_model}}}
train: {{method: none}}
evaluators: [{{retrieval: {{dev_documents: 20}}}}]
"""
    trial = run_spec(parse_spec(text, folder=tmp_path), tmp_path / "results")["none"]
    (note,) = corpus_notes(build_leaderboard(tmp_path / "results" / "sample"))
    assert "against a fixed sample of 20 of them, all documents judged for dev included" in note
    assert [e for e in trial.progress() if e["event"] == "encoding"][-1]["done"] == 60
    assert trial.corpus_folder.exists()
    trial.forget_attempts()
    assert not trial.corpus_folder.exists()


def test_a_corpus_beyond_the_memory_budget_is_refused_by_the_plan(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what it takes, and what can be done; vectors count against the disk."""
    write_beir(tmp_path / "beir", {"train": range(20), "test": range(20, 40)})
    text = f"""\
name: large
data: {{beir: beir}}
model: {{base: {tiny_model}}}
train: {{method: full, loss: multiple_negatives_ranking}}
resources: {{memory: 2GB}}
"""
    plan = make_plan(parse_spec(text, folder=tmp_path), tmp_path)
    few = need(plan, plan.trials)
    check_fits(plan, few)
    assert few.corpus.disk == 0
    monkeypatch.setattr(corpora, "FEW", 8)
    monkeypatch.setattr(corpora, "DOCUMENT_BYTES", 40_000_000)
    found = need(plan, plan.trials)
    assert found.corpus.disk == 60 * 32 * 4
    assert found.disk - few.disk == 60 * 32 * 4
    words = r"2\.\d GB of each trial for its corpus of 60 documents.*a smaller corpus"
    with pytest.raises(EmbftError, match=words):
        check_fits(plan, found)


def test_faults_of_an_evaluators_judgements_are_notes_of_the_plan(
    folder: Path, tiny_model: Path, pair_files: Path
) -> None:
    """The audit is of the data alone, and nothing is left out in silence."""
    with (folder / "test.tsv").open("a") as file:
        file.write("q10\tnowhere\t1\n")
    plan = make_plan(parse_spec(_text(tiny_model, pair_files, FAQ), folder=folder), folder)
    assert (
        "evaluator faq: 1 judged documents of test that are not in the corpus. They are left out: "
        "no model could have found them."
    ) in plan.notes


def test_an_interrupted_encoding_of_a_trial_goes_on(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trial that begins again finds the parts that were encoded, of each of its corpora."""
    monkeypatch.setattr(corpus_module, "PART", 8)
    monkeypatch.setattr(corpus_module, "IN_MEMORY", 8)
    write_beir(tmp_path / "beir", {"train": range(10), "dev": range(10, 14), "test": range(20, 30)})
    write_beir(tmp_path / "other", {"test": range(5)}, title="Other")
    text = f"""\
name: again
data: {{beir: beir}}
model: {{base: {tiny_model}}}
train: {{method: none}}
evaluators:
  - retrieval: {{dev_documents: 20}}
  - name: other
    retrieval:
      corpus: other/corpus.jsonl
      queries: other/queries.jsonl
      qrels: other/qrels/test.tsv
"""
    plan = make_plan(parse_spec(text, folder=tmp_path), tmp_path / "results")
    (trial,) = prepare(plan, retry_failed=False)
    trial.folder.create(trial.input(threads=1))
    encoded = corpus_module._encoded
    texts: list[str] = []

    def counted(model: object, given: list[str], side: object = "document") -> object:
        if len(texts) > 100:
            raise KeyboardInterrupt
        texts.extend(given)
        return encoded(model, given, side)  # type: ignore[arg-type]

    from embft.execution.score_step import score_step

    monkeypatch.setattr(corpus_module, "_encoded", counted)
    with pytest.raises(KeyboardInterrupt):
        score_step(trial.folder)
    first = len(texts)
    texts.clear()
    trial.folder.create(trial.input(threads=1))
    score_step(trial.folder)
    parts = (first - (8 + 60 + 5) - 8) // 8  # after one whole corpus with its queries
    assert parts == 3
    assert len(texts) == (8 + 5) + (8 + 60 - 8 * parts + 4 + 10)  # two probes, the rest, queries
    assert isinstance(trial.folder.result(), Completed)
