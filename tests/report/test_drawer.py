"""Pictures drawn by a process of their own."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from embft.report import drawer
from embft.report.drawer import begin_drawing, draw, drawing_beside


def _spec(high: int = 3) -> dict[str, Any]:
    rows = [{"a": i, "b": i * i} for i in range(high)]
    encoding = {
        axis: {"field": field, "type": "ordinal"} for axis, field in zip("xy", "ab", strict=True)
    }
    return {"data": {"values": rows}, "mark": "bar", "encoding": encoding, "title": "Größe"}


def _forbid(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have this process draw nothing itself."""
    monkeypatch.setattr(drawer, "draw", lambda _: pytest.fail("drawn in this process"))


def test_a_process_draws_the_same_pictures_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = [draw(_spec(n)) for n in (2, 5, 3)]
    _forbid(monkeypatch)
    with drawing_beside():
        begun = [begin_drawing(_spec(n)) for n in (2, 5, 3)]
        assert [each() for each in begun] == wanted
    assert "Größe" in wanted[0]


def test_without_a_process_pictures_are_drawn_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object, **__: object) -> None:
        raise OSError("no more processes")

    wanted = draw(_spec())
    assert begin_drawing(_spec())() == wanted
    monkeypatch.setattr(subprocess, "Popen", none)
    with drawing_beside():
        assert begin_drawing(_spec())() == wanted


def test_what_a_process_that_ended_leaves_is_drawn_here() -> None:
    with drawing_beside():
        first = begin_drawing(_spec(2))()
        process: Any = drawer._drawer.get()
        process.process.kill()
        process.process.wait()
        assert begin_drawing(_spec(3))() == draw(_spec(3))
    assert first == draw(_spec(2))


def test_a_chart_that_cannot_be_drawn_says_why_and_stops_no_other() -> None:
    with drawing_beside():
        bad, good = begin_drawing({"mark": "no such mark"}), begin_drawing(_spec())
        with pytest.raises(ValueError, match="conversion failed"):
            bad()
        assert good() == draw(_spec())


def test_the_process_ends_with_the_block() -> None:
    with drawing_beside():
        process: Any = drawer._drawer.get()
        begin_drawing(_spec())
    assert process.process.poll() is not None
