"""Names that other tools give to what a spec calls otherwise: what to write in their place.

Covers the arguments of transformers' and sentence-transformers' trainers and of PEFT, and our own
fields where they stand in another section. Changes nothing in a spec.
"""

from __future__ import annotations

from collections.abc import Iterable

_CHECKPOINTS = "leave it out: checkpoints are written by themselves"
_OTHERS = {
    "gradient_accumulation_steps": (
        "train.micro_batch_size, the rows in memory at once; gradients are accumulated until "
        "train.batch_size rows are through"
    ),
    "per_device_train_batch_size": "train.batch_size",
    "train_batch_size": "train.batch_size",
    "per_gpu_train_batch_size": "train.batch_size",
    "mini_batch_size": "train.micro_batch_size",
    "num_train_epochs": "train.epochs",
    "num_epochs": "train.epochs",
    "lr": "train.learning_rate",
    "warmup_ratio": "train.warmup_steps, which counts steps of the optimizer",
    "lr_scheduler_type": "train.schedule",
    "scheduler": "train.schedule",
    "eval_steps": "train.evaluation_steps",
    "eval_strategy": "train.evaluation_steps; each epoch is evaluated in any case",
    "evaluation_strategy": "train.evaluation_steps; each epoch is evaluated in any case",
    "save_steps": _CHECKPOINTS,
    "save_strategy": _CHECKPOINTS,
    "save_total_limit": "artifacts.keep, which says whose models stay",
    "load_best_model_at_end": "leave it out: the best epoch on dev is always kept",
    "metric_for_best_model": "objective.metric",
    "greater_is_better": "objective.mode, which is max or min",
    "early_stopping": "train.early_stopping_patience",
    "batch_sampler": "train.sampler",
    "gradient_checkpointing": "train.micro_batch_size, which bounds memory too",
    "bf16": "train.precision: bf16",
    "fp16": "train.precision: fp16",
    "optim": "leave it out: the optimizer is AdamW",
    "output_dir": "leave it out: the option --results of embft sweep names the folder",
    "run_name": "name",
    "use_cpu": "resources.device: cpu",
    "no_cuda": "resources.device: cpu",
    "dataloader_num_workers": "leave it out: batches are made beside the training",
    "model_name_or_path": "model.base",
    "base_model": "model.base",
    "max_seq_length": "model.max_tokens",
    "max_length": "model.max_tokens",
    "torch_dtype": "model.dtype",
    "prompts": "model.prompts, with `query` and `document`",
    "prompt": "model.template, the words around each text",
    "pooling_mode": "model.pooling",
    "load_in_4bit": "model.quantization: 4bit",
    "load_in_8bit": "model.quantization: 8bit",
    "r": "train.lora.rank",
    "lora_r": "train.lora.rank",
    "lora_alpha": "train.lora.alpha",
    "lora_dropout": "train.lora.dropout",
    "use_rslora": "train.lora.variant: rslora",
    "use_dora": "train.lora.variant: dora",
    "loss_function": "train.loss",
    "scale": "train.loss.temperature, which is 1 / scale",
    "dataset_name": "data.train",
    "train_file": "data.train",
    "validation_file": "data.dev",
    "eval_file": "data.dev",
    "test_file": "data.test",
    "num_trials": "space, whose every point is a trial",
    "hyperparameters": "space",
    "parameters": "space",
    "max_concurrent_trials": "resources.concurrent_trials",
    "num_gpus": "resources.gpus_per_trial",
}


def written_elsewhere(name: str, fields: Iterable[str]) -> str | None:
    """What to do about an unknown field of this dotted path; None where nobody knows.

    fields: the dotted paths that a spec has.
    """
    last = name.rpartition(".")[2]
    own = sorted((path for path in fields if path.rpartition(".")[2] == last), key=len)
    if own:
        return "write " + " or ".join(p for p in own if p.count(".") == own[0].count("."))
    found = _OTHERS.get(last)
    return found if found is None or found.startswith("leave") else f"write {found}"
