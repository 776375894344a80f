"""The terminal: whatever texts hold, they come out as text."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderableType, RenderHook
from rich.segment import Segment
from rich.text import Text

from embft.system.text import printable


class _Plain:
    """Renders something else, its texts without what a terminal would obey."""

    def __init__(self, inner: RenderableType) -> None:
        self.inner = inner

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        for text, style, control in console.render(self.inner, options):
            yield Segment(text if control else printable(text), style, control)


class _AllPlain(RenderHook):
    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [_Plain(each) for each in renderables]


def new_console() -> Console:
    """Where tables and colours go. Brackets in texts are brackets, not markup."""
    console = Console(highlight=False, markup=False, emoji=False)
    console.push_render_hook(_AllPlain())
    return console


def say(console: Console, text: str, style: str = "", hang: int = 0) -> None:
    """Print a line. A terminal's is broken between words, with so many spaces before what follows;
    anything else, which programs read, gets it whole.
    """
    if console.is_terminal:
        text = textwrap.fill(
            text,
            console.width,
            subsequent_indent=" " * hang,
            break_long_words=False,
            break_on_hyphens=False,
        )
    console.print(Text(text, style=style), soft_wrap=True)
