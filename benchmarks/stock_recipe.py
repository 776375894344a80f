"""The seed study's recipe as its author would run it: sentence-transformers' own trainer with its
defaults, in this process. Used by the benchmarks as what embft is compared with.

    python benchmarks/stock_recipe.py --method lora --seed 42 --data FOLDER

Prints the Spearman correlation on the test pairs as JSON.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

MODEL = "sentence-transformers/all-MiniLM-L6-v2"
RECIPE = {"epochs": 4, "batch_size": 16, "warmup_steps": 100}
RATES = {"full": 2e-5, "lora": 2e-4}


def stock_trial(  # noqa: PLR0913 - a recipe's parameters
    data: Path,
    out: Path,
    *,
    method: str,
    learning_rate: float,
    seed: int,
    rank: int = 8,
    epochs: int = 4,
    base: Path | None = None,
    targets: Sequence[str] = ("query", "value"),
    bf16: bool = False,
) -> float:
    """Train by the stock trainer, keep the best epoch, and return the test Spearman.

    base: another model than MiniLM. targets: the layers that have adapters. bf16: train in that
    precision.
    """
    from datasets import load_dataset
    from peft import LoraConfig
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.sentence_transformer.evaluation import EmbeddingSimilarityEvaluator
    from sentence_transformers.sentence_transformer.losses import CosineSimilarityLoss
    from transformers import set_seed

    from embft.models.resolve import find_base_model

    set_seed(seed)
    model = SentenceTransformer(str(base or find_base_model(MODEL).folder), device="cpu")
    if method == "lora":
        model.add_adapter(
            LoraConfig(r=rank, lora_alpha=16, lora_dropout=0.1, target_modules=[*targets])
        )
    splits = {name: _pairs(load_dataset, data / f"{name}.jsonl", out) for name in _SPLITS}
    evaluators = {
        name: EmbeddingSimilarityEvaluator(
            pairs["text_1"], pairs["text_2"], pairs["label"], main_similarity="cosine", name=name
        )
        for name, pairs in splits.items()
        if name != "train"
    }
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(out),
        num_train_epochs=epochs,
        per_device_train_batch_size=RECIPE["batch_size"],
        learning_rate=learning_rate,
        warmup_steps=RECIPE["warmup_steps"],
        eval_strategy="epoch",
        save_strategy="epoch",
        load_best_model_at_end=True,
        metric_for_best_model="eval_dev_spearman_cosine",
        greater_is_better=True,
        seed=seed,
        bf16=bf16,
        use_cpu=bf16,  # which bfloat16 without a GPU asks for
        report_to=[],
        disable_tqdm=True,
    )
    trainer = SentenceTransformerTrainer(
        model=model,
        args=arguments,
        train_dataset=splits["train"],
        loss=CosineSimilarityLoss(model),
        evaluator=evaluators["dev"],
    )
    trainer.train()
    model.save_pretrained(str(out / "final"), create_model_card=False)
    return float(evaluators["test"](model)["test_spearman_cosine"])


_SPLITS = ("train", "dev", "test")


def _pairs(load_dataset: Any, file: Path, out: Path) -> Any:
    loaded = load_dataset(
        "json", data_files=str(file), split="train", cache_dir=str(out / "datasets")
    )
    labelled = loaded.select_columns(["text_1", "text_2", "label"])
    return labelled.map(lambda row: {"label": float(row["label"])})


def main() -> None:
    """One trial, and its score."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--method", choices=sorted(RATES), required=True)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--targets", nargs="+", default=["query", "value"])
    parser.add_argument("--bf16", action="store_true")
    given = parser.parse_args()
    out = Path("stock").resolve()
    score = stock_trial(
        given.data,
        out,
        method=given.method,
        learning_rate=RATES[given.method],
        seed=given.seed,
        epochs=given.epochs,
        base=given.model,
        targets=given.targets,
        bf16=given.bf16,
    )
    shutil.rmtree(out)
    print(json.dumps({"spearman": score}))


if __name__ == "__main__":
    main()
