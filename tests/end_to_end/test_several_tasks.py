"""A sweep whose objective is several metrics together, from its spec to its report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from embft.cli.main import main
from embft.errors import EmbftError, SpecError
from embft.leaderboard.build import build_leaderboard
from embft.leaderboard.rows import Leaderboard
from embft.metrics.borda import MANY_TASKS
from embft.planning.plan import make_plan
from embft.report.output import write_outputs
from embft.spec import parse_spec
from tests.helpers.trials import run_whole

TASKS = "evaluators: [retrieval]\nobjective: {tasks: [spearman, mrr, recall_at_10]}\n"


@pytest.fixture(scope="module")
def folder(tiny_model: Path, pair_files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished sweep of the base model and two configurations."""
    from tests.conftest import tiny_text

    text = tiny_text(tiny_model, pair_files).replace("rank: [2, 4]", "rank: [2]")
    plan = make_plan(
        parse_spec(text.replace("[1e-3, 1e-2]", "[1e-3]") + TASKS), tmp_path_factory.mktemp("tasks")
    )
    run_whole(plan)
    return plan.folder.path


@pytest.fixture(scope="module")
def leaderboard(folder: Path) -> Leaderboard:
    return build_leaderboard(folder)


def test_configurations_are_ranked_by_the_mean_of_their_ranks(leaderboard: Leaderboard) -> None:
    """Of three configurations one beats none, one or both of the others in each of three tasks."""
    assert leaderboard.metric == "borda"
    everyone = [*leaderboard.bases, *leaderboard.groups]
    assert len(everyone) == 3
    for group in everyone:
        beats = [
            sum(
                (own > others) + 0.5 * (own == others)
                for other in everyone
                if other is not group
                for own, others in [(group.best.dev[task], other.best.dev[task])]
            )
            for task in ("spearman", "mrr", "recall_at_10")
        ]
        assert group.dev_score == pytest.approx(sum(beats) / 6)
        assert 0 <= group.score <= 1
        assert group.interval is not None
        assert group.interval[0] - 1e-9 <= group.score <= group.interval[1] + 1e-9
    assert sum(group.dev_score for group in everyone) == pytest.approx(1.5)
    decision = leaderboard.decision
    assert decision is not None
    assert (decision.compared, decision.unit, decision.units) == (3, "task", 3)
    assert decision.loss_high is not None
    assert decision.loss_high <= 1


def test_the_page_and_the_files_say_it(folder: Path, leaderboard: Leaderboard) -> None:
    write_outputs(folder)
    page = (folder / "report.html").read_text()
    assert (
        "Trials are ranked by the Borda score over these tasks: spearman, mrr, recall_at_10" in page
    )
    assert "nan" not in " ".join(leaderboard.verdict).lower()
    ran = CliRunner().invoke(main, ["leaderboard", str(folder), "--format", "json"])
    assert ran.exit_code == 0, ran.output
    found = json.loads(ran.output)
    assert found["metric"] == "borda"


def test_an_epoch_is_chosen_by_the_first_task_unless_another_is_named(tiny_spec: str) -> None:
    """Tasks are no part of a trial's key, as neither tolerance nor preference are."""
    plain = parse_spec(tiny_spec + "evaluators: [retrieval]\n")
    several = parse_spec(tiny_spec + TASKS)
    assert [t for _, t in several.trials()] == [t for _, t in plain.trials()]
    other = parse_spec(tiny_spec + TASKS.replace("{tasks", "{metric: mrr, tasks"))
    assert {t.objective.metric for _, t in other.trials()} == {"mrr"}


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        ("{tasks: [spearman]}", "name two metrics or more"),
        ("{tasks: [spearman, spearman]}", "each once"),
        ("{tasks: [spearman, mrrr]}", "objective.tasks names 'mrrr': did you mean 'mrr'"),
        ("{tasks: [spearman, mrr]}\nartifacts: {keep: best}", "artifacts.keep goes by one score"),
        ("{tasks: [spearman, mrr]}\nartifacts: {keep: 'top:2'}", "artifacts.keep goes by one"),
        ("{tasks: [spearman, mrr]}\nstop: {score: 0.9}", "stop.score goes by one score"),
    ],
)
def test_what_several_tasks_cannot_have(tiny_spec: str, objective: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        parse_spec(f"{tiny_spec}evaluators: [retrieval]\nobjective: {objective}\n")


def test_a_task_that_the_data_do_not_give_is_refused_by_plan(
    tiny_spec: str, tmp_path: Path
) -> None:
    spec = parse_spec(
        f"{tiny_spec}evaluators: [retrieval]\nobjective: {{tasks: [spearman, map_at_10]}}\n"
    )
    with pytest.raises(EmbftError, match="map_at_10, which the evaluator `retrieval`"):
        make_plan(spec, tmp_path)


def test_from_ten_tasks_on_tasks_are_what_is_drawn(folder: Path) -> None:
    """Here ten metrics that the same trials have; the difference of two is a mean over ten."""
    from embft.leaderboard.borda import with_borda
    from embft.leaderboard.build import _rows
    from embft.leaderboard.joined import joined_plan
    from embft.leaderboard.ranking import rank
    from embft.results.folders import SweepDir
    from embft.spec import Objective

    plan = joined_plan([SweepDir(folder)])
    rows = _rows(plan)
    known = {*set.intersection(*(set(row.dev) & set(row.test) for row in rows))}
    tasks = tuple(sorted(known))[:MANY_TASKS]
    assert len(tasks) == MANY_TASKS
    objective = Objective(tasks=tasks)
    found = rank(with_borda(rows, tasks), objective)
    assert found.decision is not None
    assert (found.decision.unit, found.decision.units) == ("task", MANY_TASKS)
    last = found.groups[-1].to_best
    assert last is not None
    assert last.low <= last.difference <= last.high
    assert -1 <= last.difference <= 0
