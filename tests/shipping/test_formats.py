"""`embft export --format`: ONNX and OpenVINO give the model's embeddings, or are refused with the
layer at fault; `embft verify --onnx` and `--openvino` find it later.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from sentence_transformers import SentenceTransformer

from embft.cli.main import main
from embft.errors import ModelError, VerificationError
from embft.models.base import load_base
from embft.models.tiny_decoder import Size, make_decoder
from embft.results.folders import TrialDir
from embft.shipping import export as export_module
from embft.shipping import onnx_format, speed
from embft.shipping.formats import FORMATS, Trials, add_formats, find_graph, open_format
from embft.spec import ModelSpec

TEXTS = ("i love dogs", "you never hate the cats and we like tea", "music", "a", "we like films")


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    """Speeds are measured in a moment: here they only have to be there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(speed, "_ROUND_SECONDS", 0.02)
        patch.setattr(speed, "_ALONE_SECONDS", 0.02)
        yield


@pytest.fixture(scope="module")
def exported(
    sweep: dict[str, TrialDir], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Result]:
    """The LoRA trial with every format, and what the command said."""
    out = tmp_path_factory.mktemp("formats") / "model"
    wanted = [part for form in FORMATS for part in ("--format", form)]
    trial = sweep["lora"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export_module, "embed_fresh", _plain)
        arguments = ["export", str(trial.sweep.path), trial.key, "--out", str(out), *wanted]
        ran = CliRunner().invoke(main, arguments)
    assert ran.exit_code == 0, ran.output
    return out, ran


def _plain(folder: Path, texts: Any, **_: object) -> np.ndarray:
    """In this process, which is quicker; test_export has the fresh one."""
    found: np.ndarray = SentenceTransformer(str(folder), device="cpu").encode(list(texts))
    return found


def test_each_format_gives_the_models_embeddings(exported: tuple[Path, Result]) -> None:
    """To rounding in float32, nearly in 8 bits, alone and in batches; files have the names that
    sentence-transformers' backends look for.
    """
    folder, _ = exported
    wanted = SentenceTransformer(str(folder), device="cpu").encode(list(TEXTS))
    for file, allowed in (
        ("onnx/model.onnx", 1e-5),
        ("openvino/openvino_model.xml", 1e-5),
        ("onnx/model_qint8.onnx", 0.2),
        ("openvino/openvino_model_qint8_quantized.xml", 0.2),
    ):
        model = open_format(folder, folder / file)
        together, alone = model.embed(TEXTS), np.concatenate([model.embed([t]) for t in TEXTS])
        for found in (together, alone):
            lengths = np.linalg.norm(wanted, axis=1)
            assert (np.linalg.norm(found - wanted, axis=1) / lengths).max() < allowed


def test_score_and_speed_stand_beside_each_format(exported: tuple[Path, Result]) -> None:
    """On the terminal and in the card, with the paired interval."""
    folder, ran = exported
    lines = [line for line in ran.stdout.splitlines() if line.startswith("format: ")]
    assert [line.split("(")[1].split(",")[0] for line in lines] == list(FORMATS)
    card = (folder / "README.md").read_text()
    for line in lines:
        assert line.removeprefix("format: ") in card
        for part in ("on 24 test pairs", "a loss of", "texts/s (torch", "at p50", "at p95"):
            assert part in line


def _changed(folder: Path, name: str, **values: Any) -> None:
    path = folder / name
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def _normalise(folder: Path) -> None:
    path = folder / "modules.json"
    modules = json.loads(path.read_text())
    kind = "sentence_transformers.sentence_transformer.modules.normalize.Normalize"
    modules.append({"idx": 2, "name": "2", "path": "2_Normalize", "type": kind})
    path.write_text(json.dumps(modules))
    (folder / "2_Normalize").mkdir()


@pytest.mark.parametrize(
    ("fault", "plant"),
    [
        ("pooling", lambda f: _changed(f, "1_Pooling/config.json", pooling_mode="cls")),
        ("normalisation", _normalise),
        ("truncation", lambda f: _changed(f, "sentence_bert_config.json", max_seq_length=12)),
        ("prompt", lambda f: (f / "tokenizer.json").write_text(_no_template(f))),
    ],
)
@pytest.mark.parametrize("option", ["--onnx", "--openvino"])
def test_a_folder_with_a_fault_is_named_by_verify(  # noqa: PLR0917 - fixtures
    sweep: dict[str, TrialDir],
    exported: tuple[Path, Result],
    tmp_path: Path,
    option: str,
    fault: str,
    plant: Callable[[Path], Any],
) -> None:
    """Against the trial, with its price; untouched it is the same."""
    copy = tmp_path / "served"
    shutil.copytree(exported[0], copy)
    arguments = ["verify", str(sweep["lora"].path), option, str(copy)]
    if fault == "pooling":
        assert CliRunner().invoke(main, arguments).exit_code == 0
    plant(copy)
    ran = CliRunner().invoke(main, arguments)
    assert ran.exit_code == 1, ran.output
    faults = [line.strip().split(":")[0] for line in ran.stdout.splitlines()[1:]]
    assert faults == [fault, "price"]
    assert "Spearman correlation" in ran.stdout


def _no_template(folder: Path) -> str:
    content = json.loads((folder / "tokenizer.json").read_text())
    single = content["post_processor"]["single"]
    content["post_processor"]["single"] = [
        part for part in single if part.get("SpecialToken", {}).get("id") != "<before>"
    ]
    return json.dumps(content)


def test_a_graph_that_ignores_the_mask_is_refused(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before it ships, and nothing of it is left."""

    def unmasked(self: Any, *tokens: torch.Tensor) -> torch.Tensor:
        given = dict(zip(self.names, tokens, strict=True))
        given["attention_mask"] = torch.ones_like(given["attention_mask"])
        hidden: torch.Tensor = self.inner(**given).last_hidden_state
        return hidden

    monkeypatch.setattr(onnx_format._Hidden, "forward", unmasked)
    model = load_base(tiny_model, ModelSpec(base=str(tiny_model)))
    folder = tmp_path / "model"
    model.save_pretrained(str(folder))
    with pytest.raises(VerificationError, match=r"--format onnx is refused.*padding: in a batch"):
        add_formats(folder, model, ["onnx"], Trials(TEXTS))
    assert not list(tmp_path.rglob("*.onnx"))


def test_a_decoder_with_another_layer_and_left_padding(tmp_path: Path) -> None:
    """What a graph must keep of a model that is no usual encoder."""
    base = tmp_path / "base"
    make_decoder(base, "qwen3", list(TEXTS), Size(width=32, layers=3, vocabulary=300))
    spec = ModelSpec(base=str(base), pooling="last", layer=2, padding_side="left", template="eol")
    model = load_base(base, spec)
    folder = tmp_path / "model"
    model.save_pretrained(str(folder))
    (shipped,) = add_formats(folder, model, ["onnx"], Trials(TEXTS))
    assert shipped.difference < 1e-5
    assert shipped.price is None


def test_what_is_no_graph_says_so(
    exported: tuple[Path, Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No file, several, rubbish, a missing package, options that exclude each other."""
    with pytest.raises(ModelError, match=r"no \*\.onnx file is there"):
        find_graph(tmp_path, ".onnx")
    for name in ("a.onnx", "b.onnx"):
        (tmp_path / name).write_bytes(b"rubbish")
    with pytest.raises(ModelError, match=r"several .* \(a\.onnx, b\.onnx\): give one of them"):
        find_graph(tmp_path, ".onnx")
    with pytest.raises(ModelError, match="ONNX Runtime cannot open it"):
        open_format(exported[0], tmp_path / "a.onnx")
    both = ["verify", str(exported[0]), "--onnx", "a", "--openvino", "b"]
    assert "give one of" in CliRunner().invoke(main, both).output
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "onnxruntime" else real(name)
    )
    with pytest.raises(ModelError, match=r"pip install 'embft\[onnx\]'"):
        open_format(exported[0], exported[0] / "onnx/model.onnx")


def test_openvino_reports_nothing(exported: tuple[Path, Result]) -> None:
    """Its telemetry is not imported where embft imports it."""
    import sys

    assert exported
    assert sys.modules["openvino"]
    assert sys.modules.get("openvino_telemetry") is None
