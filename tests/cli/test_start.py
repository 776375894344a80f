"""The commands that come before the first sweep: help, schema, doctor."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from embft.cli import doctor_checks
from embft.cli.main import main
from embft.spec.schema import SCHEMA_FILE
from tests.helpers.commands import ROOT


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def every_command(group: click.Group = main, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The words of each command, groups included."""
    found, context = [path], click.Context(group)
    for name in group.list_commands(context):
        command, inner = group.get_command(context, name), (*path, name)
        found += every_command(command, inner) if isinstance(command, click.Group) else [inner]
    return found


@pytest.mark.parametrize("command", every_command(), ids=" ".join)
def test_help_is_whole_at_80_columns(command: tuple[str, ...]) -> None:
    """No sentence is cut, no mark of the formatter is printed, and no line is longer."""
    shown = run(*command, "--help").output
    assert "\\b" not in shown
    assert not re.search(r"[^A-Z\]]\.\.\.\s", shown)  # after a name in capitals: several of them
    assert all(len(line) <= 80 for line in shown.splitlines())


def test_the_list_of_commands_has_each_ones_first_sentence() -> None:
    """It stands there by itself, so that no command's module is imported for the list."""
    context = click.Context(main)
    listed = {name: command.help for name, command in main.commands.items()}
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        assert command is not None
        assert command.name == name
        assert _first(command.help) == _first(listed[name])


def _first(text: str | None) -> str:
    """The first sentence, on one line, as click cuts it."""
    return click.Command("", help=text).get_short_help_str(10_000)


def test_examples_in_help_are_lines() -> None:
    lines = run("--help").output.splitlines()
    assert "  embft leaderboard results/quickstart  the ranked table" in lines


def test_python_m_embft_is_the_command() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "embft", "--version"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert run.stdout.startswith("embft, version ") or "version" in run.stdout


@pytest.mark.parametrize(
    ("shell", "words"), [("bash", "COMPREPLY"), ("zsh", "#compdef"), ("fish", "complete ")]
)
def test_completion_for_each_shell(shell: str, words: str) -> None:
    """As docs/reference.md says."""
    variables = {**os.environ, "_EMBFT_COMPLETE": f"{shell}_source"}
    run = subprocess.run(
        [str(Path(sys.executable).with_name("embft"))],
        env=variables, cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if shell == "bash" and "Bash version" in run.stderr:
        pytest.skip(run.stderr.strip())
    assert words in run.stdout


def test_schema_is_printed_and_written(tmp_path: Path) -> None:
    assert run("schema").output == SCHEMA_FILE.read_text()
    assert run("schema", "--out", str(tmp_path / "s.json")).output == ""
    assert (tmp_path / "s.json").read_text() == SCHEMA_FILE.read_text()


def states(*arguments: str) -> dict[str, str]:
    """What doctor finds, by name."""
    result = run("doctor", "--format", "json", "--offline", *arguments)
    found = json.loads(result.output)
    return {check["name"]: check["state"] for check in found}


def test_doctor_finds_that_a_sweep_can_run_here() -> None:
    result = run("doctor", "--offline")
    assert result.exit_code == 0, result.output
    assert "A sweep can run here" in result.output
    assert "problem" not in states().values()


def test_doctor_names_what_stops_every_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package of another version, and a temporary folder too deep for Ray's sockets."""
    required = ["numpy>=999", "no-such>1", 'never; extra == "dev"']
    monkeypatch.setattr("importlib.metadata.requires", lambda _: required)
    monkeypatch.setattr("tempfile.gettempdir", lambda: "/tmp/" + "d" * 60)  # noqa: S108
    result = run("doctor", "--offline")
    assert result.exit_code == 1
    assert "numpy >=999 (here " in " ".join(result.output.split())
    assert "Set TMPDIR to a shorter path" in " ".join(result.output.split())
    assert states()["packages"] == states()["sockets"] == "problem"


def test_doctor_says_what_only_costs_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Little memory and a hub that does not answer are notes, with what to do."""
    monkeypatch.setattr(doctor_checks, "available_memory", lambda: 10**9)
    monkeypatch.setattr(doctor_checks, "_answered", lambda _: "nobody is there")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    found = {check.name: check for check in doctor_checks.check_machine()}
    assert found["memory"].state == found["model hub"].state == "warning"
    assert "nobody is there" in found["model hub"].found
    assert found["memory"].advice
    assert run("doctor", "--offline").exit_code == 0


def test_the_hub_that_is_asked_is_the_one_of_the_settings() -> None:
    """Nothing listens on this port; an address that is none is no crash."""
    assert doctor_checks._answered("http://127.0.0.1:9") is not None
    assert doctor_checks._answered("no address") is not None
