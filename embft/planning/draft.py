"""What was recognised in the user's files -> the text of a commented spec that runs.

Chooses loss, objective and search space by what a row is; how large the space may be says
`design.py`. Writes no file.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from embft.data.recognise import Name, Recognised
from embft.planning.design import TOKEN_CHARACTERS, Design, Work
from embft.planning.estimate import duration_text
from embft.spec.objective import RANKING
from embft.spec.source import scalar

MOST_TOKENS = 256  # of a text, where the base model does not say otherwise
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./ -]*[A-Za-z0-9_/-]|[A-Za-z_]")
_OLD_WORDS = {"y", "n", "yes", "no", "on", "off"}  # which older YAML takes for true and false
_DEV_SHARE = 0.1
_SECTIONS = {
    "labelled": "train",
    "positives": "train",
    "triplets": "train",
    "nli": "nli",
    "same_label": "same_label",
    "text": "text",
    "retrieval": "beir",
}
_IN_BATCH_SIZE = 64
_LEAST_BATCHES = 8  # of an epoch: smaller data have smaller batches


@dataclass(frozen=True)
class Choices:
    """What is chosen for a draft beside the data. seconds: what the sweep is expected to take.
    negatives: whether inference has hard negatives.
    """

    name: str
    base: str
    design: Design
    seconds: float
    language: str | None = None
    negatives: bool = True


def work_of(found: Recognised, weights: int, max_tokens: int | None = None) -> Work:
    """What every trial on these data does, of a base model with so many weights in its layers."""
    rows = found.train.rows
    pairs = rows // 2 if found.kind == "same_label" else rows
    cut = 0 if "dev" in found.files else int(pairs * _DEV_SHARE)
    scored = cut + sum(table.rows for name, table in found.files.items() if name != "train")
    characters = [found.train[name].mean_length for name in found.texts]
    lengths = [min(size / TOKEN_CHARACTERS + 2, max_tokens or MOST_TOKENS) for size in characters]
    several = 2 if len(lengths) == 1 else 1  # a single text stands beside another of its column
    trained = max(1, pairs - cut)
    return Work(trained, scored, sum(lengths) * several, weights, batch_size(found, trained))


def batch_size(found: Recognised, rows: int) -> int:
    """Rows of a step: more of them where a batch's other rows are the negatives."""
    most = 16 if found.kind == "labelled" else _IN_BATCH_SIZE
    size = 4
    while size < most and rows >= 2 * size * _LEAST_BATCHES:
        size *= 2
    return size


def draft(found: Recognised, work: Work, chosen: Choices, folder: Path) -> str:
    """The text of a spec in this folder."""
    parts = [
        _head(found, chosen),
        _data(found, chosen, folder),
        _model(chosen),
        _train(found, work, chosen.design),
        _space(chosen),
        _rest(found),
    ]
    return "\n".join(parts) + "\n"


def word(value: Name) -> str:
    """A name or a path as YAML writes it: plain where that means the same text."""
    text = str(value)
    if isinstance(value, int):
        return text
    plain = _PLAIN.fullmatch(text) and scalar(text) == text and text.lower() not in _OLD_WORDS
    return text if plain else json.dumps(text, ensure_ascii=False)


def _head(found: Recognised, chosen: Choices) -> str:
    spec = [
        "# Written by `embft init`; every line may be changed. What each field means, and which",
        "# others there are: docs/reference.md, or an editor by `embft schema`.",
        f"name: {word(chosen.name)}",
        f"description: {_QUESTION[found.kind]}",
    ]
    return "\n".join(spec)


_QUESTION = {
    "labelled": "Which configuration predicts the labels best, and does fine-tuning pay?",
    "positives": "Which configuration finds the text that belongs to another one best?",
    "triplets": "Which configuration keeps positives and hard negatives apart best?",
    "nli": "Which configuration keeps entailments and contradictions apart best?",
    "same_label": "Which configuration brings texts of the same label together best?",
    "retrieval": "Which configuration finds the documents that answer a query best?",
    "text": "Does training on texts alone bring the base model nearer to these labels?",
}


def _data(found: Recognised, chosen: Choices, folder: Path) -> str:
    source = _SECTIONS[found.kind]
    lines = ["", "data:"]
    train = _path(found.train.path, folder)
    if source == "train":
        lines.append(_remarked(f"  train: {train}", f"{found.train.rows:,} rows"))
    elif source == "beir":
        lines.append(_remarked(f"  beir: {train}", f"{found.train.rows:,} pairs to train on"))
        return "\n".join(lines)
    else:
        lines += [f"  {source}:", _remarked(f"    file: {train}", f"{found.train.rows:,} rows")]
        lines += [f"    {name}: {word(column)}" for name, column in _own_columns(found)]
    if found.kind == "nli" and not chosen.negatives:
        lines.append(_remarked("    negatives: false", "no premise has a contradiction too"))
    lines += [_split_line(found, split, folder) for split in ("dev", "test")]
    if source == "train":
        lines.append(f"  columns: {_columns(found)}")
        lines += _label_lines(found)
    return "\n".join(lines)


def _own_columns(found: Recognised) -> list[tuple[str, Name]]:
    """The columns of a source that has fields of its own for them."""
    label = found.label if found.label is not None else "label"
    if found.kind == "nli":
        second = found.text_2 if found.text_2 is not None else "hypothesis"
        return [("premise", found.text_1), ("hypothesis", second), ("label", label)]
    if found.kind == "same_label":
        return [("text", found.text_1), ("label", label)]
    return [("column", found.text_1)]


def _split_line(found: Recognised, split: str, folder: Path) -> str:
    if split in found.files:
        table = found.files[split]
        return _remarked(f"  {split}: {_path(table.path, folder)}", f"{table.rows:,} rows")
    if found.kind == "same_label":
        return f"  # {split}: none is given: a tenth of each label's texts is set aside"
    if split == "dev":
        return "  # dev: none is given: a tenth of train is set aside, and chooses"
    return "  # test: none is given: scores are those of dev, and flatter what was chosen by it"


def _columns(found: Recognised) -> str:
    names: list[tuple[str, str]] = [("text_1", word(found.text_1))]
    if found.text_2 is not None:
        names.append(("text_2", word(found.text_2)))
    if len(found.negatives) == 1:
        names.append(("text_3", word(found.negatives[0])))
    elif found.negatives:
        names.append(("negatives", f"[{', '.join(map(word, found.negatives))}]"))
    elif found.kind == "labelled" and found.label is not None:
        names.append(("label", word(found.label)))
    else:
        names.append(("label", "null"))
    return "{" + ", ".join(f"{name}: {column}" for name, column in names) + "}"


def _label_lines(found: Recognised) -> list[str]:
    lines = []
    if found.label_range is not None and found.label is not None:
        column = found.train[found.label]
        remark = f"the ends of the scale; the labels run from {column.low:g} to {column.high:g}"
        low, high = found.label_range
        lines.append(_remarked(f"  label_range: [{low:g}, {high:g}]", remark))
    if found.groups:
        groups = ", ".join(json.dumps(str(name), ensure_ascii=False) for name in found.groups)
        lines.append(_remarked(f"  groups: [{groups}]", "scores are broken down by these"))
    return lines


def _model(chosen: Choices) -> str:
    remark = "a hub name, or a folder"
    if chosen.language not in {None, "en"}:
        remark += f"; most texts are in {chosen.language}"
    return "\n" + _remarked(f"model: {{base: {word(chosen.base)}}}", remark)


def _train(found: Recognised, work: Work, design: Design) -> str:
    steps = min(work.epoch_steps * design.epochs, design.max_steps or 10**9)
    lines = ["", "train:"]
    loss = _LOSSES[found.kind]
    lines.append(_remarked(f"  loss: {loss}", "others for such data: docs/losses.md"))
    lines.append(_remarked(f"  epochs: {design.epochs}", "the best one on dev is kept"))
    if design.max_steps:
        fit = "as many as the time allows; leave it out for a whole epoch"
        lines.append(_remarked(f"  max_steps: {design.max_steps}", fit))
        lines.append(f"  evaluation_steps: {max(1, design.max_steps // 4)}")
    lines.append(f"  batch_size: {work.batch_size}")
    if steps >= _LEAST_WARMED:
        lines.append(f"  warmup_steps: {min(100, steps // 10)}")
    return "\n".join(lines)


_LEAST_WARMED = 20
_LOSSES = {
    "labelled": "cosine_similarity",
    "positives": "multiple_negatives_ranking",
    "triplets": "multiple_negatives_ranking",
    "nli": "multiple_negatives_ranking",
    "same_label": "multiple_negatives_ranking",
    "text": "multiple_negatives_ranking",
    "retrieval": "multiple_negatives_ranking",
}


def _space(chosen: Choices) -> str:
    design = chosen.design
    trials = f"{design.count} trials and the base model; about {duration_text(chosen.seconds)} here"
    lines = [
        "",
        f"# What varies: {trials}",
        "# (`embft plan SPEC --measure` measures it).",
        "space:",
        "  - train.method: [lora]",
        f"    train.lora.rank: {_list(design.ranks)}",
        f"    train.learning_rate: {_list(design.lora_rates)}",
        "  - train.method: [full]",
        f"    train.learning_rate: {_list(design.full_rates)}",
        _remarked(f"seeds: {_list(design.seeds)}", "several show how much chance does"),
    ]
    return "\n".join(lines)


def _rest(found: Recognised) -> str:
    binary = found.kind != "labelled" or found.label_range is None
    metric = "auc" if binary else "spearman"
    if found.kind == "retrieval":
        metric = RANKING
    ranks = "ranks on dev; `embft metrics` lists others"
    return "\n".join(
        [
            _remarked(f"objective: {{metric: {metric}, mode: max}}", ranks),
            "resources: {concurrent_trials: auto}",
        ]
    )


def _list(values: Sequence[float]) -> str:
    return "[" + ", ".join(f"{value:g}" for value in values) + "]"


def _remarked(line: str, remark: str) -> str:
    return f"{line:<38} # {remark}"


def _path(path: str, folder: Path) -> str:
    """A path relative to the spec's folder, as a spec means it."""
    if path.startswith("~"):
        return word(path)
    return word(Path(os.path.relpath(path, folder)).as_posix())
