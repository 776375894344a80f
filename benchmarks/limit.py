"""How close training comes to what the processor can multiply.

    python benchmarks/limit.py [--epochs 2]

The least work: the floating-point operations of the matrix products that the real tokens need,
without padding, over the rate at which this machine multiplies matrices of the model's own shape
(tokens of a batch by 384 by 1536) in the training's own precision. A forward pass is 2 operations
for each weight of the linear layers and token, and 4 * width for each pair of tokens of a text and
layer (attention); a backward pass is the same again for the gradients of activations, and for full
fine-tuning once more for those of weights. Dev is embedded once an epoch. Beside it, the seconds of
training that a trial's record states.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from measuring import data_files, fresh, parser, publish, python, table
from stock import SPEC
from stock_recipe import MODEL, RATES
from transformers import AutoConfig

from embft.data.load import Columns, load_pairs
from embft.models.resolve import find_base_model, token_counter
from embft.training.precision import resolve_precision

PASSES = {"lora": 2, "full": 3}  # forward, activations' gradients, weights' gradients


def tokens_of(data: Path) -> tuple[list[int], list[int]]:
    """Numbers of tokens of all texts of train, and of dev's different texts."""
    base = find_base_model(MODEL)
    count = token_counter(base)
    assert count is not None
    train, dev = (load_pairs(data / f"{name}.jsonl", Columns()) for name in ("train", "dev"))
    different = list(dict.fromkeys([*dev.text_1, *dev.text_2]))
    return count([*train.text_1, *train.text_2]), count(different)


def forward(tokens: list[int]) -> float:
    """The operations of one forward pass over texts of these lengths."""
    config = AutoConfig.from_pretrained(find_base_model(MODEL).folder)
    width, inner, layers = config.hidden_size, config.intermediate_size, config.num_hidden_layers
    weights = 4 * width * width + 2 * width * inner
    return float(sum(layers * (2 * n * weights + 4 * n * n * width) for n in tokens))


def rate(rows: int, precision: str) -> float:
    """Operations a second of (rows, 384) times (384, 1536), the best of many."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    left, right = torch.randn(rows, 384).to(dtype), torch.randn(384, 1536).to(dtype)
    best = 0.0
    for _ in range(20):
        start = time.perf_counter()
        for _ in range(50):
            torch.mm(left, right)
        seconds = (time.perf_counter() - start) / 50
        best = max(best, 2 * rows * 384 * 1536 / seconds)
    return best


def main() -> None:
    """Work, rate and time for both methods; publish their ratio."""
    arguments = parser(__doc__)
    arguments.add_argument("--epochs", type=int, default=2)
    given = arguments.parse_args()
    precision = resolve_precision("auto", "cpu")
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="bench-data-") as name:
        data = data_files(Path(name))
        train, dev = tokens_of(data)
        speed = rate(round(32 * sum(train) / len(train)), precision)
        for method, passes in PASSES.items():
            spec = SPEC.format(
                data=data, method=method, epochs=given.epochs, rate=RATES[method], seed=42
            )
            run = fresh(python("one_trial.py", "spec.yaml"), {"spec.yaml": spec})
            work = given.epochs * (passes * forward(train) + forward(dev))
            found[method] = {
                "operations": work,
                "limit_seconds": work / speed,
                "train_seconds": run.output["train"],
                "ratio": run.output["train"] * speed / work,
            }
            print(method, found[method], flush=True)
    rows = [
        [
            method,
            f"{each['operations'] / 1e12:.2f}",
            f"{each['limit_seconds']:.1f}",
            f"{each['train_seconds']:.1f}",
            f"**{each['ratio']:.1f}**",
        ]
        for method, each in found.items()
    ]
    headings = ["method", "10¹² operations", "at the limit s", "trained in s", "ratio"]
    shown = (
        table(headings, rows) + f"\n\nMatrix products: {speed / 1e9:.0f} GFLOP/s in {precision}."
    )
    publish("limit", {"rate": speed, "precision": precision, **found}, shown)


if __name__ == "__main__":
    main()
