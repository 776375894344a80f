"""Damage: whatever happens to a file of a results folder is noticed or does not matter.

Each file is deleted, emptied, halved, one of its bits is flipped, or it is replaced by its
counterpart of another trial. Never may a number be silently wrong.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from embft.errors import EmbftError, RecordError
from embft.leaderboard.build import build_leaderboard
from embft.leaderboard.export import to_json
from embft.leaderboard.pair_scores import read_scores, read_texts
from embft.models.trained import load_trained
from embft.storage.files import write_atomic
from tests.helpers.crash_points import Call, Ended, Rig, points, records, strace_works

pytestmark = pytest.mark.slow

Damage = Callable[[Path], None]


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
    if path.suffix == ".safetensors":
        raw[_sign_of_a_weight(bytes(raw))] ^= 0x80
    elif raw:
        raw[digits[len(digits) * 2 // 3] if digits else len(raw) // 2] ^= 1
    path.write_bytes(raw)


def _sign_of_a_weight(raw: bytes) -> int:
    """Where it is; of a checkpoint the weights from which training goes on."""
    data = 8 + int.from_bytes(raw[:8], "little")
    tensors = json.loads(raw[8:data])
    tensors.pop("__metadata__", None)
    prefixes = ("weights.", "best.", "")
    names = next(found for p in prefixes if (found := [n for n in tensors if n.startswith(p)]))
    begin, end = max((tensors[n]["data_offsets"] for n in names), key=lambda at: at[1] - at[0])
    assert end - begin >= 4
    return int(data + begin + 3)  # the last byte of the first float32, little end first


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
) -> tuple[Rig, Path, Path]:
    """What runs sweeps, a spec, and the results folder of its finished sweep."""
    if not strace_works():
        pytest.skip("no strace that may attach")
    folder = tmp_path_factory.mktemp("damage")
    spec = folder / "two.yaml"
    spec.write_text(f"""\
name: two
data: {{train: {pair_files}/train.jsonl, dev: {pair_files}/dev.jsonl}}
model: {{base: {tiny_model}}}
train: {{epochs: 3, batch_size: 24, learning_rate: 1e-2}}
space: {{train.method: [lora, full]}}
""")
    rig = Rig(folder)
    ended = rig.sweep(spec, folder / "results")
    assert ended.code == 0, ended.output
    return rig, spec, folder / "results"


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
    leaderboard = build_leaderboard(results / "two")
    found = [to_json(leaderboard)]
    for row in leaderboard.rows:
        trial = row.folder
        assert row.result is not None, "not finished"
        trial.check_files(row.result)
        for split in ("dev", "test"):
            scores, texts = read_scores(row, split), read_texts(row, split)
            assert scores is not None, "the report says that scores are missing"
            assert texts is not None, "the report says that texts are missing"
            found += [str(scores.score.tolist()), texts.digest()]
    return "\n".join(found)


def test_a_damaged_folder_is_never_read_as_whole(finished: tuple[Rig, Path, Path]) -> None:
    """Each file of a finished sweep, damaged in each way: reported, or nothing shown differs.

    The log, the progress and what only training needed may go; every other file is missed.
    """
    _, _, results = finished
    expected = seen(results)
    silent: list[str] = []
    harmless: set[str] = set()
    reported = 0
    for what, copy in applied(results, cases_of(results)):
        try:
            same = seen(copy) == expected
        except (EmbftError, AssertionError):
            reported += 1
            continue
        if same:
            harmless.add(what.split("/")[-1].split()[0])
        else:
            silent.append(what)
    assert silent == []
    assert reported > 120
    print(f"\n{reported} damages reported, harmless in: {', '.join(sorted(harmless))}")
    assert harmless <= {
        ".lock", "leaderboard.csv", "leaderboard.json", "report.html", "spec.yaml", "log.txt",
        "progress.jsonl", "reference.npz", "trained.json", "leaks.json", "train.parquet",
        "manifest.json", "audit.json", "digests.json", "trial.json", "recommended.yaml",
    }  # fmt: skip


def test_a_damaged_model_is_not_loaded(finished: tuple[Rig, Path, Path]) -> None:
    """`embft evaluate` and whoever loads a trial's model gets the one that was scored, or an error.

    A flipped bit in safetensors loads without a complaint otherwise.
    """
    _, _, results = finished
    trial = next(results.glob("two/trials/method=full*"))
    copy = results.with_name("model") / trial.name
    shutil.copytree(trial, copy)
    assert load_trained(str(copy))
    _flip(copy / "model" / "model.safetensors")
    with pytest.raises(RecordError, match=r"model\.safetensors"):
        load_trained(str(copy))


def outputs(results: Path) -> str:
    """The scores, ranks and recommendation that leaderboard.json shows."""
    found = json.loads((results / "two" / "leaderboard.json").read_bytes())
    kept = ("trial", "status", "seed", "rank", "recommended", "dev_", "test_", "train.")
    trials = [{k: v for k, v in t.items() if k.startswith(kept)} for t in found["trials"]]
    return json.dumps([found["name"], found["metric"], trials])


def carried_on(
    finished: tuple[Rig, Path, Path], cases: Iterator[tuple[str, Path]]
) -> tuple[list[str], int, int]:
    """Run the sweep's command on damaged folders. Which were silently wrong; harmless; reported."""
    rig, spec, results = finished
    expected, shown = records(results), outputs(results)
    silent, harmless, reported = [], 0, 0
    for what, copy in cases:
        ended = rig.sweep(spec, copy)
        assert "Traceback" not in ended.output, f"{what}\n{ended.output}"
        if ended.code:
            reported += 1
        elif records(copy) == expected and outputs(copy) == shown:
            harmless += 1
        else:
            silent.append(what)
    return silent, harmless, reported


def test_the_command_on_a_damaged_folder(finished: tuple[Rig, Path, Path]) -> None:
    """Some damages, and the sweep's command again: reported, or repaired."""
    every = cases_of(finished[2])
    records = [case for case in every if case[0].endswith("result.json")]
    cases = [*every[::29], *records[::7]]
    silent, harmless, reported = carried_on(finished, applied(finished[2], cases))
    assert silent == []
    assert harmless
    assert reported


@pytest.mark.long
def test_the_command_on_every_damaged_folder(finished: tuple[Rig, Path, Path]) -> None:
    """Every file, every damage, and the sweep's command again: reported, or repaired."""
    silent, harmless, reported = carried_on(finished, applied(finished[2], cases_of(finished[2])))
    assert silent == []
    total = harmless + reported
    print(f"\n{total} damages: {reported} reported, {harmless} repaired or harmless, 0 silent")


@pytest.fixture(scope="module")
def interrupted(
    finished: tuple[Rig, Path, Path],
) -> tuple[Rig, Path, Path, dict[str, str]]:
    """A sweep killed after the second checkpoint of its first training, and what it should give."""
    rig, spec, results = finished
    expected = records(results)
    torn = results.with_name("interrupted")
    traced = rig.sweep(spec, torn, trace=True)
    shutil.rmtree(torn)
    saved = [c for c in points(traced, torn) if c.name == "rename" and "/step-" in c.paths[-1]]
    after = next(c for c in traced.calls if c.name == "fsync" and later(traced, c, saved[1]))
    rig.sweep(spec, torn, inject=f"fsync:signal=SIGKILL:when={after.number}")
    assert len(list(torn.glob("two/trials/*/checkpoints/step-*"))) == 2
    return rig, spec, torn, expected


def later(ended: Ended, call: Call, than: Call) -> bool:
    """Whether a call comes after another one."""
    return ended.calls.index(call) > ended.calls.index(than)


def resumed(
    stage: tuple[Rig, Path, Path, dict[str, str]],
    only: str = "",
    mutant: str = "",
    damages: tuple[str, ...] = tuple(DAMAGES),
) -> tuple[list[str], int, int]:
    """Damage each file of an interrupted sweep, and go on.

    Which were silently wrong; after how many it ended with the same records; how many it reported.
    """
    rig, spec, torn, expected = stage
    cases = [(f, d) for f, d in cases_of(torn) if only in f and d in damages]
    silent, same, reported = [], 0, 0
    for what, copy in applied(torn, cases):
        ended = rig.sweep(spec, copy, mutant=mutant)
        file = str(copy / what.partition(" ")[0])
        assert mutant or "Traceback" not in ended.output, f"{what}\n{ended.output}"
        if ended.code == 0 and records(copy) != expected:
            silent.append(what)
        elif ended.code == 0:
            same += 1
        else:
            named = file.endswith("/result.json") and file in ended.output
            assert mutant or (ended.code == 2 and named), f"{what}\n{ended.output}"
            reported += 1
    return silent, same, reported


def test_a_damaged_checkpoint_is_not_used(
    interrupted: tuple[Rig, Path, Path, dict[str, str]],
) -> None:
    """A flipped bit in the newest checkpoint: training goes on from the one before, to the same."""
    newest = sorted(interrupted[2].glob("two/trials/*/checkpoints/step-*"))[-1].name
    silent, same, reported = resumed(interrupted, newest, damages=("a bit flipped",))
    assert silent == []
    assert (same, reported) == (3, 0)


def test_an_unchecked_checkpoint_is_noticed(
    interrupted: tuple[Rig, Path, Path, dict[str, str]],
) -> None:
    """The tests bite: without the check of the manifest the flipped bit changes the records."""
    newest = sorted(interrupted[2].glob("two/trials/*/checkpoints/step-*"))[-1].name
    silent, *_ = resumed(
        interrupted, f"{newest}/tensors", "checkpoints not checked", ("a bit flipped",)
    )
    assert silent


@pytest.mark.long
def test_every_file_of_an_interrupted_sweep(
    interrupted: tuple[Rig, Path, Path, dict[str, str]],
) -> None:
    """Checkpoints, manifests, inputs, frozen data, the plan, a finished record: damaged, the sweep
    ends the same, or the file is named.
    """
    silent, same, reported = resumed(interrupted)
    assert silent == []
    assert same > reported
    total = same + reported
    print(
        f"\n{total} damages of an interrupted sweep: {reported} reported, {same} repaired, 0 silent"
    )


@pytest.mark.parametrize("mutant", ["digests not checked", "seals not checked"])
def test_what_is_not_checked_is_noticed(
    finished: tuple[Rig, Path, Path], mutant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tests bite: without digests, or without seals, damages are silent."""
    for module in [m for n, m in sys.modules.items() if n.startswith("embft")]:
        if mutant == "digests not checked" and hasattr(module, "check_digests"):
            monkeypatch.setattr(module, "check_digests", lambda *_: None)
        if mutant == "seals not checked" and hasattr(module, "unsealed"):
            monkeypatch.setattr(module, "unsealed", unchecked)
    _, _, results = finished
    expected, silent = seen(results), 0
    cases = [c for c in cases_of(results) if c[1] in {"a bit flipped", "another's"}]
    for _, copy in applied(results, cases):
        with contextlib.suppress(Exception):
            silent += seen(copy) != expected
    assert silent


def unchecked(path: Path, raw: bytes | None = None) -> dict[str, object]:
    """A sealed record without a look at its seal."""
    content = json.loads(path.read_bytes() if raw is None else raw)
    content.pop("seal", None)
    return dict(content)


def test_a_file_written_in_parts_is_whole_or_not_there(tmp_path: Path) -> None:
    """The old content stays until the last part is written, also where making one fails."""
    path = tmp_path / "page.html"
    write_atomic(path, iter(["one ", "two"]))
    assert path.read_text() == "one two"

    def failing() -> Iterator[str]:
        yield "three"
        assert path.read_text() == "one two"
        raise KeyError("three")

    with pytest.raises(KeyError):
        write_atomic(path, failing())
    assert path.read_text() == "one two"
    assert list(tmp_path.iterdir()) == [path]
