"""The model card of an exported folder: what the model is, how good, for what, and how to check it.

Words alone, made from the trial's record and its sweep's leaderboard. Holds no text of the users'
data and no path of this machine.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from embft.leaderboard.labels import metric_label, number
from embft.leaderboard.one_trial import one_trial_yaml
from embft.leaderboard.rows import Leaderboard, Row
from embft.results.records import Completed
from embft.spec import TrialSpec, trial_spec

_SPECIAL = re.compile(r"([\\`*_\[\]|#@<>])")
Interval = tuple[float, float]


@dataclass(frozen=True)
class Facts:
    """What a card says of a model beside its trial's record.

    name: of the exported model. kind: in words, `base and adapter merged` for instance. base: a
    name that is good elsewhere. is_hub_name: whether `base` is a hub's id. prompts, template: what
    stands around a text. max_tokens: what it reads of a text. verified: sentences on how it was.
    """

    name: str
    kind: str
    base: str
    is_hub_name: bool
    base_digest: str
    revision: str | None
    is_adapter: bool
    trusted: bool
    width: int
    max_tokens: int | None
    prompts: Mapping[str, str]
    template: str | None
    pooling: str
    verified: Sequence[str]
    formats: Sequence[str] = ()


def model_card(facts: Facts, leaderboard: Leaderboard | None, row: Row | None) -> str:
    """The card as the hub reads it: metadata in YAML, then Markdown."""
    result = row.completed if row else None
    parts = [
        _metadata(facts),
        f"# {facts.name}",
        _summary(facts, result),
        _loading(facts),
        _checking(facts),
        _scores(leaderboard, row),
        _base(facts),
        _data(leaderboard, result),
        _limits(facts, leaderboard, result),
        _spec(row),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _metadata(facts: Facts) -> str:
    lines = ["---", "library_name: sentence-transformers", "pipeline_tag: sentence-similarity"]
    tags = ["sentence-transformers", "sentence-similarity", "feature-extraction", "embft"]
    lines += ["tags:", *(f"- {tag}" for tag in tags)]
    if facts.is_hub_name:
        relation = "adapter" if facts.is_adapter else "finetune"
        lines += [f"base_model: {json.dumps(facts.base)}", f"base_model_relation: {relation}"]
    return "\n".join([*lines, "---"])


def _summary(facts: Facts, result: Completed | None) -> str:
    what = f"An embedding model: a text becomes {facts.width:,} numbers."
    if result is None:
        return f"{what} Made from `{facts.base}` ({facts.kind}) by embft."
    if result.spec.is_baseline:
        return f"{what} It is the base model `{facts.base}` as it was, exported by embft."
    method = {"lora": "low-rank adaptation (LoRA)", "full": "full fine-tuning"}
    return (
        f"{what} `{facts.base}` trained by {method[result.spec.train.method]} ({facts.kind}), "
        f"trial `{result.name}`, exported by embft."
    )


def _loading(facts: Facts) -> str:
    trust = ", trust_remote_code=True" if facts.trusted else ""
    lines = [
        "## Use it",
        "```python",
        "from sentence_transformers import SentenceTransformer",
        "",
        f'model = SentenceTransformer("{facts.name}"{trust})  # this folder, or its name on a hub',
        'embeddings = model.encode(["a text", "another text"])',
        "print(model.similarity(embeddings, embeddings))",
        "```",
        "",
        *_around(facts),
    ]
    if facts.is_adapter:
        lines += ["", *_adapter(facts)]
    if facts.formats:
        lines += ["", "Other formats, as they were measured on the machine that exported them:", ""]
        lines += [f"- {line}" for line in facts.formats]
    return "\n".join(lines).rstrip()


def _around(facts: Facts) -> Iterator[str]:
    yield f"Pooling: {facts.pooling}."
    if facts.template is not None:
        yield (f"Each text is put into `{facts.template}` by the tokenizer: give texts without it.")
    for name, prompt in facts.prompts.items():
        if prompt:
            yield f'Prompt `{name}`: `{prompt}`, by `model.encode(texts, prompt_name="{name}")`.'


def _adapter(facts: Facts) -> Iterator[str]:
    yield (
        f"This is an adapter alone: loading it needs its base model, `{facts.base}`"
        + (f", revision `{facts.revision}`" if facts.revision else "")
        + f", whose content has the digest `{facts.base_digest}`."
    )
    if not facts.is_hub_name:
        yield (
            "That is not a name that a hub knows: put the base model's folder under this name "
            "where the program runs, or write its path as `base_model_name_or_path` into "
            "`adapter_config.json`."
        )


def _checking(facts: Facts) -> str:
    trust = ", trust_remote_code=True" if facts.trusted else ""
    return "\n".join([
        "## Check it",
        "`embft.json` holds some texts and the embeddings that this model must give them:",
        "",
        "```python",
        "import json",
        "import numpy as np",
        "from sentence_transformers import SentenceTransformer",
        "",
        f'folder = "{facts.name}"',
        'check = json.load(open(f"{folder}/embft.json"))["check"]',
        f'found = SentenceTransformer(folder{trust}).encode(check["texts"])',
        'expected = np.array(check["embeddings"])',
        "shares = np.linalg.norm(found - expected, axis=1) / np.linalg.norm(expected, axis=1)",
        'print("equal" if shares.max() < check["tolerance"] else f"differs by {shares.max():.1e}")',
        "```",
        "",
        f"`embft verify {facts.name}` does the same, and `embft verify {facts.name} --endpoint URL`"
        " compares a server that serves it.",
        "",
        *(f"- {sentence}" for sentence in facts.verified),
    ])  # fmt: skip


def _scores(leaderboard: Leaderboard | None, row: Row | None) -> str:
    if row is None or row.completed is None:
        return ""
    base = leaderboard.baseline_of(row) if leaderboard else None
    base = None if base is row else base
    head = "| metric | dev | test | 95 % interval, test |" + (" base model, test |" if base else "")
    lines = ["## Scores", head, "|---|---:|---:|---|" + ("---|" if base else "")]
    objective = row.completed.spec.objective.metric
    names = [objective, *(name for name in row.test if name != objective)]
    lines += [_score_line(row, base, name) for name in names if name in row.test or name in row.dev]
    scheme = row.completed.interval_scheme
    note = f"`{objective}` is what the sweep chose by, on dev."
    note += f" Intervals come from resampling {scheme}." if scheme else ""
    return "\n".join([*lines, "", note])


def _score_line(row: Row, base: Row | None, name: str) -> str:
    cells = [metric_label(name), _cell(row.dev.get(name)), _cell(row.test.get(name))]
    cells.append(_ends(row.test_intervals.get(name)))
    if base:
        interval = _ends(base.test_intervals.get(name))
        cells.append(_cell(base.test.get(name)) + (f" ({interval})" if interval else ""))
    return f"| {' | '.join(cells)} |"


def _cell(value: float | None) -> str:
    return "" if value is None else number(value)


def _ends(interval: Interval | None) -> str:
    return "" if interval is None else f"{number(interval[0])} to {number(interval[1])}"


def _base(facts: Facts) -> str:
    lines = ["## Base model", f"- name: `{facts.base}`"]
    if facts.revision:
        lines.append(f"- revision: `{facts.revision}`")
    lines.append(f"- digest of its content (SHA-256): `{facts.base_digest}`")
    return "\n".join(lines)


def _data(leaderboard: Leaderboard | None, result: Completed | None) -> str:
    if result is None:
        return ""
    lines = ["## Data", f"- digest (SHA-256): `{result.data_digest}`"]
    if leaderboard:
        sizes = ", ".join(f"{count:,} {split}" for split, count in leaderboard.pairs.items())
        lines.append(f"- pairs: {sizes}")
        lines += _audit(leaderboard.audit)
    return "\n".join(lines)


def _audit(audit: Mapping[str, Any] | None) -> Iterator[str]:
    """The audit's sentences, which count rows and quote no text."""
    if audit is None:
        return
    found = [f for f in audit["findings"] if f["severity"] != "info"]
    if not found:
        yield "- audit: no problem and no warning was found"
    for finding in found:
        yield f"- audit, {finding['severity']}: {_plain(finding['message'])}"


def _limits(facts: Facts, leaderboard: Leaderboard | None, result: Completed | None) -> str:
    lines = ["## Limits"]
    if facts.max_tokens:
        lines.append(
            f"- It reads {facts.max_tokens:,} tokens of a text, what stands around it included; "
            "the rest is cut off."
        )
    if result is not None:
        lines.append(
            "- The scores hold for pairs like those of the test split. How it does on other texts, "
            "languages or tasks was not measured, but where a metric above says so."
        )
    if result is not None and result.threshold is not None:
        lines.append(
            f"- As two classes: a cosine of {number(result.threshold)} and more counts as a match, "
            "chosen on dev."
        )
    if leaderboard:
        lines += [f"- {_plain(sentence)}" for sentence in leaderboard.warnings]
    return "\n".join(lines) if len(lines) > 1 else ""


def _spec(row: Row | None) -> str:
    if row is None or row.completed is None:
        return ""
    text = one_trial_yaml(portable_spec(row.completed.spec), "exported")
    fence = "`" * (3 + max((len(run) for run in re.findall("`+", text)), default=0))
    return "\n".join([
        "## Spec",
        "What `embft sweep` needs to train it again; files are named without their folders.",
        "",
        f"{fence}yaml",
        text.rstrip(),
        fence,
    ])  # fmt: skip


def portable_spec(spec: TrialSpec) -> TrialSpec:
    """The same trial without the folders of this machine."""
    return trial_spec(_portable(json.loads(spec.model_dump_json())))


def _portable(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _portable(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_portable(each) for each in value]
    if isinstance(value, str) and PurePath(value).is_absolute():
        return PurePath(value).name
    return value


def _plain(text: str) -> str:
    """A sentence as Markdown leaves it as it is."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
