"""The decoder study's specs: all of them expand; the small one runs, and training helps."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from embft.evaluation.clustering import Clustering
from embft.leaderboard.build import build_leaderboard
from embft.spec import load_spec
from tests.conftest import ROOT, SHARED_DATA
from tests.helpers.commands import embft

TINY = ROOT / "sweeps" / "decoder_tiny.yaml"
AXES = """\
  train.method: [none, full]
  model.pooling: [mean, last]
  model.template: [none, cluster]
"""
WAYS = """\
  - {train.method: [none, full], model.pooling: [mean], model.template: [none]}
  - {train.method: [none, full], model.pooling: [last], model.template: [cluster]}
"""
COMMON = "how do I set up a way to show all of my data when"


@pytest.mark.parametrize(
    ("name", "trials"),
    [
        ("decoder_zero_shot", 2 * 4 * 9),  # models, poolings, templates
        ("decoder_contrastive", 2 * 4 * 2 * 3),  # data, templates, poolings, seeds
        ("decoder_tiny", 2 * 2 + 2 * 2),  # base and trained: poolings, templates
    ],
)
def test_each_spec_is_the_grid_that_it_says(name: str, trials: int) -> None:
    """None of the axes collapses, none of the fields is refused."""
    spec = load_spec(ROOT / "sweeps" / f"{name}.yaml")
    assert sum(1 for _ in spec.trials()) == trials


def _titles(path: Path) -> None:
    """Titles of the spec's twenty topics: words that a topic has alone, and words of all topics."""
    entries = [entry.fields for entry in load_spec(TINY).evaluators]
    topics = [fields.labels for fields in entries if isinstance(fields, Clustering)]
    draw = random.Random(0)  # noqa: S311 - texts
    lines = ["text,label"]
    for topic in (name for names in topics for name in names or ()):
        own = [f"{topic}{word}" for word in ("fetch", "panel", "query", "table", "widget")]
        for _ in range(30):
            words = draw.choices(own, k=2) + draw.choices(COMMON.split(), k=5)
            draw.shuffle(words)
            lines.append(f"{' '.join(words)} {draw.randrange(10_000)},{topic}")
    path.write_text("\n".join(lines))


def _sweep(spec: Path, results: Path) -> dict[tuple[object, ...], float]:
    """Run the sweep from spec to report. Returns pooling, template, method -> v-measure."""
    results.mkdir(exist_ok=True)
    embft("sweep", str(spec), "--results", str(results), cwd=results, seconds=900)
    folder = results / "decoder-tiny"
    assert (folder / "report.html").exists()
    axes = ("model.pooling", "model.template", "train.method")
    return {
        tuple(row.params[axis] for axis in axes): row.test["trained_v_measure"]
        for row in build_leaderboard(folder).rows
    }


def _helped(scores: dict[tuple[object, ...], float], count: int, least: float) -> None:
    """For each pooling and template the trained decoder clusters better than the base model."""
    ways = {way[:2] for way in scores}
    assert len(ways) == count
    for way in ways:
        assert scores[(*way, "full")] > scores[(*way, "none")] + least


@pytest.mark.slow
def test_the_tiny_study_from_spec_to_report(tmp_path: Path) -> None:
    """The spec with its loss and evaluators, each pooling and each template once, on fewer titles,
    which are made here.
    """
    _titles(tmp_path / "titles.csv")
    text = TINY.read_text().replace("../../shared/data/stackoverflow/", "")
    text = text.replace("pairs: 4000", "pairs: 500")
    text = text.replace(AXES, WAYS)
    assert WAYS in text
    (tmp_path / "spec.yaml").write_text(text)
    _helped(_sweep(tmp_path / "spec.yaml", tmp_path / "results"), 2, 0.1)


@pytest.mark.long
def test_training_a_tiny_decoder_raises_its_clustering_score(tmp_path: Path) -> None:
    """The spec as it ships, on real question titles."""
    if not (SHARED_DATA / "stackoverflow").is_dir():
        pytest.skip(f"no shared data at {SHARED_DATA}")
    _helped(_sweep(TINY, tmp_path), 4, 0.1)
