"""Questions from documents: what is taken, how documents are divided, what the folder says."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from embft.cli.main import main
from embft.data.audit import audit
from embft.data.build import load_data
from embft.data.judged_files import JudgedFiles
from embft.data.retrieval import TextSet
from embft.data.synthetic import MARK
from embft.errors import DataError, EmbftError
from embft.models.resolve import LocalBase, find_base_model
from embft.planning.plan import make_plan
from embft.spec import DataSpec, parse_spec
from embft.synthesis.filters import Filter
from embft.synthesis.generators import Settings
from embft.synthesis.queries import Plan, Ranks, RoundTrip, make_queries, round_trip
from tests.helpers.judged import write_beir
from tests.synthesis.conftest import TEXTS

ANY = Filter(None, None)
# Two documents are copies of others but for case, under ids of their own.
CORPUS = TextSet(
    [f"p{i}" for i in range(26)], [*TEXTS, TEXTS[0].upper(), f"{TEXTS[1]}!"]
)  # fmt: skip


def _first(_: Sequence[str], rows: Sequence[int]) -> list[int]:
    return [0] * len(rows)


def _plan(llama: Path, ranks: Ranks = _first, **bounds: int) -> Plan:
    base = LocalBase("base", llama, "digest")
    settings = Settings("queries", (llama,), max_new_tokens=8)
    return Plan(CORPUS, settings, ANY, ranks, base, RoundTrip(**bounds))


def _relevant(out: Path, split: str) -> set[str]:
    lines = (out / "qrels" / f"{split}.tsv").read_text().splitlines()[1:]
    return {line.split("\t")[1] for line in lines}


def test_a_folder_to_tune_on(tmp_path: Path, tiny_llama: Path) -> None:
    """It is read as judged queries; no document of test or dev is one of train's, copies included;
    queries say that they are synthetic, and the folder by which model and filter they were made.
    """
    out = tmp_path / "made"
    counts = make_queries(_plan(tiny_llama, number=2), out)
    splits = load_data(DataSpec(beir=str(out)))
    assert splits.retrieval is not None
    assert len(splits.retrieval.corpus) == 26
    parts = {split: _relevant(out, split) for split in ("train", "dev", "test")}
    assert sum(map(len, parts.values())) == counts["documents_with_a_question"] == 24
    assert len(parts["train"] | parts["dev"] | parts["test"]) == 24
    assert not {"p24", "p25"} & (parts["train"] | parts["dev"] | parts["test"])
    assert counts["questions"] == {"train": 34, "dev": 4, "test": 10}
    assert len(splits.train) == 34
    assert all(name.startswith(MARK) for name in splits.retrieval.sets["test"].queries.ids)
    origin = json.loads((out / "synthetic.json").read_text())
    assert (origin["method"], origin["top_k"]) == ("queries", 3)
    assert origin["retriever"] == {"name": "base", "digest": "digest"}
    assert len(origin["models"][0]) == 64
    found = {finding.name for finding in audit(splits).findings}
    assert {"synthetic_queries_dev", "synthetic_queries_test"} <= found


def test_a_question_must_find_its_document(tmp_path: Path, tiny_llama: Path) -> None:
    """What ranks its document too low is asked again, and in the end left out; the same command
    ends with the same folder and loads no generator.
    """
    asked: list[int] = []

    def ranks(_: Sequence[str], rows: Sequence[int]) -> list[int]:
        asked.extend(rows)
        return [0 if row % 2 else 3 for row in rows]

    out = tmp_path / "made"
    counts = make_queries(_plan(tiny_llama, ranks, retries=1), out)
    assert counts["documents_with_a_question"] == 12
    assert asked.count(0) <= 2
    assert counts["rejected_answers"]["not_found"] == sum(row % 2 == 0 for row in asked)
    before = {path.name: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    plan = _plan(tiny_llama, ranks, retries=1)
    shutil.copytree(out, tmp_path / "kept")
    make_queries(plan, out)
    assert {path.name: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    with pytest.raises(EmbftError, match="train, dev and test need one each"):
        make_queries(_plan(tiny_llama, lambda _, rows: [9] * len(rows), retries=0), out)
    (tmp_path / "mine").mkdir()
    with pytest.raises(EmbftError, match="exists, and no synthetic queries are in it"):
        make_queries(plan, tmp_path / "mine")


def test_the_round_trip(tmp_path: Path, tiny_model: Path) -> None:
    """A document's own text finds it; another document's text is nearer to that one."""
    ranks = round_trip(find_base_model(str(tiny_model)), CORPUS, tmp_path / "vectors", 2)
    assert list(ranks([TEXTS[3], TEXTS[7]], [3, 7])) == [0, 0]
    assert list(ranks([TEXTS[3]], [9])) != [0]


def test_the_command_makes_questions(tmp_path: Path, tiny_llama: Path, tiny_model: Path) -> None:
    """Of a file's column and of a BEIR folder's corpus, whose ids stay."""
    path = tmp_path / "pages.csv"
    path.write_text("page\n" + "\n".join(TEXTS[:12]) + "\n")
    beir = write_beir(tmp_path / "beir", {"test": range(10)})
    common = ["--method", "queries", "--model", str(tiny_llama), "--retriever", str(tiny_model)]
    common += ["--top-k", "60", "--max-new-tokens", "6", "--language", "any"]
    for source, more in ((path, ["--column", "page"]), (beir, ["--limit", "8"])):
        out = tmp_path / f"of-{source.stem}"
        command = ["data", "synthesize", str(source), "--out", str(out), *common, *more]
        done = CliRunner().invoke(main, command)
        assert done.exit_code == 0, done.output
        assert "documents" in done.output
        assert JudgedFiles.of_beir(out).load().retrieval is not None
    assert '"_id": "d59"' in (tmp_path / "of-beir" / "corpus.jsonl").read_text()


def test_synthetic_and_real_scores_stand_in_no_table(
    tmp_path: Path, tiny_llama: Path, tiny_model: Path
) -> None:
    """Neither in one sweep nor in one split; in train both may stand."""
    out = tmp_path / "made"
    make_queries(_plan(tiny_llama), out)
    real = write_beir(tmp_path / "real", {"train": range(20), "dev": range(20, 30), "test": [39]})
    text = f"""
name: mixed
model: {{base: {tiny_model}}}
train: {{loss: multiple_negatives_ranking, epochs: 1}}
data: {{beir: {real}}}
space: {{data.beir: [{real}, {out}]}}
objective: {{metric: ndcg_at_10}}
"""
    with pytest.raises(EmbftError, match="do not stand in one table"):
        make_plan(parse_spec(text), tmp_path / "results")

    joined = real / "corpus.jsonl"
    joined.write_text(joined.read_text() + (out / "corpus.jsonl").read_text())
    queries = real / "queries.jsonl"
    queries.write_text(queries.read_text() + (out / "queries.jsonl").read_text())
    for split in ("train", "test"):
        path = real / "qrels" / f"{split}.tsv"
        made = (out / "qrels" / f"{split}.tsv").read_text().partition("\n")[2]
        path.write_text(path.read_text() + made)
        if split == "train":
            assert len(load_data(DataSpec(beir=str(real))).train) > 40
    with pytest.raises(DataError, match=r"judgements of test are of .* synthetic queries and 1"):
        load_data(DataSpec(beir=str(real)))
