"""Whoever loads a trial's model gets the one that was verified, or an error that says why not."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file

from embft.cli.main import main
from embft.encoding.encoder import encode
from embft.errors import ModelError, VerificationError
from embft.execution.maps import write_map
from embft.models.resolve import LocalBase, find_base_model
from embft.models.trained import find_trained, load_trained
from embft.models.verification import Reference
from embft.results.folders import TrialDir
from embft.shipping.export import Wanted, export
from embft.spec import parse_spec
from tests.helpers.trials import run_spec

TEXTS = ["i love dogs", "you hate tea"]


@pytest.fixture(scope="module")
def base(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base of this module's own, which its tests may overwrite."""
    folder = tmp_path_factory.mktemp("base") / "model"
    shutil.copytree(tiny_model, folder)
    return folder


@pytest.fixture(scope="module")
def trials(
    base: Path, pair_files: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, TrialDir]:
    """A finished trial for each method, `none` among them."""
    spec = parse_spec(
        f"""\
name: trained
data: {{train: {pair_files}/train.jsonl, dev: {pair_files}/dev.jsonl}}
model: {{base: {base}}}
train: {{epochs: 1, batch_size: 8, learning_rate: 1e-2}}
space: {{train.method: [none, full, lora]}}
"""
    )
    return run_spec(spec, tmp_path_factory.mktemp("trained") / "results")


@pytest.fixture
def other_weights(base: Path) -> object:
    """For this test, the base has other weights than when the trials ran."""
    path = base / "model.safetensors"
    kept = path.read_bytes()
    weights = {name: value + 0.01 for name, value in load_file(path).items()}
    save_file(weights, path, metadata={"format": "pt"})
    yield
    path.write_bytes(kept)


@pytest.mark.parametrize("method", ["none", "full", "lora"])
def test_an_untouched_trial_is_loaded(trials: dict[str, TrialDir], method: str) -> None:
    """By its folder, by the folder of its model, and copied under any name."""
    folder = trials[method].path
    wanted = encode(load_trained(str(folder)), TEXTS)
    copy = folder.parents[2] / f"my copy of {method}"
    shutil.copytree(folder, copy)
    names = [copy, copy / "model", folder / "model"] if method != "none" else [copy]
    for name in names:
        np.testing.assert_array_equal(encode(load_trained(str(name)), TEXTS), wanted)
    shutil.rmtree(copy)


def test_a_copied_trial_is_evaluated_as_the_original(
    trials: dict[str, TrialDir], tmp_path: Path
) -> None:
    """A folder that a user has copied elsewhere under a name of theirs is a trial as it was."""
    folder = trials["lora"].path
    copy = tmp_path / "the one for production"
    shutil.copytree(folder, copy)
    said = [
        CliRunner().invoke(main, ["evaluate", str(path), "--evaluator", "probe"])
        for path in (folder, copy)
    ]
    assert [ran.exit_code for ran in said] == [0, 0], [ran.output for ran in said]
    numbers = [re.findall(r"-?\d\.\d{3,}", ran.output) for ran in said]
    assert numbers[0]
    assert numbers[0] == numbers[1]


@pytest.mark.usefixtures("other_weights")
def test_an_adapter_is_not_put_on_another_base(trials: dict[str, TrialDir], tmp_path: Path) -> None:
    """Every command that loads it refuses, and names the base; the adapter's own folder as well."""
    trial = trials["lora"]
    alone = tmp_path / "adapter"
    shutil.copytree(trial.model_folder, alone)
    for name in (trial.path, trial.model_folder, alone, trials["none"].path):
        with pytest.raises(ModelError, match=r"its base model .*/model is not the one"):
            load_trained(str(name))
    for name in (trial.path, alone):
        with pytest.raises(ModelError, match="is not the one"):
            export(find_trained(str(name)), tmp_path / "merged", lambda facts: facts.name, Wanted())
    assert not (tmp_path / "merged").exists()
    with pytest.raises(ModelError, match="is not the one"):
        write_map(trial)
    ran = CliRunner().invoke(main, ["evaluate", str(trial.path), "--evaluator", "probe"])
    assert isinstance(ran.exception, ModelError) or ran.exit_code == 2
    assert load_trained(str(trials["full"].path))  # needs no base


def test_the_base_that_is_back_is_accepted(trials: dict[str, TrialDir]) -> None:
    """What counts is the content: after the tests above it is the same again."""
    assert load_trained(str(trials["lora"].path))


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_model_that_embeds_otherwise_than_when_trained_is_refused(
    trials: dict[str, TrialDir], method: str, tmp_path: Path
) -> None:
    """By the reference embeddings: whatever has changed the embeddings, digests or not."""
    copy = tmp_path / "copy"
    shutil.copytree(trials[method].path, copy)
    file = TrialDir(copy).reference_file
    reference = Reference.read(file)
    assert len(reference.texts) == len(reference.trained) > 20
    replace(reference, trained=reference.trained * 1.01).write(file)
    with pytest.raises(VerificationError, match="differ from those that it had"):
        load_trained(str(copy))


def test_a_trial_without_a_verified_model_is_not_loaded(
    trials: dict[str, TrialDir], tmp_path: Path
) -> None:
    """Trained but not scored: nothing has shown that what lies there is what was trained."""
    copy = tmp_path / "copy"
    shutil.copytree(trials["full"].path, copy)
    (copy / "result.json").unlink()
    with pytest.raises(ModelError, match="no verified model: it has not finished"):
        load_trained(str(copy))


def test_an_adapter_says_what_it_was_trained_on(trials: dict[str, TrialDir], base: Path) -> None:
    """Name and digest in `embft.json`, the name in PEFT's own file too."""
    folder = trials["lora"].model_folder
    config = json.loads((folder / "adapter_config.json").read_text())
    origin = find_trained(str(folder)).origin
    assert origin is not None
    assert config["base_model_name_or_path"] == origin.name == str(base)
    assert origin.digest == find_base_model(str(base)).digest


def test_a_short_name_becomes_the_full_id(minilm: Path) -> None:
    """Which is what plain sentence-transformers and PEFT can look up."""
    found = find_base_model("all-MiniLM-L6-v2")
    assert found.name == "sentence-transformers/all-MiniLM-L6-v2"
    assert found == find_base_model("sentence-transformers/all-MiniLM-L6-v2")
    assert "revision unknown" in found.described
    assert found.folder == minilm


@pytest.mark.parametrize(
    ("given", "full"),
    [
        ("all-mpnet-base-v2", "sentence-transformers/all-mpnet-base-v2"),
        ("bert-base-uncased", "bert-base-uncased"),
        ("owner/model", "owner/model"),
    ],
)
def test_a_hub_model_has_its_full_id_and_revision(
    given: str,
    full: str,
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As the hub's cache has it; names without an owner are sentence-transformers' first."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    repo = tmp_path / f"models--{full.replace('/', '--')}"
    shutil.copytree(tiny_model, repo / "snapshots" / commit)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub._snapshot_download.constants.HF_HUB_CACHE", str(tmp_path))
    found = find_base_model.__wrapped__(given)
    assert isinstance(found, LocalBase)
    assert (found.name, found.revision) == (full, commit)
    assert commit in found.described


def test_a_digest_is_taken_anew_when_a_file_has_changed(tiny_model: Path, tmp_path: Path) -> None:
    """Also in a process that has seen the file before."""
    from embft.models.resolve import content_digest

    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    before = content_digest(folder)
    weights = load_file(folder / "model.safetensors")
    first = next(iter(weights))
    weights[first] = weights[first] + torch.ones(1)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert content_digest(folder) != before
