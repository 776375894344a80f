"""Options that name a place to write to: refused at once, in one sentence, where nothing can be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from embft.errors import EmbftError

_LONGEST = 200


def shortened(path: Path) -> str:
    """A path as a message shows it: at most 200 characters of it."""
    text = str(path)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


class Place(click.Path):
    """A path of an option. folder: of a folder, not of a file. reading: whether it is only read."""

    def __init__(self, *, folder: bool, reading: bool = False) -> None:
        super().__init__(path_type=Path)
        self.folder, self.reading = folder, reading

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the path. Raises EmbftError where nothing can be written there."""
        from embft.storage.paths import why_unwritable

        name = param.opts[0] if isinstance(param, click.Option) else "the path"
        if not str(value):
            raise EmbftError(f"{name} is empty: give a path")
        path = Path(str(super().convert(value, param, ctx)))
        reason = why_unwritable(path, folder=self.folder, reading=self.reading)
        if reason is not None:
            raise EmbftError(f"{name} {shortened(path)}: {reason}")
        return path


class Given(click.ParamType[str]):
    """A name that is not empty: of a model, of a trial."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ARG002 - click's signature
        """Return the name. Raises EmbftError where it is empty."""
        if not str(value).strip():
            raise EmbftError(f"{(param.name if param else 'name') or 'name'} is empty: give a name")
        return str(value)
