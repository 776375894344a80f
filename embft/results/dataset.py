"""The data as a sweep froze it: one folder for each digest below the sweep's.

Covers writing it whole, and knowing whether it still is. Reads no users' files.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embft.data.pairs import RECIPE, RETRIEVAL, SPLITS, Pairs, Splits, splits_digest
from embft.data.retrieval import Retrieval
from embft.errors import RecordError
from embft.storage.files import new_folder, write_atomic
from embft.storage.seal import check_digests, damaged, folder_digests, sealed, unsealed

if TYPE_CHECKING:
    from embft.data.audit import Audit

MANIFEST = "manifest.json"
_AUDIT, _LEAKS, _DIGESTS = "audit.json", "leaks.json", "digests.json"


def split_file(folder: Path, split: str) -> Path:
    """Where a split lies in a folder of frozen data."""
    return folder / f"{split}.parquet"


def write_dataset(
    folder: Path, splits: Splits, found: Audit, digests: Mapping[str, str] | None = None
) -> None:
    """Write the splits and their audit, whole or not at all. digests: of the splits, where they are
    known by others than those of their content.
    """
    with new_folder(folder) as temporary:
        for name in SPLITS:
            splits[name].write(split_file(temporary, name))
        if splits.retrieval is not None:
            splits.retrieval.write(temporary)
        (temporary / _AUDIT).write_text(sealed(found.to_json()))
        (temporary / _LEAKS).write_text(sealed({"test": _leaked_test_rows(splits, found)}))
        (temporary / _DIGESTS).write_text(sealed(digests or splits.digests()))
        write_manifest(temporary)


def has_dataset(folder: Path) -> bool:
    """Whether a data set stands there whole, in today's form."""
    return is_whole(folder) and _DIGESTS in _manifest(folder)


def write_manifest(folder: Path) -> None:
    """Write down what the folder holds, so that `read_split` can tell whether it still does."""
    write_atomic(folder / MANIFEST, sealed({"files": folder_digests(folder)}))


def _manifest(folder: Path) -> dict[str, str]:
    """File name -> digest. Raises FileNotFoundError and RecordError."""
    found = unsealed(folder / MANIFEST).get("files")
    if not isinstance(found, dict):
        raise damaged(folder / MANIFEST, "it is no manifest")
    return found


def _whole(path: Path) -> Path:
    """The path of a frozen file. Raises FileNotFoundError, RecordError where it has changed."""
    digest = _manifest(path.parent).get(path.name)
    if digest is None:
        raise FileNotFoundError(path.name)
    check_digests(path.parent, {path.name: digest})
    return path


def read_split(folder: Path, split: str) -> Pairs:
    """One split of the frozen data.

    Raises FileNotFoundError where there is none, RecordError where it is not what was written.
    """
    return Pairs.read(_whole(split_file(folder, split)))


def open_splits(folder: Path) -> tuple[Splits, str]:
    """The frozen data, and its digest. Texts of train stay in their file until they are looked at.

    Raises as `read_split` does.
    """
    train = Pairs.opened(_whole(split_file(folder, "train")))
    dev, test = read_split(folder, "dev"), read_split(folder, "test")
    digests = _digests(folder) or Splits(train, dev, test).digests()
    same = digests["dev"] == digests["test"]
    judged = open_retrieval(folder) if RETRIEVAL in digests else None
    found = Splits(train, dev, dev if same else test, retrieval=judged, recipe=digests.get(RECIPE))
    return found, splits_digest(digests)


def open_retrieval(folder: Path) -> Retrieval:
    """The frozen corpus and the judged queries. Raises as `read_split` does."""
    check_whole(folder)
    return Retrieval.opened(folder)


def split_digests(folder: Path) -> Mapping[str, str]:
    """The digest of each frozen split. Raises as `read_split` does."""
    return _digests(folder) or {name: read_split(folder, name).digest() for name in SPLITS}


def _digests(folder: Path) -> Mapping[str, str] | None:
    """Of each split, over its content. None in data that was frozen before they were written."""
    found = _DIGESTS in _manifest(folder)
    return unsealed(_whole(folder / _DIGESTS)) if found else None


def check_whole(folder: Path) -> None:
    """Raise FileNotFoundError or RecordError unless the folder is as its manifest says."""
    check_digests(folder, _manifest(folder))


def is_whole(folder: Path) -> bool:
    """Whether the folder is as its manifest says."""
    try:
        check_whole(folder)
    except (FileNotFoundError, RecordError):
        return False
    return True


def _leaked_test_rows(splits: Splits, found: Audit) -> list[int]:
    """The rows of test that stand in train or dev too; of dev's own rows where test is dev."""
    names = ("dev_from_train",) if splits.test_is_dev else ("test_from_train", "test_from_dev")
    return sorted({int(row) for name in names for row in found.leaked_rows[name]})


def leaked_test_rows(folder: Path) -> list[int]:
    """The rows of test that also stand in train or dev. Raises RecordError."""
    return [int(row) for row in unsealed(_whole(folder / _LEAKS))["test"]]


def frozen_audit(folder: Path) -> dict[str, Any] | None:
    """What the audit said of the data, or None where none was made. Raises RecordError."""
    try:
        return unsealed(_whole(folder / _AUDIT)) if _AUDIT in _manifest(folder) else None
    except FileNotFoundError:
        raise damaged(folder / MANIFEST, "it is missing") from None
