"""`plan.json`: which trials a sweep has, so that a report needs no spec.

Those that a search has proposed since are in `search.jsonl`, and are read as a part of the plan.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from embft.errors import RecordError
from embft.results.folders import SweepDir
from embft.results.search_log import entries, read_search
from embft.spec.objective import Preference
from embft.storage.paths import FileName, InsidePath
from embft.storage.seal import damaged, refuse_newer, unsealed

BASELINE = "baseline"
PLAN_SCHEMA = 1


class PlanEntry(TypedDict):
    """One trial of `plan.json`: its folder's name, its params and spec as plain data.

    trained_by: the key of the trial whose training it takes over, where it is only scored.
    """

    folder: FileName
    params: dict[str, Any]
    spec: dict[str, Any]
    trained_by: NotRequired[str]


class PlanRecord(TypedDict):
    """What `plan.json` holds; tolerance and prefer are absent from older versions' plans.

    tasks: the metrics that are the objective together, where there are several.
    search: the spec's section, where trials are proposed; continuous: the axes that are then drawn
    from distributions; logarithmic: those of them that are logarithmic; scheduler: where some are
    stopped early; more_seeds: where some get more seeds than others.
    paths_begin: the folder in which relative paths of the trials begin, as seen from the sweep's.
    """

    schema_version: int
    name: str
    description: str
    metric: str
    mode: Literal["min", "max"]
    tolerance: NotRequired[float]
    prefer: NotRequired[Preference]
    tasks: NotRequired[list[str]]
    seeds: list[int]
    trials: list[PlanEntry]
    data: Annotated[list[InsidePath], Field(min_length=1)]
    pairs: dict[str, int]
    group_columns: list[str]
    dev_is_cut: bool
    test_is_dev: bool
    search: NotRequired[dict[str, Any]]
    continuous: NotRequired[list[str]]
    logarithmic: NotRequired[list[str]]
    scheduler: NotRequired[dict[str, Any]]
    paths_begin: NotRequired[str]
    more_seeds: NotRequired[dict[str, int]]


_PLAN = TypeAdapter(PlanRecord)


def read_plan(sweep: SweepDir) -> PlanRecord:
    """The `plan.json` of a sweep's folder. Raises RecordError when it is no such folder."""
    path = sweep.plan_file
    try:
        content = unsealed(path)
        refuse_newer(path, content, PLAN_SCHEMA)
        plan = _PLAN.validate_python(content)
    except FileNotFoundError:
        raise RecordError(
            f"{sweep.path}: no sweep's results are here (no {path.name}): give a folder such as "
            "results/lora-lr"
        ) from None
    except ValidationError as error:
        raise damaged(path, str(error)) from None
    if "search" in plan:
        known = {trial["folder"] for trial in plan["trials"]}
        proposed = [entry for entry in entries(read_search(sweep)) if entry["folder"] not in known]
        plan["trials"] += [PlanEntry(**entry) for entry in proposed]  # type: ignore[typeddict-item]
    return plan
