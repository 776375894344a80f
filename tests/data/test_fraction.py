"""Fractions of train: nested, drawn once, and no other split or trial is touched by them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from embft.cli.main import main
from embft.data.build import Loaded, fraction_rows, load_data
from embft.data.fraction import Nested
from embft.data.pairs import Pairs
from embft.errors import DataError
from embft.planning.plan import make_plan
from embft.spec import DataSpec, parse_spec

SHARES = (0.05, 0.125, 0.3, 0.5, 0.9, 1.0)


def _pairs(count: int, per_text: int = 1, seed: int = 0) -> Pairs:
    """Labelled pairs whose first text stands in so many of them."""
    label = (np.random.default_rng(seed).random(count) < 0.5).astype(np.float64)
    first = [f"text {i // per_text}" for i in range(count)]
    return Pairs(first, [f"other {i}" for i in range(count)], label)


def _rows(pairs: Pairs) -> list[tuple[str, ...]]:
    return list(zip(*pairs.columns, strict=True))


@pytest.mark.parametrize("per_text", [1, 3])
def test_fractions_are_nested_and_keep_the_order(per_text: int) -> None:
    """Each is about as large as was asked, in the order of the file; rows of one text together."""
    train = _pairs(600, per_text)
    whole = _rows(train)
    smaller: set[tuple[str, ...]] = set()
    for share in SHARES:
        part = _rows(Nested(train, 42).take(share))
        assert abs(len(part) - share * 600) <= per_text / 2
        assert part == [row for row in whole if row in set(part)]
        assert smaller <= set(part)
        smaller = set(part)
        of_text: dict[str, int] = {}
        for first, _ in part:
            of_text[first] = of_text.get(first, 0) + 1
        assert set(of_text.values()) == {per_text}


def test_a_fraction_is_drawn_once_from_content_and_seed() -> None:
    train = _pairs(300)
    one, again, other = (Nested(train, seed).take(0.5) for seed in (1, 1, 2))
    assert one.digest() == again.digest() != other.digest()
    edited = Pairs(["new", *list(train.text_1)[1:]], train.text_2, train.label)
    assert set(_rows(Nested(edited, 1).take(0.5))) != set(_rows(one))
    assert Nested(train, 1).take(1) is train


def test_where_most_pairs_hang_together_equal_ones_do() -> None:
    """Pairs of a few texts cannot be parted by texts; a pair that comes twice comes twice."""
    rng = np.random.default_rng(0)
    ends = rng.integers(0, 30, (400, 2))
    twice = np.concatenate([ends, ends])
    first, second = ([f"text {i}" for i in column] for column in twice.T)
    train = Pairs(first, second, np.arange(800) % 2 / 1.0)
    part = Nested(train, 0).take(0.25)
    assert 190 <= len(part) <= 210
    whole, kept = _rows(train), _rows(part)
    assert all(kept.count(row) == whole.count(row) for row in set(kept))


def test_too_little_is_refused_with_what_it_would_be() -> None:
    with pytest.raises(DataError, match=r"data\.fraction: 0\.001 of the 40 rows of train is 1 row"):
        Nested(_pairs(40), 0).take(0.001)
    rare = Pairs([f"a {i}" for i in range(100)], ["b"] * 50 + ["c"] * 50, np.eye(1, 100)[0])
    with pytest.raises(DataError, match=r"of one label, too few to train on: give a larger"):
        Nested(rare, 3).take(0.02)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Train and test files; one test row stands in train."""
    for name, count in (("train", 200), ("test", 60)):
        rows = [
            {"text_1": f"{name} one {i}", "text_2": f"{name} two {i}", "label": i % 2}
            for i in range(count)
        ]
        if name == "test":
            rows[0] = {"text_1": "train one 7", "text_2": "train two 7", "label": 1}
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


@pytest.mark.parametrize(
    "more",
    [{}, {"on_leak": "drop"}, {"shape": "positives"}, {"shape": "triplets"}, {"noise": {}}],
    ids=["labelled", "drop", "positives", "triplets", "noise"],
)
def test_dev_and_test_stay_whatever_is_made_of_train(folder: Path, more: dict[str, object]) -> None:
    """A dev that is cut from train is cut before; a part knows no text of the rest."""
    train, test = f"{folder}/train.jsonl", f"{folder}/test.jsonl"
    known, texts = Loaded(), []
    for share in (0.2, 0.5, 1.0):
        spec = DataSpec.model_validate({"train": train, "test": test, "fraction": share, **more})
        splits = load_data(spec, known)
        assert splits.digest() == load_data(spec).digest()
        whole = load_data(spec.model_copy(update={"fraction": 1.0}))
        assert (splits.dev.digest(), splits.test.digest()) == (
            whole.dev.digest(), whole.test.digest(),
        )  # fmt: skip
        assert 0.8 * share < len(splits.train) / len(whole.train) < 1.25 * share
        texts.append({text for column in splits.train.columns for text in column})
    if "noise" not in more:
        assert texts[0] < texts[1] < texts[2]
    if "on_leak" in more:
        assert "train one 7" not in texts[2]


def test_only_another_fraction_than_1_makes_other_trials(tmp_path: Path, tiny_spec: str) -> None:
    """Half the data is another trial; all of it is the trial that it was without the field."""

    def keys(data: str) -> set[str]:
        text = tiny_spec.replace("groups: [kind]", f"groups: [kind]{data}")
        return {trial.key for trial in make_plan(parse_spec(text), tmp_path).trials}

    assert keys("\n  fraction: 1") == keys("\n  fraction: 1.0\n  seed: 7") == keys("")
    half = keys("\n  fraction: 0.5")
    assert half.isdisjoint(keys(""))
    assert half.isdisjoint(keys("\n  fraction: 0.25"))


def test_plan_and_audit_say_how_many_rows(
    tmp_path: Path, tiny_spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One baseline for all fractions; the rows of each, as table and as JSON."""
    monkeypatch.chdir(tmp_path)
    text = tiny_spec.replace("space:\n  - ", "space:\n  - data.fraction: [0.5, 1]\n    ")
    spec = tmp_path / "tiny.yaml"
    spec.write_text(text)
    plan = json.loads(CliRunner().invoke(main, ["plan", str(spec), "--format", "json"]).output)
    assert [row["train_rows"] for row in plan] == [0, 24, 24, 48, 48, 48, 48]
    assert fraction_rows(parse_spec(text)) == {0.5: 24, 1.0: 48}
    said = CliRunner().invoke(main, ["data", "audit", str(spec)])
    assert "Rows of train by data.fraction: 0.5 has 24, 1 has 48" in said.output
    found = CliRunner().invoke(main, ["data", "audit", str(spec), "--format", "json"])
    assert json.loads(found.output)["fractions"] == {"0.5": 24, "1": 48}
    assert fraction_rows(parse_spec(tiny_spec)) == {}


@pytest.mark.parametrize("value", ["0", "1.5", "-0.1", ".nan", "half"])
def test_a_fraction_lies_between_0_and_1(value: str, tmp_path: Path, tiny_spec: str) -> None:
    spec = tmp_path / "tiny.yaml"
    spec.write_text(tiny_spec.replace("groups: [kind]", f"groups: [kind]\n  fraction: {value}"))
    refused = CliRunner().invoke(main, ["plan", str(spec)])
    assert refused.exit_code == 2
