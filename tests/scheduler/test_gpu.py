"""What runs on a GPU, checked without one."""

from __future__ import annotations

from pathlib import Path

import pytest

from embft.results.folders import TrialDir
from embft.results.records import Completed
from tests.conftest import tiny_text
from tests.helpers.commands import ROOT, program, warm_program


def test_trials_on_a_device_that_keeps_its_tensors_apart() -> None:
    """In a process of its own: torch counts devices when it takes the first gradients."""
    warm_program("gpu_checks", cwd=ROOT)


WHERE = """\
import os, time
from pathlib import Path

pytestmark = pytest.mark.slow

def where(context):
    here = Path("{folder}")
    (here / str(os.getpid())).touch()
    began = time.monotonic()
    while len(list(here.iterdir())) < 2:
        assert time.monotonic() - began < 100, "no other trial runs beside this one"
        time.sleep(0.1)
    return {{"gpu": float(os.environ["CUDA_VISIBLE_DEVICES"])}}
"""


@pytest.mark.long
def test_two_trials_share_a_gpu(tmp_path: Path, tiny_model: Path, pair_files: Path) -> None:
    """Ray gives half of it to each, on one core where that can be arranged, and each worker learns
    which one it is. Here Ray is given one, torch knows better, and the trials compute
    on the CPU.
    """
    (tmp_path / "meeting").mkdir()
    (tmp_path / "own.py").write_text(WHERE.format(folder=tmp_path / "meeting"))
    spec = tiny_text(tiny_model, pair_files)
    resources = "resources: {concurrent_trials: auto, gpus_per_trial: 0.5}\n"
    (tmp_path / "two.yaml").write_text(f"{spec}{resources}evaluators: [own:where]\n")
    program("sweep_with_a_gpu", cwd=tmp_path, arguments=["sweep", "two.yaml"])
    found = [
        TrialDir(p.parent).result() for p in tmp_path.glob("results/tiny/trials/*/result.json")
    ]
    assert len(found) == 5
    for result in found:
        assert isinstance(result, Completed)
        assert result.test["gpu"] == 0
