"""What only saves time may be missing."""

from __future__ import annotations

import pytest

from embft.system import speedups
from embft.system.speedups import go_without, missing, speedup, unsaid


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is missing yet."""
    monkeypatch.setattr(speedups, "_missing", {})
    monkeypatch.setattr(speedups, "_said", set())


@pytest.mark.parametrize("error", [ImportError, AttributeError, OSError, SyntaxError])
def test_whatever_is_wrong_with_one_the_work_goes_on_without(error: type[Exception]) -> None:
    """Its first line is the reason."""

    def find() -> int:
        raise error("gone\nfor good")

    assert speedup("wings", find) is None
    assert missing() == {"wings": f"{error.__name__}: gone"}


def test_what_is_there_is_used_and_nothing_said() -> None:
    assert speedup("wings", lambda: 2) == 2
    assert not missing()
    assert not list(unsaid())


def test_each_is_said_once() -> None:
    """However often and by however many workers it is missed."""
    go_without("wings", "gone")
    (sentence,) = unsaid()
    assert "wings" in sentence
    assert "gone" in sentence
    go_without("wings", "gone")
    go_without("fins", "lost")
    (sentence,) = unsaid()
    assert "fins" in sentence


def test_an_interruption_is_none_of_its_business() -> None:
    def find() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        speedup("wings", find)
