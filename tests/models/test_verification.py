"""No result without verification: whatever is wrong with a saved model, the trial says so."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from embft.errors import ModelError, VerificationError
from embft.execution.score_step import score_step
from embft.execution.train_step import train_step
from embft.planning.plan import make_plan
from embft.planning.prepare import prepare
from embft.results.folders import TrialDir
from embft.results.records import Completed
from embft.spec import parse_spec
from embft.storage.seal import sealed, unsealed

Fault = Callable[[Path], None]


@pytest.fixture(scope="module")
def trained(
    tiny_model: Path, pair_files: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, TrialDir]:
    """A trained, not yet scored trial for each method."""
    folder = tmp_path_factory.mktemp("verification")
    spec = parse_spec(
        f"""\
name: verification
data: {{train: {pair_files}/train.jsonl, dev: {pair_files}/dev.jsonl}}
model: {{base: {tiny_model}}}
train: {{epochs: 1, batch_size: 8, learning_rate: 1e-2}}
space: {{train.method: [full, lora]}}
"""
    )
    trials = prepare(make_plan(spec, folder / "results"), retry_failed=False)
    found: dict[str, TrialDir] = {
        t.spec.train.method: t.folder for t in trials if not t.spec.is_baseline
    }
    for trial in trials:
        trial.folder.create(trial.input(threads=1))
    for folder_of in found.values():
        train_step(folder_of)
    return found


def _copy(trained: dict[str, TrialDir], method: str) -> TrialDir:
    source = trained[method].path
    target = source.with_name(f"copy-{source.name}")
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    return TrialDir(target)


@pytest.mark.parametrize("method", ["full", "lora"])
def test_an_honest_trial_is_verified(trained: dict[str, TrialDir], method: str) -> None:
    """What was saved equals what was trained, to the last bit here, and differs from the base."""
    folder = _copy(trained, method)
    score_step(folder)
    result = folder.result()
    assert isinstance(result, Completed)
    assert result.verification is not None
    assert result.verification.against_memory == 0.0
    assert result.verification.against_base > 1e-4


def _edit_weights(
    name: str, edit: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]
) -> Fault:
    def fault(folder: Path) -> None:
        save_file(edit(load_file(folder / name)), folder / name)

    return fault


def _remove(name: str) -> Fault:
    return lambda folder: (folder / name).unlink()


def _halve(name: str) -> Fault:
    def fault(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])

    return fault


_ADAPTER = "adapter_model.safetensors"
FAULTS: dict[str, tuple[str, Fault, str]] = {
    "lora: wrong keys": (
        "lora",
        _edit_weights(_ADAPTER, lambda w: {f"module.{k}": v for k, v in w.items()}),
        "do not fit",
    ),
    "lora: a key missing": (
        "lora",
        _edit_weights(_ADAPTER, lambda w: dict(list(w.items())[1:])),
        "do not fit",
    ),
    "lora: zeroed": (
        "lora",
        _edit_weights(_ADAPTER, lambda w: {k: v * 0 for k, v in w.items()}),
        "base model's embeddings",
    ),
    "lora: changed": (
        "lora",
        _edit_weights(_ADAPTER, lambda w: {k: v * 1.5 for k, v in w.items()}),
        "not the trained one",
    ),
    "lora: not a number": (
        "lora",
        _edit_weights(_ADAPTER, lambda w: {k: v * float("nan") for k, v in w.items()}),
        "not finite",
    ),
    "lora: weights gone": ("lora", _remove(_ADAPTER), "cannot read the adapter"),
    "lora: weights cut": ("lora", _halve(_ADAPTER), "cannot read the adapter"),
    "lora: folder gone": ("lora", shutil.rmtree, "missing"),
    "full: zeroed": (
        "full",
        _edit_weights("model.safetensors", lambda w: {k: v * 0 for k, v in w.items()}),
        "not the trained one|not finite",
    ),
    "full: keys renamed": (
        "full",
        _edit_weights("model.safetensors", lambda w: {f"x.{k}": v for k, v in w.items()}),
        "not the trained one",
    ),
    "full: weights cut": ("full", _halve("model.safetensors"), "cannot load"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_every_planted_fault_is_found(trained: dict[str, TrialDir], fault: str) -> None:
    """A wrong, empty, cut or missing saved model never gets a score."""
    method, plant, message = FAULTS[fault]
    folder = _copy(trained, method)
    plant(folder.model_folder)
    with pytest.raises((VerificationError, ModelError), match=message):
        score_step(folder)
    assert folder.result() is None


def test_the_base_in_place_of_the_model_is_found(
    trained: dict[str, TrialDir], tiny_model: Path
) -> None:
    """The seed study's failure: the base model's own embeddings under the trained model's name."""
    folder = _copy(trained, "full")
    shutil.rmtree(folder.model_folder)
    shutil.copytree(tiny_model, folder.model_folder)
    with pytest.raises(VerificationError, match="what was trained is not applied"):
        score_step(folder)


def test_an_adapter_names_its_base_not_its_path(
    trained: dict[str, TrialDir], tiny_model: Path
) -> None:
    """adapter_config.json holds the base as the spec names it."""
    config = json.loads((trained["lora"].model_folder / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(tiny_model)


def test_a_base_that_changed_since_the_plan_is_refused(trained: dict[str, TrialDir]) -> None:
    """A base model with other weights than planned fails the trial instead of mixing."""
    folder = _copy(trained, "lora")
    content = unsealed(folder.input_file)
    folder.input_file.write_text(sealed({**content, "model_digest": "0" * 64}))
    with pytest.raises(ModelError, match="changed since the trial was planned"):
        score_step(folder)
