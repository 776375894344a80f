"""A hook of mkdocs: where a page names another one as `docs/x.md`, the site has a link to it.

In the repository such a name is a path that one opens; on the site it would lead nowhere.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

_DECISIONS = "decisions/README.md"
_NAMED = re.compile(r"(?<!\[)`docs/((?:decisions/)?[\w-]+)\.md`")


def on_page_markdown(markdown: str, *, page: Any, files: Any, **_: Any) -> str:
    """The page with links; names of what is no page stay as they are."""
    up = "../" * page.file.src_uri.count("/")

    def link(match: re.Match[str]) -> str:
        target = f"{match[1]}.md"
        if files.get_file_from_path(target) is None:
            return match[0]
        return f"[{match[0]}]({up}{target})"

    linked = _NAMED.sub(link, markdown)
    return linked + _decisions(files) if page.file.src_uri == _DECISIONS else linked


def _decisions(files: Any) -> str:
    """All decisions, by their titles."""
    pages = sorted(
        (file for file in files.documentation_pages() if file.src_uri.startswith("decisions/0")),
        key=lambda file: str(file.src_uri),
    )
    titles = [Path(file.abs_src_path).read_text(encoding="utf-8") for file in pages]
    return "\n" + "".join(
        f"- [{text.partition(chr(10))[0].removeprefix('# ')}]({Path(file.src_uri).name})\n"
        for file, text in zip(pages, titles, strict=True)
    )
