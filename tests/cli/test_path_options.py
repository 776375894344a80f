"""Paths that cannot be, in every command that reads or writes one: one clear message, status 2."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from embft.cli.main import main
from embft.storage.paths import why_unwritable
from tests.helpers.leaderboards import Plan, make_leaderboard, params, save_sweep

LONG = "n" * 300
# A path below the folder of `place` -> what the message says of it as a folder to write.
FOLDERS = {
    "file": "this is a file",
    "file/x/y": "file is a file, so nothing can be in it",
    "loop": "Too many levels of symbolic links",
    "loop/x": "Too many levels of symbolic links",
    "dangling": "leads to nowhere, which is not there",
    "dangling/x": "leads to nowhere, which is not there",
    "pipe": "this is a file",
    "pipe/x": "is a file, so nothing can be in it",
    f"a/{LONG}/b": "longer than 239 bytes",
    LONG: "File name too long",
    "/dev/null/x": "/dev/null is a file",
    "/proc/embft": "No such file or directory",
}
FILES = {
    "dir": "this is a folder",
    "pipe": "this is no plain file, and would be replaced by one",
    "/dev/null": "this is no plain file",
    "n" * 250: "longer than 239 bytes",
    **{path: words for path, words in FOLDERS.items() if path not in {"file", "pipe"}},
}


@pytest.fixture(autouse=True)
def same_signals() -> Iterator[None]:
    """What the command sets for itself does not stay."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="module")
def place(
    tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, pair_files: Path
) -> Iterator[Path]:
    """A folder with a spec, a sweep's results, and things that are no plain files and folders."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "file").write_text("x")
    (folder / "dir").mkdir()
    (folder / "loop").symlink_to("loop")
    (folder / "dangling").symlink_to("nowhere")
    os.mkfifo(folder / "pipe")
    (folder / "texts.jsonl").write_text('{"text": "some words"}\n')
    spec = f"name: a\ndata: {{train: {pair_files}/train.jsonl}}\nmodel: {{base: {tiny_model}}}\n"
    (folder / "s.yaml").write_text(spec)
    leaderboard = make_leaderboard(
        folder / "leaderboard", [Plan(params("lora", 8, 2e-4), 0.6)], resamples=20
    )
    save_sweep(leaderboard)
    before = Path.cwd()
    os.chdir(folder)
    yield folder
    os.chdir(before)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def refused(result: Result, words: str) -> None:
    """One screen, which says this, and status 2."""
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == 2, result.output
    assert words in result.output
    assert "Traceback" not in result.output
    assert len(result.output) < 2000


WRITING_FOLDERS = {
    "sweep": ("sweep", "s.yaml", "--results"),
    "charts": ("report", "leaderboard", "--format", "md", "--charts"),
    "merge": ("merge", "leaderboard", "--out"),
    "export": ("export", "leaderboard", "--out"),
    "generate": ("data", "generate", "dating", "--out"),
}
WRITING_FILES = {
    "page": ("report", "leaderboard", "--out"),
    "markdown": ("report", "leaderboard", "--format", "md", "--out"),
    "synthesize": ("data", "synthesize", "texts.jsonl", "--method", "swap", "--out"),
}


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("path", FOLDERS)
@pytest.mark.parametrize("command", WRITING_FOLDERS)
def test_folders_that_cannot_be_written(command: str, path: str) -> None:
    """Refused with the option, the path and the reason, before anything is read or run."""
    # No model lies in this sweep, which those two look for before they write.
    early = command not in {"merge", "export"} or path != "/proc/embft"
    refused(run(*WRITING_FOLDERS[command], path), FOLDERS[path] if early else "")


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("path", FILES)
@pytest.mark.parametrize("command", WRITING_FILES)
def test_files_that_cannot_be_written(command: str, path: str) -> None:
    """The same; a pipe or a device is never replaced."""
    name = f"{path}.jsonl" if command == "synthesize" and path == "/proc/embft" else path
    refused(run(*WRITING_FILES[command], name), FILES[path])
    assert not Path("/dev/null").is_file()


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(
    "path", ["file", "file/x", "loop/x", "dangling", "pipe/x", LONG, "dir", ""]
)
@pytest.mark.parametrize(
    "command",
    [
        ("report",), ("leaderboard",), ("export", "--out", "o"), ("data", "audit"),
        ("plan",), ("sweep",), ("verify",), ("evaluate", "--data", "texts.jsonl"),
        ("evaluate", "tiny-llama", "--data"), ("merge", "--out", "o"),
        ("data", "synthesize", "--out", "o.jsonl", "--method", "swap"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_places_that_cannot_be_read(command: tuple[str, ...], path: str) -> None:
    """The path and the reason; a folder that is not there is no damage."""
    result = run(*command, path)
    refused(result, "")
    assert "damaged" not in result.output


@pytest.mark.usefixtures("place")
def test_a_plan_says_where_a_sweep_could_not_write() -> None:
    """It only looks, and refuses what a sweep would refuse."""
    for path in ("file/x", "loop", "dangling"):
        refused(run("plan", "s.yaml", "--results", path), f"--results {path}: ")
    Path("dir/a").write_text("x")
    refused(run("plan", "s.yaml", "--results", "dir"), "--results dir: dir/a: this is a file")
    refused(run("sweep", "s.yaml", "--results", "dir"), "--results dir: dir/a: this is a file")
    assert run("plan", "s.yaml", "--results", "not-yet").exit_code == 0


def test_a_folder_that_takes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Known before anything runs."""
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path and real(path, mode))
    for path in (tmp_path, tmp_path / "new" / "er"):
        assert f"nothing can be written in {tmp_path}" in str(why_unwritable(path, folder=True))
        assert why_unwritable(path, folder=True, reading=True) is None


@pytest.mark.usefixtures("place")
def test_names_that_are_not_utf8() -> None:
    """Such names are names: what is written there is written, and reported without a traceback."""
    name = os.fsdecode(b"\xff\xfe")
    result = run("data", "generate", "dating", "--out", name)
    assert result.exit_code == 0, result.output
    assert (Path(name) / "train.jsonl").exists()
    assert "\\udcff\\udcfe/train.jsonl" in result.output
    refused(run("plan", f"{name}.yaml"), "cannot read the spec")
