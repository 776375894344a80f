"""The user's own code that an evaluator runs: found and checked without being executed.

The module and those beside it that it imports are read when a sweep is planned, give the digest
that enters the trials' keys, and are frozen into the sweep's folder, from which workers load them:
a file that is edited while a sweep runs cannot mix into it. `function.py` runs them.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path

from embft.errors import EmbftError, nearest
from embft.results.evaluators import EvaluatorFiles, named_digest


def user_code(function: str, folder: Path) -> EvaluatorFiles:
    """The user's module and the modules beside it that it imports, found and checked unexecuted."""
    name = function.partition(":")[0]
    path = folder / f"{name.replace('.', '/')}.py"
    beside = path.is_file()
    found = path if beside else _installed(function, name, folder)
    tree = _parsed(function, found)
    _check_function(function, found, tree)
    sources = dict(_beside(folder, path)) if beside else {}
    digests = {k: hashlib.sha256(v).hexdigest() for k, v in sources.items()}
    return EvaluatorFiles(
        named_digest(digests or {name: hashlib.sha256(found.read_bytes()).hexdigest()}),
        {},
        sources,
        folder,
    )


def _installed(function: str, module: str, folder: Path) -> Path:
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
        f"evaluator {function!r}: there is no module {module!r}, neither "
        f"{folder / module}.py nor a package of that name; {advice}"
    )


def _parsed(function: str, path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_bytes(), str(path))
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        at = f"{path}:{line}" if line else str(path)
        raise EmbftError(f"evaluator {function!r}: {at}: no valid Python: {error}") from None


def _check_function(function: str, path: Path, tree: ast.Module) -> None:
    attribute = function.partition(":")[2]
    names = list(_top_level(tree))
    if attribute in names or "*" in names or "__getattr__" in names:
        return
    there = [name for name in names if not name.startswith("_")]
    raise EmbftError(
        f"evaluator {function!r}: {path} has no {attribute!r}; {nearest(attribute, there)}"
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
