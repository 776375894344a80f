"""Records and folders that carry their own digest: a damaged one is never taken for whole.

A seal finds accidents (a torn write, a flipped bit, a file from elsewhere), not forgery: whoever
can write the file can seal it.
"""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from embft.errors import NewerRecordError, RecordError

SEAL = "seal"
_FIELD = f'"{SEAL}": "'
MAX_RECORD_BYTES = 256 * 2**20
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)


def canonical_json(content: Any) -> str:
    """JSON that is the same text for the same content: sorted keys, no spaces."""
    return _CANONICAL.encode(content)


def sealed(content: Mapping[str, Any], indent: int | None = 1) -> str:
    """The content as JSON; its last field, `seal`, is the SHA-256 of all the text before it."""
    text = json.dumps({**content, SEAL: ""}, indent=indent, allow_nan=False)
    before, _, end = text.rpartition(_FIELD)
    return f"{before}{_FIELD}{hashlib.sha256(before.encode()).hexdigest()}{end}"


def unsealed(path: Path, raw: bytes | None = None) -> dict[str, Any]:
    """What was sealed into this file, or into `raw`, a part of it.

    Raises FileNotFoundError, and RecordError where it is not what was written.
    """
    try:
        raw = read_regular(path) if raw is None else raw
        content = _parsed(raw)
        seal = content.pop(SEAL)
        whole = _is_whole(raw, seal) or bool(seal == _older_seal(content))
    except NotADirectoryError as error:
        raise FileNotFoundError(error.errno, error.strerror, str(path)) from None
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno is None:  # no plain file, or too large
            raise damaged(path, str(error)) from None
        raise RecordError(
            f"{path}: cannot be read: {error.strerror}: see its permissions and the folders above"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise damaged(path, f"{type(error).__name__}: {error}") from None
    if not whole:
        raise damaged(path, "its content does not match its seal")
    return dict(content)


def _parsed(raw: bytes) -> Any:
    try:
        return from_json(raw, allow_inf_nan=False)  # in half the time
    except ValueError:
        # Half a surrogate pair, as in the name of a file that is not UTF-8, and what is no JSON.
        return json.loads(raw, parse_constant=_no_number)


def _no_number(word: str) -> None:
    raise ValueError(f"{word} is no number")


def _is_whole(raw: bytes, seal: Any) -> bool:
    """Whether the text before the seal is what was sealed, and nothing follows it."""
    before, _, end = raw.rpartition(_FIELD.encode())
    ends = end.replace(b"\n", b"") == f'{seal}"}}'.encode()
    return ends and hashlib.sha256(before).hexdigest() == seal


def _older_seal(content: Mapping[str, Any]) -> str:
    """The seal that the first versions gave: over the content, however it is laid out."""
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()


def refuse_newer(path: Path, content: Mapping[str, Any], schema: int) -> None:
    """Raise NewerRecordError when a later version than the one that knows `schema` wrote this."""
    version = content.get("schema_version", 0)
    if isinstance(version, int) and version > schema:
        raise NewerRecordError(
            f"{path}: written by a newer embft (schema {version}, this one reads {schema}): "
            "upgrade embft, or give another results folder"
        )


def damaged(path: Path, reason: str) -> RecordError:
    """The error for a file of a results folder that is not as it was written."""
    shown = " ".join(reason.split())[:200]
    return RecordError(
        f"{path}: this file is damaged ({shown}): move {path.parent} away, and the same command "
        "makes what is missing again"
    )


def read_regular(path: Path, limit: int = MAX_RECORD_BYTES) -> bytes:
    """A file's bytes. Raises OSError for anything but a plain file of at most `limit` bytes."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise OSError("not a plain file")
    if found.st_size > limit:
        raise OSError(f"{found.st_size:,} bytes, {limit:,} are allowed")
    return path.read_bytes()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes. Raises OSError for anything but a plain file."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError("not a plain file")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digests(root: Path, files: Iterable[Path]) -> dict[str, str]:
    """Path relative to `root` -> SHA-256, sorted."""
    return {path.relative_to(root).as_posix(): file_digest(path) for path in sorted(files)}


def folder_digests(folder: Path) -> dict[str, str]:
    """The digests of every file below a folder."""
    return digests(folder, (path for path in folder.rglob("*") if not path.is_dir()))


def check_digests(root: Path, expected: Mapping[str, str]) -> None:
    """Raise RecordError for the first of these files that is missing or not what it was."""
    for name, digest in expected.items():
        path = root / name
        try:
            found = file_digest(path)
        except OSError as error:
            raise damaged(path, error.strerror or str(error)) from None
        if found != digest:
            raise damaged(path, "its bytes are not the ones that were written")
