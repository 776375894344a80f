"""What commands print on a terminal of 80 columns, and the words of a command given again."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from embft.cli.commands import Commands, given_again
from embft.cli.main import main
from embft.cli.plan_text import plan_records
from embft.cli.progress import SweepView, mining_shown
from embft.cli.tables import metric_records, metric_rows, print_records
from embft.planning.plan import make_plan
from embft.planning.prepare import prepare
from embft.planning.take_over import finished_elsewhere
from embft.results.folders import SweepDir
from embft.results.observer import Observed
from embft.results.records import EpochScore
from embft.spec import parse_spec
from embft.synthesis.mining_progress import MiningStep
from tests.helpers.trials import run_whole


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def shown(records: list[dict[str, Any]], width: int = 80) -> str:
    """The table of these records on a terminal of so many columns."""
    console = Console(file=io.StringIO(), width=width, force_terminal=False, color_system=None)
    print_records(console, "table", records, "Title")
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def words(text: str) -> set[str]:
    return set(re.findall(r"[A-Za-z_]{3,}", text))


@pytest.fixture
def wide_spec(tiny_spec: str) -> str:
    """A spec of more axes than 80 columns hold side by side."""
    more = "".join(
        f"    {axis}: {values}\n"
        for axis, values in {
            "train.warmup_steps": [1, 2],
            "train.weight_decay": [0.0, 0.01],
            "train.max_grad_norm": [1.0, 2.0],
            "train.schedule": ["linear", "constant"],
            "train.loss": [{"name": "cosent", "temperature": 0.05}],
        }.items()
    )
    return tiny_spec.replace("  - train.method: [full]\n", f"  - train.method: [full]\n{more}")


def test_a_plan_of_many_axes_breaks_no_word(wide_spec: str, tmp_path: Path) -> None:
    """Neither a heading nor a value; the baseline has its name."""
    plan = make_plan(parse_spec(wide_spec), tmp_path)
    text = shown(plan_records(plan))
    assert all(len(line.rstrip()) <= 80 for line in text.splitlines())
    assert "…" not in text
    assert {"trial", "status", "seed", "configuration", "pending", "constant"} <= words(text)
    assert "base model" in text
    wide = shown(plan_records(plan), 200)
    assert {"learning_rate", "max_grad_norm", "temperature"} <= words(wide)
    assert "base model" in wide


def test_the_metrics_break_no_word() -> None:
    text = shown(metric_rows(metric_records()))
    assert {"metric", "objective", "spearman", "average_precision"} <= words(text)
    assert all(len(line.rstrip()) <= 80 for line in text.splitlines())


def test_a_command_given_again_has_every_option() -> None:
    """In the words in which it was given, as a shell takes them."""
    said: list[str] = []

    @click.group(cls=Commands)
    def group() -> None:
        """A group."""

    @group.command()
    @click.argument("spec")
    @click.option("--results")
    @click.option("--maps", is_flag=True)
    def sweep(**_: object) -> None:
        """A command."""
        said.append(given_again())

    CliRunner().invoke(group, ["sweep", "my spec.yaml", "--results", "r s", "--maps"])
    assert said == ["embft sweep 'my spec.yaml' --results 'r s' --maps"]


def test_time_left_is_that_which_was_measured() -> None:
    """Before any trial has finished; then corrected by how long those took."""

    class Trial:
        def __init__(self, key: str) -> None:
            self.key = key

    view = SweepView(Console(file=io.StringIO()), 0, {"a": 100.0, "b": 50.0})
    view.on_start(SweepDir(Path()), [Trial("a"), Trial("b")], 0)  # type: ignore[list-item]
    assert view._seconds_left() == pytest.approx(150)
    view.open["a"].started = True
    view.open["a"].step = {"step": 5, "steps": 10}
    assert view._seconds_left() == pytest.approx(100)
    del view.open["a"]
    view.slower = 1.5
    assert view._seconds_left() == pytest.approx(75)
    unknown = SweepView(Console(file=io.StringIO()), 0, {"a": 1.0})
    unknown.on_start(SweepDir(Path()), [Trial("b")], 0)  # type: ignore[list-item]
    assert unknown._seconds_left() is None


@pytest.fixture
def graded(tmp_path: Path) -> Path:
    """Thirty graded pairs."""
    rows = "".join(f"i love tea {i},you hate cats {i},{i % 6}\n" for i in range(30))
    path = tmp_path / "graded.csv"
    path.write_text(f"text_1,text_2,label\n{rows}")
    return path


def test_one_file_is_what_is_scored(pair_files: Path, tiny_model: Path) -> None:
    """As a whole, once; of two the first sets the threshold."""
    one = ["evaluate", str(tiny_model), "--data", str(pair_files / "test.jsonl"), "--format", "csv"]
    result = run(*one)
    assert result.exit_code == 0, result.output
    lines = [line.split(",") for line in result.stdout.splitlines()[1:]]
    assert {line[1] for line in lines} == {"test"}
    count = {line[0]: float(line[2]) for line in lines}
    two = run(*one[:2], "--data", str(pair_files / "dev.jsonl"), *one[2:])
    assert {line.split(",")[1] for line in two.stdout.splitlines()[1:]} == {"dev", "test"}
    same = [line.split(",") for line in two.stdout.splitlines()[1:] if ",test," in line]
    assert float(next(v for m, _, v, *_ in same if m == "auc")) == count["auc"]


@pytest.mark.parametrize("command", [["data", "audit"], ["evaluate", "tiny-llama", "--data"]])
def test_messages_name_the_option_where_no_spec_is(command: list[str], graded: Path) -> None:
    result = run(*command, str(graded))
    assert result.exit_code == 2
    assert "set `--label-range LOW HIGH`" in result.output
    assert "data.label_range" not in result.output


def test_a_plan_knows_what_other_sweeps_have_finished(tiny_spec: str, tmp_path: Path) -> None:
    """It says of a trial what the sweep will do, and writes nothing."""
    one = "name: first\n" + _points(tiny_spec, "[1e-3]")
    done = {result.key for result in run_whole(make_plan(parse_spec(one), tmp_path))}
    two = "name: second\n" + _points(tiny_spec, "[1e-3, 1e-2]")
    plan = make_plan(parse_spec(two), tmp_path)
    elsewhere = finished_elsewhere(plan)
    assert elsewhere == done
    states = [record["status"] for record in plan_records(plan, {}, elsewhere)]
    assert states == ["completed", "completed", "pending"]
    assert not plan.folder.path.exists()
    left = prepare(plan, retry_failed=False)
    assert {trial.key for trial in left} == {trial.key for trial in plan.trials} - done


def _points(spec: str, rates: str) -> str:
    """The data and the model of a spec, with these learning rates of a single method."""
    before = spec.partition("space:")[0].partition("\n")[2]
    return f"{before}space: {{train.method: [lora], train.learning_rate: {rates}}}\n"


@pytest.mark.parametrize("width", [40, 60, 80, 81, 100, 200])
def test_the_live_view_is_one_line_a_trial(tiny_spec: str, tmp_path: Path, width: int) -> None:
    """A line that is broken would be left behind each time that the view is drawn again."""
    plan = make_plan(parse_spec(tiny_spec.replace("name: tiny", f"name: {'long' * 20}")), tmp_path)
    trials = [Observed(t.folder, t.spec, t.params) for t in plan.trials]
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=False, color_system=None)
    view = SweepView(console)
    view.on_start(plan.folder, trials, 0)
    view.best = (0.123, "12345678")
    score = EpochScore(epoch=1, step=3, loss=12.5, dev={"spearman": 0.5}, seconds=1.0)
    for trial in trials:
        step = {"event": "step", "epoch": 1, "step": 3, "steps": 1200, "loss": 12.5}
        view.on_progress(trial, step)
        view.on_epoch(trial, score)
    view.on_progress(trials[0], {"event": "scoring"})
    file.truncate(0)
    file.seek(0)
    console.print(view._render())
    lines = file.getvalue().rstrip("\n").splitlines()
    assert len(lines) == 1 + len(trials)
    assert all(len(line) <= width for line in lines)
    assert all(t.folder.short in line for t, line in zip(trials, lines[1:], strict=True))
    if width >= 80:
        assert all("dev spearman 0.500" in line for line in lines[2:])


def test_mining_shows_how_far_it_is_in_a_log() -> None:
    """A line for each tenth of each stage, with the time that is left; no line twice."""
    out = io.StringIO()
    with mining_shown(Console(file=out, width=200)) as seen:
        for done in range(0, 1001, 20):
            left = None if not done else (1000 - done) / 10
            seen(MiningStep("encoding texts", done, 1000, left, setting=2, settings=3))
        seen(MiningStep("searching for queries", 0, 50, None, setting=2, settings=3))
    lines = out.getvalue().splitlines()
    assert len(lines) == 12
    assert lines[0] == "mining, setting 2 of 3: encoding texts: 0 of 1,000"
    assert lines[2] == "mining, setting 2 of 3: encoding texts: 200 of 1,000, about 80 s left"
    assert lines[-1] == "mining, setting 2 of 3: searching for queries: 0 of 50"
