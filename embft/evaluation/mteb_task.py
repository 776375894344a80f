"""One task of the mteb package, by its name there. Needs the extra `embft[mteb]`."""

from __future__ import annotations

import re
import warnings
from typing import Any

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
        context.model, task, cache=None, co2_tracker=False, show_progress_bar=False
    )
    name = re.sub(r"\W", "_", task.metadata.name)
    return {f"mteb_{name}": float(found.task_results[0].get_score())}
