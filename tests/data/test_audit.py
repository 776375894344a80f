"""The audit: each fault is found where it is planted, and nothing is found where none is."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from embft.data.audit import Audit, Finding, audit, drop_leaked
from embft.data.audit.judged import judged_faults
from embft.data.load import PairFile
from embft.data.pairs import Pairs, Splits
from embft.data.retrieval import Fault, Retrieval, TextSet
from embft.data.splits import build_splits
from embft.data.texts import normalise
from embft.errors import DataError
from embft.report.audit import audit_figures
from tests.helpers.commands import program

DATING = Path(__file__).resolve().parents[3] / "shared" / "data" / "dating"
QUALITY = {"quality_form", "quality_diversity", "quality_bias", "quality_language"}
SYLLABLES = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]


def clean_pairs(count: int, seed: int) -> Pairs:
    """Random texts with random labels: no text, and hardly a word, occurs twice."""
    rng = np.random.default_rng(seed)

    def text() -> str:
        words = rng.integers(6, 10)
        return " ".join("".join(rng.choice(SYLLABLES, 3)) for _ in range(words))

    label = rng.permutation(np.arange(count) % 2).astype(np.float64)
    return Pairs([text() for _ in range(count)], [text() for _ in range(count)], label)


@pytest.fixture
def clean() -> Splits:
    return Splits(clean_pairs(200, 0), clean_pairs(100, 1), clean_pairs(100, 2))


Row = tuple[str, str, float]


def plus(pairs: Pairs, rows: Sequence[Row]) -> Pairs:
    """The pairs, and these behind them."""
    first, second, label = zip(*rows, strict=True)
    return Pairs(
        [*pairs.text_1, *first], [*pairs.text_2, *second], np.concatenate([pairs.label, label])
    )


def row_of(pairs: Pairs, row: int) -> Row:
    return pairs.text_1[row], pairs.text_2[row], float(pairs.label[row])


def names(found: Audit) -> set[str]:
    """All findings but the four that are always there."""
    return {finding.name for finding in found.findings} - QUALITY


def the(found: Audit, name: str) -> Finding:
    finding = found.find(name)
    assert finding is not None, sorted(names(found))
    return finding


def test_clean_data(clean: Splits) -> None:
    """Where nothing is wrong, nothing is found but the plain quality numbers."""
    found = audit(clean, token_lengths=lambda texts: [len(text) for text in texts], max_tokens=500)
    assert names(found) == set()
    assert {finding.name for finding in found.findings} == QUALITY
    assert all(len(rows) == 0 for rows in found.leaked_rows.values())


def test_duplicates(clean: Splits) -> None:
    """Rows beyond the first are counted, in the split that has them, with their place."""
    train = plus(clean.train, [row_of(clean.train, 3)] * 2 + [row_of(clean.train, 5)])
    found = audit(replace(clean, train=train))
    assert names(found) <= {"duplicates_train", "false_negatives"}
    finding = the(found, "duplicates_train")
    assert (finding.count, finding.total, finding.severity) == (3, 203, "warning")
    assert [example["row"] for example in finding.examples] == [201, 202, 203]


def test_leaks_exact_and_normalised(clean: Splits) -> None:
    """Word-for-word leaks are counted apart from those in case, punctuation, spacing or order."""
    a, b, label = row_of(clean.train, 7)
    disguised = [
        (a.upper(), b, label),
        (a, b.replace(" ", "  ") + "!", label),
        (b, a, label),
        (f'"{a}"', b.replace(" ", ", "), label),
    ]
    dev = plus(clean.dev, [row_of(clean.train, 2), *disguised])
    found = audit(replace(clean, dev=dev))
    exact, loose = the(found, "leak_dev_from_train"), the(found, "normalised_leak_dev_from_train")
    assert (exact.count, exact.total, loose.count, loose.total) == (1, 105, 4, 105)
    assert loose.details["distinct"] == 1
    assert exact.examples[0]["train_row"] == 3
    assert loose.examples[0]["train_row"] == 8
    assert {"near_leak_dev_from_train", "leak_test_from_train"}.isdisjoint(names(found))
    assert found.leaked_rows["dev_from_train"].tolist() == [100, 101, 102, 103, 104]
    assert found.leaked_rows["train"].tolist() == [2, 7]


def test_leak_between_dev_and_test(clean: Splits) -> None:
    """A test pair that stands in dev leaks too, and train is not touched by it."""
    test = plus(clean.test, [row_of(clean.dev, 4)])
    splits = replace(clean, test=test)
    found = audit(splits)
    assert the(found, "leak_test_from_dev").count == 1
    assert found.leaked_rows["test_from_dev"].tolist() == [100]
    assert len(drop_leaked(splits, found).train) == 200


def test_test_that_is_dev(clean: Splits) -> None:
    """Where dev stands in for test, nothing is said twice and dev is no leak of itself."""
    dev = plus(clean.dev, [row_of(clean.train, 2)])
    found = audit(Splits(clean.train, dev, dev, test_is_dev=True))
    assert not [finding.name for finding in found.findings if "test" in finding.name]
    assert found.leaked_rows["test_from_dev"].tolist() == []
    assert found.leaked_rows["test_from_train"].tolist() == [100]


@pytest.mark.parametrize("copies", [1, 50])
def test_near_duplicates(clean: Splits, copies: int) -> None:
    """A changed word is near; half of the words changed is not. In a split and between splits."""
    changed = []
    for row in range(copies):
        a, b, label = row_of(clean.train, row)
        changed.append((a + " no", b, label))
    far = [(clean.train.text_1[-1], clean.train.text_2[-2], 1.0)]
    inside = audit(replace(clean, train=plus(clean.train, changed + far)))
    assert the(inside, "near_duplicates_train").count == 2 * copies
    between = audit(replace(clean, dev=plus(clean.dev, changed + far)))
    assert "near_duplicates_train" not in names(between)
    finding = the(between, "near_leak_dev_from_train")
    assert finding.count == copies
    near = finding.examples[0]["near"]
    assert (near["split"], near["row"]) == ("train", 1)
    assert 0.8 <= finding.examples[0]["similarity"] < 1


def test_near_means_what_it_says(clean: Splits) -> None:
    """The reported similarity is the Jaccard similarity of five-byte pieces, sides joined."""
    a, b, _ = row_of(clean.train, 0)
    swapped = (b, a.replace(a.split()[0], "xyz"), 0.0)
    found = audit(replace(clean, dev=plus(clean.dev, [swapped])))

    def pieces(*texts: str) -> set[str]:
        return {f" {t} "[i : i + 5] for t in texts for i in range(len(t) - 2)}

    one, two = pieces(a, b), pieces(*swapped[:2])
    expected = len(one & two) / len(one | two)
    assert expected >= 0.8
    shown = the(found, "near_leak_dev_from_train").examples[0]
    assert shown["similarity"] == pytest.approx(expected, abs=0.001)


def test_shared_texts(clean: Splits) -> None:
    """Pairs of which train knows one text, and those of which it knows both, are counted apart."""
    known = clean.train
    rows = [
        (known.text_1[0], known.text_2[1], 1.0),
        (known.text_2[2], known.text_1[3], 0.0),
        (known.text_1[4], "something entirely new", 1.0),
    ]
    found = audit(replace(clean, dev=plus(clean.dev, rows)))
    assert names(found) == {"shared_texts_dev_with_train"}
    finding = the(found, "shared_texts_dev_with_train")
    assert finding.details == {"both": 2, "either": 3, "both_but_new_pair": 2}


def test_contradictions(clean: Splits) -> None:
    """One pair with two labels is found, across splits, disguised, and with all of its places."""
    a, b, label = row_of(clean.train, 0)
    found = audit(replace(clean, dev=plus(clean.dev, [(b.title(), a, 1 - label)])))
    finding = the(found, "contradictory_labels")
    assert (finding.count, finding.total) == (2, 401)
    assert finding.details == {"pairs": 1, "rows": {"train": 1, "dev": 1, "test": 0}}
    assert finding.examples[0]["rows"] == [
        {"split": "train", "row": 1, "label": label},
        {"split": "dev", "row": 101, "label": 1 - label},
    ]


@pytest.mark.parametrize(("other", "clashes"), [(0.55, False), (0.7, True)])
def test_graded_contradictions(clean: Splits, other: float, clashes: bool) -> None:
    """Graded opinions may differ a little."""
    train = plus(
        clean.train, [("one text", "another text", 0.5), ("one text", "another text", other)]
    )
    assert ("contradictory_labels" in names(audit(replace(clean, train=train)))) == clashes


def test_empty_texts(clean: Splits) -> None:
    """Texts without a letter or digit are found; those of any script are texts."""
    rows = [("???", "fine text here", 1.0), ("  ", "also fine words", 0.0), ("नी", "日本", 1.0)]
    finding = the(audit(replace(clean, dev=plus(clean.dev, rows))), "empty_texts")
    assert (finding.count, finding.details["rows"]["dev"]) == (2, 2)


def test_overlong_texts(clean: Splits) -> None:
    """Texts beyond the model's limit are counted with the model's own tokens."""
    train = plus(clean.train, [("word " * 300, "short one", 1.0), ("x" * 3000, "another one", 0.0)])
    splits = replace(clean, train=train)

    def count(texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]

    finding = the(audit(splits, token_lengths=count, max_tokens=256), "overlong_texts")
    assert (finding.count, finding.examples[0]["row"], finding.examples[0]["tokens"]) == (
        1,
        201,
        300,
    )
    assert "overlong_texts" not in names(audit(splits, token_lengths=count, max_tokens=300))
    assert "overlong_texts" not in names(audit(splits))


def test_label_balance(clean: Splits) -> None:
    """A single label, a rare label, and another share than train's are each found."""
    ones = replace(clean.dev, label=np.ones(100))
    rare = replace(clean.test, label=(np.arange(100) < 4).astype(np.float64))
    found = audit(Splits(clean.train, ones, rare))
    assert the(found, "single_label_dev").severity == "problem"
    assert the(found, "rare_label_test").count == 4
    assert "label 1." in the(found, "rare_label_test").message
    assert the(found, "label_shift_test").details["difference"] == pytest.approx(-0.46)
    assert "shortcuts_unchecked" in names(found)


def each_row(pairs: Pairs, change: Callable[[str, str, float], tuple[str, str]]) -> Pairs:
    rows = [change(*row_of(pairs, row)) for row in range(len(pairs))]
    return Pairs([a for a, _ in rows], [b for _, b in rows], pairs.label)


def everywhere(splits: Splits, change: Callable[[str, str, float], tuple[str, str]]) -> Splits:
    return Splits(
        each_row(splits.train, change), each_row(splits.dev, change), each_row(splits.test, change)
    )


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("shortcut_length", lambda a, b, y: (a, b + " of" * int(20 * y))),
        ("shortcut_side_1", lambda a, b, y: (f"{a} {'yes' if y else 'no'}", b)),
        ("shortcut_side_2", lambda a, b, y: (a, f"{b} {'yes' if y else 'no'}")),
        ("shortcut_words", lambda a, b, y: (a, f"{b} {'never' if y else 'often'}")),
    ],
)
def test_shortcuts(
    clean: Splits, name: str, change: Callable[[str, str, float], tuple[str, str]]
) -> None:
    """A label that one cue betrays is found, with a held-out AUC of nearly one."""
    splits = everywhere(clean, change)
    found = audit(splits)
    assert the(found, name).severity == "problem"
    side = {"shortcut_side_1": "shortcut_side_2", "shortcut_side_2": "shortcut_side_1"}.get(name)
    assert side not in names(found)


def test_telling_words(clean: Splits) -> None:
    """The finding names the words, and which label each stands for."""
    change: Callable[[str, str, float], tuple[str, str]] = lambda a, b, y: (  # noqa: E731
        f"{a} {'sunny' if y else 'rainy'}",
        b,
    )
    splits = everywhere(clean, change)
    found = audit(splits)
    side = the(found, "shortcut_side_1").details
    assert (side["words_for_high"][0], side["words_for_low"][0]) == ("sunny", "rainy")
    words = {item["word"]: item for item in the(found, "shortcut_words").examples}
    assert (words["sunny"]["stands_for"], words["rainy"]["stands_for"]) == ("high", "low")
    assert words["sunny"]["auc"] == 1


def test_shortcut_is_not_memory(clean: Splits) -> None:
    """Leaked pairs do not make a shortcut: only dev pairs that are new to train are scored."""
    rng = np.random.default_rng(5)
    leaked = clean.train.take(np.arange(200))
    fresh = replace(clean.dev, label=rng.permutation(clean.dev.label))
    dev = plus(fresh, [row_of(leaked, row) for row in range(200)])
    assert not [name for name in names(audit(replace(clean, dev=dev))) if "shortcut" in name]


def test_false_negatives() -> None:
    """Expected false negatives agree with drawing batches and counting them."""
    rng = np.random.default_rng(0)
    count = 300
    first = [f"anchor {i}" for i in rng.integers(0, 60, count)]
    second = [f"answer {i}" for i in rng.integers(0, 40, count)]
    train = Pairs(first, second, np.ones(count))
    train.label[:10] = 0
    found = audit(Splits(train, clean_pairs(50, 1), clean_pairs(50, 2)))
    expected = the(found, "false_negatives").details["expected_per_batch"]["64"]
    rows = list(zip(first, second, strict=True))[10:]
    positive = set(rows)
    drawn = []
    for _ in range(200):
        batch = [rows[i] for i in rng.choice(len(rows), 64, replace=False)]
        pairs = sum((a, d) in positive for a, _ in batch for _, d in batch)
        drawn.append(pairs - len(batch))
    error = np.std(drawn) / len(drawn) ** 0.5
    assert expected == pytest.approx(np.mean(drawn), abs=4 * float(error))


def test_quality_numbers() -> None:
    """The quality numbers are those that one counts by hand."""
    train = Pairs(
        ["The cat sat. The dog ran.", "See <b>me</b>", "The cat sat. The dog ran.", "one one"],
        ["The cat sat.", "", "The cat sat.", "two two"],
        np.array([1.0, 0.0, 0.0, 0.0]),
        {"kind": ["a", "b", "a", "b"]},
    )
    found = audit(Splits(train, clean_pairs(50, 1), clean_pairs(50, 2)))
    form = the(found, "quality_form").details
    assert form["completeness"] == pytest.approx(11 / 12)
    assert form["duplicates"] == pytest.approx(1 / 4)
    assert form["consistency"] == 0
    assert form["format"]["markup"] == pytest.approx(1 / 8)
    diversity = the(found, "quality_diversity").details
    assert diversity["categories"] == {"kind": {"categories": 2, "bits": 1.0, "evenness": 1.0}}
    assert diversity["labels"] == {"0 to 0.5": 3, "0.5 to 1": 1}
    rates = the(found, "quality_bias").details["by_group"]["kind"]
    assert rates == {"a": {"rows": 2, "mean_label": 0.5}, "b": {"rows": 2, "mean_label": 0.0}}
    overlap = the(found, "quality_language").details["coherence"]
    assert overlap["overlap_high_label"] == pytest.approx(3 / 5)
    assert overlap["overlap_low_label"] == pytest.approx(3 / 5 / 3)


def test_readability() -> None:
    """Reading ease is Flesch's: 206.835 - 1.015 words a sentence - 84.6 syllables a word."""
    train = Pairs(["The cat sat on the mat."] * 2, ["Little tables seem readable."] * 2, np.ones(2))
    found = audit(Splits(train, clean_pairs(50, 1), clean_pairs(50, 2)))
    ease = the(found, "quality_language").details["readability"]["flesch_reading_ease"]
    assert ease == pytest.approx(206.835 - 1.015 * 20 / 4 - 84.6 * 28 / 20)


def test_json_and_repeatability(clean: Splits) -> None:
    """An audit is plain JSON without NaN, the gravest first, and the same when repeated."""
    dev = plus(clean.dev, [row_of(clean.train, 0)] * 3)
    splits = Splits(clean.train, dev, dev, test_is_dev=True)
    found = audit(splits)
    text = json.dumps(found.to_json(), allow_nan=False)
    assert text == json.dumps(audit(splits).to_json(), allow_nan=False)
    grades = [finding.severity for finding in found.findings]
    assert grades == sorted(grades, key=["problem", "warning", "info"].index)
    assert json.loads(text)["leaked_rows"]["dev_from_train"] == [100, 101, 102]


def test_drop_leaked(clean: Splits) -> None:
    """Train loses exactly the rows that are also scored; the scored splits stay as they are."""
    a, b, _ = row_of(clean.train, 10)
    dev = plus(clean.dev, [(b.upper(), a, 1.0)])
    splits = replace(clean, dev=dev)
    cleaned = drop_leaked(splits, audit(splits))
    kept = [row for row in range(200) if row != 10]
    assert cleaned.train.digest() == clean.train.take(kept).digest()
    assert cleaned.dev is dev
    again = audit(cleaned)
    assert not any(len(rows) for rows in again.leaked_rows.values())
    with pytest.raises(ValueError, match="other splits"):
        drop_leaked(cleaned, audit(splits))
    everything = Splits(clean.dev, clean.dev, clean.test)
    with pytest.raises(DataError, match="nothing is left"):
        drop_leaked(everything, audit(everything))


texts = st.text(max_size=12).map(lambda text: text or "a")
rows = st.tuples(texts, texts, st.sampled_from([0.0, 0.5, 1.0]))
splits_of = st.lists(rows, min_size=1, max_size=8).map(
    lambda found: Pairs(
        [a for a, _, _ in found], [b for _, b, _ in found], np.array([y for _, _, y in found])
    )
)


@settings(max_examples=60, deadline=None)
@given(splits_of, splits_of, splits_of)
@example(
    Pairs(["a"] * 3, ["a"] * 3, np.array([0.0, 0.5, 0.5])),  # all of a few rows are concerned
    Pairs(["a"], ["a"], np.array([0.0])),
    Pairs(["a"], ["a"], np.array([0.0])),
)
def test_any_pairs(train: Pairs, dev: Pairs, test: Pairs) -> None:
    """Whatever the texts, the audit is plain JSON, and its leaks are those found one by one."""
    found = audit(Splits(train, dev, test))
    json.dumps(found.to_json(), allow_nan=False)
    assert all(audit_figures(asdict(finding)) for finding in found.findings)

    def keys(pairs: Pairs) -> list[tuple[str, ...]]:
        both = zip(pairs.text_1, pairs.text_2, strict=True)
        return [tuple(sorted(map(normalise, pair))) for pair in both]

    leaking = [row for row, key in enumerate(keys(test)) if key in set(keys(train))]
    assert found.leaked_rows["test_from_train"].tolist() == leaking


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        ("Hello,  World!", "hello world", True),
        ("re-use", "RE USE", True),
        ("ﬁne", "fine", True),
        ("STRASSE", "straße", True),
        ("é", "e\u0301", True),
        ("C++", "C#", False),
        ("5%", "5", False),
        ("की", "का", False),
        ("?!", "...", False),
        ("3.5", "35", False),
    ],
)
def test_normalise(one: str, two: str, same: bool) -> None:
    """Case, punctuation, spacing and Unicode form do not count; symbols and marks do."""
    assert (normalise(one) == normalise(two)) == same


@pytest.mark.parametrize("split", ["dev", "test"])
def test_every_fault_of_judgements_has_its_figures(split: str) -> None:
    """How many are concerned, of how many, and an example."""
    kinds = ("graded_twice", "unknown_queries", "unknown_documents", "unanswered_queries")
    faults = tuple(Fault(kind, split, 3, 1200, ("q1",)) for kind in kinds)
    judged = Retrieval(TextSet((), ()), {}, faults)
    found = list(judged_faults(judged))
    assert [audit_figures(asdict(each)) for each in found] == [
        (("concerned", "3 of 1,200 (0.0025)"), ("such as", "q1"))
    ] * len(kinds)


def test_dating() -> None:
    """On the seed study's data the audit finds the faults that counting had found."""
    if not DATING.is_dir():
        pytest.skip(f"{DATING} is absent")
    path = DATING / "eval.jsonl"
    splits = build_splits(
        *(PairFile(file, groups=["category"]) for file in (DATING / "train.jsonl", path, path))
    )
    found = audit(splits)
    leak = the(found, "leak_dev_from_train")
    assert (leak.count, leak.total, leak.details["distinct"]) == (42, 295, 35)
    assert the(found, "shared_texts_dev_with_train").details["both"] == 100
    train, dev = the(found, "duplicates_train"), the(found, "duplicates_dev")
    assert (train.count, train.total, dev.count, dev.total) == (91, 1195, 8, 295)
    cleaned = drop_leaked(splits, found)
    assert audit(cleaned).find("leak_dev_from_train") is None
    assert len(cleaned.dev) == 295


def test_scikit_learn_comes_without_what_takes_longer(pair_files: Path) -> None:
    """Before a new sweep's first step is its audit."""
    program("what_an_audit_imports", arguments=[str(pair_files)])
