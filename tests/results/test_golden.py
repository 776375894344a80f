"""Results that an older embft wrote: `tests/golden/schema-N/` must load for ever."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from embft.errors import FailureReason, RecordError
from embft.leaderboard.build import build_leaderboard
from embft.planning.plan import make_plan
from embft.planning.prepare import prepare
from embft.report.output import write_outputs
from embft.results.folders import SweepDir
from embft.results.plan_record import PLAN_SCHEMA
from embft.results.records import SCHEMA, Failed
from embft.spec import parse_spec
from embft.storage.seal import sealed, unsealed

GOLDEN = sorted((Path(__file__).parent / "golden").glob("schema-*/results/golden"))


@pytest.fixture(params=GOLDEN, ids=lambda folder: folder.parent.parent.name)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of the results that one schema's version wrote."""
    target = tmp_path / "golden"
    shutil.copytree(request.param, target)
    return target


def test_older_results_load_and_are_reported(folder: Path) -> None:
    """Every trial is completed, the ranking is that of the scores, and the report is written."""
    leaderboard = build_leaderboard(folder)
    assert [row.status for row in leaderboard.rows] == ["completed"] * 4
    assert leaderboard.groups[0].dev_score == max(
        row.dev["spearman"] for row in leaderboard.rows[:3]
    )
    write_outputs(folder)
    assert (folder / "report.html").exists()


@pytest.mark.parametrize("name", ["plan.json", "trials/*/result.json"])
def test_newer_results_are_refused(folder: Path, name: str) -> None:
    """A record of a later schema is refused as that, and not as damaged."""
    path = sorted(folder.glob(name))[0]
    path.write_text(sealed({**unsealed(path), "schema_version": SCHEMA + 1, "new": "field"}))
    with pytest.raises(RecordError, match="newer embft"):
        build_leaderboard(folder)


def test_newer_work_is_not_replaced(tmp_path: Path, tiny_spec: str) -> None:
    """Neither a newer embft's plan, nor a trial that it has begun."""
    plan = make_plan(parse_spec(tiny_spec), tmp_path)
    trial = prepare(plan, retry_failed=False)[0]
    trial.folder.create(trial.input(threads=1))
    path = trial.folder.input_file
    path.write_text(sealed({**unsealed(path), "schema_version": SCHEMA + 1}))
    with pytest.raises(RecordError, match="newer embft"):
        trial.folder.create(trial.input(threads=1))
    path = plan.folder.plan_file
    newer = sealed({**unsealed(path), "schema_version": PLAN_SCHEMA + 1})
    path.write_text(newer)
    with pytest.raises(RecordError, match="newer embft"):
        prepare(plan, retry_failed=False)
    assert path.read_text() == newer


def test_trials_of_different_worlds_are_pointed_out(folder: Path) -> None:
    """A package upgraded between two trials, and other threads, are named with their values."""
    assert not [c for c in build_leaderboard(folder).warnings if "same conditions" in c]
    path = sorted(folder.glob("trials/method*/result.json"))[0]
    record = unsealed(path)
    record["provenance"]["packages"]["torch"] = "99.0"
    threads = record["provenance"]["threads"]
    record["provenance"]["threads"] = 64
    path.write_text(sealed(record))
    (caution,) = [c for c in build_leaderboard(folder).warnings if "same conditions" in c]
    assert "torch (2." in caution
    assert "99.0)" in caution
    assert f"threads ({threads}, 64)" in caution


def test_smaller_batches_under_a_loss_that_compares_pairs_are_pointed_out(folder: Path) -> None:
    """Where memory ran out under cosent, the trial is called not comparable; else not."""
    path = sorted(folder.glob("trials/method*/result.json"))[0]
    record = unsealed(path)
    for loss, expected in (("cosine_similarity", 0), ("cosent", 1)):
        record["micro_batch_size"] = 4
        record["spec"]["train"]["loss"]["name"] = loss
        path.write_text(sealed(record))
        found = [c for c in build_leaderboard(folder).warnings if c.startswith("Not comparable")]
        assert len(found) == expected


def test_an_older_failed_proof_is_a_failed_verification(folder: Path) -> None:
    """The word for it has changed since; a row of an older sweep is read with today's."""
    trial = next(iter(SweepDir(folder).trials_by_key().values()))
    given = trial.read_input()
    old = {"status": "failed", "reason": "proof_failed", "message": "it is the base model"}
    kept = json.loads(given.model_dump_json())
    kept = {name: kept[name] for name in given.repeated}
    trial.result_file.write_text(sealed({"schema_version": SCHEMA, **kept, **old}))
    result = trial.result()
    assert isinstance(result, Failed)
    assert result.reason == "verification_failed"
    with pytest.raises(ValueError, match="no_reason"):
        FailureReason("no_reason")
