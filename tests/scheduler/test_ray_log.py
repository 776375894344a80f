"""What Ray says goes into a file, what embft says to the terminal."""

from __future__ import annotations

from pathlib import Path

from tests.helpers.commands import run_program


def test_each_line_goes_where_it_belongs(tmp_path: Path) -> None:
    """By the thread that prints it; what is written past Python is none of embft's."""
    run = run_program("ray_log", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines() == ["from embft", "from another thread", "True False"]
    assert run.stderr.splitlines() == [
        "embft's error", "embft's warning", "afterwards", "and afterwards",
    ]  # fmt: skip
    assert sorted((tmp_path / "ray.log").read_text().splitlines()) == [
        "(raylet) state-dump", "Ray's warning", "from a thread of Ray's", "from compiled parts",
    ]  # fmt: skip
