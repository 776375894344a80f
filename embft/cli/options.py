"""Options that several commands have in common."""

from __future__ import annotations

from pathlib import Path

import click

from embft.cli.path_options import Place

TRIALS_BELOW = click.option(
    "--results",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("results"),
    show_default=True,
    help="Where trials are looked for by name or key.",
)
SWEEPS_BELOW = click.option(
    "--results",
    type=Place(folder=True, reading=True),
    default=Path("results"),
    show_default=True,
    help="Where sweeps are looked for.",
)
TEXT_OR_JSON = click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True
)
TABLE_OR_JSON = click.option(
    "--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True
)
