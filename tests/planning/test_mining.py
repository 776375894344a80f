"""Mined negatives in a sweep: planned without mining, mined once, frozen, trained on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from embft.data.pairs import Pairs
from embft.errors import EmbftError, SpecError
from embft.planning import mining_need
from embft.planning.estimate import check_fits, need
from embft.planning.plan import Plan, make_plan
from embft.planning.prepare import prepare
from embft.results.dataset import frozen_audit, open_splits
from embft.results.folders import MiningDir, TrialDir
from embft.spec import parse_spec
from embft.synthesis import mining
from embft.synthesis.mining_progress import MiningStep, Seen, read_step
from embft.synthesis.mining_work import Remembered, work
from tests.helpers.judged import write_beir
from tests.helpers.trials import run_whole

SPEC = """\
name: mined
data: {{beir: {beir}{data}}}
model: {{base: {model}}}
train: {{loss: {loss}, epochs: 1, batch_size: 8, learning_rate: 1e-3}}
space: {space}
objective: {{metric: ndcg_at_10}}
"""
RULE = "mine: base, number: 2, range: [1, 8]"
MINED = f", negatives: {{{RULE}}}"


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Mines in this process. The folders of what was mined."""
    done: list[Path] = []

    def run(folder: MiningDir, seen: Seen | None) -> None:
        done.append(folder.path)
        work(folder, 1)
        step = read_step(folder.progress_file)
        if seen is not None and step is not None:
            seen(step)

    monkeypatch.setattr(mining, "_run", run)
    return done


@pytest.fixture
def beir(tmp_path: Path) -> Path:
    """Judged queries of three splits; test's and dev's are not train's."""
    splits = {"train": range(24), "dev": range(24, 32), "test": range(32, 40)}
    return write_beir(tmp_path / "beir", splits)


def planned(beir: Path, model: Path, data: str = MINED, **changes: str) -> Plan:
    """The plan of a spec in a results folder beside the data."""
    given = {"loss": "multiple_negatives_ranking", "space": "{train.learning_rate: [1e-3, 2e-3]}"}
    text = SPEC.format(beir=beir, model=model, data=data, **{**given, **changes})
    return make_plan(parse_spec(text), beir.parent / "results")


def train_of(plan: Plan) -> Pairs:
    """Train as it was frozen for the last trial."""
    digest = plan.trials[-1].data_digest
    splits, found = open_splits(plan.folder.dataset(plan.folder.data_name(digest)))
    assert found == digest
    return splits.train.in_memory()


def test_mining_is_planned_and_done_once(beir: Path, tiny_model: Path, here: list[Path]) -> None:
    """The plan says what will be mined and mines nothing; one mining serves all trials of a
    setting; nothing of dev's or test's judgements gets in; the audit has the estimate.
    """
    plan = planned(beir, tiny_model)
    assert any("2 hard negatives for each of the 48 pairs" in note for note in plan.notes)
    assert not here
    assert not plan.folder.path.exists()
    prepare(plan, retry_failed=False)
    prepare(planned(beir, tiny_model), retry_failed=False)
    assert len(here) == 1
    train = train_of(plan)
    assert (train.shape, len(train), len(train.negatives)) == ("triplets", 48, 2)
    positives = set(zip(train.text_1, train.text_2, strict=True))
    for column in train.negatives:
        assert not positives & set(zip(train.text_1, column, strict=True))
    found = frozen_audit(plan.folder.dataset(plan.folder.data_name(plan.trials[0].data_digest)))
    assert found is not None
    assert "mined_negatives" in [finding["name"] for finding in found["findings"]]

    for split in ("dev", "test"):  # judged otherwise, they change nothing that is mined
        path = beir / "qrels" / f"{split}.tsv"
        path.write_text(path.read_text().replace("\t2\n", "\t3\n"))
    again = planned(beir, tiny_model)
    assert again.trials[-1].data_digest != plan.trials[-1].data_digest
    prepare(again, retry_failed=False)
    assert train_of(again).digest() == train.digest()


def test_negatives_are_an_axis(beir: Path, tiny_model: Path, here: list[Path]) -> None:
    """Mined or not, and how many: a key for each; trials run, and one that has finished mines the
    second round, by whatever name it is given.
    """
    space = (
        "{train.learning_rate: [1e-3], "
        "data.negatives: [null, {range: [1, 8], number: 1}, {range: [1, 8], number: 3}]}"
    )
    plan = planned(beir, tiny_model, "", space=space)
    runs = [trial for trial in plan.trials if not trial.spec.is_baseline]
    assert len({trial.key for trial in runs}) == len({trial.data_digest for trial in runs}) == 3
    run_whole(plan)
    assert len(here) == 2
    assert len(train_of(plan).negatives) == 3
    done = runs[0].folder
    digests = set()
    for name in (done.short, done.key, done.path.name, str(done.path)):
        second = planned(beir, tiny_model, f", negatives: {{mine: '{name}', range: [1, 8]}}")
        digests.add(second.trials[-1].data_digest)
    assert len(digests) == 1
    assert not digests & {trial.data_digest for trial in runs}
    prepare(second, retry_failed=False)
    assert len(train_of(second).negatives) == 5
    TrialDir(done.path).removed_file.write_text("{}")
    with pytest.raises(EmbftError, match="has no verified model: its model was removed"):
        planned(beir, tiny_model, f", negatives: {{mine: {done.short}, range: [1, 8]}}")


@pytest.mark.usefixtures("here")
def test_a_training_is_taken_over_by_its_recipe(beir: Path, tiny_model: Path) -> None:
    """A trial on mined negatives is no trial on the pairs alone; where test's judgements are edited
    it is scored again, and not trained.
    """
    one = "{train.learning_rate: [1e-3]}"
    run_whole(planned(beir, tiny_model, "", space=one))
    mined = planned(beir, tiny_model, space=one)
    assert [trial.before for trial in mined.trials] == [None, None]
    run_whole(mined)
    path = beir / "qrels" / "test.tsv"
    path.write_text(path.read_text().replace("\t2\n", "\t3\n"))
    edited = planned(beir, tiny_model, space=one).trials[-1]
    assert edited.finished is None
    assert edited.before is not None
    assert edited.before.by == mined.trials[-1].key
    other = MINED.replace("number: 2", "number: 1")
    assert planned(beir, tiny_model, other, space=one).trials[-1].before is None


def test_the_base_decides_what_is_mined(beir: Path, tiny_model: Path, here: list[Path]) -> None:
    """Another pooling of the base is another model; another loss or seed is not."""
    axes = "{model.pooling: [mean, cls], train.learning_rate: [1e-3, 2e-3]}"
    plan = planned(beir, tiny_model, space=axes)
    runs = [trial for trial in plan.trials if not trial.spec.is_baseline]
    assert len({trial.data_digest for trial in runs}) == 2
    fixed = f", negatives: {{mine: {tiny_model}, number: 2, range: [1, 8]}}"
    plan = planned(beir, tiny_model, fixed, space=axes)
    assert len({t.data_digest for t in plan.trials if not t.spec.is_baseline}) == 1
    assert not here


def test_what_was_killed_is_mined_again(
    beir: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mining that ended early fails the sweep with its reason; the same command goes on with the
    same job, and a result that is torn is made again.
    """
    plan = planned(beir, tiny_model)

    def killed(folder: MiningDir, _seen: object) -> None:
        folder.mined_file.write_bytes(b"torn")
        raise EmbftError("data.negatives: no negatives could be mined: killed")

    monkeypatch.setattr(mining, "_run", killed)
    with pytest.raises(EmbftError, match="no negatives could be mined"):
        prepare(plan, retry_failed=False)
    (job,) = plan.folder.mining_folder.glob("*/job.json")
    before = job.stat().st_mtime_ns
    monkeypatch.setattr(mining, "_run", lambda folder, _seen: work(folder, 1))
    prepare(plan, retry_failed=False)
    assert job.stat().st_mtime_ns == before
    assert len(train_of(plan).negatives) == 2


def test_a_process_of_its_own_mines(beir: Path, tiny_model: Path) -> None:
    """And says in its exception why it could not: here its model has been damaged meanwhile."""
    model = beir.parent / "model"
    shutil.copytree(tiny_model, model)
    plan = planned(beir, model)
    for file in model.rglob("*.safetensors"):
        file.write_bytes(b"no weights")
    with pytest.raises(EmbftError, match="no negatives could be mined"):
        prepare(plan, retry_failed=False)
    for file in tiny_model.rglob("*.safetensors"):
        shutil.copy(file, model / file.relative_to(tiny_model))
    prepare(plan, retry_failed=False)
    assert len(train_of(plan).negatives) == 2


@pytest.mark.usefixtures("here")
def test_pairs_are_mined_among_their_own_texts(tmp_path: Path, tiny_model: Path) -> None:
    """And among those of a file: negatives are of it or of train, and none is the row's own."""
    rows = [{"text_1": f"i love {i}", "text_2": f"you like {i}"} for i in "abcdefghijklmnopqrst"]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "c.csv").write_text("page\n" + "".join(f"we hate {i}\n" for i in range(30)))
    spec = f"""
name: pairs
data:
  train: {tmp_path}/p.jsonl
  columns: {{label: null}}
  negatives:
    {{range: [0, 12], number: 4, margin: null, corpus: {{file: {tmp_path}/c.csv, column: page}}}}
model: {{base: {tiny_model}}}
train: {{loss: triplet, epochs: 1}}
"""
    plan = make_plan(parse_spec(spec), tmp_path / "results")
    prepare(plan, retry_failed=False)
    train = train_of(plan)
    texts = {text for column in train.negatives for text in column}
    assert texts & {f"we hate {i}" for i in range(30)}
    for row, positive in enumerate(train.text_2):
        assert positive not in {column[row] for column in train.negatives}


def test_a_cross_encoder_judges_and_is_remembered(
    beir: Path, tiny_model: Path, here: list[Path]
) -> None:
    """Its scores lie in a file, a line each, so that none is computed twice; another cross-encoder
    is another recipe.
    """
    judge = _cross_encoder(beir.parent / "judge", tiny_model)
    rule = f", negatives: {{number: 2, range: [0, 12], cross_encoder: {judge}}}"
    plan = planned(beir, tiny_model, rule)
    assert plan.trials[-1].data_digest != planned(beir, tiny_model).trials[-1].data_digest
    prepare(plan, retry_failed=False)
    assert len(here) == 1
    (kept,) = plan.folder.mining_folder.glob("judged-*.jsonl")
    lines = kept.read_text().splitlines()
    assert len(lines) > 24 * 12
    kept.write_text("\n".join(lines[:50]) + '\n["torn')
    remembered = Remembered(_Refuses(), kept)
    query, text, score = json.loads(lines[3])
    assert remembered.predict([(query, text)] * 2).tolist() == pytest.approx([score] * 2)
    with pytest.raises(AssertionError, match="asked"):
        remembered.predict([("a new query", text)])


class _Refuses:
    def predict(self, *_: object, **__: object) -> None:
        raise AssertionError("asked")


def _cross_encoder(folder: Path, tiny_model: Path) -> Path:
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    torch.manual_seed(3)
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32,
    )  # fmt: skip
    config.num_labels = 1
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No hub is asked."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize(
    ("data", "loss", "words"),
    [
        (MINED, "cosine_similarity", r"cosine_similarity needs .*data.negatives makes triplets"),
        (MINED, "mega_batch_margin", r"data.negatives makes triplets of them"),
        (", negatives: {number: 2, range: [1, 8]}", "gist_embed", "takes one negative in a row"),
        (
            ", negatives: {range: [0, 60]}",
            "triplet",
            r"range is \[0, 60\].* are 60 different texts",
        ),
        (", negatives: {mine: nobody/knows-it}", "triplet", "no finished trial of that name in"),
        (", negatives: {mine: ./there}", "triplet", "no finished trial .* no such folder"),
        (
            ", negatives: {cross_encoder: ./there}",
            "triplet",
            "cross_encoder is '.*there is no such",
        ),
        (", negatives: {cross_encoder: MODEL}", "triplet", "which is no cross-encoder"),
        (MINED + ", shape: triplets", "triplet", "has negatives of its own"),
        (MINED + ", shape: labelled", "cosent", "set `data.shape: positives`"),
    ],
)
def test_what_cannot_be_mined_is_refused(
    beir: Path, tiny_model: Path, data: str, loss: str, words: str
) -> None:
    """By the plan, before anything runs."""
    with pytest.raises(EmbftError, match=words):
        planned(beir, tiny_model, data.replace("MODEL", str(tiny_model)), loss=loss)


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ("{dataset: handbook, negatives: {number: 9, range: [0, 5]}}", "has 5 ranks"),
        ("{dataset: handbook, negatives: {range: [5, 5]}}", "first < last"),
        (
            "{dataset: handbook, negatives: {cross_encoder: a, margin: null}}",
            "judges by the margin",
        ),
        ("{dataset: handbook, negatives: {form: base}}", "data.negatives.form"),
        ("{same_label: {file: a}, negatives: {}}", "a text of the same label may be mined"),
        ("{train: a, negatives: {}, noise: {}}", "do not go together"),
    ],
)
def test_what_contradicts_itself_is_refused(section: str, words: str) -> None:
    """With its reason."""
    with pytest.raises(SpecError, match=words):
        parse_spec(f"name: a\ndata: {section}\n")


def test_how_far_a_mining_is_is_shown_for_each_setting(
    beir: Path, tiny_model: Path, here: list[Path]
) -> None:
    """The last stage of each, and which of the settings it is; what is mined is not shown again."""
    space = "{data.negatives: [{number: 1, range: [1, 8]}, {number: 2, range: [1, 8]}]}"
    steps = list[MiningStep]()
    for _ in range(2):
        plan = planned(beir, tiny_model, data="", space=space)
        prepare(plan, retry_failed=False, seen=steps.append)
    assert [(s.setting, s.settings, s.stage) for s in steps] == [
        (1, 2, "searching for queries"),
        (2, 2, "searching for queries"),
    ]
    assert len(here) == 2


@pytest.mark.usefixtures("here")
def test_a_mining_beyond_the_memory_budget_is_refused_by_the_plan(
    beir: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what it takes and what can be done, until it is mined; its vectors count as disk."""
    plan = planned(beir, tiny_model)
    plan = make_plan(parse_spec(plan.spec.text + "resources: {memory: 3GB}\n"), plan.folder.path)
    few = need(plan, plan.trials)
    check_fits(plan, few)
    assert few.mining.texts == 60
    monkeypatch.setattr(mining_need, "_TEXT_BYTES", 100_000_000)
    monkeypatch.setattr(mining_need, "FEW", 8)
    found = need(plan, plan.trials)
    assert found.disk - few.disk == 60 * 32 * 4
    words = r"mining hard negatives needs at least 6\.7 GB.*among 60 texts"
    with pytest.raises(EmbftError, match=words):
        check_fits(plan, found)
    prepare(plan, retry_failed=False)
    check_fits(plan, need(plan, plan.trials))
