"""Which trials are on disk, by key: folders are listed once, not searched trial by trial."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from embft.results.trial import TrialDir


def folders_by_key(sweep: Path) -> dict[str, TrialDir]:
    """The trials' folders of a sweep under their keys: one listing, however many there are."""
    try:
        folders = sorted((sweep / "trials").iterdir(), reverse=True)
    except OSError:
        return {}
    whole = (TrialDir(folder) for folder in folders if not folder.name.startswith("."))
    return {folder.key: folder for folder in whole}


def finished_trials(results: Path, keys: Collection[str]) -> dict[str, list[TrialDir]]:
    """The finished trials with these keys in all sweeps below `results`, sweep by sweep."""
    found: dict[str, list[TrialDir]] = {}
    for sweep in sorted(results.glob("*/")):
        for key, folder in folders_by_key(sweep).items():
            if key in keys and folder.result_file.exists():
                found.setdefault(key, []).append(folder)
    return found
