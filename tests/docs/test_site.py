"""The documentation as a site: it builds without a warning, and asks nothing of the network."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

_FETCHED = re.compile(r"<(?:script|link|img|iframe|source)\b[^>]*?\b(?:src|href)=[\"']?([^\"' >]+)")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built by the command of `make docs`, with no way to a network."""
    if importlib.util.find_spec("mkdocs") is None:
        pytest.skip("mkdocs-material is not installed")
    folder = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    nowhere = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), "http://127.0.0.1:9")
    run = subprocess.run(
        build, cwd=ROOT, env={**os.environ, **nowhere}, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return folder


def test_no_page_fetches_anything_from_elsewhere(site: Path) -> None:
    """Neither scripts nor styles, fonts, pictures: all are files of the site."""
    pages = list(site.rglob("*.html"))
    assert len(pages) > 50
    for page in pages:
        fetched = _FETCHED.findall(page.read_text())
        assert fetched
        assert not [each for each in fetched if each.startswith(("http:", "https:", "//"))], page
    for style in site.rglob("*.css"):
        assert not re.search(r"(?:@import|url\()\s*[\"']?(?:https?:)?//", style.read_text()), style


def test_named_pages_are_links_that_lead_somewhere(site: Path) -> None:
    """As `docs/x.md` in a page's text, from pages and from decisions; every decision has a link."""
    linked = 0
    for page in site.rglob("*.html"):
        for target in re.findall(r'<a href="([^"#:]+\.html)[^"]*"><code>docs/', page.read_text()):
            assert (page.parent / target).is_file(), (page, target)
            linked += 1
    assert linked > 20
    decisions = (site / "decisions/README.html", site / "decisions/index.html")
    (listed,) = [page.read_text() for page in decisions if page.exists()]
    for path in (ROOT / "docs/decisions").glob("0*.md"):
        assert f'href="{path.stem}.html"' in listed
