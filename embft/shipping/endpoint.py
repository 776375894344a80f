"""A model behind a URL: texts out, embeddings back. Calls the URL that was given and no other.

Knows the bodies of OpenAI's `/v1/embeddings`, which most servers have, and of `/embed` of Hugging
Face's text-embeddings-inference. No proxy is used and no redirect followed.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from typing import Any, Literal
from urllib import error, request
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt

from embft.errors import EmbftError
from embft.system.text import printable

Embeddings = npt.NDArray[np.float32]
Api = Literal["openai", "tei"]

KEY_VARIABLE = "EMBFT_API_KEY"
_MOST_BYTES, _PART_BYTES = 256 * 2**20, 2**16
_SHOWN = 200


class RefusedError(EmbftError):
    """The server answered that it does not take these texts (a status from 400 to 499)."""


@dataclass(frozen=True)
class Endpoint:
    """Where a model is served. model: its name there. timeout: seconds to wait for an answer."""

    url: str
    api: Api
    model: str
    timeout: float = 60.0

    def embed(self, texts: Sequence[str]) -> Embeddings:
        """The embeddings of one request, shape (n, width), in float32.

        Raises RefusedError, and EmbftError for whatever else is not n embeddings.
        """
        answer = self._answer(json.dumps(self._body(texts)).encode())
        try:
            rows = self._rows(json.loads(answer, parse_constant=_no_number))
            found = np.array([np.asarray(row, np.float32) for row in rows], np.float32)
        except (ValueError, KeyError, TypeError, RecursionError) as problem:
            raise self._error(
                f"the answer is not that of {_BODIES[self.api]} ({_shown(str(problem))}): "
                f"{_shown(answer[:_SHOWN].decode(errors='replace'))}"
            ) from None
        if found.ndim != 2 or len(found) != len(texts) or not found.shape[1]:
            raise self._error(
                f"{len(texts)} texts were sent, and the answer holds numbers of shape {found.shape}"
            )
        return found

    def _body(self, texts: Sequence[str]) -> dict[str, Any]:
        if self.api == "tei":
            return {"inputs": list(texts), "truncate": True}
        return {"input": list(texts), "model": self.model, "encoding_format": "float"}

    def _rows(self, answer: Any) -> list[Any]:
        """The embeddings in the order of the texts."""
        if self.api == "tei":
            return list(answer)
        rows = answer["data"]
        placed = sorted((int(row.get("index", i)), i) for i, row in enumerate(rows))
        return [rows[i]["embedding"] for _, i in placed]

    def _answer(self, body: bytes) -> bytes:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if key := os.environ.get(KEY_VARIABLE):
            headers["Authorization"] = f"Bearer {key}"
        asked = request.Request(self.url, body, headers)  # noqa: S310 - the scheme is checked
        try:
            end = time.monotonic() + self.timeout
            with _OPENER.open(asked, timeout=self.timeout) as answer:
                return self._whole(answer, end)
        except error.HTTPError as refused:
            raise self._refused(refused) from None
        except (OSError, HTTPException, ValueError) as problem:
            raise self._error(_reason(problem, self.timeout)) from None

    def _whole(self, answer: HTTPResponse, end: float) -> bytes:
        """The answer's body. A server that sends a byte now and then is too slow too."""
        found = bytearray()
        while part := answer.read1(_PART_BYTES):
            found += part
            if len(found) > _MOST_BYTES:
                raise self._error(f"the answer is longer than {_MOST_BYTES:,} bytes")
            if time.monotonic() > end:
                raise TimeoutError
        if answer.length:  # of what was announced
            raise self._error("the connection ended in the middle of the answer")
        return bytes(found)

    def _refused(self, refused: error.HTTPError) -> EmbftError:
        if 300 <= refused.code < 400:
            to = _shown(refused.headers.get("Location", "nowhere"))
            return self._error(
                f"it redirects to {to} (status {refused.code}), which is not followed: if that is "
                "the right address, give it with --endpoint"
            )
        try:
            said = _shown(refused.read(_SHOWN * 4).decode(errors="replace"))
        except (OSError, HTTPException):
            said = ""
        text = f"status {refused.code} {_shown(str(refused.reason))}: {said or 'no message'}"
        if refused.code in {401, 403}:
            text += f". A key is sent from the environment variable {KEY_VARIABLE}"
        if 400 <= refused.code < 500 and refused.code not in {401, 403, 404, 405, 408, 429}:
            return RefusedError(f"{self.url}: {text}")
        return self._error(text)

    def _error(self, text: str) -> EmbftError:
        return EmbftError(f"--endpoint {self.url}: {text}")


def endpoint(url: str, api: Api | None, model: str, timeout: float) -> Endpoint:
    """The endpoint that a user means. Raises EmbftError for what is no URL of one."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError as problem:
        raise EmbftError(f"--endpoint {url!r}: not a URL: {problem}") from None
    if parts.scheme not in {"http", "https"} or not host:
        raise EmbftError(
            f"--endpoint {url!r}: give the whole address, such as "
            "http://localhost:8080/v1/embeddings or http://localhost:8080/embed"
        )
    if parts.username or parts.password:
        raise EmbftError(
            f"--endpoint: a password in a URL ends up in logs: set {KEY_VARIABLE} instead"
        )
    known = api or _known_api(parts.path)
    if known is None:
        raise EmbftError(
            f"--endpoint {url}: the path {parts.path!r} does not say which API it has: end it in "
            "/v1/embeddings or /embed, or give --api openai or --api tei"
        )
    return Endpoint(url, known, model, timeout)


def _known_api(path: str) -> Api | None:
    last = path.rstrip("/").rpartition("/")[2]
    return "openai" if last == "embeddings" else "tei" if last == "embed" else None


class _NoRedirect(request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        """None, so that a redirect comes back as an error."""


_OPENER = request.build_opener(request.ProxyHandler({}), _NoRedirect)
_BODIES: dict[str, str] = {"openai": "/v1/embeddings", "tei": "/embed"}


def _reason(problem: Exception, timeout: float) -> str:
    inner = getattr(problem, "reason", problem)
    if isinstance(inner, TimeoutError | socket.timeout):
        return f"no answer within {timeout:g} s (--timeout)"
    if isinstance(inner, ConnectionRefusedError):
        return "nothing listens there (connection refused): is the server running?"
    if isinstance(inner, socket.gaierror):
        return "no such host"
    return f"{type(inner).__name__}: {_shown(str(inner))}"


def _no_number(word: str) -> None:
    raise ValueError(f"{word} is no number")


def _shown(text: str) -> str:
    """What a server said, as one short line that a terminal can show."""
    return printable(" ".join(text.split()))[:_SHOWN]
