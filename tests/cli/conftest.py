"""Commands in the test's own process, and a finished sweep to give them."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from embft.cli.main import main
from tests.helpers.commands import Ask


@pytest.fixture
def ask() -> Ask:
    """Runs a command and gives what it printed."""

    def run(*arguments: object, status: int = 0) -> str:
        ran = CliRunner().invoke(main, list(map(str, arguments)))
        assert ran.exit_code == status, ran.output
        return ran.output

    return run
