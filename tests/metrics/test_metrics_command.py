"""`embft metrics`: the registry, for people and for scripts."""

from __future__ import annotations

import json

from click.testing import CliRunner

from embft.cli.main import main
from embft.metrics.registry import METRICS


def _printed(*arguments: str) -> str:
    runner = CliRunner(env={"COLUMNS": "200"})
    run = runner.invoke(main, ["metrics", *arguments], catch_exceptions=False)
    assert run.exit_code == 0
    return run.output


def test_every_metric_is_listed_with_what_the_registry_says() -> None:
    """For scripts everything, formula and source included."""
    records = {record["metric"]: record for record in json.loads(_printed("--format", "json"))}
    assert list(records) == list(METRICS)
    for name, metric in METRICS.items():
        found = records[name]
        assert (found["label"], found["formula"]) == (metric.label, metric.formula)
        assert [found["lowest"], found["highest"]] == list(metric.bounds)
        assert found["objective"] == ("yes" if metric.objective else "no")
    assert (records["brier"]["better"], records["noise"]["better"]) == ("lower", None)
    assert records["ndcg_at_10"]["computed_by"] == "retrieval"


def test_people_get_a_table() -> None:
    """Each name stands in it, uncut."""
    table = _printed()
    assert all(name in table for name in METRICS)
