"""A search with early stopping through the command line, on real Ray: killed, and gone on with."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from embft.results.folders import SweepDir
from embft.results.records import Completed, Pruned
from embft.results.search_log import Answered, Suggested, read_search
from embft.results.seed_rounds import read_rounds
from embft.scheduler.searchers import RandomSearch
from embft.spec import parse_spec
from tests.helpers.commands import embft, rows, start_cold, wait_for, wait_for_the_end

SPACE = """\
space:
  - {train.method: [lora], train.lora.rank: {randint: [2, 9]}}
  - {train.method: [full], train.learning_rate: {loguniform: [1e-5, 1e-1]}}
search: {algorithm: random, trials: 5, seed: 2}
scheduler: {algorithm: asha, reduction_factor: 2}
"""


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_killed_search_goes_on(tmp_path: Path, tiny_spec: str) -> None:
    """The driver is killed after two trials. What had finished stays as it was, the points are
    those of the seed, some trials are pruned and have no rank and no model; a second spec in the
    queue takes the trials over.
    """
    text = tiny_spec[: tiny_spec.index("space:")].replace("epochs: 2", "epochs: 3") + SPACE
    (tmp_path / "one.yaml").write_text(text)
    (tmp_path / "two.yaml").write_text(text.replace("name: tiny", "name: two"))
    sweep = SweepDir(tmp_path / "results/tiny")
    records = "trials/*/result.json"
    driver = start_cold("sweep", "one.yaml", cwd=tmp_path)
    wait_for(lambda: len(list(sweep.path.glob(records))) >= 3, seconds=200)
    os.kill(driver.pid, signal.SIGKILL)
    driver.communicate(timeout=60)
    wait_for_the_end(tmp_path, 90)
    before = {path: path.read_bytes() for path in sweep.path.glob(records)}
    embft("sweep", "one.yaml", "two.yaml", cwd=tmp_path)
    assert {path: path.read_bytes() for path in before} == before
    events = read_search(sweep)
    searcher = RandomSearch(parse_spec(text))
    proposed = [event.params for event in events if isinstance(event, Suggested)]
    assert proposed == [searcher.suggest(str(number)) for number in range(len(proposed))]
    answered = [event.number for event in events if isinstance(event, Answered)]
    assert answered == list(range(len(proposed)))
    found = [folder.result() for folder in sweep.trials_by_key().values()]
    pruned = [record for record in found if isinstance(record, Pruned)]
    assert pruned
    assert sum(isinstance(record, Completed) for record in found) == 6 - len(pruned)
    table = rows(sweep.path)
    assert all(not row["rank"] for row in table.values() if row["status"] == "pruned")
    assert not any((sweep.trial(record.name).path / "model").exists() for record in pruned)
    other = read_search(SweepDir(tmp_path / "results/two"))
    assert [e for e in other if isinstance(e, Answered)] == [
        e for e in events if isinstance(e, Answered)
    ]


ROUNDS = """\
space: {train.learning_rate: {loguniform: [1e-4, 1e-1]}}
search: {algorithm: tpe, trials: 2, seed: 2, objectives: [score, serving]}
seeds: {start: 1, most: 2}
serving: {dimensions: [8]}
artifacts: {keep: none}
"""


@pytest.mark.slow
def test_a_search_with_a_cost_and_rounds_of_seeds(tmp_path: Path, tiny_spec: str) -> None:
    """The models are measured in service before the searcher hears of them, though none is kept;
    then those that may be the best get their second seed. The same command runs nothing more.
    """
    text = tiny_spec[: tiny_spec.index("space:")].replace("epochs: 2", "epochs: 1") + ROUNDS
    (tmp_path / "one.yaml").write_text(text)
    run = embft("sweep", "one.yaml", cwd=tmp_path)
    sweep = SweepDir(tmp_path / "results/tiny")
    answers = [event for event in read_search(sweep) if isinstance(event, Answered)]
    assert len(answers) == 2
    assert all(each.costs and each.costs["serving"] > 0 for each in answers)
    rounds = read_rounds(sweep)
    assert rounds is not None
    assert [(one.seeds, len(one.trials)) for one in rounds.rounds] == [(2, 2)]
    assert "More seeds for those that may be the best: 2 trials." in run.stdout
    table = rows(sweep.path)
    assert sorted(row["seed"] for row in table.values()) == ["0", "42", "42", "43", "43"]
    assert {row["status"] for row in table.values()} == {"completed"}
    assert not list(sweep.path.glob("trials/*/model"))
    records = {path: path.read_bytes() for path in sweep.path.glob("trials/*/result.json")}
    log, decided = sweep.search_file.read_bytes(), sweep.rounds_file.read_bytes()
    embft("sweep", "one.yaml", cwd=tmp_path)
    assert {path: path.read_bytes() for path in sweep.path.glob("trials/*/result.json")} == records
    assert (sweep.search_file.read_bytes(), sweep.rounds_file.read_bytes()) == (log, decided)


HYPERBAND = """\
space:
  - {train.method: [full], train.learning_rate: {loguniform: [1e-5, 1e-1]}}
search: {algorithm: random, trials: 8, seed: 2}
scheduler: {algorithm: hyperband, reduction_factor: 2}
"""


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_hyperband_pauses_and_goes_on_from_checkpoints(tmp_path: Path, tiny_spec: str) -> None:
    """Trials of a group wait for each other; of Ray's groups the first three run to their end, the
    next are halved once. One that went on has each evaluation once, and those
    that it had before the pause are as in a training that nobody stopped.
    """
    head = tiny_spec[: tiny_spec.index("space:")].replace("epochs: 2", "epochs: 4")
    (tmp_path / "waits.yaml").write_text(head + HYPERBAND)
    plain = HYPERBAND[: HYPERBAND.index("scheduler:")]
    (tmp_path / "plain.yaml").write_text(head.replace("name: tiny", "name: plain") + plain)
    embft("sweep", "waits.yaml", cwd=tmp_path)
    embft("sweep", "plain.yaml", cwd=tmp_path)
    waited, other = (SweepDir(tmp_path / "results" / name) for name in ("tiny", "plain"))
    logs = [folder.progress_file.read_text() for folder in waited.trials_by_key().values()]
    assert any('"resumed"' in log for log in logs), logs
    found = {k: folder.result() for k, folder in waited.trials_by_key().items()}
    assert len(found) == 9
    assert any(isinstance(record, Pruned) for record in found.values())
    finished = {k: r for k, r in found.items() if isinstance(r, Completed) and r.epochs}
    assert finished
    for key, record in finished.items():
        assert [epoch.epoch for epoch in record.epochs] == [1, 2, 3, 4]
        expected = other.trials_by_key()[key].result()
        assert isinstance(expected, Completed)
        assert record.epochs == expected.epochs
        assert record.dev == expected.dev
