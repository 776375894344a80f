"""`embft init`: from files to a spec that a plan accepts, on a terminal and without one."""

from __future__ import annotations

import os
import pty
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest
import yaml
from click.testing import CliRunner, Result

from embft.cli.main import main
from embft.planning.design import DESIGNS, Work, fitting, sweep_seconds
from embft.planning.draft import word
from embft.spec import load_spec
from embft.spec.source import scalar
from tests.helpers.commands import EMBFT, environment
from tests.helpers.judged import write_beir

ONE = [f"i love dogs and tea {i}" for i in range(120)]
TWO = [f"you hate cats or music {i}" for i in range(120)]
THREE = [f"we never like films {i}" for i in range(120)]
SCORES = [round(i % 11 * 0.4, 1) for i in range(120)]

KINDS: dict[str, dict[str, Sequence[object]]] = {
    "graded": {"frage": ONE, "antwort": TWO, "note": SCORES, "art": ["a b", "c"] * 60},
    "binary": {"left": ONE, "right": TWO, "same": [0, 1] * 60},
    "positives": {"query": ONE, "document": TWO},
    "triplets": {"anchor": ONE, "positive": TWO, "negative": THREE},
    "nli": {"premise": ONE, "hypothesis": TWO, "label": ["entailment", "contradiction"] * 60},
    "nli with negatives": {
        "premise": [text for text in ONE[:60] for _ in range(2)],
        "hypothesis": TWO,
        "label": ["entailment", "contradiction"] * 60,
    },
    "classes": {"text": ONE, "topic": ["x", "y", "z"] * 40},
    "odd names": {"no": ONE, "1e3": TWO, "a: b #c": SCORES},
}


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("kind", KINDS)
def test_what_init_writes_a_plan_accepts(kind: str, here: Path, tiny_model: Path) -> None:
    """For every kind of rows; the spec stands elsewhere than the data, and holds no absolute path
    of them.
    """
    (here / "my data").mkdir()
    pd.DataFrame(KINDS[kind]).to_csv(here / "my data" / "my pairs.csv", index=False)
    arguments = ["my data/my pairs.csv", "--out", "specs/first.yaml", "--base", str(tiny_model)]
    if kind == "odd names":
        arguments += ["--column", "no", "--column", "1e3", "--label", "a: b #c"]
    result = run("init", *arguments)
    assert result.exit_code == 0, result.output
    assert "specs/first.yaml: written" in result.output
    text = (here / "specs" / "first.yaml").read_text()
    assert ("negatives: false" in text) == (kind == "nli")
    assert str(here) not in text.replace(str(tiny_model), "")
    plan = run("plan", "specs/first.yaml")
    assert plan.exit_code == 0, plan.output


def test_a_folder_of_judged_queries(here: Path, tiny_model: Path) -> None:
    """In BEIR's format; a tenth of the queries is set aside as dev."""
    write_beir(here / "faq", {"train": range(30), "test": range(30, 40)})
    result = run("init", "faq", "--base", str(tiny_model))
    assert result.exit_code == 0, result.output
    assert "a corpus with queries and judgements, 54 pairs to train on" in result.output
    spec = load_spec(here / "faq.yaml")
    assert spec.points[0].data.beir == str(here / "faq")
    assert spec.objective.metric == "ndcg_at_10"
    assert "beir: faq" in (here / "faq.yaml").read_text()
    plan = run("plan", "faq.yaml")
    assert plan.exit_code == 0, plan.output


def test_without_a_terminal_guesses_are_said(here: Path, tiny_model: Path) -> None:
    pd.DataFrame(KINDS["graded"]).to_csv(here / "pairs.csv", index=False)
    result = run("init", "pairs.csv", "--base", str(tiny_model))
    assert result.exit_code == 0, result.output
    assert "texts: columns frage, antwort (guessed)" in result.output
    assert "label: column note, from 0 to 4; taken as a scale from 0 to 4" in result.output
    spec = load_spec(here / "pairs.yaml")
    assert spec.points[0].data.label_range == (0, 4)
    assert spec.objective.metric == "spearman"
    again = run("init", "pairs.csv")
    assert again.exit_code == 2
    assert "pairs.yaml exists: give another --out, or --force" in again.output
    assert run("init", "pairs.csv", "--force", "--label-range", "0", "5").exit_code == 0
    assert load_spec(here / "pairs.yaml").points[0].data.label_range == (0, 5)


def test_a_language_that_the_usual_base_does_not_know(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Said, and another base is taken where it can be had."""
    one = [f"Wie kann ich mein Passwort für das Konto Nummer {i} zurücksetzen?" for i in range(60)]
    two = [f"Öffnen Sie die Einstellungen und wählen Sie ein neues Wort {i}." for i in range(60)]
    pd.DataFrame({"frage": one, "antwort": two}).to_csv(here / "de.csv", index=False)
    result = run("init", "de.csv")
    assert "most texts are in 'de', which sentence-transformers/all-MiniLM-L6-v2 knows little" in (
        result.output
    )
    monkeypatch.setattr("embft.cli.init._can_be_had", lambda _: True)
    run("init", "de.csv", "--force")
    assert "multilingual" in load_spec(here / "de.yaml").points[0].model.base


def test_texts_alone_are_refused_with_what_to_do(here: Path) -> None:
    pd.DataFrame({"title": ONE}).to_csv(here / "titles.csv", index=False)
    result = run("init", "titles.csv")
    assert result.exit_code == 2
    assert "nothing says which belong together" in result.output
    assert "embft data synthesize" in result.output
    assert not (here / "titles.yaml").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["pairs.csv", "--column", "nosuch"],
            "no column 'nosuch'; the file has: left, right, same",
        ),
        (["missing.csv"], "missing.csv"),
        (["pairs.csv", "--name", "a b"], "'a b' is no name: letters, digits, dots"),
        (["pairs.csv", "--out", "x/pairs.csv/y.yaml", "--minutes", "0"], "0.0"),
        (["pairs.csv", "other.csv"], "other.csv: no column 'left'"),
    ],
)
def test_what_init_cannot_do(arguments: list[str], words: str, here: Path) -> None:
    """One sentence, status 2, and nothing is written."""
    pd.DataFrame(KINDS["binary"]).to_csv(here / "pairs.csv", index=False)
    pd.DataFrame(KINDS["positives"]).to_csv(here / "other.csv", index=False)
    result = run("init", *arguments)
    assert result.exit_code == 2
    assert words in result.output
    assert "Traceback" not in result.output
    assert not list(here.glob("*.yaml"))


def test_on_a_terminal_it_asks(here: Path, tiny_model: Path) -> None:
    """The scale of the labels, which rows cannot tell, and the time."""
    pd.DataFrame(KINDS["graded"]).to_csv(here / "pairs.csv", index=False)
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(here)
        os.execve(  # noqa: S606
            sys.executable,
            [sys.executable, *EMBFT, "init", "pairs.csv", "--base", str(tiny_model)],
            environment(here),
        )
    shown = ""
    for question, answer in (("Lowest", "0"), ("Highest", "5"), ("How many minutes", "30")):
        while question not in shown:
            shown += os.read(terminal, 4096).decode()
        os.write(terminal, f"{answer}\n".encode())
    while "written" not in shown:
        shown += os.read(terminal, 4096).decode()
    assert os.waitpid(child, 0)[1] == 0
    assert "The labels in column note run from 0 to 4." in shown
    assert load_spec(here / "pairs.yaml").points[0].data.label_range == (0, 5)


WORK = Work(rows=5000, scored=1000, tokens=40, weights=10_000_000, batch_size=16)


@pytest.mark.parametrize("speed", [1e9, 1e11, 1e13])
@pytest.mark.parametrize("minutes", [1, 10, 100])
def test_a_design_fits_the_time(speed: float, minutes: float) -> None:
    """The largest one that does; of the smallest so many steps."""
    found = fitting(WORK, speed, 60 * minutes)
    if found in DESIGNS:
        assert sweep_seconds(WORK, found, speed) <= 60 * minutes
        larger = DESIGNS[: DESIGNS.index(found)]
        assert all(sweep_seconds(WORK, each, speed) > 60 * minutes for each in larger)
    else:
        assert found.max_steps is not None
        fits = sweep_seconds(WORK, found, speed) <= 61 * minutes
        assert fits or found.max_steps == 60


@pytest.mark.parametrize("text", ["no", "1e3", "null", "a: b", "#x", "it's", "x y", "-a", "", "ü"])
def test_words_in_yaml_mean_themselves(text: str) -> None:
    written = word(text)
    assert yaml.safe_load(f"[{written}]") == [text]
    assert written.startswith('"') or scalar(written) == text
