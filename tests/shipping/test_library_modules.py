"""Models with our own pooling, saved with library modules alone: plain loaders give the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from embft.models.base import load_base
from embft.models.tiny_decoder import Size, make_decoder
from embft.shipping.library_modules import use_library_modules
from embft.spec import ModelSpec

TEXTS = ["i love dogs", "you never hate the cats and we like tea, always", "", "a" * 400]


@pytest.fixture(scope="module")
def decoders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("decoders")
    for kind in ("qwen3", "llama"):
        make_decoder(folder / kind, kind, TEXTS, Size(width=32, layers=2, vocabulary=300))
    return folder


@pytest.mark.parametrize("template", [None, "Cluster the text: {text}", "{text} in one word:"])
@pytest.mark.parametrize("base", ["qwen3", "llama", "bert"])
def test_the_mean_over_a_texts_tokens_needs_no_code_of_ours(
    decoders: Path, tiny_model: Path, tmp_path: Path, base: str, template: str | None
) -> None:
    """Whatever stands around a text, padded on either side, an empty text and a cut one too."""
    folder = tiny_model if base == "bert" else decoders / base
    spec = ModelSpec(
        base=str(folder),
        pooling="text_mean",
        template=template,
        padding_side="left" if base == "llama" else "right",
    )
    model = load_base(folder, spec)
    wanted = model.encode(TEXTS)
    of_all = load_base(folder, spec.model_copy(update={"pooling": "mean"})).encode(TEXTS)
    use_library_modules(model)
    model.save_pretrained(str(tmp_path / "saved"))
    assert "embft" not in (tmp_path / "saved" / "modules.json").read_text()
    found = SentenceTransformer(str(tmp_path / "saved"), device="cpu").encode(TEXTS)
    whole = np.isfinite(wanted).all(axis=1)  # a text of no token at all has no mean
    np.testing.assert_allclose(found[whole], wanted[whole], atol=1e-6)
    assert np.isfinite(found).all()
    if (base, template) != ("qwen3", None):  # which has nothing around a text
        assert whole.all()
        assert np.abs(of_all - wanted)[:2].max() > 1e-3


def test_a_model_of_library_modules_is_left_alone(tiny_model: Path) -> None:
    model = load_base(tiny_model, ModelSpec(base=str(tiny_model)))
    before = dict(model.named_children())
    use_library_modules(model)
    assert dict(model.named_children()) == before
