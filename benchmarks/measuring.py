"""What the benchmarks share: run a command and watch it, compare, print, and publish.

A benchmark publishes under a name: its figures as `benchmarks/figures/NAME.json`, and a table in
`docs/performance.md` between the marks `<!-- NAME -->` and `<!-- end NAME -->`. Without bfloat16
the name is NAME-fp32, where the page has marks for that.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from embft.results.provenance import processor
from embft.system.processes import tree_memory

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared" / "data" / "dating"
FIGURES = ROOT / "benchmarks" / "figures"
PAGE = ROOT / "docs" / "performance.md"


@dataclass(frozen=True)
class Run:
    """One run of a command. seconds: wall time. peak_mb: the most that all its processes held
    together, pages they share counted once (PSS). output: what it printed last, as JSON.
    """

    seconds: float
    peak_mb: float
    output: Any


def fresh(
    command: Sequence[str], files: Mapping[str, str], every: float = 0.5, keep: str | None = None
) -> Run:
    """`watched` in a folder of its own with these files in it, removed afterwards.

    keep: a JSON file that the command leaves, read as its output.
    """
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        for file, text in files.items():
            (folder / file).write_text(text)
        run = watched(command, folder, every)
        return run if keep is None else replace(run, output=json.loads((folder / keep).read_text()))


def watched(command: Sequence[str], folder: Path, every: float = 0.5) -> Run:
    """Run a command in a folder, looking at its memory every so many seconds.

    Raises RuntimeError with the end of what it said where it fails.
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    environment |= {"TOKENIZERS_PARALLELISM": "false", "HOME": str(folder)}
    with (folder / "said.txt").open("w+") as said:
        start = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=said, stderr=subprocess.STDOUT
        )
        peak = _peak(process, every)
        seconds = time.perf_counter() - start
        said.seek(0)
        lines = said.read().strip().splitlines()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}: {lines[-20:]}")
    return Run(seconds, peak / 1e6, _last_json(lines))


def _peak(process: subprocess.Popen[bytes], every: float) -> int:
    ended, peak = threading.Event(), 0

    def wait() -> None:
        process.wait()
        ended.set()

    threading.Thread(target=wait, daemon=True).start()
    while not ended.wait(every):
        peak = max(peak, tree_memory(process.pid))
    return peak


def _last_json(lines: Sequence[str]) -> Any:
    for line in reversed(lines):
        if line.startswith("{"):
            return json.loads(line)
    return None


def alternate(
    cases: Mapping[str, Callable[[int], Run]], rounds: Sequence[int]
) -> dict[str, list[Run]]:
    """Run every case once a round, one after another, so that a slow minute hits all alike."""
    found: dict[str, list[Run]] = {name: [] for name in cases}
    for number in rounds:
        for name, case in cases.items():
            run = case(number)
            found[name].append(run)
            told = f"{run.seconds:.1f} s, {run.peak_mb:.0f} MB, {run.output}"[:200]
            print(f"  {name}, round {number}: {told}", flush=True)
    return found


def median(runs: Sequence[Run], pick: Callable[[Run], float]) -> float:
    """The median over runs of one of their figures."""
    return statistics.median(pick(run) for run in runs)


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    from embft.encoding.processor import has_instructions

    versions = ("torch", "sentence-transformers", "transformers", "peft", "ray")
    revision = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=10"],  # noqa: S607
        cwd=ROOT, capture_output=True, text=True, check=False,
    ).stdout.strip()  # fmt: skip
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "bfloat16": has_instructions("avx512bf16"),
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in versions},
        "revision": revision,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def table(headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def publish(name: str, figures: Mapping[str, Any], shown: str, on: Path = PAGE) -> None:
    """Print the table, and write it into a page, and the figures beside the benchmarks."""
    about = machine()
    page = on.read_text()
    if not about["bfloat16"] and f"<!-- {name}-fp32 -->" in page:
        name = f"{name}-fp32"
    FIGURES.mkdir(exist_ok=True)
    content = {"command": command(), "machine": about, "figures": figures}
    (FIGURES / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")
    bf16 = "with" if about["bfloat16"] else "without"
    note = (
        f"`{command()}` on {about['cores']} cores of {about['processor']} ({bf16} bfloat16), "
        f"{about['date']}, revision {about['revision']}"
    )
    print(f"\n{shown}\n\n{note}")
    on.write_text(filled(page, name, f"{shown}\n\n{note}."))


def filled(page: str, name: str, shown: str) -> str:
    """The page with this between the marks of a name. Raises ValueError where it has none."""
    start, end = f"<!-- {name} -->", f"<!-- end {name} -->"
    before, _, rest = page.partition(start)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"the page has no {start} … {end}")
    return f"{before}{start}\n{shown}\n{end}{after}"


def command() -> str:
    """How this benchmark was called."""
    return shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])


def parser(description: str | None) -> argparse.ArgumentParser:
    """A parser of arguments whose help is the benchmark's own description."""
    return argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def python(script: str, *arguments: object) -> list[str]:
    """The command that runs a script beside this one."""
    return [sys.executable, str(ROOT / "benchmarks" / script), *map(str, arguments)]


def embft(*arguments: object) -> list[str]:
    """The command line's own command."""
    return [str(Path(sys.executable).with_name("embft")), *map(str, arguments)]


def data_files(folder: Path) -> Path:
    """train, dev and test of the comparisons as jsonl files in `folder`."""
    from embft.data.dating import generate
    from embft.data.pairs import SPLITS, write_jsonl

    if SHARED.is_dir():
        for name, source in (("train", "train"), ("dev", "eval"), ("test", "eval")):
            (folder / f"{name}.jsonl").write_bytes((SHARED / f"{source}.jsonl").read_bytes())
        return folder
    splits = generate()
    for name in SPLITS:
        write_jsonl(splits[name], folder / f"{name}.jsonl")
    return folder
