"""Writes `licences.md`: what embft is installed with, each package with its version and licence.

Reads pyproject.toml and the metadata of what is installed beside this Python; tools for tests and
documentation are left out. Given a bill of materials it writes into that the licences which it
lacks. Usage: python docs/licences.py [build/sbom.json]
"""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
TARGET = ROOT / "docs/licences.md"
_LONGEST = 40  # characters of a licence's name; more is its text
_HEAD = """\
# Licences

embft is under Apache-2.0 (`LICENSE`). These packages are installed with it, or with the extras that
are named; the versions are those that were tested. `make sbom` writes this page, and the same as a
CycloneDX file, with tools for tests and documentation, to `build/sbom.json`.

| package | version | licence | with |
|---|---|---|---|
"""


def main() -> None:
    """Write the page."""
    rows = "".join(f"| {' | '.join(row)} |\n" for row in rows_of(needed()))
    TARGET.write_text(_HEAD + rows, encoding="utf-8")
    for given in map(Path, sys.argv[1:]):
        content = json.loads(given.read_text())
        complete(content)
        given.write_text(json.dumps(content, indent=2) + "\n")


def complete(bill: dict[str, Any]) -> None:
    """Give each component of a CycloneDX bill without a licence the one that its metadata name."""
    for component in bill["components"]:
        if not component.get("licenses"):
            named = licence(metadata.distribution(component["name"]))
            component["licenses"] = [{"license": {"name": named}}]


def needed() -> dict[str, str]:
    """Each package that is installed for users -> "" or the extra that it comes with."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    sets = {"": project["dependencies"], **project["optional-dependencies"]}
    found: dict[str, str] = {}
    for extra, requirements in sets.items():
        if extra != "dev":
            for requirement in map(Requirement, requirements):
                _add(requirement, extra, found)
    return found


def _add(requirement: Requirement, extra: str, found: dict[str, str]) -> None:
    """A requirement and all that it needs, as far as it is installed here."""
    name = canonicalize_name(requirement.name)
    if name in found and not requirement.extras:
        return
    try:
        package = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return
    found.setdefault(name, extra)
    for line in package.requires or ():
        inner = Requirement(line)
        wanted = ["", *requirement.extras]
        if inner.marker is None or any(inner.marker.evaluate({"extra": e}) for e in wanted):
            _add(inner, extra, found)


def rows_of(found: dict[str, str]) -> Iterator[tuple[str, str, str, str]]:
    """Name, version, licence and extra of each, by name."""
    for name in sorted(found):
        package = metadata.distribution(name)
        version = package.version.partition("+")[0]
        yield name, version, licence(package), f"`{found[name]}`" if found[name] else ""


def licence(package: metadata.Distribution) -> str:
    """A package's licence, as its metadata name it; "unknown" where they do not."""
    given = package.metadata.get("License-Expression")
    if given:
        return given
    of_trove = [
        line.rpartition(" :: ")[2]
        for line in package.metadata.get_all("Classifier") or ()
        if line.startswith("License ::") and not line.endswith("OSI Approved")
    ]
    short = (package.metadata.get("License") or "").strip()
    if short and len(short) <= _LONGEST and "\n" not in short:
        return short.removeprefix("OSI Approved :: ")
    return ", ".join(of_trove) or "unknown"


if __name__ == "__main__":
    main()
