"""Input from anyone: models, specs, data files and results folders that mean harm."""

from __future__ import annotations

import ast
import csv
import importlib.util
import io
import json
import os
import pickle
import py_compile
import shutil
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from click.testing import CliRunner
from rich.text import Text

from embft.cli.console import new_console
from embft.cli.main import main
from embft.data.load import Columns, load_pairs
from embft.errors import DataError, EmbftError, ModelError, RecordError, SpecError
from embft.leaderboard.build import build_leaderboard
from embft.leaderboard.export import to_csv
from embft.models.base import build, load_base
from embft.models.resolve import find_base_model
from embft.models.save import Origin, load_saved, save
from embft.planning.plan import make_plan
from embft.planning.prepare import prepare
from embft.results.dataset import write_manifest
from embft.results.evaluators import check_frozen, find_files
from embft.results.folders import SweepDir, TrialDir
from embft.spec import EvaluatorSpec, ModelSpec, TrainSpec, load_spec, parse_spec
from embft.storage.seal import sealed, unsealed
from embft.system.text import one_screen

PACKAGE = Path(__file__).parent.parent.parent / "embft"
EVIL = "\x1b[2Jred\x07\u202egnp.exe\x9b31m [bold]x[/bold] </script><script>alert(1)</script>"


class _Harm:
    """Unpickled, it leaves a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (os.mkdir, (str(self.mark),))


@pytest.fixture
def model(tiny_model: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model, to be spoilt."""
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


@pytest.mark.parametrize("place", ["pytorch_model.bin", "2_Dense/pytorch_model.bin"])
def test_a_pickled_model_is_refused_unread(model: Path, tmp_path: Path, place: str) -> None:
    """Weights that only a pickle holds are not loaded, by whatever module, and run nothing."""
    mark, path = tmp_path / "harm", model / place
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(pickle.dumps(_Harm(mark)))
    if path.parent == model:
        (model / "model.safetensors").unlink()
    else:
        (path.parent / "config.json").write_text("{}")
        modules = json.loads((model / "modules.json").read_text())
        kind = "sentence_transformers.sentence_transformer.modules.Dense"
        modules.append({"idx": 2, "name": "2", "path": "2_Dense", "type": kind})
        (model / "modules.json").write_text(json.dumps(modules))
    for load in (find_base_model, lambda base: load_base(Path(base), ModelSpec(base=base))):
        with pytest.raises(ModelError, match=r"pickled|safetensors"):
            load(str(model))
    assert not mark.exists()


def test_a_pickle_beside_other_weights_is_refused(model: Path) -> None:
    """What stands beside it must be what the loader reads in its place."""
    (model / "2_Dense").mkdir()
    (model / "2_Dense" / "pytorch_model.bin").write_bytes(b"")
    (model / "2_Dense" / "x.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match="pickled"):
        find_base_model(str(model))


def test_a_pickle_in_a_saved_adapter_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    """A results folder may come from anyone; its models are looked at as base models are."""
    spec = ModelSpec(base=str(tiny_model))
    saved = tmp_path / "saved"
    save(build(tiny_model, spec, TrainSpec(method="lora")), saved, Origin(str(tiny_model)))
    load_saved(saved, tiny_model, spec)
    (saved / "1_Pooling" / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(ModelError, match="pickled"):
        load_saved(saved, tiny_model, spec)


def test_code_in_a_results_folder_is_that_of_the_plan(tmp_path: Path) -> None:
    """Neither another module under a new manifest is run, nor byte code that lies beside it."""
    code = "def found(context):\n    return {'x': 1.0}\n"
    (tmp_path / "mine.py").write_text(code)
    entry = EvaluatorSpec.of({"function": "mine:found", "folder": str(tmp_path)})
    files = find_files(entry)
    files.freeze(SweepDir(tmp_path / "sweep"))
    folder = SweepDir(tmp_path / "sweep").evaluator_folder(files.digest)
    assert folder is not None
    check_frozen(entry, folder, files.digest)
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine.py").write_text(code.replace("1.0", "2.0"))
    cached = importlib.util.cache_from_source(str(folder / "mine.py"))
    found = (folder / "mine.py").stat()
    os.utime(other / "mine.py", ns=(found.st_mtime_ns, found.st_mtime_ns))
    py_compile.compile(str(other / "mine.py"), cached)
    check_frozen(entry, folder, files.digest)
    found_by: Any = entry.fields.load(folder)(Mock())
    assert found_by == {"x": 1.0}
    shutil.copy(other / "mine.py", folder / "mine.py")
    (folder / "manifest.json").unlink()
    write_manifest(folder)
    with pytest.raises(RecordError, match="planned with"):
        check_frozen(entry, folder, files.digest)


@pytest.mark.parametrize(
    ("change", "reported"),
    [
        ({"type": "os.system"}, "would run code"),
        ({"type": "my_module.Thing"}, "would run code"),
        ({"path": "../other"}, "leads out"),
        ({"path": "/etc"}, "leads out"),
        ({"type": 5}, "with a type"),
    ],
)
def test_a_models_modules_are_sentence_transformers(
    model: Path, change: dict[str, object], reported: str
) -> None:
    """modules.json imports what it names: only the library's own modules, inside the folder."""
    modules = json.loads((model / "modules.json").read_text())
    (model / "modules.json").write_text(json.dumps([{**modules[0], **change}, *modules[1:]]))
    with pytest.raises(ModelError, match=reported):
        find_base_model(str(model))


_CODE = """\
from pathlib import Path
from transformers import BertConfig, BertModel
Path({mark!r}).mkdir(exist_ok=True)
class Config(BertConfig):
    model_type = "mine"
class Model(BertModel):
    config_class = Config
"""


def test_a_models_code_runs_only_when_spec_and_command_agree(
    model: Path, pair_files: Path, tmp_path: Path
) -> None:
    """Off by default, refused with the spec's word alone, and part of the model's content."""
    mark, spec = tmp_path / "ran", tmp_path / "spec.yaml"
    config = json.loads((model / "config.json").read_text())
    config["auto_map"] = {"AutoConfig": "mine.Config", "AutoModel": "mine.Model"}
    (model / "config.json").write_text(json.dumps({**config, "model_type": "mine"}))
    (model / "mine.py").write_text(_CODE.format(mark=str(mark)))
    with pytest.raises(ModelError, match="trust"):
        load_base(model, ModelSpec(base=str(model)))
    assert not mark.exists()
    text = f"name: a\ndata: {{train: {pair_files}/train.jsonl}}\nmodel: {{base: {model}"
    spec.write_text(f"{text}, trust_remote_code: true}}\n")
    command = ["plan", str(spec), "--results", str(tmp_path / "results")]
    refused = CliRunner().invoke(main, command)
    assert refused.exit_code == 2
    assert "--trust-remote-code" in refused.output
    assert CliRunner().invoke(main, [*command, "--trust-remote-code"]).exit_code == 0
    assert not mark.exists()
    trusting = ModelSpec(base=str(model), trust_remote_code=True)
    assert load_base(model, trusting)
    assert mark.exists()
    before = find_base_model(str(model), trusted=True).digest
    (model / "mine.py").write_text(_CODE.format(mark=str(mark)) + "# edited\n")
    find_base_model.cache_clear()
    assert find_base_model(str(model), trusted=True).digest != before


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "modules.json"])
@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "loop"])
def test_strange_files_in_a_model_folder(model: Path, name: str, kind: str) -> None:
    """A pipe, a folder, a device or a link to itself in a file's place: said at once, no hang."""
    (model / name).unlink()
    lay(model / name, kind)
    with pytest.raises(ModelError):
        find_base_model(str(model))


def lay(path: Path, kind: str) -> None:
    """Put something there that is no plain file."""
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero" if kind == "device" else path.name)


@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "loop"])
def test_strange_files_as_spec_and_data(tmp_path: Path, kind: str) -> None:
    """The same for a spec and for data files."""
    lay(tmp_path / "spec.yaml", kind)
    with pytest.raises(SpecError, match=r"spec\.yaml"):
        load_spec(tmp_path / "spec.yaml")
    for name in ("a.csv", "a.jsonl", "a.csv.gz", "a.parquet"):
        lay(tmp_path / name, kind)
        with pytest.raises(DataError, match=name):
            load_pairs(tmp_path / name, Columns())


@pytest.fixture
def results(tiny_model: Path, pair_files: Path, tmp_path: Path) -> Path:
    """A results folder of a sweep that was prepared and not run."""
    prepare(_plan(tiny_model, pair_files, tmp_path), retry_failed=False)
    return tmp_path / "results"


def _plan(tiny_model: Path, pair_files: Path, folder: Path):  # type: ignore[no-untyped-def]
    data = f"data: {{train: {pair_files}/train.jsonl}}"
    return make_plan(
        parse_spec(f"name: a\n{data}\nmodel: {{base: {tiny_model}}}\n"), folder / "results"
    )


@pytest.mark.parametrize("place", ["trials", "trials/x-0123456789ab", "plan.json", "data/x"])
def test_links_in_a_results_folder_are_refused(
    results: Path, tiny_model: Path, pair_files: Path, tmp_path: Path, place: str
) -> None:
    """What a sweep writes or removes stays in its folder."""
    outside = tmp_path / "outside"
    outside.mkdir()
    path = results / "a" / place
    path.unlink(missing_ok=True)
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(outside)
    with pytest.raises(RecordError, match="symbolic link"):
        prepare(_plan(tiny_model, pair_files, tmp_path), retry_failed=False)
    assert list(outside.iterdir()) == []


def test_links_are_not_followed_by_log_progress_and_lock(tmp_path: Path) -> None:
    """Where a link appears later, writing through it fails."""
    victim = tmp_path / "victim"
    victim.write_text("mine")
    trial = TrialDir(tmp_path / "x-0123456789ab")
    trial.path.mkdir()
    for path in (trial.log_file, trial.progress_file, SweepDir(trial.path).lock_file):
        path.symlink_to(victim)
    with pytest.raises(OSError, match="symbolic"):
        trial.open_log()
    with pytest.raises(OSError, match="symbolic"):
        trial.append_progress({"event": "x"})
    with pytest.raises(EmbftError, match="symbolic"), SweepDir(trial.path).lock():
        pass
    assert victim.read_text() == "mine"


@pytest.mark.parametrize(
    ("field", "value"),
    [("folder", "../../x"), ("folder", "/etc"), ("folder", "a/b"), ("data", "../x"), ("data", "/")],
)
def test_a_plan_that_climbs_out_is_refused(results: Path, field: str, value: str) -> None:
    """A results folder from anyone is read inside that folder."""
    path = results / "a" / "plan.json"
    content = unsealed(path)
    if field == "folder":
        content["trials"][0]["folder"] = value
    else:
        content["data"] = [value]
    path.write_text(sealed(content))
    with pytest.raises(RecordError, match=r"plan\.json"):
        build_leaderboard(results / "a")


@pytest.mark.parametrize("wrong", ["\ud800", json.loads(300 * "[" + 300 * "]"), True])
def test_a_spec_that_nobody_can_have_written_is_damage(
    tiny_model: Path, pair_files: Path, tmp_path: Path, wrong: object
) -> None:
    """Half a character, hundreds of levels, another type: in a sealed plan, in a sealed input."""
    plan = _plan(tiny_model, pair_files, tmp_path)
    folder = prepare(plan, retry_failed=False)[0].folder
    folder.create(plan.trials[0].input(1))
    content = unsealed(folder.input_file)
    content["spec"]["model"]["base"] = wrong
    folder.input_file.write_text(sealed(content))
    with pytest.raises(RecordError, match=r"trial\.json: this file is damaged"):
        folder.read_input()
    path = plan.folder.plan_file
    content = unsealed(path)
    content["trials"][0]["spec"]["model"]["base"] = wrong
    path.write_text(sealed(content))
    with pytest.raises(RecordError, match=r"plan\.json: this file is damaged"):
        build_leaderboard(plan.folder.path)


@pytest.mark.parametrize("name", ["../x", "a/b", "/etc", "..", "", "-x", "a\x00", "a\n"])
def test_a_sweeps_name_is_a_plain_name(name: str) -> None:
    """It becomes a folder's name."""
    with pytest.raises(SpecError):
        parse_spec(json.dumps({"name": name, "data": {"dataset": "dating"}}))


def test_texts_on_the_terminal_are_texts(capsys: pytest.CaptureFixture[str]) -> None:
    """Escape sequences and direction marks are shown, not obeyed; brackets stay brackets."""
    from rich.table import Table

    console = new_console()
    console.print(Text(EVIL))
    console.print(EVIL)
    table = Table(EVIL)
    table.add_row(EVIL)
    console.print(table)
    shown = capsys.readouterr().out
    assert not set(shown) & {"\x1b", "\x07", "\x9b", "\u202e"}
    assert r"\x1b[2Jred\u202egnp.exe\x9b31m [bold]x[/bold]" in shown.replace("\n", "")


def test_an_error_message_is_one_screen_of_text(tmp_path: Path) -> None:
    """Also when the input is long and full of control characters."""
    (tmp_path / "spec.yaml").write_text(json.dumps({"name": "a", EVIL * 200: 1}))
    found = CliRunner().invoke(main, ["plan", str(tmp_path / "spec.yaml")])
    assert found.exit_code == 2
    assert not set(found.output) & {"\x1b", "\x07", "\x9b", "\u202e"}
    assert len(found.output) < 2000
    assert len(one_screen("\n" * 500).splitlines()) <= 21


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1+1", "-1+1", "@A(1)", "\t=1", "\r=1", "\n=1", " =1", "\uff1d1", "-2+3+cmd|'/C'!A0"],
)  # fmt: skip
def test_no_cell_of_a_csv_is_a_formula(text: str) -> None:
    """A text that a spreadsheet would run begins with an apostrophe; numbers stay numbers."""
    (row,) = csv.DictReader(io.StringIO(to_csv([{"a": text, "b": -1.5, "c": "-2e-05"}])))
    assert row["a"].startswith(("'", "\\x"))
    assert (row["b"], row["c"]) == ("-1.5", "-2e-05")


def test_no_pickle_is_read_anywhere() -> None:
    """No module of ours unpickles: no pickle module, weights_only and allow_pickle=False always."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = {a.name for a in node.names} | {getattr(node, "module", None) or ""}
                roots = {name.split(".")[0] for name in names}
                assert not roots & {"pickle", "joblib", "dill", "shelve", "marshal"}, path
            if isinstance(node, ast.Call) and ast.unparse(node.func) in {"torch.load", "np.load"}:
                given = {k.arg: ast.unparse(k.value) for k in node.keywords}
                safe = given.get("weights_only") == "True" or given.get("allow_pickle") == "False"
                assert safe, f"{path}:{node.lineno}"


def test_errors_are_of_the_users_kind() -> None:
    """What these tests expect is what the command line prints without a traceback."""
    assert all(issubclass(e, EmbftError) for e in (DataError, ModelError, RecordError, SpecError))
