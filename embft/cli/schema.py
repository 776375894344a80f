"""The command that prints the JSON Schema of a spec."""

from __future__ import annotations

from pathlib import Path

import click

from embft.cli.path_options import Place


@click.command()
@click.option("--out", type=Place(folder=False), help="Write it to this file instead.")
def schema(out: Path | None) -> None:
    r"""Print the JSON Schema of a spec, by which editors complete and check.

    Where editors look for it: a spec's first line.

    \b
    embft schema --out spec.schema.json
    # yaml-language-server: $schema=spec.schema.json
    """
    from embft.spec.schema import SCHEMA_FILE
    from embft.storage.files import write_atomic

    text = SCHEMA_FILE.read_text(encoding="utf-8")
    if out is None:
        click.echo(text, nl=False)
    else:
        write_atomic(out, text.encode())
