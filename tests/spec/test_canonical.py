"""One content has one form: lists that are sets, values that differ only in how they stand."""

from __future__ import annotations

import pytest

from embft.results.key import trial_key
from embft.spec import TrialSpec, parse_spec


def _trials(train: str = "{}", **sections: str) -> list[TrialSpec]:
    """The trials of a spec with this train section, and these others."""
    lines = [f"{name}: {text}" for name, text in {"train": train, **sections}.items()]
    data = [] if "data" in sections else ["data: {train: a.jsonl}"]
    return [trial for _, trial in parse_spec("\n".join(["name: a", *data, *lines])).trials()]


def _key(spec: TrialSpec) -> str:
    return trial_key(spec, "data", "model", ["file"] * len(spec.evaluators))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("method: lora, lora: {target_modules: [query, value]}",
         "method: lora, lora: {target_modules: [value, query, value]}"),
        ("method: lora, lora: {target_modules: all-linear}",
         "method: lora, lora: {target_modules: [all-linear]}"),
        ("method: lora, lora: {target_modules: query}",
         "method: lora, lora: {target_modules: [query]}"),
        ("method: lora", "method: lora, lora: {target_modules: [default]}"),
        ("loss: {name: cosent, matryoshka_dims: [32, 64]}",
         "loss: {name: cosent, matryoshka_dims: [64, 32, 64]}"),
        ("loss: cosent", "loss: {name: cosent}"),
        ("learning_rate: 2e-5", "learning_rate: 0.00002"),
        ("method: lora, lora: {alpha: 1}", "method: lora, lora: {alpha: 1.0}"),
        ("sampler: auto", "sampler: shuffled"),
        ("loss: multiple_negatives_ranking",
         "loss: multiple_negatives_ranking, sampler: no_duplicates"),
        ("batch_size: 8", "batch_size: 8, micro_batch_size: 8"),
    ],
)  # fmt: skip
def test_one_content_has_one_key(one: str, other: str) -> None:
    """However it is written: the key is the same, and as values of an axis it is one trial."""
    (first,), (second,) = _trials(f"{{{one}}}"), _trials(f"{{{other}}}")
    assert _key(first) == _key(second)
    assert len(_trials(space=f"{{train: [{{{one}}}, {{{other}}}]}}")) == 1


def test_a_cached_loss_has_a_part_of_its_own() -> None:
    """Where the size of a part matters, giving the whole batch is another trial."""
    loss = "loss: cached_multiple_negatives_ranking, batch_size: 64"
    (one,), (other,) = _trials(f"{{{loss}}}"), _trials(f"{{{loss}, micro_batch_size: 64}}")
    assert _key(one) != _key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("{train: a.csv, groups: [b, a]}", "{train: a.csv, groups: [a, b, a]}"),
        ("{train: a.csv, groups: a}", "{train: a.csv, groups: [a]}"),
        ("{same_label: {file: a.csv, labels: [x, y, z]}}",
         "{same_label: {file: a.csv, labels: [z, y, x, y]}}"),
        ("{train: a.csv, dev: {file: b.csv, groups: [a, b]}}",
         "{train: a.csv, dev: {file: b.csv, groups: [b, a]}}"),
    ],
)  # fmt: skip
def test_one_data_section_is_one_section(one: str, other: str) -> None:
    """Lists of columns and of labels are sets."""
    assert _trials(data=one) == _trials(data=other)


def test_evaluators_are_a_set_of_sets() -> None:
    """Their order, an entry that stands twice, and the order of labels in one make no other key."""
    (one,) = _trials(evaluators="[probe, {clustering: {data: f, labels: [a, b]}}]")
    (other,) = _trials(evaluators="[{clustering: {labels: [b, a, b], data: f}}, probe, probe]")
    assert _key(one) == _key(other)


def test_values_of_an_axis_that_are_equal_are_one_trial() -> None:
    """Also where they are written in other ways."""
    space = "{train.learning_rate: [2e-5, 0.00002, 2.0e-5], train.weight_decay: [0, 0.0]}"
    assert len(_trials(space=space)) == 1
