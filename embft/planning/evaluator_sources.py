"""What a spec's evaluators read: modules of the user's own and files of labelled texts.

Finds and checks them when a sweep is planned, gives the digest that enters the trials' keys, and
freezes them into the sweep's folder, from which workers load them: a file that is edited while a
sweep runs cannot mix into it. Runs no code of the user's and imports no torch.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

from embft.data.labelled import Labelled
from embft.data.load import Columns, load_pairs
from embft.data.pairs import Pairs
from embft.data.read import cut, read_rows
from embft.errors import DataError, EmbftError, nearest
from embft.results.evaluators import EvaluatorFiles, joined_digest
from embft.spec.base import Column
from embft.spec.evaluators import EvaluatorSpec, LabelledSpec


def find_files(entry: EvaluatorSpec) -> EvaluatorFiles:
    """Everything that this entry reads. Raises EmbftError for what is missing or does not fit."""
    if entry.is_users:
        return _module(entry)
    if entry.mteb:
        return EvaluatorFiles(_mteb(entry.mteb.task))
    tables = {role: _table(entry, role, Path(path)) for role, path in entry.files.items()}
    return EvaluatorFiles(joined_digest({role: t.digest() for role, t in tables.items()}), tables)


def _table(entry: EvaluatorSpec, role: str, path: Path) -> Labelled | Pairs:
    try:
        if entry.sts:
            columns = entry.sts.columns
            names = Columns(columns.text_1, columns.text_2, columns.label)
            return load_pairs(path, names, (), entry.sts.label_range)
        fields = entry.clustering or entry.classification
        return read_labelled(path, fields or LabelledSpec(data=str(path)))
    except DataError as error:
        message = f"{error} (In `evaluators`, {entry.kind}.{role}: columns are set there too.)"
        raise DataError(message) from None


def read_labelled(path: Path, columns: LabelledSpec) -> Labelled:
    """Texts and class labels from a file's two columns; formats as for pairs. Raises DataError.

    Also where there are fewer than 2 different labels, or where a label asked for is not there.
    """
    names: list[Column] = [columns.text, columns.label]
    texts, labels, there = [], [], set[str]()
    for line, (text, label) in read_rows(path, names, required=2):
        if not isinstance(text, str) or not text.strip():
            raise DataError(f"{path}, line {line}: {cut(text)} in column {names[0]!r} is no text")
        if label is None or not str(label).strip():
            raise DataError(f"{path}, line {line}: column {names[1]!r} has no label")
        there.add(str(label))
        if columns.labels is None or str(label) in columns.labels:
            texts.append(text)
            labels.append(str(label))
    for name in columns.labels or ():
        if name not in there:
            raise DataError(f"{path}: no text has the label {name!r}; {nearest(name, there)}")
    if len(set(labels)) < 2:
        raise DataError(f"{path}: column {names[1]!r} needs at least 2 different labels")
    return Labelled(texts, labels)


def _mteb(task: str) -> str:
    """The digest of a task: its name and the version of mteb. Raises EmbftError."""
    found = importlib.util.find_spec("mteb")
    if found is None or not found.submodule_search_locations:
        raise EmbftError(f"evaluators, mteb: {task} needs the package: pip install 'embft[mteb]'")
    # Importing mteb takes torch and seconds; its task files say their names in plain text.
    stated = re.compile(r"^\s*name=\"([^\"]+)\"", re.MULTILINE)
    folder = Path(found.submodule_search_locations[0]) / "tasks"
    names = {n for path in folder.rglob("*.py") for n in stated.findall(path.read_text("utf-8"))}
    if task not in names:
        close = nearest(task, names).partition(" allowed: ")[0]
        raise EmbftError(
            f"evaluators, mteb: there is no task {task!r}: "
            f"{close if close.startswith('did') else ''} mteb.get_tasks() lists all {len(names)}"
        )
    return joined_digest({"task": task, "mteb": importlib.metadata.version("mteb")})


def _module(entry: EvaluatorSpec) -> EvaluatorFiles:
    """The user's module and the modules beside it that it imports, found and checked unexecuted."""
    name, _, function = (entry.function or "").partition(":")
    folder = Path(entry.folder or ".")
    path = folder / f"{name.replace('.', '/')}.py"
    beside = path.is_file()
    found = path if beside else _installed(entry, name, folder)
    tree = _parsed(entry, found)
    _check_function(entry, found, tree, function)
    sources = dict(_beside(folder, path)) if beside else {}
    digests = {k: hashlib.sha256(v).hexdigest() for k, v in sources.items()}
    return EvaluatorFiles(
        joined_digest(digests or {name: hashlib.sha256(found.read_bytes()).hexdigest()}),
        {},
        sources,
    )


def _installed(entry: EvaluatorSpec, module: str, folder: Path) -> Path:
    """The file of a module that Python can import; only its outermost package is looked up."""
    root, *rest = module.split(".")
    spec = importlib.util.find_spec(root) if root.isidentifier() else None
    places = [Path(p) for p in (spec.submodule_search_locations or ())] if spec else []
    files = [p.joinpath(*rest).with_suffix(".py") for p in places if rest]
    files += [p.joinpath(*rest, "__init__.py") for p in places]
    files += [Path(spec.origin)] if spec and spec.origin and not rest else []
    for file in files:
        if file.is_file() and file.suffix == ".py":
            return file
    there = sorted(path.stem for path in folder.glob("*.py"))
    advice = nearest(module, there) if there else "put the module beside the spec"
    raise EmbftError(
        f"evaluator {entry.function!r}: there is no module {module!r}, neither "
        f"{folder / module}.py nor a package of that name; {advice}"
    )


def _parsed(entry: EvaluatorSpec, path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_bytes(), str(path))
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        at = f"{path}:{line}" if line else str(path)
        raise EmbftError(f"evaluator {entry.function!r}: {at}: no valid Python: {error}") from None


def _check_function(entry: EvaluatorSpec, path: Path, tree: ast.Module, function: str) -> None:
    names = list(_top_level(tree))
    if function in names or "*" in names or "__getattr__" in names:
        return
    there = [name for name in names if not name.startswith("_")]
    raise EmbftError(
        f"evaluator {entry.function!r}: {path} has no {function!r}; {nearest(function, there)}"
    )


def _top_level(tree: ast.Module) -> Iterator[str]:
    """The names that a module's top level binds, whatever is around them."""
    inner = [tree.body]
    while inner:
        for node in inner.pop():
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield node.name
                continue
            inner += [body for body in _bodies(node) if body]
            if isinstance(node, ast.Import | ast.ImportFrom):
                yield from ((a.asname or a.name.partition(".")[0]) for a in node.names)
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                stored = (n for target in targets for n in ast.walk(target))
                yield from (n.id for n in stored if isinstance(n, ast.Name))


def _bodies(node: ast.stmt) -> Iterator[list[ast.stmt]]:
    for name in ("body", "orelse", "finalbody"):
        yield getattr(node, name, [])
    for handler in getattr(node, "handlers", ()):
        yield handler.body


def _beside(folder: Path, path: Path) -> Iterator[tuple[str, bytes]]:
    """The module's source and those that it imports from its folder, by their path below it."""
    seen, waiting = {path}, [path]
    while waiting:
        file = waiting.pop()
        source = file.read_bytes()
        yield file.relative_to(folder).as_posix(), source
        for found in _imported_files(folder, source):
            if found not in seen:
                seen.add(found)
                waiting.append(found)


def _imported_files(folder: Path, source: bytes) -> Iterator[Path]:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return  # importing it will say so, where it matters
    for node in ast.walk(tree):
        names = (
            [a.name for a in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
        )
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module, *(f"{node.module}.{name}" for name in names)]
        for name in names:
            parts = name.split(".")
            if (folder / parts[0]).is_dir():
                yield from sorted((folder / parts[0]).rglob("*.py"))
            elif (file := (folder / parts[0]).with_suffix(".py")).is_file():
                yield file
