"""YAML text -> plain data, with the line of every field.

Reads YAML as people mean it: `2e-5` and `1_000` are numbers, `no` is a word, a key that stands
twice is an error. Bounded in size, depth and aliases, since a spec may come from anyone. Knows
nothing of embft's fields.
"""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from embft.errors import SpecError

MAX_BYTES = 1_000_000
MAX_DEPTH = 30
MAX_ALIASES = 100
MAX_VALUES = 200_000

Where = tuple[str | int, ...]

_INT = re.compile(r"[-+]?[0-9][0-9_]*")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?")
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
}


@dataclass(frozen=True)
class Source:
    """Plain data, and where in which file each part of it stands."""

    file: str
    data: Any
    lines: dict[Where, int]

    def at(self, where: Where) -> str:
        """`FILE:LINE` of a field, or of the nearest field around it."""
        known = next(
            (where[:n] for n in range(len(where), -1, -1) if where[:n] in self.lines), None
        )
        return f"{self.file}:{self.lines[known]}" if known is not None else self.file


def read_file(path: Path) -> str:
    """A spec file's text. Raises SpecError when it cannot be read."""
    try:
        raw = _limited(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SpecError(f"{path}: cannot read the spec: {reason}") from None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise SpecError(
            f"{path}:{line}: byte {raw[error.start]:#04x} is not UTF-8: save the spec as UTF-8"
        ) from None


def _limited(path: Path) -> bytes:
    """The file, as far as a spec may be long. A pipe or a device might never end."""
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise OSError("it is no plain file")
    with path.open("rb") as file:
        return file.read(4 * MAX_BYTES + 1)


def read_text(text: str, file: str) -> Source:
    """Parse YAML text. `file` is only for messages."""
    if len(text) > MAX_BYTES:
        raise SpecError(
            f"{file}: a spec may have {MAX_BYTES:,} bytes at most, this has {len(text):,}"
        )
    try:
        node = _Bounded(text, file).get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise SpecError(f"{file}{line}: not valid YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise SpecError(f"{file}: not valid YAML: {' '.join(str(error).split())}") from None
    if node is None:
        raise SpecError(f"{file}: the spec is empty: it needs at least data, model and train")
    lines: dict[Where, int] = {}
    return Source(file, _Reader(file, lines).plain(node, ()), lines)


class _Bounded(yaml.SafeLoader):
    """Refuses depth and alias bombs before anything recurses."""

    def __init__(self, text: str, file: str) -> None:
        super().__init__(text)
        self.file = file
        self.depth = self.aliases = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """PyYAML calls this for each node, and it calls itself for the nodes in that."""
        level = self.check_event(yaml.CollectionStartEvent)
        self.depth += level
        self.aliases += self.check_event(yaml.AliasEvent)
        if self.depth > MAX_DEPTH:
            raise self._refusal(f"nested deeper than {MAX_DEPTH} levels")
        if self.aliases > MAX_ALIASES:
            raise self._refusal(f"more than {MAX_ALIASES} aliases")
        node = super().compose_node(parent, index)
        self.depth -= level
        return node

    def _refusal(self, reason: str) -> SpecError:
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        return SpecError(f"{self.file}:{mark.line + 1}: {reason}")


class _Reader:
    """Turns nodes into plain data, counting values so that aliases cannot multiply for ever."""

    def __init__(self, file: str, lines: dict[Where, int]) -> None:
        self.file = file
        self.lines = lines
        self.values = 0
        self.open: set[int] = set()

    def plain(self, node: yaml.Node, where: Where) -> Any:
        line = node.start_mark.line + 1
        self.lines.setdefault(where, line)
        self.values += 1
        if self.values > MAX_VALUES:
            raise SpecError(f"{self.file}:{line}: more than {MAX_VALUES:,} values")
        if isinstance(node, yaml.ScalarNode):
            return scalar(node.value) if node.style is None else node.value
        if id(node) in self.open:
            raise SpecError(f"{self.file}:{line}: an alias that contains itself")
        self.open.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                return [self.plain(item, (*where, i)) for i, item in enumerate(node.value)]
            return self._mapping(node, where)
        finally:
            self.open.discard(id(node))

    def _mapping(self, node: Any, where: Where) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise SpecError(f"{self.file}:{line}: a field's name must be plain text")
            key = str(key_node.value)
            if key in found:
                first = self.lines[(*where, key)]
                raise SpecError(
                    f"{self.file}:{line}: {key!r} stands twice, first on line {first}: keep one"
                )
            self.lines[(*where, key)] = line
            found[key] = self.plain(value_node, (*where, key))
        return found


def scalar(text: str) -> str | int | float | bool | None:
    """What an unquoted word means: YAML 1.2's core schema, and `1_000` as a number."""
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text) and len(text) <= 4000:
        return int(text.replace("_", ""))
    if _FLOAT.fullmatch(text):
        return float(text.replace("_", ""))
    return text
