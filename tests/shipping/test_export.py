"""`embft export`: what leaves a sweep is the trial's model, whole, portable and described."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import yaml
from click.testing import CliRunner, Result
from sentence_transformers import SentenceTransformer

from embft.cli.main import main
from embft.errors import EmbftError, VerificationError
from embft.models.trained import find_trained, load_trained
from embft.models.verification import Reference
from embft.results.folders import TrialDir
from embft.shipping import export as module
from embft.spec import parse_spec


def _run(*arguments: object, check: int = 0) -> Result:
    ran = CliRunner().invoke(main, [str(each) for each in arguments])
    assert ran.exit_code == check, ran.output
    return ran


def _plain(folder: Path, texts: Sequence[str], **_: object) -> np.ndarray:
    """The embeddings that plain sentence-transformers gives, in this process, which is quicker."""
    found: np.ndarray = SentenceTransformer(str(folder), device="cpu").encode(list(texts))
    return found


def _texts_of(folder: Path) -> str:
    """All that can be read in a folder."""
    return "\n".join(p.read_text(errors="ignore") for p in folder.rglob("*") if p.is_file())


@pytest.fixture(scope="module")
def merged(sweep: dict[str, TrialDir], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The LoRA trial, exported by the beginning of its key."""
    out = tmp_path_factory.mktemp("export") / "deep" / "merged"
    trial = sweep["lora"]
    ran = _run("export", trial.sweep.path, trial.key[:7], "--out", out)
    assert "base and adapter merged" in ran.output
    assert "reference texts" in ran.output
    return out


def test_an_adapter_over_a_local_base_loads_anywhere(
    sweep: dict[str, TrialDir], merged: Path, tiny_model: Path, tmp_path: Path
) -> None:
    """By plain sentence-transformers, moved, without the sweep, the base or a network; it equals
    the trial's reference texts, template included, and names no folder of this machine.
    """
    moved = tmp_path / "elsewhere"
    shutil.copytree(merged, moved)
    reference = Reference.read(sweep["lora"].reference_file)
    np.testing.assert_allclose(_plain(moved, reference.texts), reference.trained, atol=1e-5)
    assert np.abs(reference.trained - reference.base).max() > 1e-3
    content = _texts_of(merged)
    assert str(tiny_model.parent) not in content
    assert str(sweep["lora"].sweep.path) not in content


def test_the_card_says_what_a_user_must_know(sweep: dict[str, TrialDir], merged: Path) -> None:
    """Base, data, audit, scores with intervals, limits, how to load and check, and a spec that
    parses; its metadata is YAML that the hub reads.
    """
    text = (merged / "README.md").read_text()
    result = sweep["lora"].result()
    assert result is not None
    _, metadata, body = text.split("---\n", 2)
    assert yaml.safe_load(metadata)["library_name"] == "sentence-transformers"
    score = result.test["spearman"]  # type: ignore[union-attr]
    low, high = result.test_intervals["spearman"]  # type: ignore[union-attr]
    assert f"| {score:.3f} | {low:.3f} to {high:.3f} |".replace("-", "\N{MINUS SIGN}") in body
    for needed in (
        result.data_digest,
        result.model_digest,
        "i love {text}",
        "audit",
        "Pooling: mean",
    ):
        assert needed in body
    spec = body.split("```yaml\n")[1].split("```")[0]
    assert parse_spec(spec).points[0].model.template == "i love {text}"
    assert "32 tokens" in body or "34 tokens" in body or "35 tokens" in body


def test_the_cards_own_check_runs(
    merged: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Every block of Python in the card runs; the check says whether it is this model."""
    shutil.copytree(merged, tmp_path / "merged")
    monkeypatch.chdir(tmp_path)
    blocks = [
        b.split("```")[0] for b in (merged / "README.md").read_text().split("```python\n")[1:]
    ]
    assert len(blocks) == 2
    for block in blocks:
        exec(block, {})  # noqa: S102 - the card's own code is what is tested
    assert capsys.readouterr().out.strip().endswith("equal")
    about = tmp_path / "merged" / "embft.json"
    content = json.loads(about.read_text())
    assert content["trial"]["key"] in content["trial"]["name"]
    content["check"]["embeddings"][0][0] += 0.1
    about.write_text(json.dumps(content))
    exec(blocks[1], {})  # noqa: S102
    assert "differs by" in capsys.readouterr().out


def test_a_whole_model_with_our_pooling_is_exported_for_plain_loaders(
    sweep: dict[str, TrialDir], tmp_path: Path
) -> None:
    """The mean over a text's own tokens, which no library has, by library modules alone."""
    out = tmp_path / "full"
    results = sweep["full"].sweep.path.parent
    _run("export", sweep["full"].short, "--results", results, "--out", out)
    assert "embft" not in (out / "modules.json").read_text()
    wanted = load_trained(str(sweep["full"].path)).encode(["i love dogs", ""])
    np.testing.assert_allclose(_plain(out, ["i love dogs", ""]), wanted, atol=1e-6)


def test_an_adapter_alone_names_its_base_for_others(
    sweep: dict[str, TrialDir],
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By a name that is given, with the digest of the content; no path of this machine."""
    monkeypatch.setattr(module, "embed_fresh", _plain)
    out, folder = tmp_path / "adapter", sweep["lora"]
    arguments = ("export", folder.sweep.path, folder.name, "--adapter")
    ran = _run(*arguments, "--base-name", "someone/their-base", "--out", out)
    assert "the adapter alone" in ran.output
    config = json.loads((out / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "someone/their-base"
    digest = folder.read_input().model_digest
    assert json.loads((out / "embft.json").read_text())["base"]["digest"] == digest
    card = (out / "README.md").read_text()
    assert digest in card
    assert "base_model_relation: adapter" in card
    assert str(tiny_model.parent) not in _texts_of(out)
    assert not list(out.glob("model*.safetensors"))


def test_the_base_model_is_exported_where_it_is_asked_for(
    sweep: dict[str, TrialDir], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the recommendation is to keep it: the same embeddings, and a card that says so."""
    monkeypatch.setattr(module, "embed_fresh", _plain)
    out, trial = tmp_path / "base", sweep["none"]
    _run("export", trial.sweep.path, trial.key, "--out", out)
    wanted = load_trained(str(sweep["none"].path)).encode(["i love dogs"])
    np.testing.assert_allclose(_plain(out, ["i love dogs"]), wanted, atol=1e-6)
    assert "the base model" in (out / "README.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("none-such",), "has no trial 'none-such'"),
        (("baseline", "--adapter"), "no adapter was trained here"),
        (("baseline", "--base-name", "a/b"), "--base-name is for --adapter"),
        (("baseline", "--public"), "--public is for --push"),
        (("baseline", "--push", "not a name"), "not the name of a repository"),
    ],
)
def test_what_cannot_be_exported_says_why(
    sweep: dict[str, TrialDir], tmp_path: Path, arguments: Sequence[str], said: str
) -> None:
    ran = _run("export", sweep["none"].sweep.path, *arguments, "--out", tmp_path / "out", check=2)
    assert said in ran.output
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten_and_a_full_disk_is_found_first(
    sweep: dict[str, TrialDir], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is written; and what only a library notices ends in one line too."""
    sweep_folder = sweep["none"].sweep.path
    ran = _run("export", sweep_folder, "baseline", "--out", tmp_path, check=2)
    assert "exists already" in ran.output
    monkeypatch.setattr(module, "free_disk", lambda _: 1000)
    ran = _run("export", sweep_folder, "baseline", "--out", tmp_path / "out", check=2)
    assert "needs about 50 MB of disk, and 0 MB are free" in ran.output

    def full(*_: object) -> None:
        raise RuntimeError("I/O error: No space left on device (os error 28)")

    monkeypatch.undo()
    monkeypatch.setattr(module, "use_library_modules", full)
    ran = _run("export", sweep_folder, "baseline", "--out", tmp_path / "out", check=2)
    assert "No space left on device" in ran.output
    assert not list(tmp_path.iterdir())


def test_a_model_that_comes_back_as_another_one_is_not_exported(
    sweep: dict[str, TrialDir], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A planted fault between saving and loading: nothing appears under the name."""

    def wrong(folder: Path, texts: Sequence[str], **_: object) -> object:
        found = _plain(folder, texts)
        found[-1] += 0.01
        return found

    monkeypatch.setattr(module, "embed_fresh", wrong)
    found = find_trained(str(sweep["lora"].path))
    with pytest.raises(VerificationError, match="differ from those of the trained model"):
        module.export(found, tmp_path / "out", lambda facts: facts.name, module.Wanted())
    assert not list(tmp_path.iterdir())


def test_a_trial_without_a_model_says_what_to_do(
    sweep: dict[str, TrialDir], tmp_path: Path
) -> None:
    copy = tmp_path / "sweep"
    shutil.copytree(sweep["lora"].sweep.path, copy)
    trial = TrialDir(copy / "trials" / sweep["lora"].name)
    trial.removed_file.write_text("{}")
    with pytest.raises(EmbftError, match=r"was removed.*artifacts: \{keep: all\}"):
        find_trained(str(trial.path))
