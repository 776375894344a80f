"""Real data that no training touched goes through the same suite, and gives the known figures.

The data stands beside the project and is no part of it; without it these tests skip.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from embft.data.build import load_data
from embft.execution.evaluate import evaluate_model
from embft.spec import DataSpec, EvaluatorSpec
from tests.conftest import SHARED_DATA


def _file(name: str) -> str:
    path = SHARED_DATA / name
    if not path.exists():
        pytest.skip(f"no shared data at {path}")
    return str(path)


def _rows(rows: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(row["split"], row["metric"]): row for row in rows}


@pytest.mark.slow
def test_sts_benchmark_by_plain_minilm(minilm: Path, tmp_path: Path) -> None:
    """Graded pairs, tab-separated, without header and quoting: Spearman 0.864 on dev to 0.001,
    inside its interval; an evaluator of any spec says of some of them what the spec's data does.
    """
    columns = {"text_1": 5, "text_2": 6, "label": 4}
    dev, some = Path(_file("stsb/sts-dev.csv")), tmp_path / "some.csv"
    some.write_text("".join(dev.read_text().splitlines(keepends=True)[:200]))
    data = {"train": _file("stsb/sts-train.csv"), "dev": str(dev), "test": str(some)}
    splits = load_data(
        DataSpec.model_validate({**data, "columns": columns, "label_range": (0.0, 5.0)})
    )
    entry = EvaluatorSpec.model_validate({"sts": {"data": str(some), "columns": columns}})
    rows = _rows(evaluate_model(str(minilm), splits, [entry]).rows)
    spearman = rows["dev", "spearman"]
    assert spearman["value"] == pytest.approx(0.864, abs=1e-3)
    assert spearman["low"] < spearman["value"] < spearman["high"]
    alike = rows["test", "spearman"]["value"]
    assert rows["test", "sts_spearman"]["value"] == pytest.approx(alike, abs=1e-6)
    assert {"pearson", "kendall"} <= {metric for _, metric in rows}
    assert not {"auc", "f1", "brier"} & {metric for _, metric in rows}


@pytest.mark.slow
def test_banking77_by_plain_minilm(minilm: Path) -> None:
    """Questions with 77 labels: v-measure 0.778 within 0.02."""
    entry = EvaluatorSpec.model_validate(
        {"clustering": {"data": _file("banking77/test.csv"), "label": "category", "draws": 5}}
    )
    rows = _rows(evaluate_model(str(minilm), None, [entry]).rows)
    assert rows["test", "v_measure"]["value"] == pytest.approx(0.778, abs=0.02)
    assert 0 < rows["test", "v_measure_spread"]["value"] < 0.02


@pytest.mark.long
def test_stack_overflow_by_plain_minilm(minilm: Path) -> None:
    """20,000 titles with 20 labels: v-measure 0.696 within 0.01, all titles, five seeds."""
    data = {"data": _file("stackoverflow/titles.csv"), "draws": 5, "draw_size": "all"}
    entry = EvaluatorSpec.model_validate({"clustering": data})
    rows = _rows(evaluate_model(str(minilm), None, [entry]).rows)
    assert rows["test", "v_measure"]["value"] == pytest.approx(0.696, abs=0.01)


@pytest.mark.long
def test_banking77_classified_by_plain_minilm(minilm: Path) -> None:
    """Sixteen questions of each of 77 labels to learn from: most of the rest are labelled right."""
    entry = EvaluatorSpec.model_validate(
        {
            "classification": {
                "data": _file("banking77/test.csv"),
                "train": _file("banking77/train.csv"),
                "label": "category",
            }
        }
    )
    rows = _rows(evaluate_model(str(minilm), None, [entry]).rows)
    assert 0.7 < rows["test", "classification_accuracy"]["value"] < 0.9
