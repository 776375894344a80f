"""A sweep on a machine without anything that only saves time: it runs, slower, and says so once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from embft.results.folders import TrialDir
from embft.results.records import Completed
from tests.helpers.commands import start_cold

# Every process of the sweep imports this first. Where a module of embft is about to be imported,
# what it may use of others is taken away.
TAKES_AWAY = """
import importlib.metadata, sys

GONE = {"numba", "llvmlite"}
version = importlib.metadata.version

def known(name):
    if name in GONE:
        raise importlib.metadata.PackageNotFoundError(name)
    return version(name)

importlib.metadata.version = known

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in GONE:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        if name == "embft.encoding.linear":
            import torch
            del torch.cpu.get_capabilities
            torch.ops.mkldnn = object()
        if name == "embft.encoding.packing":
            from sentence_transformers.sentence_transformer.modules import Transformer
            del Transformer._infer_flatten_position_offset
        if name == "embft.models.base":
            from sentence_transformers import SentenceTransformer
            from sentence_transformers.base.model import BaseModel
            del BaseModel._load_with_module_classes
        if name == "embft.execution.launcher":
            from multiprocessing import forkserver
            del forkserver.ensure_running
        if name == "embft.scheduler.cluster":
            from ray._private.state import GlobalState
            del GlobalState.node_table
        return None

sys.meta_path.insert(0, Finder())
"""


@pytest.mark.slow
def test_a_sweep_without_any_speed_up(tmp_path: Path, tiny_spec: str) -> None:
    """Without numba, llvmlite, oneDNN's operator, and private parts of five packages."""
    (tmp_path / "sitecustomize.py").write_text(TAKES_AWAY)
    (tmp_path / "tiny.yaml").write_text(tiny_spec.replace("[2, 4]", "[2]"))
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    sweep = start_cold("sweep", "tiny.yaml", cwd=tmp_path, PYTHONPATH=path)
    said, _ = sweep.communicate(timeout=280)
    assert sweep.returncode == 0, said
    for name in (
        "compiled loops",
        "oneDNN's float32 products",
        "a warm process that starts early",
        "a Ray that is there as soon as it can be",
    ):
        assert said.count(f"ran without {name}, which only costs time") == 1, said
    assert "Traceback" not in said
    for folder in (tmp_path / "results" / "tiny" / "trials").iterdir():
        result = TrialDir(folder).result()
        assert isinstance(result, Completed)
        assert result.provenance
        assert "numba" not in result.provenance.packages
        assert {"compiled loops", "oneDNN's float32 products"} <= result.provenance.without.keys()
