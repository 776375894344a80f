"""One task of the mteb package, by its name there. Needs the extra `embft[mteb]`."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from embft.errors import EmbftError, nearest
from embft.evaluation.context import Context, Estimate, Found
from embft.results.evaluators import EvaluatorFiles, named_digest
from embft.results.units import UnitValues
from embft.spec.base import Text
from embft.spec.evaluators import Evaluator

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


class Mteb(Evaluator):
    """A task of the mteb package, by its name there."""

    task: Text

    needs_pairs: ClassVar = False
    foreign: ClassVar = True

    @property
    def title(self) -> str:
        """The task's name in MTEB."""
        return self.task

    def find_files(self) -> EvaluatorFiles:
        """Nothing that is frozen; the digest is of the task's name and the version of mteb."""
        return EvaluatorFiles(_digest(self.task))

    def run(self, context: Context, folder: Path | None) -> dict[str, Found]:  # noqa: ARG002
        """mteb_TASK: the task's main score, the mean over its test splits and subsets."""
        if "test" not in context.asked:
            return {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import mteb

            return {"test": task_metrics(mteb.get_task(self.task), context)}


def _digest(task: str) -> str:
    """Raises EmbftError where there is no such task, or no mteb."""
    found = importlib.util.find_spec("mteb")
    if found is None or not found.submodule_search_locations:
        raise EmbftError(f"evaluators, mteb: {task} needs the package: pip install 'embft[mteb]'")
    # Importing mteb takes torch and seconds; its task files say their names in plain text.
    stated = re.compile(r"^\s*name=\"([^\"]+)\"", re.MULTILINE)
    folder = Path(found.submodule_search_locations[0]) / "tasks"
    names = {n for path in folder.rglob("*.py") for n in stated.findall(path.read_text("utf-8"))}
    if task not in names:
        close = nearest(task, names).partition(" allowed: ")[0]
        raise EmbftError(
            f"evaluators, mteb: there is no task {task!r}: "
            f"{close if close.startswith('did') else ''} mteb.get_tasks() lists all {len(names)}"
        )
    return named_digest({"task": task, "mteb": importlib.metadata.version("mteb")})


def task_metrics(task: Any, context: Context) -> Found:
    """The main score of a task of the package, or of one that is made with its classes."""
    import mteb

    found = mteb.evaluate(
        as_mteb_model(context.model), task, cache=None, co2_tracker=False, show_progress_bar=False
    )
    name = re.sub(r"\W", "_", task.metadata.name)
    result = found.task_results[0]
    return {f"mteb_{name}": Estimate(float(result.get_score()), None, _by_part(result))}


def _by_part(result: Any) -> UnitValues:
    """The main score of each split and subset, of which the task's is the mean."""
    parts = {
        f"{split}/{scores['hf_subset']}": float(scores["main_score"])
        for split, subsets in result.scores.items()
        for scores in subsets
    }
    return UnitValues("task", tuple(parts), np.array(list(parts.values())))


def as_mteb_model(model: SentenceTransformer) -> Any:
    """The model for mteb, embedding texts as our own evaluators do.

    Rounding differs with the batches, by 1e-7, and k-means can make a different clustering of it. A
    model with prompts is left to mteb, which chooses among them by task.
    """
    from mteb.models.sentence_transformer_wrapper import SentenceTransformerEncoderWrapper

    from embft.encoding.encoder import encode

    class Encoder(SentenceTransformerEncoderWrapper):
        def encode(self, inputs: Any, **options: Any) -> Any:
            if self.model_prompts:
                return super().encode(inputs, **options)
            return encode(self.model, [text for batch in inputs for text in batch["text"]])

    return Encoder(model)
