"""`embft report` and `embft leaderboard`: files, forms, two trials by name, several sweeps."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from embft.cli.main import main
from embft.data.pairs import Pairs
from embft.errors import EmbftError
from embft.leaderboard.build import build_leaderboard
from embft.leaderboard.export import to_records
from embft.leaderboard.lookup import find_row, find_scored
from embft.leaderboard.rows import Leaderboard
from tests.helpers.leaderboards import Plan, lora_lr_plans, make_leaderboard, save_sweep

PLANS = lora_lr_plans()
SMALL: dict[str, Any] = {"pairs": (80, 160), "resamples": 20}


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sweeps that share two trials and the baseline, `one` of 4 and `two` of 6 trials."""
    folder = tmp_path_factory.mktemp("results")
    save_sweep(make_leaderboard(folder / "one", PLANS[:4], **SMALL))
    save_sweep(make_leaderboard(folder / "two", PLANS[2:8], start=2, **SMALL))
    return folder


@pytest.fixture(scope="module")
def leaderboard(results: Path) -> Leaderboard:
    return build_leaderboard(results / "one", results / "two")


def test_several_sweeps_are_one_ranking_with_each_trial_once(
    results: Path, leaderboard: Leaderboard, tmp_path: Path
) -> None:
    """The joined leaderboard ranks and scores as one sweep of all the trials would."""
    whole = build_leaderboard(save_sweep(make_leaderboard(tmp_path / "all", PLANS[:8], **SMALL)))
    assert leaderboard.name == "one + two"
    assert [row.trial for row in leaderboard.rows] == [row.trial for row in whole.rows]
    assert len(leaderboard.rows) == 9
    for joined, alone in zip(leaderboard.groups, whole.groups, strict=True):
        assert joined.score == alone.score
        assert (joined.rank_low, joined.rank_high) == (alone.rank_low, alone.rank_high)
        assert joined.loss_high == alone.loss_high
    only = build_leaderboard(results / "one")
    assert only.axes == ("train.lora.rank", "train.learning_rate")


def test_what_differs_between_sweeps_becomes_an_axis(tmp_path: Path) -> None:
    """Sweeps that vary nothing of their own but differ in epochs are distinguished by epochs."""
    short, long = (Plan({}, 0.6, epochs=epochs) for epochs in (2, 4))
    folders = []
    for i, plan in enumerate((short, long)):
        spec = replace(plan, params={"train.method": "lora"})
        made = make_leaderboard(
            tmp_path / f"s{i}", [spec], start=i, axes=("train.method",), **SMALL
        )
        folders.append(save_sweep(made))
    assert build_leaderboard(*folders).axes == ("train.epochs",)


def test_sweeps_that_do_not_compare_are_refused(results: Path, tmp_path: Path) -> None:
    """Other test pairs or another objective: an error that names both, and no report."""

    def edit(pairs: Pairs) -> Pairs:
        return replace(pairs, text_1=["another text", *pairs.text_1[1:]])

    other = save_sweep(make_leaderboard(tmp_path / "other", PLANS[:2], edit=edit, **SMALL))
    found = run("report", results / "one", other)
    assert found.exit_code == 2
    assert "different dev or test pairs" in found.output
    assert str(other) in found.output
    low = save_sweep(make_leaderboard(tmp_path / "low", PLANS[:2], **SMALL), metric="auc")
    found = run("report", results / "one", low)
    assert found.exit_code == 2
    assert "auc (max)" in found.output
    assert not (results / "one+low.html").exists()


def test_report_writes_page_and_tables_into_the_sweep(results: Path) -> None:
    """Without options: report.html, leaderboard.csv and leaderboard.json, and the path printed."""
    found = run("report", results / "one")
    assert found.exit_code == 0, found.output
    page = results / "one" / "report.html"
    assert found.output.strip() == str(page.resolve())
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert (results / "one" / "leaderboard.json").exists()
    with (results / "one" / "leaderboard.csv").open() as file:
        assert sum(row["trial"] == "baseline" for row in csv.DictReader(file)) == 1


def test_a_report_of_several_stands_beside_them_or_where_it_is_told(
    results: Path, tmp_path: Path
) -> None:
    """`one+two.html` next to the folders; --out overrules, and makes its folder."""
    assert run("report", results / "one", results / "two").exit_code == 0
    text = (results / "one+two.html").read_text(encoding="utf-8")
    assert "<title>one + two" in text
    out = tmp_path / "deep" / "both.html"
    assert run("report", results / "one", results / "two", "--out", out).exit_code == 0
    assert out.exists()


def test_markdown_goes_to_the_terminal_or_to_a_file(results: Path, tmp_path: Path) -> None:
    """The text alone, so that it can be piped into a pull request."""
    found = run("report", results / "one", "--format", "md")
    assert found.exit_code == 0
    assert found.output.startswith("## one\n")
    out = tmp_path / "answer.md"
    assert run("report", results / "one", "--format", "md", "--out", out).exit_code == 0
    assert out.read_text(encoding="utf-8") == found.output


def test_markdown_compares_two(leaderboard: Leaderboard, results: Path) -> None:
    """A row for each metric, with the difference of the two records."""
    first, second = leaderboard.groups[0].best, leaderboard.groups[1].best
    found = run("report", results / "one", results / "two", "--format", "md",
                "--compare", first.trial, second.trial.rpartition("-")[2])  # fmt: skip
    assert found.exit_code == 0, found.output
    row = next(line for line in found.output.splitlines() if line.startswith("| Spearman corr")
               and line.count("|") == 7)  # fmt: skip
    cells = [cell.strip().replace("\N{MINUS SIGN}", "-") for cell in row.split("|")[1:-1]]
    assert float(cells[1]) == pytest.approx(first.test["spearman"], abs=6e-4)
    assert float(cells[3]) == pytest.approx(
        first.test["spearman"] - second.test["spearman"], abs=6e-4
    )


def test_charts_become_files(results: Path, tmp_path: Path) -> None:
    """--charts writes one file for each chart of the page, in the form that was asked for."""
    found = run("report", results / "one", "--charts", tmp_path / "png", "--charts-format", "png")
    assert found.exit_code == 0, found.output
    files = sorted((tmp_path / "png").iterdir())
    assert f"{len(files)} charts in" in found.output
    page = (results / "one" / "report.html").read_text(encoding="utf-8")
    assert all(f'data-chart="{file.stem}"' in page for file in files)
    assert len(files) == page.count("data-chart=")
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files)


def test_a_trial_is_found_by_name_key_part_and_role(leaderboard: Leaderboard) -> None:
    """Every name that identifies one trial finds it."""
    row = leaderboard.groups[2].best
    assert find_row(leaderboard, row.trial) is row
    assert find_row(leaderboard, row.trial.rpartition("-")[2]) is row
    assert find_row(leaderboard, row.trial.rpartition("-")[0]) is row
    assert find_row(leaderboard, "baseline").is_baseline
    assert leaderboard.recommended
    assert find_row(leaderboard, "recommended") is leaderboard.recommended.best


def test_a_name_that_fits_none_or_several_is_explained(leaderboard: Leaderboard) -> None:
    """The error names the nearest trial, or those that fit."""
    with pytest.raises(EmbftError, match="did you mean 'recommended'"):
        find_row(leaderboard, "recomended")
    with pytest.raises(EmbftError, match="fits 8 trials"):
        find_row(leaderboard, "lora")


def test_a_trial_without_scores_cannot_be_compared(tmp_path: Path) -> None:
    """A failed trial is named with its status."""
    plans = [replace(PLANS[0], status="failed"), *PLANS[1:4]]
    folder = save_sweep(make_leaderboard(tmp_path / "failed", plans, **SMALL))
    failed = next(row for row in build_leaderboard(folder).rows if row.status == "failed")
    with pytest.raises(EmbftError, match="is failed and has no per-pair scores"):
        find_scored(build_leaderboard(folder), failed.trial)
    found = run("report", folder, "--compare", "baseline", failed.trial)
    assert found.exit_code == 2
    assert "Traceback" not in found.output


def test_leaderboard_prints_several_sweeps_together(
    results: Path, leaderboard: Leaderboard
) -> None:
    """The CSV of both is the joined leaderboard's table."""
    found = run("leaderboard", results / "one", results / "two", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(found.output)))
    assert [row["trial"] for row in rows] == [record["trial"] for record in to_records(leaderboard)]


def test_two_base_models_have_two_baselines(tmp_path: Path) -> None:
    """Each line's gain is over its own base model, and both base models have a line."""
    from embft.leaderboard.table import table_lines

    made = make_leaderboard(tmp_path / "two", PLANS[1:3], **SMALL)
    assert made.baseline
    result = made.baseline.completed
    assert result
    other = replace(
        made.baseline,
        trial="baseline-2",
        result=result.model_copy(update={"model_digest": "n" * 64, "test": {"spearman": 0.25}}),
    )
    trained = made.groups[0].best
    assert trained.completed
    moved = replace(trained, result=trained.completed.model_copy(update={"model_digest": "n" * 64}))
    group = replace(made.groups[0], rows=(moved,))
    leaderboard = replace(made, rows=(*made.rows, other), groups=(group, *made.groups[1:]))
    lines = table_lines(leaderboard)
    assert sum(line.is_baseline for line in lines) == 2
    by_trial = {line.trial: line for line in lines}
    assert by_trial[moved.trial].delta == pytest.approx(group.score - 0.25)
    second = made.groups[1]
    gain = second.score - made.baseline.test["spearman"]
    assert by_trial[second.best.trial].delta == pytest.approx(gain)
