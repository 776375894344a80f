"""What the documentation shows is what the code takes: commands, specs, messages, the reference."""

from __future__ import annotations

import ast
import importlib.util
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

import click
import pytest

from embft.cli.main import main
from embft.spec import parse_spec
from embft.spec.schema import SCHEMA_FILE
from tests.conftest import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
GENERATED = ROOT / "docs" / "reference.md"


def generator() -> ModuleType:
    """`docs/generate.py`."""
    found = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_the_reference_is_current() -> None:
    """`python docs/generate.py` writes it, and the published schema."""
    made = generator()
    assert GENERATED.read_text() == made.reference()
    assert SCHEMA_FILE.read_text() == made.schema_text()


def blocks(page: Path) -> Iterator[str]:
    """The indented and the fenced blocks of a page."""
    text = page.read_text()
    yield from re.findall(r"```[a-z]*\n(.*?)```", text, re.DOTALL)
    for found in re.findall(r"(?:^(?: {4}.*)?\n)+", text, re.MULTILINE):
        if found.strip():
            yield "\n".join(line[4:] for line in found.splitlines())


def commands() -> list[tuple[str, str]]:
    """Each command that a page shows, with the page."""
    return [
        (page.name, line.strip())
        for page in PAGES
        if page != GENERATED
        for block in blocks(page)
        for line in block.replace("\\\n", " ").splitlines()
        if line.strip().startswith(("embft ", "python -m embft "))
    ]


@pytest.mark.parametrize(("page", "line"), commands())
def test_commands_are_those_that_there_are(page: str, line: str) -> None:
    """Each option and each choice is taken; nothing is run."""
    del page
    words = shlex.split(line.removeprefix("python -m "), comments=True)[1:]
    command: click.Command = main
    context: click.Context | None = None
    while isinstance(command, click.Group):
        if words[0].startswith("-"):
            return  # an option of `embft` itself, such as --version
        context = click.Context(command, parent=context, info_name=command.name)
        found = command.get_command(context, words.pop(0))
        assert found is not None
        command = found
    parser = command.make_parser(click.Context(command, parent=context, resilient_parsing=True))
    values, _, _ = parser.parse_args(args=list(words))
    for parameter in command.params:
        given = values.get(parameter.name or "")
        if isinstance(parameter.type, click.Choice) and isinstance(given, str):
            assert given in parameter.type.choices


def specs() -> list[tuple[str, str]]:
    """Each whole spec that a page shows, with the page."""
    return [
        (page.name, block)
        for page in PAGES
        for block in blocks(page)
        if re.search(r"^name: ", block, re.MULTILINE) and "\ndata:" in block
    ]


@pytest.mark.parametrize(("page", "text"), specs())
def test_specs_are_valid(page: str, text: str) -> None:
    parse_spec(text, page)


@cache
def messages() -> str:
    """All texts in the code, what is put into them left out, one on each line."""
    found = []
    for path in sorted((ROOT / "embft").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
            elif isinstance(node, ast.JoinedStr):
                parts = (p.value if isinstance(p, ast.Constant) else "…" for p in node.values)
                found.append("".join(map(str, parts)))
    return "\n".join(" ".join(text.split()) for text in found)


def answered() -> list[str]:
    """The messages that `docs/answers.md` answers."""
    text = (ROOT / "docs" / "answers.md").read_text()
    headings = re.findall(r"^\*\*(.+?)\*\*", text, re.MULTILINE | re.DOTALL)
    return [" ".join(m.split()) for heading in headings for m in re.findall(r'"([^"]+)"', heading)]


@pytest.mark.parametrize("message", answered())
def test_each_answer_is_to_a_message_of_the_code(message: str) -> None:
    """In each of its parts, between what differs from case to case."""
    for part in re.split(r"…|\b\d+\b", message):
        words = part.strip(" .,:;'()")
        if len(words) > 3:
            assert words in messages(), words
