"""The spec means what people mean, and says clearly what is wrong with it."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from embft.errors import EmbftError, SpecError
from embft.planning.plan import make_plan
from embft.spec import load_spec, parse_spec, trial_spec

ROOT = Path(__file__).parent.parent.parent

SPEC = """\
name: demo
data: {dataset: dating}
model: {base: some/model}
train:
  epochs: 4
  lora: {alpha: 16, target_modules: [query, value]}
space:
  - train.method: [lora]
    train.lora.rank: [4, 8]
    train.learning_rate: [2e-5, 1_000e-6]
  - train.method: [full]
    train.learning_rate: [2e-5, 2e-4]
seeds: [42, 43]
objective: {metric: spearman, mode: max}
resources: {concurrent_trials: 1, memory: 8GiB}
"""


def test_numbers_mean_what_people_mean() -> None:
    """`2e-5`, `1_000e-6` and `8GiB` are numbers, though YAML 1.1 calls some of them strings."""
    spec = parse_spec(SPEC)
    rates = {trial.train.learning_rate for _, trial in spec.trials()}
    assert rates == {2e-5, 1e-3, 2e-4}
    assert spec.resources.memory == 8 * 2**30


def test_a_space_is_a_union_of_products_times_seeds() -> None:
    """Two products of 4 and 2 points, and two seeds, make 12 trials in the order written."""
    trials = list(parse_spec(SPEC).trials())
    assert len(trials) == 12
    assert [t.seed for _, t in trials[:2]] == [42, 43]
    assert trials[-1][0] == {"train.method": "full", "train.learning_rate": 2e-4}


def test_a_mapping_is_one_product() -> None:
    """A space may be a mapping instead of a list."""
    text = (
        SPEC[: SPEC.index("space:")] + "space: {train.epochs: [1, 2], train.batch_size: [8, 16]}\n"
    )
    assert len(list(parse_spec(text).trials())) == 4


def test_equal_trials_are_planned_once() -> None:
    """Points that differ only where it has no effect, or not at all, are one trial."""
    text = SPEC.replace("train.method: [full]", "train.method: [full]\n    train.lora.rank: [4, 8]")
    assert len(list(parse_spec(text).trials())) == 12
    assert len(list(parse_spec(SPEC.replace("[4, 8]", "[4, 4]")).trials())) == 8


def test_a_spec_is_frozen() -> None:
    """Nothing changes a parsed spec."""
    spec = parse_spec(SPEC)
    with pytest.raises(ValueError, match="frozen"):
        spec.name = "other"  # type: ignore[misc]


def test_paths_are_relative_to_the_spec(tmp_path: Path) -> None:
    """A spec can be run from any folder."""
    path = tmp_path / "s.yaml"
    path.write_text("name: a\ndata: {train: pairs.csv}\nmodel: {base: m}\n")
    (_, trial), *_ = load_spec(path).trials()
    assert trial.data.train == str(tmp_path / "pairs.csv")


@pytest.mark.parametrize(
    ("before", "after", "line", "parts"),
    [
        ("  epochs: 4", "  epoch: 4", 5, ["'train.epoch'", "did you mean 'epochs'", "batch_size"]),
        ("  epochs: 4", "  epochs: four", 5, ["train.epochs is 'four'", "valid integer"]),
        ("  epochs: 4", "  epochs: 0", 5, ["train.epochs is 0", "greater than or equal to 1"]),
        ("  epochs: 4", "  epochs: true", 5, ["train.epochs is True", "valid integer"]),
        ("  epochs: 4", "  epochs: 4\n  epochs: 5", 6, ["'epochs' stands twice", "line 5"]),
        ("[lora]", "[lorra]", 8, ["'lorra'", "did you mean 'lora'", "full, lora, none"]),
        ("train.lora.rank:", "train.lora.rnk:", 9, ["'train.lora.rnk'", "'train.lora.rank'"]),
        ("[2e-5, 2e-4]", "[]", 12, ["train.learning_rate has no values"]),
        ("[2e-5, 2e-4]", "2e-5", 12, ["must be a list", "write [2e-05]"]),
        ("[2e-5, 2e-4]", "[-1]", 12, ["train.learning_rate is -1", "greater than 0"]),
        ("[2e-5, 2e-4]", "[.inf]", 12, ["train.learning_rate", "valid number"]),
        ("8GiB", "8GiX", 15, ["8GiX", "is no size", "8GiB or 500MB"]),
        ("spearman", "spearmn", 14, ["did you mean 'spearman'"]),
        ("dataset: dating", "dataset: datng", 2, ["did you mean 'dating'"]),
        ("{dataset: dating}", "{}", 2, ["dataset: dating", "train: FILE"]),
        ("{dataset: dating}", "{dataset: dating, dev: x.csv}", 2, ["remove dev"]),
        ("[42, 43]", "[42, 42]", 13, ["a seed stands twice"]),
        ("[42, 43]", "[]", 13, ["seeds"]),
        ("name: demo", "name: ../../etc", 1, ["name: '../../etc' is no name: letters, digits"]),
        ("name: demo\n", "", 1, ["'name' is missing"]),
        ("name: demo", "name: demo\nsweeep: 1", 2, ["'sweeep'"]),
        ("seeds:", "seeds", 14, ["not valid YAML"]),
    ],
)
def test_errors_say_where_and_what_is_allowed(
    before: str, after: str, line: int, parts: list[str]
) -> None:
    """Each mistake is answered with file, line, what was given and what to write instead."""
    assert before in SPEC
    with pytest.raises(SpecError) as error:
        parse_spec(SPEC.replace(before, after), "demo.yaml")
    message = str(error.value)
    assert message.startswith(f"demo.yaml:{line}:"), message
    for part in parts:
        assert part in message


@pytest.mark.parametrize(
    ("model", "train", "message"),
    [
        ("quantization: 4bit", "method: full", "set train.method to lora"),
        ("dtype: float16", "method: full, precision: fp16", "set it to float32"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_anything_runs(
    model: str, train: str, message: str
) -> None:
    """Where the method is written, also where only an axis makes it so; LoRA and none may."""
    text = f"name: x\ndata: {{dataset: dating}}\nmodel: {{{model}}}\ntrain: {{{train}}}\n"
    with pytest.raises(SpecError, match=rf"<spec>:4: .*{message}"):
        parse_spec(text)
    axis = "space: {train.method: [lora, none, full]}\n"
    lora = text.replace("full", "lora")
    with pytest.raises(SpecError, match=rf"<spec>:5: .*{message}"):
        parse_spec(lora + axis)
    assert parse_spec(lora + axis.replace(", full", "")).points


@pytest.mark.parametrize(
    "text",
    [
        "",
        "just words",
        "- a\n- b",
        "a: &a [*a]",
        "x: " + "[" * 3000,
        "a: &a [1,1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b]\n"
        "d: &d [*c,*c,*c,*c,*c,*c,*c,*c]\ne: [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]",
        "name: a\ndata: !!python/object:os.system {}\n",
        "? [a, b]\n: c",
        "name: a\x00b",
    ],
)
def test_hostile_yaml_is_refused(text: str) -> None:
    """Cycles, bombs, depth, tags and odd keys end in one clear error, never a hang."""
    with pytest.raises(SpecError):
        parse_spec(text, "hostile.yaml")


def test_a_field_that_looks_like_a_tag_of_pydantic_is_unknown() -> None:
    """`int`, or a bracket, in a name that somebody wrote."""
    for name in ("0[", "int", "NameSpec", "constrained-str"):
        with pytest.raises(SpecError, match="unknown field") as error:
            parse_spec(f"{name}: 1\n", "any.yaml")
        assert repr(name) in str(error.value)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="abcdef: -[]{}\n\t#&*!|>'\"0123456789.e_~,%@`?", max_size=120))
def test_any_text_is_a_spec_or_a_spec_error(text: str) -> None:
    """Whatever the file holds, the answer is a spec or a SpecError."""
    with contextlib.suppress(SpecError):
        parse_spec(text, "any.yaml")


@pytest.mark.parametrize("name", sorted(p.name for p in (ROOT / "sweeps").glob("*.yaml")))
def test_shipped_sweeps_are_valid(name: str) -> None:
    """Every spec that the project ships parses."""
    assert list(load_spec(ROOT / "sweeps" / name).trials())


def test_a_loss_is_a_name_or_a_mapping_and_may_vary() -> None:
    """`loss: cosent` is short for its mapping; name and parameters are axes, in any order."""
    spec = parse_spec(
        """\
name: losses
data: {dataset: dating}
train: {loss: cosent}
space: {train.loss.temperature: [0.1, 0.2], train.loss: [cosent, angle]}
"""
    )
    found = [(p.train.loss.name, p.train.loss.temperature) for p in spec.points]
    assert found == [("cosent", 0.1), ("angle", 0.1), ("cosent", 0.2), ("angle", 0.2)]


@pytest.mark.parametrize(
    ("train", "words"),
    [
        ("loss: cosentt", "did you mean 'cosent'"),
        ("loss: {name: cosent, margin: 1}", "cosent has no margin; it takes temperature"),
        ("batch_size: 4, micro_batch_size: 8", "micro_batch_size is 8, more than batch_size 4"),
    ],
)
def test_impossible_losses_and_batches_are_refused(train: str, words: str) -> None:
    """The error says what is allowed."""
    with pytest.raises(SpecError, match=re.escape(words)):
        parse_spec(f"name: a\ndata: {{dataset: dating}}\ntrain: {{{train}}}\n")


def test_a_loss_that_cannot_take_the_data_is_refused_before_anything_runs(tmp_path: Path) -> None:
    """The plan of labelled pairs with a triplet loss names the losses that would do."""
    spec = parse_spec("name: a\ndata: {dataset: dating}\ntrain: {loss: triplet}\n")
    with pytest.raises(EmbftError, match=r"triplet needs an anchor.*cosine_similarity"):
        make_plan(spec, tmp_path)


def test_specs_of_records_share_their_sections() -> None:
    """Thousands of records differ in a rate: what is equal is one object, what is not stays so."""
    trials = [trial for _, trial in parse_spec(SPEC).trials()]
    read = [trial_spec(trial.model_dump(mode="json")) for trial in trials]
    assert read == trials
    assert len({id(spec.data) for spec in read}) == 1
    assert len({id(spec.train) for spec in read}) == len({spec.train for spec in read})
    with pytest.raises(ValidationError):
        trial_spec({**trials[0].model_dump(mode="json"), "sead": 1})
    with pytest.raises(ValidationError):
        trial_spec({**trials[0].model_dump(mode="json"), "seed": "42"})
    with pytest.raises(ValidationError):
        trial_spec(None)
