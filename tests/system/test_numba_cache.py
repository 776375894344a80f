"""What numba compiles is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.commands import program, run_program


@pytest.mark.long
@pytest.mark.slow
def test_a_second_process_makes_a_map_without_compiling(tmp_path: Path) -> None:
    """It reads what the first one kept, and makes the same map."""
    printed = []
    for _ in range(2):
        run = run_program("map_of_pairs", NUMBA_CACHE_DIR=str(tmp_path))
        assert run.returncode == 0, run.stderr
        printed.append(run.stdout.split())
    (compiled, read, first), (compiled_again, read_again, second) = printed
    assert int(compiled) > 0 == int(read)
    assert int(read_again) > 0 == int(compiled_again)
    assert first == second


def test_a_folder_that_takes_nothing_is_no_error(tmp_path: Path) -> None:
    """Loops are compiled all the same where neither their folder nor the user's takes a cache."""
    assert program("loops_without_a_cache", cwd=tmp_path).strip() == "6.0"
