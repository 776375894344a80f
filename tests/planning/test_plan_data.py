"""What a plan makes of its data: one baseline for what is scored alike, and shapes that fit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from embft.data.texts import normalise
from embft.errors import DataError, EmbftError
from embft.evaluation.clustering import Clustering
from embft.evaluation.labelled import read_labelled
from embft.models.resolve import find_base_model
from embft.planning.plan import make_plan
from embft.spec import LOSSES, load_spec, parse_spec
from tests.helpers.trials import run_whole

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "data"


def write(path: Path, rows: list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def pairs(count: int, mark: str) -> list[dict[str, object]]:
    things = ["dogs", "cats", "tea", "coffee", "music"]
    return [
        {
            "text_1": f"i like {things[i % 5]} {mark}{i}",
            "text_2": f"you {'like' if i % 2 else 'hate'} {things[i % 3]} {mark}{i}",
            "label": i % 2,
        }
        for i in range(count)
    ]


def test_edited_data_and_an_updated_model_make_new_trials(tmp_path: Path, tiny_model: Path) -> None:
    """No record of before is taken for one of after; put back, the old ones count again."""
    write(tmp_path / "train.jsonl", pairs(12, "a"))
    write(tmp_path / "dev.jsonl", pairs(12, "dev"))
    shutil.copytree(tiny_model, tmp_path / "model")
    text = f"name: t\nmodel: {{base: {tmp_path}/model}}\n"
    text += "data: {train: train.jsonl, dev: dev.jsonl}\n"

    def keys() -> list[str]:
        return [t.key for t in make_plan(parse_spec(text, folder=tmp_path), tmp_path).trials]

    before = keys()
    assert keys() == before
    write(tmp_path / "train.jsonl", [*pairs(11, "a"), *pairs(1, "b")])
    assert set(keys()).isdisjoint(before)
    write(tmp_path / "train.jsonl", pairs(12, "a"))
    assert keys() == before
    weights = tmp_path / "model" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    find_base_model.cache_clear()  # it is another process that meets the new model
    assert set(keys()).isdisjoint(before)


def test_train_data_as_an_axis_has_one_baseline(tmp_path: Path, tiny_model: Path) -> None:
    """The base model is scored once where trials differ in their train data alone, and once
    more where dev does.
    """
    for name in ("a", "b", "dev", "other"):
        write(tmp_path / f"{name}.jsonl", pairs(12, name))
    text = f"name: t\nmodel: {{base: {tiny_model}}}\n" + "data: {dev: dev.jsonl}\n"
    space = "space: {data.train: [a.jsonl, b.jsonl], data.noise.delete_words: [0.1, 0.5]}\n"
    plan = make_plan(parse_spec(text + space, folder=tmp_path), tmp_path / "results")
    assert [trial.spec.is_baseline for trial in plan.trials] == [True, *[False] * 4]
    assert len(plan.data) == 4
    space = "space: {data.train: [a.jsonl, b.jsonl], data.dev: [dev.jsonl, other.jsonl]}\n"
    plan = make_plan(parse_spec(text + space, folder=tmp_path), tmp_path / "results")
    assert [trial.spec.is_baseline for trial in plan.trials].count(True) == 2


@pytest.mark.parametrize(
    ("data", "loss", "words"),
    [
        ("{train: a.jsonl}", "triplet", r"triplet needs an anchor.*data\.shape: triplets"),
        ("{train: a.jsonl}", "multiple_negatives_ranking", "shape: positives or triplets"),
        ("{train: a.jsonl, columns: {label: null}}", "cosent", "needs two texts and a label"),
        ("{train: a.jsonl, label_range: [0, 5]}", "contrastive", "labels 0 and 1.*graded"),
        ("{train: a.jsonl, label_range: [0, 5]}", "triplet", "an anchor.* Losses for such data"),
    ],
)
def test_a_loss_that_cannot_use_the_data_is_refused(
    tmp_path: Path, tiny_model: Path, data: str, loss: str, words: str
) -> None:
    """Before anything runs the plan says which shape the loss needs, and how to come by it."""
    write(tmp_path / "a.jsonl", pairs(40, "a"))
    text = f"name: t\nmodel: {{base: {tiny_model}}}\ndata: {data}\ntrain: {{loss: {loss}}}\n"
    with pytest.raises(EmbftError, match=words):
        make_plan(parse_spec(text, folder=tmp_path), tmp_path / "results")


def test_every_loss_is_in_the_sweep_of_losses(tmp_path: Path, minilm: Path) -> None:
    """`sweeps/losses.yaml` has every loss there is, each on data that it can use, and the base
    model is scored once.
    """
    assert minilm.is_dir()
    plan = make_plan(load_spec(ROOT / "sweeps" / "losses.yaml"), tmp_path)
    trained = [trial.spec for trial in plan.trials if not trial.spec.is_baseline]
    assert len(plan.trials) == len(trained) + 1
    assert {spec.train.loss.name for spec in trained} == set(LOSSES)
    assert any(spec.train.loss.matryoshka_dims for spec in trained)
    assert {plan.data[t.data_digest].train.shape for t in plan.trials} == {
        "labelled",
        "positives",
        "triplets",
    }


def test_the_sweep_of_the_sts_benchmark(tmp_path: Path, minilm: Path) -> None:
    """`sweeps/stsb.yaml` reads the benchmark as it is: graded pairs without a header."""
    assert minilm.is_dir()
    if not (SHARED / "stsb").is_dir():
        pytest.skip(f"no shared data at {SHARED}")
    plan = make_plan(load_spec(ROOT / "sweeps" / "stsb.yaml"), tmp_path)
    names = {t.spec.train.loss.name for t in plan.trials if not t.spec.is_baseline}
    assert names == {"cosine_similarity", "cosent", "angle"}
    (splits,) = plan.data.values()
    assert [len(splits[name]) for name in ("train", "dev", "test")] == [3375, 374, 1000]
    assert not splits.train.is_binary


def test_a_users_evaluator_reads_train_as_lists(tmp_path: Path, tiny_spec: str) -> None:
    """In a trial too, where training's texts otherwise stay in their file."""
    (tmp_path / "mine.py").write_text(
        "def seen(context):\n"
        "    train = context.splits.train\n"
        "    vectors = context.model.encode(train.text_1 + train.text_2[:2])\n"
        "    return {'vectors': len(vectors), 'pairs': len(train)}\n"
    )
    plan = make_plan(
        parse_spec(tiny_spec + "evaluators: ['mine:seen']\n", folder=tmp_path), tmp_path / "results"
    )
    for record in run_whole(plan)[:2]:
        assert record.test["vectors"] == record.test["pairs"] + 2


def test_texts_alone_train_a_model(tmp_path: Path, tiny_model: Path) -> None:
    """Unsupervised SimCSE from spec to record: dropout makes a text differ from itself, so that the
    in-batch loss is above what it would be for equal embeddings, and training lowers it.
    """
    letters = "abcdefghijklmnopqrstuvwxyz"
    texts = [" ".join(letters[(i * k) % 26] for k in range(1, 7)) for i in range(64)]
    write(tmp_path / "texts.jsonl", [{"text": text} for text in dict.fromkeys(texts)])
    write(tmp_path / "dev.jsonl", pairs(12, "dev"))
    text = f"""\
name: t
model: {{base: {tiny_model}}}
data: {{text: {{file: texts.jsonl}}, dev: dev.jsonl}}
train:
  loss: {{name: multiple_negatives_ranking, temperature: 0.05}}
  epochs: 3
  learning_rate: 1e-2
"""
    plan = make_plan(parse_spec(text, folder=tmp_path), tmp_path / "results")
    assert next(iter(plan.data.values())).train.shape == "positives"
    base, trained = run_whole(plan)
    losses = [epoch.loss for epoch in trained.epochs]
    assert losses[0] is not None
    assert losses[-1] is not None
    assert losses[-1] < losses[0] / 2
    assert trained.dev["pearson"] != base.dev["pearson"]


def test_dropout_parts_a_text_from_itself(tiny_model: Path) -> None:
    """In training the two embeddings of one text differ; in evaluation they do not."""
    from sentence_transformers import SentenceTransformer

    from embft.encoding.encoder import Encoder, Tokenised

    model = SentenceTransformer(str(tiny_model), device="cpu")
    model.eval()
    encoder = Encoder(model, Tokenised(model, [["i like dogs"]]))
    one, other = encoder.embed([0, 0])
    assert one.allclose(other, atol=1e-6)
    model.train()
    one, other = encoder.embed([0, 0])
    assert not one.allclose(other, atol=1e-3)


def test_triplets_of_inference_train_a_model(tmp_path: Path, tiny_model: Path) -> None:
    """From premises and hypotheses to a record: hard negatives reach the loss, dev is cut."""
    rows: list[dict[str, object]] = []
    for i in range(40):
        said = [("entailment", f"i like dogs {i}"), ("contradiction", f"i hate dogs {i}")]
        rows += [{"premise": f"i love dogs {i}", "hypothesis": h, "label": k} for k, h in said]
    write(tmp_path / "nli.jsonl", rows)
    text = f"""\
name: t
model: {{base: {tiny_model}}}
data: {{nli: {{file: nli.jsonl}}}}
train: {{loss: multiple_negatives_ranking, epochs: 2, learning_rate: 1e-3}}
"""
    plan = make_plan(parse_spec(text, folder=tmp_path), tmp_path / "results")
    base, trained = run_whole(plan)
    assert trained.dev["auc"] >= base.dev["auc"]
    assert trained.verification is not None


def test_labels_that_are_held_out_are_never_trained_on(tmp_path: Path, minilm: Path) -> None:
    """`sweeps/held_out_labels.yaml` trains on ten labels and clusters the titles of the others, of
    which train and dev hold none.
    """
    assert minilm.is_dir()
    if not (SHARED / "stackoverflow").is_dir():
        pytest.skip(f"no shared data at {SHARED}")
    plan = make_plan(load_spec(ROOT / "sweeps" / "held_out_labels.yaml"), tmp_path)
    held = next(entry for entry in plan.spec.evaluators if entry.name == "held_out")
    assert isinstance(held.fields, Clustering)
    table = held.fields.read_table(SHARED / "stackoverflow" / "titles.csv")
    assert len(set(table.labels)) == 10
    assert len(table.texts) == 10_000
    known = {normalise(text) for text in table.texts}
    for splits in plan.data.values():
        for pairs in (splits.train, splits.dev):
            texts = {normalise(text) for column in pairs.columns for text in column}
            assert not texts & known


def test_a_label_that_no_text_has(tmp_path: Path) -> None:
    """A misspelt label of an evaluator is refused with the nearest one."""
    write(tmp_path / "t.jsonl", [{"text": f"t{i}", "label": "ab"[i % 2]} for i in range(6)])
    with pytest.raises(DataError, match="no text has the label 'bb'"):
        read_labelled(tmp_path / "t.jsonl", only=["a", "bb"])
