"""A spec on the command line -> its plan."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from embft.cli.path_options import shortened
from embft.errors import EmbftError

if TYPE_CHECKING:
    from embft.planning.plan import Plan
    from embft.synthesis.mining_progress import MiningStep


def measured(plan: Plan) -> dict[str, float]:
    """How long each pending trial will take, by key, measured; how far that is shows on a terminal.

    Raises EmbftError.
    """
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

    from embft.cli.progress import mining_text
    from embft.execution.measure import measured_seconds

    what = "measuring kinds of trial"
    columns = (SpinnerColumn(), TextColumn("{task.description}"), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total, description=what)

        def mining(step: MiningStep) -> None:
            bar.update(task, completed=step.done, total=step.total, description=mining_text(step))

        return measured_seconds(plan, show, mining)


def planned(spec: Path, results: Path, trusted: bool, *, reading: bool = True) -> Plan:
    """The plan of a spec's file. reading: whether the sweep's folder is only read, if it is there.

    Raises EmbftError, also where that folder cannot be, and for code that nobody has agreed to run.
    """
    from embft.models.safety import check_agreed
    from embft.planning.plan import make_plan
    from embft.spec import load_spec
    from embft.storage.paths import why_unwritable

    loaded = load_spec(spec)
    folder = results / loaded.name
    reason = why_unwritable(folder, folder=True, reading=reading)
    if reason is not None:
        raise EmbftError(f"--results {shortened(results)}: {shortened(folder)}: {reason}")
    check_agreed(any(point.model.trust_remote_code for point in loaded.points), agreed=trusted)
    return make_plan(loaded, results)
