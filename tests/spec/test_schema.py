"""The JSON Schema takes the specs that embft takes, and describes every field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from embft.errors import SpecError
from embft.spec import parse_spec
from embft.spec.schema import SCHEMA_FILE, fields, meanings, schema_text
from embft.spec.source import read_text
from tests.conftest import ROOT

EXAMPLES = sorted((ROOT / "sweeps").glob("*.yaml"))
SCHEMA: dict[str, Any] = json.loads(SCHEMA_FILE.read_text())
BASE = "name: a\ndata: {train: x.csv}\n"

# Specs in forms that only embft reads so, and specs that it refuses for a field's own sake.
TAKEN = [
    "train: {loss: cosent}",
    "train: {loss: {name: cosent, temperature: 0.1}}",
    "train: {lora: {target_modules: query}}",
    "train: {lora: {target_modules: [query, value]}}",
    "train: {lora: {target_modules: all-linear}}",
    "resources: {memory: 8GiB, timeout: 2h, heartbeat: 60, concurrent_trials: auto}",
    "space: {train.loss: [cosine_similarity, {name: cosent}], model.pooling: [mean, null]}",
    "space: [{train.lora: [{rank: 8}, {rank: 16}]}, {data.columns.label: [score]}]",
    "space: {data.dev: [{file: b.csv, groups: kind}], data.nli: [null]}",
    "evaluators: [clusters, 'a:b', {clustering: {data: c.csv}, name: own}]",
    "artifacts: {keep: 'top:3'}",
    "space: {train.learning_rate: {loguniform: [1e-5, 1e-3]}, train.loss: {choice: [cosent]}}\n"
    "search: {algorithm: random, trials: 3, initial: [{train.learning_rate: 1e-4}]}",
    "space: {train.epochs: [2, 3]}\nsearch: grid\nscheduler: asha",
    "scheduler: {algorithm: median, grace: 2}\nstop: {time: 2h, no_better_for: 3}",
    "seeds: [1, 2]\nobjective: {metric: auc, prefer: none}",
]
REFUSED = [
    "trian: {}",
    "train: {learning_rate: 0}",
    "train: {loss: cosnt}",
    "train: {lora: {rnak: 8}}",
    "space: {train.learning_rate: 1e-3}",
    "space: {train.rate: [1e-3]}",
    "space: {train.epochs: [0]}",
    "resources: {device: tpu}",
    "seeds: 42",
    "search: annealing",
    "search: {algorithm: tpe, trials: 0}",
    "scheduler: {algorithm: asha, grace: 0}",
    "space: {train.learning_rate: {lognormal: [1, 2]}}",
    "objective: {mode: up}",
]


def errors(text: str) -> list[str]:
    """What an editor would show."""
    found = Draft202012Validator(SCHEMA).iter_errors(read_text(text, "s.yaml").data)
    return [error.message for error in found]


def test_the_published_schema_is_that_of_the_fields() -> None:
    """`docs/generate.py` writes it."""
    assert SCHEMA_FILE.read_text() == schema_text()
    Draft202012Validator.check_schema(SCHEMA)


def test_every_field_has_a_meaning_and_no_meaning_is_left_over() -> None:
    assert {path for path, _ in fields()} == set(meanings())
    described = {path for path, field in fields() if field.get("description")}
    assert described == set(meanings())


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_example_specs_fit_and_name_the_schema(path: Path) -> None:
    text = path.read_text()
    assert errors(text) == []
    comment, _, where = text.partition("\n")[0].partition("$schema=")
    assert comment == "# yaml-language-server: "
    assert (path.parent / where).resolve() == SCHEMA_FILE.resolve()


@pytest.mark.parametrize("more", TAKEN)
def test_what_embft_takes_an_editor_takes(more: str) -> None:
    parse_spec(BASE + more)
    assert errors(BASE + more) == []


@pytest.mark.parametrize("more", REFUSED)
def test_an_editor_shows_what_a_field_may_not_hold(more: str) -> None:
    with pytest.raises(SpecError):
        parse_spec(BASE + more)
    assert errors(BASE + more)
