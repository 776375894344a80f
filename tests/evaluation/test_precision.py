"""Encoding with products in bfloat16: an option, and what it does to scores."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from embft.cli.main import main
from embft.encoding.encoder import encode
from embft.encoding.precision import encoding_in
from embft.models.base import load_base
from embft.spec import EvaluatorSpec, ModelSpec
from tests.helpers.judged import DOCUMENTS, write_beir


def test_products_in_bfloat16_round_the_embeddings(tiny_model: Path) -> None:
    """They differ from float32's, by little; the number format is float32 all the same; of two that
    are asked for the first one decides.
    """
    model = load_base(tiny_model, ModelSpec(base="tiny"))
    wanted = encode(model, DOCUMENTS)
    with encoding_in("bf16"):
        found = encode(model, DOCUMENTS)
        with encoding_in("fp32"):
            np.testing.assert_array_equal(encode(model, DOCUMENTS), found)
    with encoding_in("fp32"), encoding_in("bf16"):
        np.testing.assert_array_equal(encode(model, DOCUMENTS), wanted)
    assert found.dtype == np.float32
    apart = np.abs(found - wanted).max() / np.abs(wanted).max()
    assert 1e-5 < apart < 0.05
    np.testing.assert_array_equal(encode(model, DOCUMENTS), wanted)


def test_what_it_does_to_scores_is_printed(
    tmp_path: Path, tiny_model: Path, pair_files: Path
) -> None:
    """For metrics of pairs and of queries: both scores, and the interval of their difference."""
    write_beir(tmp_path / "beir", {"dev": range(10), "test": range(10, 30)})
    beir = tmp_path / "beir"
    entry = {
        "corpus": f"{beir}/corpus.jsonl",
        "queries": f"{beir}/queries.jsonl",
        "qrels": f"{beir}/qrels/test.tsv",
        "k": [10],
    }
    command = ["evaluate", str(tiny_model), "--data", str(pair_files / "dev.jsonl")]
    command += ["--data", str(pair_files / "test.jsonl"), "--format", "json"]
    command += ["--evaluator", json.dumps({"retrieval": entry})]

    def rows(*options: str) -> dict[tuple[str, str], dict[str, float]]:
        result = CliRunner().invoke(main, [*command, *options], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        found = json.loads(result.stdout)
        return {(row["metric"], row["split"]): row for row in found}

    plain, narrow = rows(), rows("--precision", "bf16")
    assert plain.keys() == narrow.keys()
    assert all("float32" not in row for row in plain.values())
    for key, row in narrow.items():
        assert row["float32"] == plain[key]["value"]
    for key in (("spearman", "test"), ("auc", "dev"), ("ndcg_at_10", "test")):
        row = narrow[key]
        change = row["value"] - row["float32"]
        assert row["difference_low"] <= change <= row["difference_high"]
        assert row["difference_high"] - row["difference_low"] < row["high"] - row["low"]
    margin = narrow["margin", "test"]
    assert margin["value"] != margin["float32"]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_precision_of_retrieval_is_part_of_what_decides_a_result(precision: str) -> None:
    """Where it is not the usual one: keys of results from before it was a field stay."""
    content = EvaluatorSpec.of({"retrieval": {"precision": precision, "k": [10]}}).content()
    assert ("precision" in content["retrieval"]) == (precision == "bf16")
