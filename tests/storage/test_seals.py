"""Seals: what was written is read again, and nothing else is."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from embft.errors import RecordError
from embft.storage.seal import canonical_json, sealed, unsealed

CONTENT = {
    "name": 'é \udc80 \\ "seal": "x"',
    "rates": [2e-05, 1e300, -0.0, 10**30],
    "inner": {"seal": "no"},
}


@pytest.mark.parametrize("indent", [1, None])
@pytest.mark.parametrize("content", [{}, CONTENT])
def test_what_was_sealed_is_read_again(
    tmp_path: Path, content: dict[str, object], indent: int | None
) -> None:
    """Any text and any number, also names of files that are not UTF-8, laid out or in one line."""
    path = tmp_path / "record.json"
    path.write_text(sealed(content, indent))
    assert unsealed(path) == content
    assert unsealed(Path("unread"), path.read_bytes()) == content


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2e-05", "2e-06"),
        ("2e-05", "0.00002"),  # the same number, in a text that nobody sealed
        (" ", "  "),
        ('"seal": "', '"sael": "'),
        ('"\n}', '",\n "more": 1\n}'),
        ("\n}", "\n}\n{}"),
        ("\n}", "\n"),
    ],
)
def test_a_text_that_was_changed_is_refused(tmp_path: Path, one: str, other: str) -> None:
    """Whatever stands in it otherwise than it was written, before the seal or after it."""
    path = tmp_path / "record.json"
    text = sealed(CONTENT)
    before, found, after = text.rpartition(one)
    assert found
    path.write_text(f"{before}{other}{after}")
    with pytest.raises(RecordError, match="damaged"):
        unsealed(path)


def test_a_seal_of_the_first_versions_is_read(tmp_path: Path) -> None:
    """They sealed the content and not its text."""
    path = tmp_path / "record.json"
    seal = hashlib.sha256(canonical_json(CONTENT).encode()).hexdigest()
    path.write_text(json.dumps({**CONTENT, "seal": seal}, indent=4))
    assert unsealed(path) == CONTENT
    path.write_text(json.dumps({**CONTENT, "name": "other", "seal": seal}))
    with pytest.raises(RecordError, match="does not match its seal"):
        unsealed(path)


def test_numbers_that_json_does_not_have_are_not_written() -> None:
    """A record with NaN could not be read by others."""
    with pytest.raises(ValueError, match="JSON"):
        sealed({"loss": float("nan")})


@pytest.mark.parametrize("number", ["NaN", "-Infinity"])
def test_numbers_that_json_does_not_have_are_not_read(tmp_path: Path, number: str) -> None:
    """Whoever sealed them."""
    path = tmp_path / "record.json"
    head, _, end = sealed({"loss": 1.5}).replace("1.5", number).rpartition('"seal": "')
    path.write_text(f'{head}"seal": "{hashlib.sha256(head.encode()).hexdigest()}{end[64:]}')
    with pytest.raises(RecordError, match=number.removeprefix("-")):
        unsealed(path)
