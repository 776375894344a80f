"""Texts from anywhere as a terminal or a table may show them: as text, whatever they hold.

A terminal obeys control characters, and direction marks turn what stands around them; both are
shown by their escapes instead.
"""

from __future__ import annotations

import re

# C0 and C1 but for tab and line feed, DEL, direction marks, line separators, lone surrogates, and
# the tags and byte order marks that nobody sees.
_UNFIT = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
_SCREEN_CHARACTERS, _SCREEN_LINES = 1600, 20


def printable(text: str) -> str:
    r"""The text with `\x1b` and the like where it holds characters that are no text."""
    return _UNFIT.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def one_screen(text: str) -> str:
    """The text as an error message: printable, and no more than a screen of it."""
    lines = printable(text).splitlines()
    shown = "\n".join(lines[:_SCREEN_LINES])
    whole = len(lines) <= _SCREEN_LINES and len(shown) <= _SCREEN_CHARACTERS
    return shown if whole else f"{shown[:_SCREEN_CHARACTERS]}… (shortened)"
