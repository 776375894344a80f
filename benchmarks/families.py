"""embft against the stock trainer for each family of models: whole trials in fresh processes.

    python benchmarks/families.py [--families bert mpnet …] [--methods lora full]
        [--tokens 15 60 200] [--precisions bf16 fp32] [--rounds 3] [--rows 800] [--epochs 2]
        [--missing] [--minutes N]

A family's base is MiniLM's size (6 layers, width 384) with random weights and MiniLM's tokenizer;
the data are the seed study's pairs, some of one label joined to texts of about so many tokens.
Three ways in turn, each from the start of a process to a scored model: sentence-transformers'
trainer with its defaults, the same with `bf16=True`, and a trial of embft (`one_trial.py`) in the
precision named. The limit is the time that the products of the real tokens take (`limit.py`).
Beside it, what bounds a cell: the seconds of a trial beside its training, and where a step's time
goes (`step_shares.py`).
The table is written after each cell, and keeps cells that were measured before, so that it can be
made in several sittings (`--missing`, `--minutes 30`). Fails where embft is less than `--least`
times as fast as the stock default.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from limit import PASSES, rate
from measuring import (
    FIGURES,
    Run,
    alternate,
    data_files,
    fresh,
    machine,
    median,
    parser,
    publish,
    python,
    table,
)
from stock_recipe import MODEL, RATES
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from embft.models.model_folder import anatomy
from embft.models.resolve import find_base_model
from embft.models.targets import default_targets

WIDTH, LAYERS, HEADS, INNER = 384, 6, 12, 1536
_USUAL = {
    "hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
    "intermediate_size": INNER, "max_position_embeddings": 514,
}  # fmt: skip
_GATED = {**_USUAL, "intermediate_size": 2 * INNER // 3}  # three matrices, and as many weights
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("Bert", _USUAL),
    "mpnet": ("MPNet", _USUAL),
    "xlm-roberta": ("XLMRoberta", _USUAL),
    "distilbert": (
        "DistilBert",
        {"dim": WIDTH, "n_layers": LAYERS, "n_heads": HEADS, "hidden_dim": INNER},
    ),
    "modernbert": ("ModernBert", _GATED),
    "qwen3": ("Qwen3", {**_GATED, "num_key_value_heads": HEADS // 3, "head_dim": 32}),
    "llama": ("Llama", {**_GATED, "num_key_value_heads": HEADS // 3}),
}
SHARES = ("products", "loops", "other", "python")
JOINED = {15: 1, 60: 4, 200: 13}  # texts of the pairs, of 15 tokens in the mean
SPEC = """\
name: one
data: {{train: {data}/train.jsonl, dev: {data}/dev.jsonl, test: {data}/test.jsonl}}
model: {{base: {base}}}
train:
  method: {method}
  precision: {precision}
  epochs: {epochs}
  batch_size: 16
  warmup_steps: 100
  learning_rate: {rate:g}
  lora: {{rank: 8, alpha: 16, dropout: 0.1}}
seeds: [{seed}]
"""


def read_rows(file: Path) -> list[dict[str, Any]]:
    """The rows of a file of JSON lines."""
    return [json.loads(line) for line in file.read_text().splitlines()]


def make_base(family: str, folder: Path) -> Path:
    """A family's base in Hugging Face's format."""
    name, settings = FAMILIES[family]
    tokenizer = AutoTokenizer.from_pretrained(find_base_model(MODEL).folder)
    assert isinstance(tokenizer, PreTrainedTokenizerFast)
    tokenizer.save_pretrained(folder)
    config = getattr(transformers, f"{name}Config")(
        vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.cls_token_id, eos_token_id=tokenizer.sep_token_id,
        cls_token_id=tokenizer.cls_token_id, sep_token_id=tokenizer.sep_token_id, **settings,
    )  # fmt: skip
    torch.manual_seed(0)
    getattr(transformers, f"{name}Model")(config).save_pretrained(folder)
    return folder


def make_data(source: Path, folder: Path, tokens: int, rows: int) -> Path:
    """The pairs with texts of about so many tokens; train has at most so many rows."""
    folder.mkdir()
    generator = np.random.default_rng(0)
    for split in ("train", "dev", "test"):
        by_label = defaultdict(list)
        for row in read_rows(source / f"{split}.jsonl"):
            by_label[row["label"]].append(row)
        lines = []
        for label, pairs in by_label.items():
            for _ in range(min(len(pairs), rows // len(by_label))):
                some = [pairs[i] for i in generator.integers(len(pairs), size=JOINED[tokens])]
                texts = {c: " ".join(row[c] for row in some) for c in ("text_1", "text_2")}
                lines.append(json.dumps({**texts, "label": label}))
        order = generator.permutation(len(lines))
        (folder / f"{split}.jsonl").write_text("".join(f"{lines[i]}\n" for i in order))
    return folder


def work(base: Path, data: Path, method: str, epochs: int) -> float:
    """The operations of training's and dev's matrix products (see `limit.py`)."""
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = transformers.AutoModel.from_pretrained(base)
    weights = sum(m.weight.numel() for m in model.modules() if isinstance(m, torch.nn.Linear))

    def forward(split: str) -> float:
        rows = read_rows(data / f"{split}.jsonl")
        texts = [row[column] for row in rows for column in ("text_1", "text_2")]
        lengths = [len(ids) for ids in tokenizer(texts, verbose=False)["input_ids"]]
        return float(sum(2 * n * weights + 4 * n * n * WIDTH * LAYERS for n in lengths))

    return epochs * (PASSES[method] * forward("train") + forward("dev"))


def compare(
    base: Path, data: Path, method: str, precision: str, given: Any
) -> tuple[dict[str, list[Run]], dict[str, float]]:
    """The ways of one cell, in turn, and where a step of ours spends its time."""
    targets = default_targets(anatomy(base).linear_layers)
    options = ["--method", method, "--epochs", given.epochs, "--data", data, "--model", base]
    options += ["--targets", *targets]

    def stock(seed: int) -> Run:
        return fresh(python("stock_recipe.py", *options, "--seed", seed), {})

    def narrow(seed: int) -> Run:
        return fresh(python("stock_recipe.py", *options, "--seed", seed, "--bf16"), {})

    def spec(seed: int) -> dict[str, str]:
        text = SPEC.format(
            data=data, base=base, method=method, precision=precision, epochs=given.epochs,
            rate=RATES[method], seed=seed,
        )  # fmt: skip
        return {"spec.yaml": text}

    def ours(seed: int) -> Run:
        return fresh(python("one_trial.py", "spec.yaml"), spec(seed))

    ways = {"stock": stock, "embft": ours}
    if precision == "bf16" and not given.no_narrow:
        ways["stock bf16"] = narrow
    runs = alternate(ways, range(42, 42 + given.rounds))
    return runs, fresh(python("step_shares.py", "spec.yaml"), spec(42)).output


def figures(
    runs: dict[str, list[Run]], shares: dict[str, float], operations: float, speed: float
) -> dict[str, Any]:
    """Medians, the ratios of each round, and how far training is from its limit."""
    found: dict[str, Any] = {"limit_seconds": operations / speed, "shares": shares}
    for name, each in runs.items():
        found[name] = {
            "seconds": [run.seconds for run in each],
            "median_seconds": median(each, lambda run: run.seconds),
            "peak_mb": median(each, lambda run: run.peak_mb),
            "spearman": statistics.fmean(run.output["spearman"] for run in each),
        }
        found[name]["ratios"] = sorted(
            one.seconds / ours.seconds for one, ours in zip(each, runs["embft"], strict=True)
        )
    found["train"] = median(runs["embft"], lambda run: run.output["train"])
    return found


def row(cell: str, found: dict[str, Any]) -> list[str]:
    """A line of the table."""
    ways = [found.get(name) for name in ("stock", "stock bf16", "embft")]
    return [
        *cell.split(),
        *(f"{each['median_seconds']:.1f}" if each else "" for each in ways),
        *(_ratio(each) for each in ways[:2]),
        f"{found['train'] / found['limit_seconds']:.1f}",
        f"{found['embft']['median_seconds'] - found['train']:.1f}",
        ", ".join(f"{found['shares'][part]:.0%}" for part in SHARES) if "shares" in found else "",
        f"{found['stock']['peak_mb']:.0f}, {found['embft']['peak_mb']:.0f}",
        f"{found['stock']['spearman']:.3f}, {found['embft']['spearman']:.3f}",
        f"{len(found['embft']['seconds'])}, {found['date']}",
    ]


def _ratio(found: dict[str, Any] | None) -> str:
    if found is None:
        return ""
    ratios = found["ratios"]
    return f"**{statistics.median(ratios):.1f}** ({ratios[0]:.1f} to {ratios[-1]:.1f})"


HEADINGS = [
    "family", "method", "tokens", "precision", "stock s", "stock bf16 s", "embft s",
    "times faster than stock", "than stock bf16", "training by its limit", "beside training s",
    "a step: products, loops, torch, Python", "MB, stock and embft", "Spearman of both", "rounds",
]  # fmt: skip


def known() -> dict[str, Any]:
    """The figures of the page's table, by cell: `FAMILY METHOD TOKENS PRECISION`."""
    file = FIGURES / "families.json"
    return json.loads(file.read_text())["figures"] if file.is_file() else {}


def order(cell: str) -> list[int]:
    """Where a cell stands in the table: by family, method, tokens and precision."""
    family, method, tokens, precision = cell.split()
    names = ([*FAMILIES], [*RATES], [str(n) for n in JOINED], ["bf16", "fp32"])
    return [
        each.index(c) for each, c in zip(names, (family, method, tokens, precision), strict=True)
    ]


def show(found: dict[str, Any]) -> str:
    """The table."""
    return table(HEADINGS, [row(cell, found[cell]) for cell in sorted(found, key=order)])


def main() -> None:
    """Compare every cell, publish, and fail where embft is too slow."""
    arguments = parser(__doc__)
    arguments.add_argument("--families", nargs="+", default=[*FAMILIES], choices=FAMILIES)
    arguments.add_argument("--methods", nargs="+", default=[*RATES], choices=RATES)
    arguments.add_argument("--tokens", nargs="+", type=int, default=[*JOINED], choices=JOINED)
    arguments.add_argument("--precisions", nargs="+", default=["bf16", "fp32"])
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--rows", type=int, default=800)
    arguments.add_argument("--epochs", type=int, default=2)
    arguments.add_argument("--least", type=float, default=0.0)
    arguments.add_argument("--no-narrow", action="store_true", help="without stock bf16")
    arguments.add_argument("--no-publish", action="store_true", help="leave the page as it is")
    arguments.add_argument("--missing", action="store_true", help="only cells not in the table")
    arguments.add_argument("--minutes", type=float, help="begin no further cell after so long")
    given = arguments.parse_args()
    start = time.monotonic()
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="bench-families-") as name:
        root = Path(name)
        source = root / "source"
        source.mkdir()
        data_files(source)
        data = {n: make_data(source, root / f"data-{n}", n, given.rows) for n in given.tokens}
        speeds = {each: rate(640, each) for each in given.precisions}
        bases = {family: make_base(family, root / family) for family in given.families}
        # Families last, so that an early end leaves no family without figures.
        for precision, tokens, method, family in product(
            given.precisions, given.tokens, given.methods, given.families
        ):
            cell = f"{family} {method} {tokens} {precision}"
            late = given.minutes and time.monotonic() - start > 60 * given.minutes
            if late or (given.missing and cell in known()):
                continue
            print(cell, flush=True)
            operations = work(bases[family], data[tokens], method, given.epochs)
            runs, shares = compare(bases[family], data[tokens], method, precision, given)
            about = machine()
            measured = {"date": about["date"], "revision": about["revision"]}
            found[cell] = figures(runs, shares, operations, speeds[precision]) | measured
            if not given.no_publish:
                every = known() | found
                publish("families", every, show(every))
    print(show(found))
    for cell, each in found.items():
        ratio = statistics.median(each["stock"]["ratios"])
        if ratio < given.least:
            sys.exit(f"{cell}: {ratio:.2f} times as fast, {given.least} is the least")


if __name__ == "__main__":
    main()
