"""The built-in set `handbook`: an invented company's help pages and questions over them.

400 pages, one for each of 20 tools and each of 20 things to do with it, and 600 questions that say
both in other words than the pages. A question's own page has grade 3, and for half of them the
tool's page on a neighbouring matter grade 1; the same thing to do with another tool, and another
thing with the same tool, were judged and are not relevant. The questions of one page are in one
split. Deterministic: made of the words in `handbook_phrases.py` alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from embft.data.draw import Draw
from embft.data.handbook_phrases import RELATED, TASKS, TOOLS, Task, Tool
from embft.data.judged_files import Grades, Known, build_splits
from embft.data.pairs import Splits
from embft.data.retrieval import TextSet

_SEED = 27
_DEV, _TEST = 60, 100  # pages whose questions are dev's and test's
_TWICE = 200  # pages of which two questions are asked
_NEIGHBOURS = 2  # pages of either kind that were judged and are not relevant
# The shares of pages that say plainly what their tool handles and what is done, and that add how.
_THING, _PLAIN, _HOW = 0.97, 0.97, 0.1


@dataclass(frozen=True)
class Handbook:
    """Pages, questions (grouped by tool), and grades: split -> question id -> page id -> grade."""

    pages: TextSet
    questions: TextSet
    grades: dict[str, Grades]

    def write(self, folder: Path) -> None:
        """Write it in BEIR's format."""
        (folder / "qrels").mkdir(parents=True, exist_ok=True)
        tools = self.questions.groups["tool"]
        pages = zip(self.pages.ids, self.pages.texts, strict=True)
        _write(folder / "corpus.jsonl", [{"_id": k, "title": "", "text": v} for k, v in pages])
        asked = zip(self.questions.ids, self.questions.texts, tools, strict=True)
        _write(folder / "queries.jsonl", [{"_id": k, "text": v, "tool": t} for k, v, t in asked])
        for split, grades in self.grades.items():
            lines = [f"{q}\t{d}\t{g}\n" for q, row in grades.items() for d, g in row.items()]
            text = "".join(["query-id\tcorpus-id\tscore\n", *lines])
            (folder / "qrels" / f"{split}.tsv").write_text(text)

    def splits(self, *, judged_negatives: bool = False) -> Splits:
        """As a sweep reads it. judged_negatives: as `JudgedFiles.load` has it."""
        rows = {name: row for row, name in enumerate(self.pages.ids)}
        known = Known(self.questions, self.pages, rows)
        return build_splits(known, self.grades, judged_negatives=judged_negatives)


def _write(path: Path, rows: Sequence[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def generate() -> Handbook:
    """The set, always the same."""
    draw = Draw(_SEED)
    cells = [(tool, task) for tool in range(len(TOOLS)) for task in range(len(TASKS))]
    pages = {_page_id(*cell): _page(draw, TOOLS[cell[0]], TASKS[cell[1]]) for cell in cells}
    order = draw.shuffled(cells)
    split_of = {cell: _split(place) for place, cell in enumerate(order)}
    twice = set(draw.shuffled(cells)[:_TWICE])
    ids, texts, tools = list[str](), list[str](), list[str]()
    grades: dict[str, Grades] = {"train": {}, "dev": {}, "test": {}}
    for cell in cells:
        for text in _questions(draw, cell, 2 if cell in twice else 1):
            ids.append(f"q{len(ids) + 1}")
            texts.append(text)
            tools.append(TOOLS[cell[0]].name)
            grades[split_of[cell]][ids[-1]] = dict(_graded(draw, cell))
    return Handbook(
        TextSet(list(pages), list(pages.values())), TextSet(ids, texts, {"tool": tools}), grades
    )


def _split(place: int) -> str:
    return "dev" if place < _DEV else "test" if place < _DEV + _TEST else "train"


def _page_id(tool: int, task: int) -> str:
    return f"{TOOLS[tool].name.lower()}-{task + 1}"


def _page(draw: Draw, tool: Tool, task: Task) -> str:
    """A heading, what the tool is for, and how the thing is done; in the house's words or plain."""
    heading = task.plain if draw.tosses(_PLAIN) else f"{task.heading}."
    about = f"is for {tool.asked[0]}" if draw.tosses(_THING) else tool.about
    how = f" {draw.picks(task.pages)}" if draw.tosses(_HOW) else ""
    return f"{tool.name}: {heading} {tool.name} {about}.{how}".replace("{tool}", tool.name)


def _questions(draw: Draw, cell: tuple[int, int], count: int) -> list[str]:
    """Questions about a page, each in other words."""
    tool, task = TOOLS[cell[0]], TASKS[cell[1]]
    things, forms = draw.shuffled(tool.asked), draw.shuffled(task.asked)
    found = [forms[i].replace("{thing}", things[i]) for i in range(count)]
    return [text[0].upper() + text[1:] if text[-1] in "?." else text for text in found]


def _graded(draw: Draw, cell: tuple[int, int]) -> Iterator[tuple[str, int]]:
    tool, task = cell
    related = RELATED[task]
    yield _page_id(tool, task), 3
    if draw.tosses():
        yield _page_id(tool, related), 1
    others = draw.shuffled([i for i in range(len(TASKS)) if i not in {task, related}])
    yield from ((_page_id(tool, other), 0) for other in others[:_NEIGHBOURS])
    tools = draw.shuffled([i for i in range(len(TOOLS)) if i != tool])
    yield from ((_page_id(other, task), 0) for other in tools[:_NEIGHBOURS])
