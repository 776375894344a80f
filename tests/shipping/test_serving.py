"""`serving:` in a spec: every kept model is measured once, and the report has the Pareto front."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import pytest

from embft.errors import RecordError, SpecError
from embft.leaderboard.build import build_leaderboard
from embft.leaderboard.export import write_tables
from embft.leaderboard.serving import by_speed, served
from embft.report.export import all_charts
from embft.results.folders import TrialDir
from embft.results.retention import remove_model
from embft.results.serving import (
    Loss,
    Serving,
    Speed,
    Variant,
    read_serving,
    smallest,
    write_serving,
)
from embft.shipping import serving, speed
from embft.spec import parse_spec
from tests.helpers.commands import embft

SPEC = "name: a\ndata: {dataset: dating}\n"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Speeds measured in no time, in this process."""
    monkeypatch.setattr(speed, "_ROUND_SECONDS", 0.02)
    monkeypatch.setattr(speed, "_ALONE_SECONDS", 0.02)

    def here(
        work: Callable[[TrialDir], str], folders: Sequence[TrialDir], *_: object
    ) -> Iterator[tuple[TrialDir, str]]:
        return ((folder, work(folder)) for folder in folders)

    monkeypatch.setattr(serving, "each_in_a_process", here)


def measured(sizes: dict[int, float], texts: float) -> Serving:
    """Sizes -> the most that each loses; the first is the whole embeddings."""
    variants = tuple(
        Variant(size, "float32", size, found, found)
        for size, most in sizes.items()
        for found in [Loss(0.8 - most / 2, most / 2, (0.0, most))]
    )
    return Serving("spearman", (1,), {"dev": 9, "test": 9}, variants, Speed(texts, 1 / texts, 1))


def test_a_spec_asks_for_it_in_three_ways() -> None:
    """`true`, a mapping, or an objective that prefers it; without either nothing is measured."""
    assert parse_spec(SPEC).serving is None
    assert parse_spec(SPEC + "serving: false").serving is None
    usual = parse_spec(SPEC + "serving: true").serving
    assert usual is not None
    assert usual.dimensions == (256, 128, 64)
    assert parse_spec(SPEC + "serving: {}").serving == usual
    assert parse_spec(SPEC + "objective: {prefer: serving}").serving == usual
    own = parse_spec(SPEC + "serving: {dimensions: [32]}").serving
    assert own is not None
    assert own.dimensions == (32,)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("serving: {dimensions: []}", "serving.dimensions"),
        ("serving: {dimensions: [0]}", "serving.dimensions.0 is 0"),
        ("serving: {dimension: [64]}", "did you mean 'dimensions'"),
        ("serving: {precision: int8}", "unknown field 'serving.precision'"),
        ("serving: yes", "serving is 'yes'"),
    ],
)
def test_a_wrong_section_is_refused(wrong: str, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        parse_spec(SPEC + wrong)


@pytest.mark.usefixtures("quick")
def test_every_kept_model_is_measured_once(copied: dict[str, TrialDir]) -> None:
    """The base model too; a model that is gone is left out; what is damaged, or lacks a dimension,
    is measured again.
    """
    remove_model(copied["full"], "none")
    folders = [copied[method] for method in ("full", "lora", "none")]
    assert serving.measure_all(folders, (16,)) == {}
    assert {m for m, f in copied.items() if f.serving_file.exists()} == {"none", "lora"}
    found = read_serving(copied["lora"])
    assert found is not None
    assert [(v.dimensions, v.kind) for v in found.variants[:2]] == [(32, "float32"), (32, "int8")]
    assert len(found.variants) == 8
    assert serving.unmeasured(folders, (16,)) == []
    assert len(serving.unmeasured(folders, (16, 8))) == 2
    copied["lora"].serving_file.write_text("{}")
    with pytest.raises(RecordError):
        read_serving(copied["lora"])
    assert serving.unmeasured(folders, (16,)) == [copied["lora"]]


def test_a_form_without_a_score_is_kept(copied: dict[str, TrialDir]) -> None:
    """Bits of which none differs between texts have no correlation; JSON knows no NaN."""
    made = measured({4: 0.0, 1: 0.1}, 10)
    nothing = replace(made.variants[1], dev=Loss(float("nan"), float("nan"), None))
    write_serving(copied["lora"], replace(made, variants=(made.variants[0], nothing)))
    found = read_serving(copied["lora"])
    assert found is not None
    assert found.variants[1].dev.interval is None
    assert smallest(found.variants, 1.0) is found.variants[0]


def test_the_report_has_the_front_and_the_choice(copied: dict[str, TrialDir]) -> None:
    """Over all configurations by dev; charts of size, and of time where speeds differ; columns of
    the table.
    """
    folder = copied["lora"].sweep
    before = build_leaderboard(folder.path)
    assert served(before) == ()
    assert not [c.key for c in all_charts(before) if c.key.startswith("serving")]
    lora = next(row for row in before.rows if row.folder.key == copied["lora"].key)
    full = next(row for row in before.rows if row.folder.key == copied["full"].key)
    base = next(row for row in before.rows if row.trial == "baseline")
    write_serving(base.folder, measured({40: 0.0, 9: 0.1}, 100))
    write_serving(lora.folder, measured({40: 0.0, 8: 0.001, 2: 0.9}, 50))
    write_serving(full.folder, measured({40: 0.0, 10: 0.2}, 100))
    leaderboard = build_leaderboard(folder.path)
    found = served(leaderboard)
    front = {(each.group.best.trial, each.variant.bytes) for each in found if each.on_front}
    assert {(lora.trial, 8), (lora.trial, 2)} <= front
    assert not {size for _, size in front} & {9, 10}
    assert {each.serving.speed.texts for each in by_speed(found) if each.on_front} == {100}
    assert {"serving-size", "serving-latency"} <= {chart.key for chart in all_charts(leaderboard)}
    write_tables(leaderboard)
    with folder.leaderboard_csv.open(newline="") as file:
        rows = {row["trial"]: row for row in csv.DictReader(file)}
    assert rows[lora.trial]["index_bytes"] == "8"
    assert float(rows[lora.trial]["texts_per_second"]) == 50
    assert rows["baseline"]["index_bytes"] == "40"


@pytest.mark.slow
def test_a_finished_sweep_is_measured_by_the_command(copied: dict[str, TrialDir]) -> None:
    """Nothing is trained or scored for it; it says how far it is, and nothing is left to measure.
    Models of one shape have one speed.
    """
    sweep = copied["lora"].sweep
    spec = sweep.path.parent.parent / "shipped.yaml"
    spec.write_text(sweep.spec_file.read_text() + "\nserving: {dimensions: [16]}\n")
    first = embft("sweep", "shipped.yaml", cwd=spec.parent)
    assert "0 to run" in first.stdout
    assert "serving: 4 of 4 models measured" in first.stdout
    assert "serving of" not in first.stderr
    content = json.loads(sweep.leaderboard_json.read_text())
    assert all(trial["index_bytes"] for trial in content["trials"])
    assert len({trial["texts_per_second"] for trial in content["trials"]}) == 2
    assert "serving-size" in sweep.report_file().read_text()
    assert serving.unmeasured(list(sweep.trials_by_key().values()), (16,)) == []
