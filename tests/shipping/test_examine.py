"""A model behind a function or a URL: each planted fault is found and named, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize

from embft.models.base import load_base
from embft.shipping.examine import TOLERANCE, Examination, examine
from embft.shipping.reading import Original
from embft.spec import ModelSpec
from tests.helpers.embedding_server import Serving

TEXTS = [
    "i love dogs",
    "you never hate the cats and we like tea",
    "music",
    "we always like films and coffee and music",
    "the tea and the coffee",
    "i hate films",
    "you love the dogs and never the cats",
    "a cats and a dogs",
]


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> SentenceTransformer:
    return load_base(tiny_model, ModelSpec(base=str(tiny_model)))


@pytest.fixture(scope="module")
def normalised(tiny_model: Path) -> SentenceTransformer:
    found = load_base(tiny_model, ModelSpec(base=str(tiny_model)))
    found.append(Normalize())
    return found


def _examined(serving: Any, model: SentenceTransformer, **more: Any) -> Examination:
    def embed(texts: Sequence[str]) -> np.ndarray:
        return np.asarray(serving(texts), np.float32)

    return examine(embed, Original(model, **more), TEXTS, TOLERANCE)


def test_the_model_itself_has_no_fault(
    model: SentenceTransformer, normalised: SentenceTransformer
) -> None:
    assert not _examined(Serving(model), model).findings
    assert not _examined(Serving(model, normalise=True), normalised).findings
    assert not _examined(lambda texts: model.encode(list(texts)), model).findings


@pytest.mark.parametrize(
    ("planted", "fault", "said"),
    [
        ({"mask": False}, "padding", "in a batch of mixed lengths"),
        ({"max_length": 8}, "truncation", "no more than about 8 tokens"),
        ({"max_length": 20}, "truncation", "no more than about"),
        ({"max_length": 64}, "truncation", "reads more of a text"),
        ({"keep": "left"}, "truncation", "reads more of a text than the model, or cuts at the"),
        ({"pooling": "cls"}, "pooling", r"the first token \(cls\), where the model takes the mean"),
        ({"pooling": "last"}, "pooling", "the last token"),
        ({"pooling": "max"}, "pooling", "the maximum"),
        ({"normalise": True}, "normalisation", "scaled to length 1, which the model does not"),
        ({"special": False}, "prompt", "no special tokens"),
        ({"dtype": torch.bfloat16}, "precision", "16 bits"),
        ({"digits": 2}, "precision", "rounded to 2 digits"),
        ({"edit": lambda text: text.replace("\n", "")}, "text", "changed before they are read"),
        ({"turn": True}, "order", "another order"),
        ({"width": 16}, "dimensions", "16 numbers a text, where the model gives 32: they are the"),
    ],
)
def test_each_planted_fault_is_named(
    model: SentenceTransformer, planted: dict[str, Any], fault: str, said: str
) -> None:
    """That one, and no other."""
    import re

    findings = _examined(Serving(model, **planted), model).findings
    assert [finding.fault for finding in findings] == [fault], findings
    assert re.search(said, findings[0].message)


def test_missing_normalisation_is_named(
    model: SentenceTransformer, normalised: SentenceTransformer
) -> None:
    (finding,) = _examined(Serving(model), normalised).findings
    assert finding.fault == "normalisation"
    assert "not scaled to length 1, as the model does" in finding.message


@pytest.mark.parametrize(
    ("planted", "default", "said"),
    [
        ("we like ", None, r"the prompt 'we like ' \(query\) is put before every text"),
        ("", "query", "'we like ' is not put before texts"),
        ("we like we like ", "query", "stands before texts twice"),
    ],
)
def test_a_wrong_prompt_is_named(
    tiny_model: Path, model: SentenceTransformer, planted: str, default: str | None, said: str
) -> None:
    """One too many, one too few, twice: of the prompts that the model has."""
    import re

    own = SentenceTransformer(
        str(tiny_model),
        device="cpu",
        prompts={"query": "we like ", "document": "a "},
        default_prompt_name=default,
    )
    right = "we like " if default else ""
    assert not _examined(Serving(model, prompt=right), own).findings
    (finding,) = _examined(Serving(model, prompt=planted), own).findings
    assert finding.fault == "prompt"
    assert re.search(said, finding.message)


def test_a_missing_template_is_named(tiny_model: Path, model: SentenceTransformer) -> None:
    spec = ModelSpec(base=str(tiny_model), template="we love {text}")
    (finding,) = _examined(Serving(model), load_base(tiny_model, spec)).findings
    assert finding.fault == "prompt"
    assert "the template around each text is missing" in finding.message


def test_the_base_model_and_another_one_are_named(
    tiny_model: Path, model: SentenceTransformer
) -> None:
    """What was trained is not served; and what is served is neither."""
    trained = load_base(tiny_model, ModelSpec(base=str(tiny_model)))
    other = load_base(tiny_model, ModelSpec(base=str(tiny_model)))
    torch.manual_seed(1)
    with torch.no_grad():
        for tuned in (trained, other):
            for parameter in tuned.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
    (finding,) = _examined(Serving(model), trained, base=model).findings
    assert finding.fault == "weights"
    (finding,) = _examined(Serving(other), trained, base=model).findings
    assert finding.fault == "unknown"


def test_two_faults_are_both_named(model: SentenceTransformer) -> None:
    serving = Serving(model, pooling="cls", prompt="", normalise=True, max_length=16)
    found = {finding.fault for finding in _examined(serving, model).findings}
    assert found == {"pooling", "normalisation", "truncation"}
