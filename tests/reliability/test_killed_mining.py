"""`kill -9` while hard negatives are mined: of the process that mines, of the sweep, of both."""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

from embft.data.pairs import Pairs
from tests.helpers.commands import embft, relatives, rows, start_cold, wait_for, wait_for_the_end
from tests.helpers.judged import write_beir

TEXTS = 20_000  # of so many the vectors lie in a file, which an interrupted encoding goes on with
KILLS = int(os.environ.get("EMBFT_MINING_KILLS", "6"))
SPEC = """\
name: mined
data:
  beir: {beir}
  negatives: {{number: 2, range: [1, 8], sampling: random, corpus: pool.jsonl}}
model: {{base: {model}}}
train: {{loss: multiple_negatives_ranking, epochs: 1, batch_size: 8}}
objective: {{metric: ndcg_at_10}}
"""


def _spec(folder: Path, model: Path) -> Path:
    folder.mkdir()
    splits = {"train": range(24), "dev": range(24, 32), "test": range(32, 40)}
    beir = write_beir(folder / "beir", splits)
    pool = (f'{{"text": "we hate {i} dogs and {i * 7 % 1000} cats"}}\n' for i in range(TEXTS))
    (folder / "pool.jsonl").write_text("".join(pool))
    (folder / "mined.yaml").write_text(SPEC.format(beir=beir, model=model))
    return folder


def _mines(process: psutil.Process) -> bool:
    """Whether this is the process that mines: its output is a mining's log."""
    with contextlib.suppress(psutil.Error, OSError):
        return "/mining/" in str(Path(f"/proc/{process.pid}/fd/1").readlink())
    return False


def _victims(folder: Path, target: str) -> Sequence[psutil.Process]:
    everyone = relatives(folder)
    return everyone if target == "all" else [process for process in everyone if _mines(process)]


def _train(folder: Path) -> str:
    (path,) = (folder / "results" / "mined").glob("data/*/train.parquet")
    return Pairs.read(path).digest()


@pytest.mark.long
def test_kills_during_mining(tmp_path: Path, tiny_model: Path) -> None:
    """Nothing is left that works on, no message has a traceback, and in the end the same command
    has the negatives and the trials of a sweep that nobody disturbed.
    """
    draw = random.Random(5)  # noqa: S311 - when to kill
    home = _spec(tmp_path / "killed", tiny_model)
    mining, killed = home / "results" / "mined" / "mining", 0
    for number in range(KILLS):
        target = ("mining", "driver", "all")[number % 3]
        sweep = start_cold("sweep", "mined.yaml", cwd=home)
        wait_for(lambda s=sweep: any(map(_mines, relatives(home))) or s.poll() is not None)
        time.sleep(draw.uniform(0, 4))
        killed += sweep.poll() is None
        if target == "driver":
            sweep.kill()
        for process in () if target == "driver" else _victims(home, target):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        output, _ = sweep.communicate(timeout=240)
        assert "Traceback" not in output
        if target == "mining" and sweep.returncode:
            assert sweep.returncode == 2
            assert "the same command goes on" in " ".join(output.split())
        wait_for_the_end(home, 60)
        assert not list(mining.glob("*/.*.tmp"))[1:], "one torn write at the most"
    assert killed
    embft("sweep", "mined.yaml", cwd=home)
    calm = _spec(tmp_path / "calm", tiny_model)
    embft("sweep", "mined.yaml", cwd=calm)
    assert _train(home) == _train(calm)
    statuses = [row["status"] for row in rows(home / "results" / "mined").values()]
    assert statuses == ["completed"] * 2
    assert not mining.exists()
