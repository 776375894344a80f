"""`embft export --push`: an upload by the hub's own library, to a hub of our own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from embft.errors import EmbftError
from embft.results.folders import TrialDir
from embft.shipping.push import check_repository, push
from tests.helpers.commands import start_cold
from tests.helpers.hub import Hub, hub

TOKEN = "hf_of_the_tests"  # noqa: S105 - a word for a hub on loopback


@pytest.fixture(scope="module")
def server() -> Iterator[Hub]:
    with hub(TOKEN) as found:
        yield found


@pytest.fixture
def online(server: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library in this process finds our hub; tests are else run offline."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "ENDPOINT", server.address)
    monkeypatch.setenv("HF_TOKEN", TOKEN)


def test_the_whole_folder_arrives(sweep: dict[str, TrialDir], server: Hub, tmp_path: Path) -> None:
    """Byte for byte, in a private repository, and nothing else is asked of the hub."""
    out = tmp_path / "out"
    run = start_cold(
        *("export", str(sweep["lora"].sweep.path), sweep["lora"].key, "--out", str(out)),
        *("--push", "someone/mine"),
        cwd=tmp_path,
        HF_ENDPOINT=server.address,
        HF_TOKEN=TOKEN,
        HF_HUB_OFFLINE="0",
        HF_HUB_DISABLE_XET="1",
    )
    output, _ = run.communicate(timeout=240)
    assert run.returncode == 0, output
    assert f"uploaded: {server.address}/someone/mine" in output
    assert server.repositories["someone/mine"]["visibility"] == "private"
    written = {p.relative_to(out).as_posix(): p.read_bytes() for p in out.rglob("*") if p.is_file()}
    assert {k: v for k, v in server.files.items() if k != ".gitattributes"} == written
    assert all("someone/mine" in path or path.startswith("/api/") for path in server.asked)


@pytest.mark.usefixtures("online")
@pytest.mark.parametrize("fault", ["token", "full", "gone"])
def test_a_refused_upload_leaves_the_export(
    server: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """One line says why, and how to upload it later."""
    (tmp_path / "README.md").write_text("---\nlibrary_name: x\n---\n")
    if fault == "token":
        monkeypatch.setenv("HF_TOKEN", "hf_another")
    if fault == "full":
        monkeypatch.setattr(server, "fails", 507)
    if fault == "gone":
        monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(EmbftError, match=f"hf upload someone/mine {tmp_path}"):
        push(tmp_path, "someone/mine", private=True)
    assert (tmp_path / "README.md").is_file()


@pytest.mark.usefixtures("online")
def test_what_cannot_be_uploaded_is_known_before_the_export(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """No token, and offline; the hub is not asked."""
    check_repository("someone/mine")
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    with pytest.raises(EmbftError, match=r"no access token.*hf auth login"):
        check_repository("someone/mine")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(EmbftError, match="HF_HUB_OFFLINE=1 forbids it"):
        check_repository("someone/mine")
