"""Every architecture of `docs/models.md` trains, saves, verifies, and reloads by plain libraries.

The table there is written by this file: `python -m tests.models.test_architectures`.
"""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as PEFT_TARGETS
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Transformer
from transformers.pytorch_utils import Conv1D

from embft.execution.score_step import score_step
from embft.execution.train_step import train_step
from embft.models.base import load_base
from embft.models.model_folder import anatomy
from embft.models.targets import default_targets, short_names
from embft.models.verification import Reference
from embft.planning.plan import make_plan
from embft.planning.prepare import prepare
from embft.results.records import Completed
from embft.spec import ModelSpec, parse_spec
from tests.conftest import ROOT
from tests.helpers.architectures import ARCHITECTURES, make

METHODS = ("lora", "full", "none")
SHORT = ("mpnet", "modernbert", "nomic_bert")  # others are in the long form; BERT is everywhere
_DOCS = ROOT / "docs" / "models.md"
_ROW = re.compile(r"^\| `([\w-]+)` \|.*?\|.*?\| (.*) \|$", re.M)


def run(base: Path, method: str, pairs: Path, results: Path) -> str:
    """One trial of this method on this base, and what came of it: `yes`, or where it ended.

    yes: trained, saved, verified in a fresh load, and by plain sentence-transformers the same
    embeddings to 1e-5.
    """
    spec = parse_spec(
        f"""\
name: {method}
data: {{train: {pairs}/train.jsonl, dev: {pairs}/dev.jsonl}}
model: {{base: {base}}}
train: {{epochs: 1, batch_size: 8, learning_rate: 1e-2, method: {method}}}
"""
    )
    trial = prepare(make_plan(spec, results), retry_failed=False)[-1]
    assert trial.spec.train.method == method
    trial.folder.create(trial.input(threads=1))
    if method != "none":
        train_step(trial.folder)
    score_step(trial.folder)
    result = trial.folder.result()
    assert isinstance(result, Completed)
    if method == "none":
        assert np.isfinite(list(result.dev.values())).all()
        return "yes"
    assert result.verification is not None
    assert result.verification.against_base > 1e-4
    reference = Reference.read(trial.folder.reference_file)
    plain = SentenceTransformer(str(trial.folder.model_folder), device="cpu")
    found = plain.encode(list(reference.texts), show_progress_bar=False)
    np.testing.assert_allclose(found, reference.trained, atol=1e-5)
    return "yes"


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", SHORT)
def test_an_architecture_is_trained_verified_and_reloaded(
    name: str, method: str, pair_files: Path, tmp_path: Path
) -> None:
    """By each method, with the default targets of an adapter."""
    assert run(make(name, tmp_path / "base"), method, pair_files, tmp_path) == "yes"


@pytest.mark.long
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name not in SHORT])
def test_every_architecture_of_the_table_is(
    name: str, method: str, pair_files: Path, tmp_path: Path
) -> None:
    """The same for all others."""
    assert run(make(name, tmp_path / "base"), method, pair_files, tmp_path) == "yes"


def test_the_table_names_what_is_tested() -> None:
    """Each architecture has its row, with its default targets, and no other has."""
    rows = _ROW.findall(_DOCS.read_text())
    assert [name for name, _ in rows] == list(ARCHITECTURES)
    assert {outcomes for _, outcomes in rows} == {"yes | yes | yes"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder for each architecture."""
    root = tmp_path_factory.mktemp("architectures")
    return {name: make(name, root / name) for name in ARCHITECTURES}


def test_a_plan_knows_the_layers_as_they_are_loaded(folders: dict[str, Path]) -> None:
    """From the headers of its weights: names of linear layers, number of layers, places, width."""
    for name, folder in folders.items():
        found, loaded = anatomy(folder), Transformer(str(folder))
        layers = {
            n for n, m in loaded.model.named_modules() if isinstance(m, torch.nn.Linear | Conv1D)
        }
        assert short_names(found.linear_layers) == short_names(layers), name
        assert found.width == loaded.get_embedding_dimension(), name
        assert found.layers in {None, loaded.config.num_hidden_layers}, name
        longest = load_base(folder, ModelSpec(base=name)).max_seq_length
        assert found.positions in {None, longest}, name


def test_default_targets_are_query_and_value(folders: dict[str, Path]) -> None:
    """PEFT's own where it has some, and something for every architecture."""
    for name, folder in folders.items():
        found = default_targets(anatomy(folder).linear_layers)
        assert found
        assert set(PEFT_TARGETS.get(name, found)) == set(found), name


def _table() -> str:
    """The table of `docs/models.md`, as the runs come out."""
    lines = [
        "| architecture | known for | default targets of `lora` | `lora` | `full` | `none` |",
        "|---|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        _write_pairs(root)
        for name, chosen in ARCHITECTURES.items():
            base = make(name, root / name)
            targets = ", ".join(f"`{t}`" for t in default_targets(anatomy(base).linear_layers))
            found = [_outcome(base, method, root) for method in METHODS]
            lines.append(f"| `{name}` | {chosen.known_for} | {targets} | {' | '.join(found)} |")
    return "\n".join(lines)


def _outcome(base: Path, method: str, root: Path) -> str:
    try:
        return run(base, method, root, root / "results" / base.name)
    except Exception as error:  # noqa: BLE001 - whatever it is, the table says it
        return f"no: {type(error).__name__}"


def _write_pairs(folder: Path) -> None:
    for split, count in (("train", 24), ("dev", 16)):
        rows = (
            {"text_1": f"i love {split} {i}", "text_2": f"we hate {i} cats", "label": i % 2}
            for i in range(count)
        )
        (folder / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))


if __name__ == "__main__":
    before, _, rest = _DOCS.read_text().partition("| architecture |")
    after = rest[rest.index("\n\n") :]
    _DOCS.write_text(before + _table() + after)
