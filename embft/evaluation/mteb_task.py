"""One task of the mteb package, by its name there. Needs the extra `embft[mteb]`."""

from __future__ import annotations

import re
import warnings
from typing import Any

from sentence_transformers import SentenceTransformer

from embft.encoding.encoder import encode
from embft.evaluation.context import Context, Found
from embft.spec.evaluators import MtebSpec


def mteb_task(spec: MtebSpec, context: Context) -> dict[str, Found]:
    """mteb_TASK: the task's main score, the mean over its test splits and subsets."""
    if "test" not in context.asked:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mteb

        return {"test": task_metrics(mteb.get_task(spec.task), context)}


def task_metrics(task: Any, context: Context) -> Found:
    """The main score of a task of the package, or of one that is made with its classes."""
    import mteb

    found = mteb.evaluate(
        as_mteb_model(context.model), task, cache=None, co2_tracker=False, show_progress_bar=False
    )
    name = re.sub(r"\W", "_", task.metadata.name)
    return {f"mteb_{name}": float(found.task_results[0].get_score())}


def as_mteb_model(model: SentenceTransformer) -> Any:
    """The model for mteb, embedding texts as our own evaluators do.

    Rounding differs with the batches, by 1e-7, and k-means can make a different clustering of it. A
    model with prompts is left to mteb, which chooses among them by task.
    """
    from mteb.models.sentence_transformer_wrapper import SentenceTransformerEncoderWrapper

    class Encoder(SentenceTransformerEncoderWrapper):
        def encode(self, inputs: Any, **options: Any) -> Any:
            if self.model_prompts:
                return super().encode(inputs, **options)
            return encode(self.model, [text for batch in inputs for text in batch["text"]])

    return Encoder(model)
