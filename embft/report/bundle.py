"""The page's fixed parts: style sheet, scripts, and the policy that admits nothing else.

The charts' library is built once, which takes seconds and 90 MB, and kept as Python keeps what it
compiles. Both scripts and the style sheet are admitted by their hashes.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from importlib.util import cache_from_source
from pathlib import Path
from typing import Any

from embft.errors import RecordError
from embft.storage.files import write_atomic
from embft.storage.seal import sealed, unsealed

_ESCAPES = str.maketrans(
    {"<": r"\u003c", ">": r"\u003e", "&": r"\u0026", "\u2028": r"\u2028", "\u2029": r"\u2029"}
)


@cache
def asset(name: str) -> str:
    """The text of a file of this package's `assets`."""
    return (files("embft.report") / "assets" / name).read_text(encoding="utf-8")


@cache
def library() -> str:
    """Vega, Vega-Lite and vega-embed, in a function so that their names stay their own."""
    return "(function(){" + _vega() + "})();"


def _vega() -> str:
    """The library's code as an earlier process has kept it, or as vl-convert builds it."""
    kept = _kept_file()
    with suppress(OSError, RecordError):
        return str(unsealed(kept)["code"])
    import vl_convert

    code: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    with suppress(OSError):  # where Python cannot write either: built again each time
        kept.parent.mkdir(exist_ok=True)
        write_atomic(kept, sealed({"code": code}))
    return code


def _kept_file() -> Path:
    compiled = Path(cache_from_source(__file__))
    return compiled.with_name(f"vega-{version('vl-convert-python')}.json")


@cache
def packed_library() -> str:
    """The library as the page carries it, gzip in base64: a third of its size.

    The page's script unpacks it when the first chart comes near. It becomes an inline script, which
    the policy admits by the hash of `library()` alone.
    """
    return base64.b64encode(gzip.compress(library().encode(), 9, mtime=0)).decode()


def script_json(content: Any) -> str:
    """JSON that may stand in a `<script type="application/json">`, whatever texts it holds."""
    text = json.dumps(content, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    return text.translate(_ESCAPES)


def policy(styles: list[str], scripts: list[str]) -> str:
    """A content security policy: these styles and scripts, and nothing from anywhere."""
    return "; ".join(
        [
            "default-src 'none'",
            f"style-src {_hashes(styles)}",
            f"script-src {_hashes(scripts)}",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )


def _hashes(texts: list[str]) -> str:
    return " ".join(f"'sha256-{_digest(text)}'" for text in texts) or "'none'"


@cache
def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
