"""Paths that a record may name: it may come from anyone, and must not lead out of its folder."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated

from pydantic import AfterValidator


def _inside(value: str) -> str:
    path = PurePosixPath(value)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in value:
        raise ValueError("must be a path inside the sweep's folder")
    return value


def _file_name(value: str) -> str:
    if "/" in value or value in {"", ".", ".."} or "\0" in value:
        raise ValueError("must be a plain file name")
    return value


InsidePath = Annotated[str, AfterValidator(_inside)]
FileName = Annotated[str, AfterValidator(_file_name)]
