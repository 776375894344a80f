"""`embft verify --endpoint`: a server's faults are named and priced, and its answers mistrusted."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from sentence_transformers import SentenceTransformer

from embft.cli.main import main
from embft.errors import EmbftError
from embft.models.trained import load_trained
from embft.results.folders import TrialDir
from embft.shipping.endpoint import endpoint
from tests.helpers.embedding_server import (
    Server,
    Serving,
    drips,
    hangs_up,
    is_slow,
    redirects,
    says,
    serving,
)


@pytest.fixture(scope="module")
def model(sweep: dict[str, TrialDir]) -> SentenceTransformer:
    return load_trained(str(sweep["lora"].path))


@pytest.fixture
def server(model: SentenceTransformer) -> Iterator[Server]:
    with serving(lambda texts: model.encode(list(texts)).tolist()) as found:
        yield found


def _verify(sweep: dict[str, TrialDir], address: str, *more: str) -> Result:
    trial = str(sweep["lora"].path)
    return CliRunner().invoke(main, ["verify", trial, "--endpoint", address, *more])


@pytest.mark.parametrize("path", ["/v1/embeddings", "/embed"])
def test_a_server_that_serves_the_trial_is_the_same(
    sweep: dict[str, TrialDir], server: Server, path: str
) -> None:
    """By either API; only the URL that was given is called, and nothing is written."""
    before = _state(sweep["lora"].sweep.path)
    ran = _verify(sweep, server.address + path)
    assert ran.exit_code == 0, ran.output
    assert "serves" in ran.output
    assert {asked for asked, _ in server.asked} == {path}
    sizes = [count for _, count in server.asked]
    assert sizes.count(1) > 10
    assert max(sizes) > 1
    assert _state(sweep["lora"].sweep.path) == before


def _state(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        str(p): (p.stat().st_mtime_ns, p.stat().st_size) for p in folder.rglob("*") if p.is_file()
    }


def test_a_fault_is_named_with_its_price(
    sweep: dict[str, TrialDir], model: SentenceTransformer
) -> None:
    """The price is the trial's objective on its test pairs, as the server's embeddings give it."""
    with serving(Serving(model, pooling="cls")) as server:
        ran = _verify(sweep, f"{server.address}/embed", "--format", "json")
    assert ran.exit_code == 1, ran.output
    found = json.loads(ran.stdout)
    assert [finding["fault"] for finding in found["findings"]] == ["pooling"]
    result = sweep["lora"].result()
    assert result is not None
    price = found["price"]
    assert price["metric"] == "spearman"
    assert price["own"] == pytest.approx(result.test["spearman"], abs=1e-6)  # type: ignore[union-attr]
    assert price["loss"] == pytest.approx(price["own"] - price["other"])
    assert price["interval"][0] <= price["loss"] <= price["interval"][1]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (redirects, r"it redirects to /elsewhere/embeddings \(status 307\), which is not followed"),
        (is_slow, r"no answer within 1 s \(--timeout\)"),
        (drips, r"no answer within 1 s \(--timeout\)"),
        (hangs_up, "the connection ended in the middle of the answer"),
        (says("<html>It works!</html>"), "the answer is not that of /v1/embeddings"),
        (says('{"data": [{"embedding": [1, NaN]}]}'), "NaN is no number"),
        (says('{"data": [{"embedding": "AAAA"}]}'), "the answer is not that of"),
        (says('{"data": []}'), r"1 texts were sent, and the answer holds numbers of shape \(0,\)"),
        (says('{"data": [{"embedding": [1, 2]}, {"embedding": [1]}]}'), "the answer is not that"),
        (says('{"data": [{"embedding": [1]}, {"embedding": [1]}]}'), r"of shape \(2, 1\)"),
        (says("[" * 100_000), "the answer is not that of"),
        (says("\x1b[2J\x1b]0;owned\x07"), r"\\x1b\[2J"),
        (says('{"error": "no key"}', 401), "EMBFT_API_KEY"),
        (says("overloaded", 503), "status 503"),
    ],
)
def test_what_is_no_answer_gets_a_message(
    sweep: dict[str, TrialDir], server: Server, answer: Any, said: str
) -> None:
    """One screen with status 2, and no second address is ever called."""
    server.answer = answer
    ran = _verify(sweep, f"{server.address}/v1/embeddings", "--timeout", "1")
    assert ran.exit_code == 2, ran.output
    assert re.search(said, ran.output), ran.output
    assert "Traceback" not in ran.output
    assert {path for path, _ in server.asked} == {"/v1/embeddings"}


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("localhost:8080/embed", "give the whole address"),
        ("ftp://localhost/embed", "give the whole address"),
        ("http://me:secret@localhost/embed", "EMBFT_API_KEY"),
        ("http://localhost:8080/", "give --api openai or --api tei"),
        ("http://[::1/embed", "not a URL"),
        ("file:///etc/passwd", "give the whole address"),
    ],
)
def test_what_is_no_endpoint_says_what_is(url: str, said: str) -> None:
    with pytest.raises(EmbftError, match=said):
        endpoint(url, None, "model", 1.0)


def test_a_silent_address_and_a_refused_text(
    sweep: dict[str, TrialDir], server: Server, model: SentenceTransformer
) -> None:
    """Nobody listening is the user's to know; a server that refuses long texts has a fault."""
    ran = _verify(sweep, "http://127.0.0.1:9/embed")
    assert (ran.exit_code, "nothing listens there" in ran.output) == (2, True)

    def refuse(handler: Any, texts: list[str]) -> None:
        if max(len(text.split()) for text in texts) > 20:
            handler.send('{"error": "Input validation error: inputs must have less"}', 413)
        else:
            handler.send(model.encode(texts).tolist())

    server.answer = refuse
    ran = _verify(sweep, f"{server.address}/embed")
    assert ran.exit_code == 1
    assert re.search(r"truncation: a text of .* tokens is refused", ran.output)


def test_proxies_are_not_used_and_the_key_goes_to_the_url_alone(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy that the environment names would see every text."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("EMBFT_API_KEY", "secret")
    found = endpoint(f"{server.address}/embed", None, "m", 5.0).embed(["i love dogs"])
    assert found.dtype == np.float32
    assert server.headers[0]["Authorization"] == "Bearer secret"
