"""Damage: whatever happens to a file of a results folder is noticed or does not matter.

Each file is deleted, emptied, halved, one of its bits is flipped, or it is replaced by its
counterpart of another trial. Never may a number be silently wrong.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from crash_points import Rig, records, strace_works

from embft.errors import EmbftError, RecordError
from embft.leaderboard.build import build_leaderboard
from embft.leaderboard.export import to_json
from embft.leaderboard.pair_scores import read_scores, read_texts
from embft.standalone import load_model
from embft.trial import TrialDir

Damage = Callable[[Path], None]
_SECONDS = ("train_seconds", "total_seconds", "peak_memory_mb")


def _delete(path: Path) -> None:
    path.unlink()


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _halve(path: Path) -> None:
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) // 2])


def _flip(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    # In text a flipped bit of a digit is the worst: still a number, but another one.
    digits = [i for i, byte in enumerate(raw) if chr(byte).isdigit()]
    if raw:
        raw[digits[len(digits) * 2 // 3] if digits else len(raw) // 2] ^= 1
    path.write_bytes(raw)


def _exchange(path: Path) -> None:
    """Its counterpart of another trial, or of another split."""
    trial = next((p for p in path.parents if p.parent.name == "trials"), None)
    others = (
        [p / path.relative_to(trial) for p in sorted(trial.parent.iterdir()) if p != trial]
        if trial
        else sorted(p for p in path.parent.glob(f"*{path.suffix}") if p != path)
    )
    found = next((p for p in others if p.is_file() and p.read_bytes() != path.read_bytes()), None)
    if found:
        path.write_bytes(found.read_bytes())


DAMAGES: dict[str, Damage] = {
    "deleted": _delete,
    "emptied": _empty,
    "halved": _halve,
    "a bit flipped": _flip,
    "another's": _exchange,
}


@pytest.fixture(scope="module")
def finished(
    tiny_model: Path, pair_files: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Rig, Path, Path]]:
    """A warm process, a spec, and the results folder of its finished sweep."""
    if not strace_works():
        pytest.skip("no strace that may attach")
    folder = tmp_path_factory.mktemp("damage")
    spec = folder / "two.yaml"
    spec.write_text(f"""\
name: two
data: {{train: {pair_files}/train.jsonl, dev: {pair_files}/dev.jsonl}}
model: {{base: {tiny_model}}}
train: {{epochs: 2, batch_size: 16, learning_rate: 1e-2}}
space: {{train.method: [lora, full]}}
""")
    rig = Rig(folder)
    ended = rig.sweep(spec, folder / "results")
    assert ended.code == 0, ended.output
    yield rig, spec, folder / "results"
    rig.close()


def cases_of(results: Path) -> list[tuple[str, str]]:
    """Every file with every damage, as names."""
    files = sorted(p.relative_to(results) for p in results.rglob("*") if p.is_file())
    return [(str(file), name) for file in files for name in DAMAGES]


def applied(results: Path, cases: list[tuple[str, str]]) -> Iterator[tuple[str, Path]]:
    """A copy of the results folder for each case that changes anything, damaged so."""
    copy = results.with_name("damaged")
    for file, name in cases:
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(results, copy)
        DAMAGES[name](copy / file)
        after = (copy / file).read_bytes() if (copy / file).exists() else None
        if after != (results / file).read_bytes():
            yield f"{file} {name}", copy


def seen(results: Path) -> str:
    """Everything that a report is made of: the leaderboard, per-pair scores, texts, models."""
    board = build_leaderboard(results / "two")
    found = [to_json(board)]
    for row in board.rows:
        trial = TrialDir(row.folder)
        assert row.result is not None, "not finished"
        trial.check_files(row.result)
        for split in ("dev", "test"):
            scores, texts = read_scores(row, split), read_texts(row, split)
            assert scores is not None, "the report says that scores are missing"
            assert texts is not None, "the report says that texts are missing"
            found += [str(scores.score.tolist()), texts.digest()]
    return "\n".join(found)


def test_a_damaged_folder_is_never_read_as_whole(finished: tuple[Rig, Path, Path]) -> None:
    """Each file of a finished sweep, damaged in each way: told, or nothing that is shown differs.

    The log, the progress and what only training needed may go; every other file is missed.
    """
    _, _, results = finished
    expected = seen(results)
    silent: list[str] = []
    harmless: set[str] = set()
    told = 0
    for what, copy in applied(results, cases_of(results)):
        try:
            same = seen(copy) == expected
        except (EmbftError, AssertionError):
            told += 1
            continue
        if same:
            harmless.add(what.split("/")[-1].split()[0])
        else:
            silent.append(what)
    assert silent == []
    assert told > 120
    print(f"\n{told} damages told, harmless in: {', '.join(sorted(harmless))}")
    assert harmless <= {
        ".lock", "leaderboard.csv", "leaderboard.json", "report.html", "spec.yaml", "log.txt",
        "progress.jsonl", "probe.npz", "trained.json", "leaks.json", "train.parquet",
        "manifest.json", "audit.json",
    }  # fmt: skip


def test_a_damaged_model_is_not_loaded(finished: tuple[Rig, Path, Path]) -> None:
    """`embft evaluate` and whoever loads a trial's model gets the one that was scored, or an error.

    A flipped bit in safetensors loads without a complaint otherwise.
    """
    _, _, results = finished
    trial = next(results.glob("two/trials/method=full*"))
    copy = results.with_name("model") / trial.name
    shutil.copytree(trial, copy)
    assert load_model(str(copy))
    _flip(copy / "model" / "model.safetensors")
    with pytest.raises(RecordError, match=r"model\.safetensors"):
        load_model(str(copy))


def outputs(results: Path) -> str:
    """leaderboard.json without what takes another time each run."""
    found = json.loads((results / "two" / "leaderboard.json").read_bytes())
    trials = [{k: v for k, v in t.items() if k not in _SECONDS} for t in found.pop("trials")]
    return json.dumps([found, trials])


def carried_on(
    finished: tuple[Rig, Path, Path], cases: Iterator[tuple[str, Path]]
) -> tuple[list[str], int, int]:
    """Run the sweep's command on damaged folders. Which were silently wrong; harmless; told."""
    rig, spec, results = finished
    expected, shown = records(results), outputs(results)
    silent, harmless, told = [], 0, 0
    for what, copy in cases:
        ended = rig.sweep(spec, copy)
        assert "Traceback" not in ended.output, f"{what}\n{ended.output}"
        if ended.code:
            told += 1
        elif records(copy) == expected and outputs(copy) == shown:
            harmless += 1
        else:
            silent.append(what)
    return silent, harmless, told


def test_the_command_on_a_damaged_folder(finished: tuple[Rig, Path, Path]) -> None:
    """Some damages, and the sweep's command again: told, or mended."""
    cases = [case for i, case in enumerate(cases_of(finished[2])) if i % 29 == 0]
    silent, harmless, told = carried_on(finished, applied(finished[2], cases))
    assert silent == []
    assert harmless
    assert told


@pytest.mark.long
def test_the_command_on_every_damaged_folder(finished: tuple[Rig, Path, Path]) -> None:
    """Every file, every damage, and the sweep's command again: told, or mended."""
    silent, harmless, told = carried_on(finished, applied(finished[2], cases_of(finished[2])))
    assert silent == []
    print(f"\n{harmless + told} damages: {told} told, {harmless} mended or harmless, 0 silent")
