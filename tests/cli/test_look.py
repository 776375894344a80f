"""What one asks while a sweep runs and after it: status, watch, show, compare, diff."""

from __future__ import annotations

import json
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from embft.planning.estimate import duration_text
from embft.results.folders import TrialDir
from embft.results.records import Completed, Failed
from embft.storage.files import write_atomic
from tests.helpers.commands import Ask, results_of


def make_running(trial: TrialDir, *steps: int) -> None:
    """A trial as it is while a worker has it."""
    trial.result_file.unlink()
    trial.progress_file.unlink()
    trial.running_file.touch()
    for step in steps:
        event = {"event": "step", "epoch": 1, "step": step, "steps": 12, "loss": 0.1}
        trial.append_progress(event)


def test_one_short_name_is_printed_everywhere_and_taken_by_every_command(
    sweep: dict[str, TrialDir], ask: Ask
) -> None:
    """The first eight digits of the key."""
    trial, other = sweep["lora"], sweep["full"]
    folder, results = trial.sweep.path, ["--results", results_of(sweep)]
    assert trial.short == trial.key[:8]
    spec = trial.sweep.spec_file
    printed = [
        ask("leaderboard", folder),
        ask("plan", spec, *results),
        ask("show", trial.short, *results),
        ask("compare", trial.short, other.short, *results),
        ask("diff", spec, *results),
        ask("evaluate", trial.short, "--evaluator", "probe", *results) + trial.short,
        ask("report", folder, "--compare", trial.short, "baseline", "--format", "md") + trial.short,
    ]
    assert [trial.short in text for text in printed] == [True] * len(printed)


def test_status_says_what_is_done_and_what_is_left(copied: dict[str, TrialDir], ask: Ask) -> None:
    results = results_of(copied)
    assert ask("status", "--results", results) == "shipped: finished, 4 of 4 trials done\n"
    copied["lora"].result_file.unlink()
    line = ask("status", "--results", results)
    assert line.startswith("shipped: stopped, 3 of 4 trials done, about ")
    assert line.endswith("left, the same `embft sweep` carries on\n")
    failed = Failed(
        **copied["lora"].read_input().repeated, reason="diverged", message="loss is NaN"
    )
    copied["lora"].write_result(failed)
    assert "4 of 4 trials done, 1 failed" in ask("status", copied["lora"].sweep.path)


def test_status_of_a_running_trial_has_step_and_measured_rate(
    copied: dict[str, TrialDir], ask: Ask
) -> None:
    """10 of 12 steps are done: two steps, saving and scoring are left, at the measured rate."""
    trial = copied["lora"]
    make_running(trial, 1, 10)
    epoch = {"event": "epoch", "epoch": 1, "step": 10, "loss": 0.1, "dev": {"spearman": 0.5}}
    trial.append_progress({**epoch, "seconds": 100.0})
    with trial.sweep.lock():
        text = ask("status", "--results", results_of(copied))
        (content,) = json.loads(ask("status", trial.sweep.path, "--format", "json"))
    left = duration_text(content["seconds_left"])
    assert f"shipped: running, 3 of 4 trials done, about {left} left" in " ".join(text.split())
    assert f"{trial.short} method=lora" in text
    assert "epoch 2 of 2, step 10 of 12, 10 s a step, dev spearman 0.500" in text
    (running,) = content["running"]
    assert (running["step"], running["steps"], running["step_seconds"]) == (10, 12, 10.0)
    done = [each.result() for each in trial.sweep.trials_by_key().values() if each != trial]
    rest = [r.timings.total - r.timings.train for r in done if isinstance(r, Completed)]
    assert content["seconds_left"] == pytest.approx(20 + sum(rest) / 3)


def test_status_of_folders_that_are_no_sweeps(
    copied: dict[str, TrialDir], ask: Ask, tmp_path: Path
) -> None:
    """A damaged one hides none of the others; where there is none it says how one begins."""
    results = results_of(copied)
    shutil.copytree(results / "shipped", results / "broken")
    write_atomic(results / "broken" / "plan.json", "{}")
    text = ask("status", "--results", results)
    assert "broken: cannot be read" in text
    assert "shipped: finished" in text
    assert "damaged" in ask("status", results / "broken", status=2)
    assert "no sweep is here" in ask("status", "--results", tmp_path / "nowhere")


def test_watch_shows_what_happens_until_the_sweep_ends(
    copied: dict[str, TrialDir], ask: Ask
) -> None:
    trial = copied["lora"]
    record = trial.result_file.read_bytes()
    make_running(trial)
    held = threading.Event()

    def sweeping() -> None:
        with trial.sweep.lock():
            held.set()
            for step in (3, 6):
                make = {"event": "step", "epoch": 1, "step": step, "steps": 12, "loss": 0.1}
                trial.append_progress(make)
                time.sleep(0.3)
            trial.running_file.unlink()
            write_atomic(trial.result_file, record)
            time.sleep(1.5)

    thread = threading.Thread(target=sweeping)
    thread.start()
    held.wait()
    text = ask("watch", "--results", results_of(copied))
    thread.join()
    assert f"{trial.short} method=lora,template=i_love__text_,seed=42: started" in text
    assert f"[4/4] {trial.short} method=lora" in text
    assert "4 of 4 trials done" in text
    assert "finished" in ask("watch", trial.sweep.path)
    assert "no sweep is running" in ask("watch", "--results", results_of(copied), status=2)


def test_show_has_all_of_a_trial(copied: dict[str, TrialDir], ask: Ask) -> None:
    trial = copied["lora"]
    results = ["--results", results_of(copied)]
    text = ask("show", trial.short, *results)
    for part in ("completed, rank ", "Saved model verified", "torch", "Spearman correlation"):
        assert part in text
    content = json.loads(ask("show", trial.key, *results, "--format", "json"))
    assert content["result"]["status"] == "completed"
    assert content["params"]["train.method"] == "lora"
    again = results_of(copied) / "again.yaml"
    again.write_text(ask("show", trial.short, *results, "--format", "spec"))
    assert trial.short in ask("plan", again, *results)


def test_show_of_a_trial_that_failed_or_was_dropped(copied: dict[str, TrialDir], ask: Ask) -> None:
    trial = copied["lora"]
    failed = Failed(
        **trial.read_input().repeated,
        reason="diverged",
        message="loss is NaN at step 3",
        log_tail="FloatingPointError: loss",
    )
    trial.write_result(failed)
    text = ask("show", trial.path)
    for part in ("failed", "loss is NaN at step 3", "log: FloatingPointError", "--retry-failed"):
        assert part in text
    trial.sweep.plan_file.unlink()
    assert "no longer in its sweep's spec" in ask("show", copied["full"].path)


def test_compare_says_what_differs(copied: dict[str, TrialDir], ask: Ask) -> None:
    """The same differences as the records', with intervals; `baseline` is that of the sweep."""
    lora, full = copied["lora"], copied["full"]
    results = ["--results", results_of(copied)]
    found = json.loads(ask("compare", lora.short, full.short, *results, "--format", "json"))
    assert found["settings"]["train.method"] == ["lora", "full"]
    records = [trial.result() for trial in (lora, full)]
    scores = [record.test for record in records if isinstance(record, Completed)]
    for each in found["test"]:
        assert each["first"] == pytest.approx(scores[0][each["name"]])
        assert each["difference"] == pytest.approx(each["first"] - each["second"])
        assert each["low"] <= each["difference"] <= each["high"]
    assert len(found["apart"]) == 3
    turned = json.loads(ask("compare", full.short, lora.short, *results, "--format", "json"))
    assert [d["difference"] for d in turned["test"]] == pytest.approx(
        [-d["difference"] for d in found["test"]]
    )
    text = ask("compare", "recommended", copied["none"].short, *results)
    assert "no significant difference" in text
    assert "of which sweep" in ask("compare", "baseline", "recommended", *results, status=2)


def test_compare_refuses_other_pairs(
    copied: dict[str, TrialDir], ask: Ask, tiny_spec: str, tmp_path: Path
) -> None:
    """Two sweeps, of which one has fewer test pairs."""
    from embft.planning.plan import make_plan
    from embft.spec import parse_spec
    from tests.helpers.trials import run_whole

    lines = (Path(_named(tiny_spec, "test"))).read_text().splitlines()[:-4]
    (tmp_path / "test.jsonl").write_text("\n".join(lines))
    text = tiny_spec.replace(_named(tiny_spec, "test"), str(tmp_path / "test.jsonl"))
    text = text[: text.index("space:")] + "space: {train.method: [none]}\n"
    run_whole(make_plan(parse_spec(text), results_of(copied)))
    (other,) = (results_of(copied) / "tiny" / "trials").iterdir()
    refused = ask("compare", copied["lora"].path, other, status=2)
    assert "different test pairs" in refused


def _named(text: str, split: str) -> str:
    line = next(each for each in text.splitlines() if each.strip().startswith(f"{split}:"))
    return line.partition(":")[2].strip()


def diffed(ask: Ask, trials: dict[str, TrialDir], text: str) -> Any:
    spec = results_of(trials) / "edited.yaml"
    spec.write_text(text)
    return json.loads(ask("diff", spec, "--results", results_of(trials), "--format", "json"))


def test_diff_names_the_field_that_made_a_trial_another(
    copied: dict[str, TrialDir], ask: Ask
) -> None:
    text = copied["lora"].sweep.spec_file.read_text()
    same = diffed(ask, copied, text)
    assert (len(same["kept"]), same["added"], same["dropped"]) == (4, [], [])
    edited = text.replace('["i love {text}"]', '["we love {text}"]')
    found = diffed(ask, copied, edited + "resources: {memory: 4GB}\n")
    assert {each["instead_of"] for each in found["added"]} == {
        copied["lora"].name,
        copied["none"].name,  # its base model, which has the template too
    }
    for added in found["added"]:
        assert added["why"] == ["model.template: i love {text} → we love {text}"]
    assert copied["lora"].short in {each["short"] for each in found["dropped"]}
    assert found["without_effect"] == ["resources.memory: – → 4000000000"]


def test_diff_of_data_evaluators_and_a_sweep_that_is_not_there(
    copied: dict[str, TrialDir], ask: Ask, tmp_path: Path
) -> None:
    """Content counts and not its name: a copied file changes nothing, an edited line everything."""
    text = copied["lora"].sweep.spec_file.read_text()
    train = Path(_named(text, "train"))
    copy = tmp_path / "other.jsonl"
    shutil.copy(train, copy)
    assert diffed(ask, copied, text.replace(str(train), str(copy)))["added"] == []
    copy.write_text(copy.read_text().replace(" a", " the", 1))
    found = diffed(ask, copied, text.replace(str(train), str(copy)))
    assert all("data.train" in each["why"][0] for each in found["added"])
    found = diffed(ask, copied, text + "evaluators: [clusters]\n")
    assert {why for each in found["added"] for why in each["why"]} == {
        "evaluators.clusters: – → clusters"
    }
    (tmp_path / "new.yaml").write_text(text.replace("name: shipped", "name: new"))
    fresh = ask("diff", tmp_path / "new.yaml", "--results", results_of(copied))
    assert "not run yet" in fresh
    assert "taken over from shipped" in fresh


def test_diff_of_edited_files_says_which_split(
    copied: dict[str, TrialDir], ask: Ask, tmp_path: Path
) -> None:
    """The same spec, whose dev file has another line now."""
    text = copied["lora"].sweep.spec_file.read_text()
    for split in ("train", "dev", "test"):
        shutil.copy(_named(text, split), tmp_path / f"{split}.jsonl")
        text = text.replace(_named(text, split), f"{tmp_path}/{split}.jsonl")
    from embft.planning.plan import make_plan
    from embft.planning.prepare import prepare
    from embft.spec import parse_spec

    for trial in prepare(make_plan(parse_spec(text), tmp_path / "r"), retry_failed=False):
        trial.folder.create(trial.input(threads=1))
    dev = tmp_path / "dev.jsonl"
    dev.write_text(dev.read_text().replace(" a", " the", 1))
    (tmp_path / "r" / "edited.yaml").write_text(text)
    spec = tmp_path / "r" / "edited.yaml"
    found = json.loads(ask("diff", spec, "--results", tmp_path / "r", "--format", "json"))
    whys = {why for each in found["added"] for why in each["why"]}
    assert whys == {"data: dev has other content"}
