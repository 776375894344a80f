"""A server of embeddings on loopback, in which faults are planted: a model written out once more,
and the ways in which an answer can be no answer.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

Embed = Callable[[Sequence[str]], Any]


@dataclass
class Serving:
    """A model as a server runs it: tokenizer, transformer, pooling by hand. Each field plants a
    fault; without them it is the model.
    """

    model: SentenceTransformer
    mask: bool = True
    max_length: int | None = None
    keep: str = "right"
    pooling: str = "mean"
    normalise: bool = False
    prompt: str = ""
    special: bool = True
    dtype: torch.dtype = torch.float32
    digits: int | None = None
    edit: Callable[[str], str] = lambda text: text
    turn: bool = False
    width: int | None = None

    def __call__(self, texts: Sequence[str]) -> Any:
        """Embeddings as lists of numbers."""
        tokenizer: Any = self.model.tokenizer
        tokenizer.truncation_side = self.keep
        given = tokenizer(
            [self.prompt + self.edit(text) for text in texts],
            padding=True,
            truncation=True,
            max_length=self.max_length or self.model.max_seq_length,
            add_special_tokens=self.special,
            return_tensors="pt",
        )
        tokenizer.truncation_side = "right"
        if not self.mask:
            given["attention_mask"] = torch.ones_like(given["attention_mask"])
        inner: Any = self.model[0].auto_model
        if self.dtype != torch.float32:
            inner = copy.deepcopy(inner).to(self.dtype)
        with torch.no_grad():
            hidden = inner(**given).last_hidden_state.float()
        found = _pooled(hidden, given["attention_mask"].float(), self.pooling).numpy()
        if self.normalise:
            found = found / np.linalg.norm(found, axis=1, keepdims=True)
        if self.digits is not None:
            found = np.round(found, self.digits)
        found = found[::-1] if self.turn and len(found) > 1 else found
        return found[:, : self.width].tolist()


def _pooled(hidden: torch.Tensor, mask: torch.Tensor, pooling: str) -> torch.Tensor:
    """(n, tokens, width) -> (n, width); padding stands on the right."""
    if pooling == "cls":
        return hidden[:, 0]
    if pooling == "last":
        return hidden[torch.arange(len(hidden)), mask.sum(dim=1).long() - 1]
    if pooling == "max":
        return hidden.masked_fill(mask[..., None] == 0, float("-inf")).amax(dim=1)
    return (hidden * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)


@dataclass
class Server:
    """A running server. asked: the paths and the numbers of texts. answer: sends something else
    than embeddings, given the handler and the texts.
    """

    embed: Embed
    address: str = ""
    asked: list[tuple[str, int]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    answer: Callable[[Any, list[str]], None] | None = None


@contextmanager
def serving(embed: Embed) -> Iterator[Server]:
    """Serve as long as the block runs."""
    state = Server(embed)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"state": state}))
    state.address = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    state: Server
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Answer by the path's API."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        texts = body["inputs"] if "inputs" in body else body["input"]
        self.state.asked.append((self.path, len(texts)))
        self.state.headers.append(dict(self.headers))
        if self.state.answer is not None:
            self.state.answer(self, texts)
            return
        found = self.state.embed(texts)
        if self.path.endswith("/embed"):
            self.send(found)
        else:
            data = [{"index": i, "embedding": row} for i, row in enumerate(found)]
            self.send(
                {"data": data[::-1], "model": body["model"]}
            )  # the index counts, not the order

    def send(self, content: Any, status: int = 200, **headers: str) -> None:
        """Send JSON, or text as it is."""
        text = content if isinstance(content, str) else json.dumps(content)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Print nothing."""


def redirects(handler: Any, _: list[str]) -> None:
    """To another path of the same server, which would answer."""
    handler.send("", 307, Location="/elsewhere/embeddings")


def is_slow(handler: Any, _: list[str]) -> None:
    """Nothing for a while."""
    time.sleep(3)
    with suppress(OSError):
        handler.send([[1.0]])


def drips(handler: Any, _: list[str]) -> None:
    """A byte now and then."""
    handler.send_response(200)
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    with suppress(OSError):  # nobody waits to the end
        for _i in range(30):
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.sleep(0.2)


def hangs_up(handler: Any, _: list[str]) -> None:
    """Ends in the middle of the answer."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b"[[1.0")
    handler.close_connection = True


def says(text: str, status: int = 200) -> Callable[[Any, list[str]], None]:
    """Always this."""
    return lambda handler, _: handler.send(text, status)
