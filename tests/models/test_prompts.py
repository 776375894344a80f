"""Prompts for queries and documents: whose they are, where they stand, and that they are saved."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from embft.data.build import load_data
from embft.encoding.encoder import Encoder, Tokenised, encode
from embft.models.base import load_base
from embft.models.verification import Reference, reference_texts
from embft.planning.audit import audit_with
from embft.planning.plan import make_plan
from embft.spec import DataSpec, ModelSpec, parse_spec
from tests.helpers.trials import run_whole

QUERY, DOCUMENT = "never: ", "we always like "
TEXTS = ["i like tea", "dogs", "you hate the music and films", "coffee and tea"]


def _with_prompts(base: Path, folder: Path, *, include: bool = True, **prompts: str) -> Path:
    model = SentenceTransformer(str(base), device="cpu")
    model.prompts = dict(prompts)
    model.set_pooling_include_prompt(include)
    model.save_pretrained(str(folder), create_model_card=False)
    return folder


@pytest.fixture
def e5(tiny_model: Path, tmp_path: Path) -> Path:
    """A base whose saved prompts are named as e5's are."""
    return _with_prompts(tiny_model, tmp_path / "e5", query=QUERY, passage=DOCUMENT)


def _spec(base: Path, pair_files: Path, more: str = "", data: str = "") -> str:
    return f"""\
name: prompted
data: {{train: {pair_files}/train.jsonl, dev: {pair_files}/dev.jsonl{data}}}
model: {{base: {base}{more}}}
train: {{epochs: 1, batch_size: 8, learning_rate: 1e-2}}
"""


def test_a_bases_own_prompts_hold_in_everything(e5: Path, pair_files: Path, tmp_path: Path) -> None:
    """In training, scoring and verification, and for whoever loads what was saved."""
    plan = make_plan(parse_spec(_spec(e5, pair_files)), tmp_path / "results")
    (note,) = plan.notes
    assert f"by its own prompts each query begins with {QUERY!r}" in note
    assert f"each document with {DOCUMENT!r}" in note
    run_whole(plan)
    trained = plan.trials[1].folder
    reference = Reference.read(trained.reference_file)
    assert set(reference.sides) == {"query", "document"}
    saved = SentenceTransformer(str(trained.model_folder), device="cpu")
    for side, embed in (("query", saved.encode_query), ("document", saved.encode_document)):
        rows = [i for i, each in enumerate(reference.sides) if each == side]
        found = embed([reference.texts[i] for i in rows])
        np.testing.assert_allclose(found, reference.trained[rows], atol=1e-5)


def test_the_specs_prompts_take_the_place_of_the_bases(
    e5: Path, pair_files: Path, tmp_path: Path
) -> None:
    """Also empty ones; they are an axis, and make other trials."""
    text = _spec(e5, pair_files) + (
        'space: {model.prompts: [null, {query: "i: ", document: ""}, {query: "", document: ""}]}\n'
    )
    plan = make_plan(parse_spec(text), tmp_path)
    assert len({trial.key for trial in plan.trials}) == 6
    assert any("by model.prompts each query begins with 'i: '" in note for note in plan.notes)
    for given, words in ({"query": "i: "}, "i: "), ({}, ""):
        spec = ModelSpec.model_validate({"base": str(e5), "prompts": given})
        model, plain = load_base(e5, spec), SentenceTransformer(str(e5), device="cpu")
        assert model.prompts["document"] == ""
        expected = plain.encode(TEXTS, prompt=words)
        np.testing.assert_allclose(encode(model, TEXTS, "query"), expected, atol=1e-6)
    templated = load_base(e5, ModelSpec(base=str(e5), template="we like {text}"))
    assert not any(templated.prompts.values())


@pytest.mark.parametrize("include", [True, False])
@pytest.mark.parametrize("packed", [True, False])
def test_both_sides_of_a_batch_equal_the_library(
    tiny_model: Path, tmp_path: Path, include: bool, packed: bool
) -> None:
    """Where the mean leaves prompts out, which differ in length, and where it counts them."""
    from embft.encoding.packing import forbid_packing

    base = _with_prompts(
        tiny_model, tmp_path / "base", include=include, query=QUERY, document=DOCUMENT
    )
    model, plain = (SentenceTransformer(str(base), device="cpu") for _ in range(2))
    if not packed:
        forbid_packing(model)
    model.eval()
    columns = [TEXTS, TEXTS[::-1]]
    encoder = Encoder(model, Tokenised(model, columns, sides=["query", "document"]))
    numbers = [text for column in encoder.tokens.columns for text in column.tolist()]
    assert len(set(numbers)) == 2 * len(TEXTS)
    found = encoder.embed(numbers).detach().numpy()
    expected = [plain.encode_query(TEXTS), plain.encode_document(TEXTS[::-1])]
    np.testing.assert_allclose(found, np.concatenate(expected), atol=1e-5)


def test_pooling_may_leave_prompts_out(e5: Path) -> None:
    """`include_prompt: false` is the library's own setting."""
    spec = ModelSpec(base=str(e5), include_prompt=False)
    plain = SentenceTransformer(str(e5), device="cpu")
    counted = plain.encode(TEXTS, prompt=QUERY)
    plain.set_pooling_include_prompt(False)
    found = encode(load_base(e5, spec), TEXTS, "query")
    np.testing.assert_allclose(found, plain.encode(TEXTS, prompt=QUERY), atol=1e-5)
    assert np.abs(found - counted).max() > 1e-3
    with pytest.raises(ValueError, match="include_prompt is true"):
        ModelSpec(pooling="text_mean", include_prompt=True)


def test_which_column_is_which_is_a_field(pair_files: Path, tmp_path: Path) -> None:
    """It makes other data, so that trials have other keys; the sides are kept with the pairs."""
    fields = {"train": f"{pair_files}/train.jsonl", "dev": f"{pair_files}/dev.jsonl"}
    usual, alike = (
        load_data(DataSpec.model_validate({**fields, **more}))
        for more in ({}, {"sides": {"text_2": "query"}})
    )
    assert usual.digest() != alike.digest()
    alike.dev.write(tmp_path / "dev.parquet")
    assert type(alike.dev).read(tmp_path / "dev.parquet").sides == ("query", "query", "document")
    assert {side for _, side in reference_texts(alike.dev)} == {"query"}


def test_prompts_that_a_card_asks_for_are_missed(
    tiny_model: Path, pair_files: Path, tmp_path: Path
) -> None:
    """By the plan and by the audit, unless some are given."""
    base = tmp_path / "base"
    shutil.copytree(tiny_model, base)
    (base / "README.md").write_text('Each text must begin with "query: " or "passage: ".\n')
    (note,) = make_plan(parse_spec(_spec(base, pair_files)), tmp_path / "r").notes
    assert "asks for words before texts, such as 'query: ' and 'passage: '" in note
    splits = load_data(DataSpec(train=f"{pair_files}/train.jsonl"))
    assert audit_with(splits, ModelSpec(base=str(base))).find("missing_prompts")
    more = ', prompts: {query: "query: "}'
    notes = make_plan(parse_spec(_spec(base, pair_files, more)), tmp_path / "r").notes
    assert not any("asks for words" in note for note in notes)
