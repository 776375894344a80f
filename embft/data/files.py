"""Which files a spec's data names: one, a list, a pattern or a folder, all of them one set.

A set has no order: its files are read in the order of their names, each once. Reads none of them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from urllib.parse import unquote

from embft.errors import DataError

Given = str | Path | Sequence[str | Path]
"""A path or a pattern, or several; a folder stands for the files in it."""

TEXT_SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".tab")
BINARY_SUFFIXES = (".parquet", ".pq", ".arrow", ".feather", ".ipc")
PACKED_SUFFIXES = (".gz", ".bz2", ".xz", ".zst")
ALLOWED = ".jsonl, .csv, .tsv, .json (each also .gz, .bz2, .xz, .zst), .parquet, .arrow, .feather"

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_PATTERN = re.compile(r"[*?\[]")
_PARTITION = re.compile(r"([^=]+)=(.*)")
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
# What the datasets library writes beside the Arrow files of `save_to_disk`.
_BESIDE_ARROW = {"dataset_info.json", "state.json"}
_SEVERAL = "dataset_dict.json"
_LISTED = 5


@dataclass(frozen=True)
class DataFile:
    """One file. columns: those that its folders' names add to each of its rows (`kind=news`)."""

    path: Path
    columns: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True)
class DataFiles:
    """The files that are one set of rows."""

    given: Given

    @cached_property
    def files(self) -> tuple[DataFile, ...]:
        """Each file once, in the order of their paths. Raises DataError where there are none."""
        found: dict[str, DataFile] = {}
        for one in [self.given] if isinstance(self.given, str | Path) else self.given:
            for file in _expanded(str(one)):
                found.setdefault(os.path.realpath(file.path), file)
        return tuple(sorted(found.values(), key=lambda file: str(file.path)))

    def __str__(self) -> str:
        """How messages call them."""
        if isinstance(self.given, str | Path):
            return str(self.given)
        names = list(map(str, self.given))
        more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
        return ", ".join(names[:_LISTED]) + more

    def shared_with(self, other: DataFiles) -> Path | None:
        """A file that both sets have, if there is one; missing files are nobody's."""
        try:
            mine = {os.path.realpath(file.path) for file in self.files}
            theirs = other.files
        except DataError:
            return None  # the reader says what is wrong with it
        return next((f.path for f in theirs if os.path.realpath(f.path) in mine), None)


def suffix_of(path: Path) -> str:
    """The suffix that names a file's format, in lower case and without that of its packing."""
    suffixes = [suffix.lower() for suffix in path.suffixes[-2:]]
    if suffixes and suffixes[-1] in PACKED_SUFFIXES:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def _expanded(given: str) -> Iterator[DataFile]:
    """The files of one path, pattern or folder."""
    if _ADDRESS.match(given):
        raise DataError(f"{given}: an address is not read: download the file, and give its path.")
    if "\0" in given:  # which some of Python's functions pass on and others do not
        raise DataError(f"{given[:200]!r}: cannot be read: a path holds no NUL. Check the path.")
    try:
        path = Path(given).expanduser()
        if path.is_dir():
            yield from _of_folder(path)
        elif _PATTERN.search(given) and not os.path.lexists(path):
            yield from _of_pattern(path)
        else:
            yield DataFile(path)
    except (OSError, RuntimeError, ValueError) as error:  # too long a name, no such user, a NUL
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{given[:200]}: cannot be read: {reason}. Check the path.") from None


def _of_pattern(path: Path) -> Iterator[DataFile]:
    # What stands there as it is written is no pattern, such as a folder called `[old]`.
    root = next(parent for parent in path.parents if parent.is_dir())
    found = sorted(root.glob(str(path.relative_to(root))))
    if not found:
        raise DataError(
            f"{path}: no file has such a name. The folder {root} holds: {_names(root)}."
        )
    for each in found:
        yield from _of_folder(each, root) if each.is_dir() else [_below(root, each)]


def _of_folder(folder: Path, top: Path | None = None) -> Iterator[DataFile]:
    """The data files of a folder, and of the folders in it whose names are `COLUMN=VALUE`."""
    inside = [p for p in sorted(folder.iterdir()) if not p.name.startswith((".", "_"))]
    files = [path for path in inside if not path.is_dir()]
    folders = [path for path in inside if path.is_dir()]
    if any(suffix_of(path) == ".arrow" for path in files):
        files = [path for path in files if path.name not in _BESIDE_ARROW]
    _check_folder(folder, files, folders, top)
    for path in folders:
        yield from _of_folder(path, top or folder)
    for path in files:
        yield _below(top or folder, path)


def _below(top: Path, path: Path) -> DataFile:
    """A file with the columns that the folders between tell."""
    return DataFile(path, _partitions(path.parent.relative_to(top).parts))


def _check_folder(
    folder: Path, files: Sequence[Path], folders: Sequence[Path], top: Path | None
) -> None:
    """Refuse a folder that is more, or less, than the files of one set."""
    advice = "Give one of them, or a pattern such as FOLDER/*.parquet."
    others = [path for path in folders if not _PARTITION.fullmatch(path.name)]
    if others or any(path.name == _SEVERAL for path in files):
        raise DataError(
            f"{folder}: cannot be read as one set of rows: it has folders in it "
            f"({_listed(path.name for path in folders)}). {advice}"
        )
    suffixes = {suffix_of(path) for path in files}
    strange = [path.name for path in files if suffix_of(path) not in _ALL_SUFFIXES]
    if strange or len(suffixes) > 1:
        what = f"{strange[0]} is no data file" if strange else "its files have several formats"
        raise DataError(
            f"{folder}: cannot be read as one set of rows: {what} "
            f"({_listed(path.name for path in files)}). {advice}"
        )
    if not files and not folders and top is None:
        raise DataError(f"{folder}: cannot be read: the folder holds no data files ({ALLOWED}).")


_ALL_SUFFIXES = {*TEXT_SUFFIXES, *BINARY_SUFFIXES}


def _partitions(parts: Iterable[str]) -> dict[str, str | None]:
    """The columns that the names of folders tell, as Hive, Spark and Arrow write them."""
    found = {match[1]: match[2] for part in parts if (match := _PARTITION.fullmatch(part))}
    return {k: None if value == _NO_VALUE else unquote(value) for k, value in found.items()}


def _names(folder: Path) -> str:
    return _listed(path.name for path in sorted(folder.iterdir())) or "nothing"


def _listed(names: Iterable[str]) -> str:
    every = list(names)
    more = f" and {len(every) - _LISTED} more" if len(every) > _LISTED else ""
    return ", ".join(every[:_LISTED]) + more
