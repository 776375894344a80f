"""From a spec file to a `SweepSpec`, with errors that name file, line and what is allowed."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

from pydantic import Field, ValidationError

from embft.errors import SpecError, nearest
from embft.spec.base import Fields, Name
from embft.spec.costs import check_costs, followed
from embft.spec.data import DataSpec
from embft.spec.distributions import KINDS, Product
from embft.spec.elsewhere import written_elsewhere
from embft.spec.evaluators import EvaluatorSpec
from embft.spec.initial import check_scheduler, check_search, check_stop
from embft.spec.model import ModelSpec
from embft.spec.objective import RANKING, Objective, giving, with_retrieval
from embft.spec.resources import Artifacts, Resources
from embft.spec.search import Scheduler, Search, ShortScheduler, ShortSearch, Stop
from embft.spec.seeds import GivenSeeds, SeedsSpec, at_first
from embft.spec.serving import Serving, ShortServing
from embft.spec.source import Source, Where, read_file, read_text
from embft.spec.space import (
    MAX_POINTS,
    SECTIONS,
    Point,
    axis_names,
    corners,
    count_points,
    listed,
    points,
    read_axes,
    with_point,
)
from embft.spec.train import TrainSpec, untrainable_reason
from embft.spec.trial import TrialSpec

_Model = TypeVar("_Model", bound=Fields)


class PlannedPoint(Fields):
    """One point of the space, and the trial spec that it resolves to (without a seed)."""

    params: dict[str, Any]
    data: DataSpec
    model: ModelSpec
    train: TrainSpec


class Document(Fields):
    """The fields of a spec file, except that its sections are checked point by point."""

    name: Name
    description: str = ""
    data: dict[str, Any] = Field(default_factory=dict)
    model: dict[str, Any] = Field(default_factory=dict)
    train: dict[str, Any] = Field(default_factory=dict)
    space: Any = None
    seeds: GivenSeeds = (42,)
    search: ShortSearch = Search()
    scheduler: ShortScheduler = None
    stop: Stop = Stop()
    objective: Objective = Objective()
    resources: Resources = Resources()
    artifacts: Artifacts = Artifacts()
    serving: ShortServing = None
    evaluators: tuple[EvaluatorSpec, ...] = ()


class SweepSpec(Fields):
    """A validated sweep: its points, seeds, objective and resources.

    points: of a grid all; where a search proposes them those that stand for all, which are checked
    and do not run. space: what a search draws from. seeds: those of every point; more_seeds: who
    gets how many more. sections: data, model and train as written. folder: what paths in them are
    relative to.
    text, path: the file that it was read from; path is None where it was no file.
    """

    name: Name
    description: str
    points: tuple[PlannedPoint, ...]
    space: tuple[Product, ...]
    seeds: tuple[int, ...]
    more_seeds: SeedsSpec | None
    search: Search
    scheduler: Scheduler | None
    stop: Stop
    objective: Objective
    resources: Resources
    artifacts: Artifacts
    serving: Serving | None
    evaluators: tuple[EvaluatorSpec, ...]
    sections: dict[str, Any]
    folder: Path
    text: str
    path: Path | None = None

    def trials(self) -> Iterator[tuple[Point, TrialSpec]]:
        """Every distinct trial with its params, seed by seed within a point.

        Points that differ only in fields without effect (a LoRA rank in full fine-tuning) are equal
        and come once.
        """
        seen: set[TrialSpec] = set()
        for point in self.points:
            for seed in self.seeds:
                trial, known = self.resolve(point, seed), len(seen)
                seen.add(trial)
                if len(seen) > known:
                    yield point.params, trial

    def point(self, params: Point) -> PlannedPoint:
        """A point that a search has proposed. Raises SpecError where its values do not go together,
        which single values that are allowed may not.
        """
        found: dict[str, Any] = {}
        for name, section in with_point(self.sections, params).items():
            try:
                parsed = SECTIONS[name].model_validate_json(json.dumps(section))
            except ValidationError as error:
                raise SpecError(_worded(SECTIONS[name], error, (name,))[1]) from None
            found[name] = _relative(parsed, self.folder)
        reason = untrainable_reason(found["model"], found["train"])
        if reason is not None:
            raise SpecError(reason)
        return PlannedPoint.model_construct(params=dict(params), **found)

    def resolve(self, point: PlannedPoint, seed: int) -> TrialSpec:
        """The trial spec of one point and one seed, whose sections have all been checked."""
        return TrialSpec.model_construct(
            data=point.data,
            model=point.model,
            train=point.train,
            objective=self.objective.goal,
            seed=seed,
            evaluators=self.evaluators,
        ).normalised()


def load_spec(path: Path) -> SweepSpec:
    """Read and validate a spec file. Paths in it are relative to its folder.

    Raises SpecError, worded for the user, for whatever is wrong with it.
    """
    text = read_file(path)
    found = _sweep(read_text(text, str(path)), path.parent, text)
    return found.model_copy(update={"path": path})


def parse_spec(text: str, file: str = "<spec>", folder: Path | None = None) -> SweepSpec:
    """Read a spec from the text of a file. Raises SpecError as `load_spec` does."""
    return _sweep(read_text(text, file), folder or Path(), text)


def _sweep(source: Source, folder: Path, text: str) -> SweepSpec:
    if not isinstance(source.data, dict):
        raise SpecError(f"{source.at(())}: a spec is a mapping of fields, not {source.data!r:.60}")
    document = _validated(Document, source, source.data, ())
    axes = read_axes(source)
    seeds = at_first(document.seeds)
    if len(set(seeds)) < len(seeds):
        raise SpecError(f"{source.at(('seeds',))}: a seed stands twice in {list(seeds)}")
    sections = {name: source.data.get(name) or {} for name in SECTIONS}
    points = tuple(_points(source, sections, _products(source, document, axes), folder))
    if document.scheduler is not None:
        check_scheduler(source, document.scheduler, [point.train for point in points])
    judged = any(point.data.is_judged for point in points)
    objective, serving = _objective(source, document, judged=judged), _serving(document)
    sections_of = [(point.data, point.model, point.train) for point in points]
    check_costs(source, document.search, serving, sections_of)
    evaluators = _evaluators(source, document, objective, judged=judged)
    check_stop(source, document.stop, objective.metric)
    return SweepSpec.model_construct(
        name=document.name,
        description=" ".join(document.description.split()),
        points=points,
        space=tuple(product for _, product in axes),
        seeds=seeds,
        more_seeds=document.seeds if isinstance(document.seeds, SeedsSpec) else None,
        search=document.search,
        scheduler=document.scheduler,
        stop=document.stop,
        objective=objective,
        resources=document.resources,
        artifacts=document.artifacts,
        serving=serving,
        evaluators=tuple(entry.relative_to(folder) for entry in evaluators),
        sections=sections,
        folder=folder,
        text=text,
    )


def _serving(document: Document) -> Serving | None:
    """The section; where a choice goes by what serving costs, also without being written."""
    if document.serving is None and document.objective.prefer == "serving":
        return Serving()
    return document.serving


def _products(
    source: Source, document: Document, axes: list[tuple[Where, Product]]
) -> list[tuple[Where, dict[str, list[Any]]]]:
    """The products whose points are checked: a grid's own, of a search those that stand for all."""
    if document.search.proposes:
        check_search(source, document.search, document.seeds, axes)
        return [(where, part) for where, product in axes for part in corners(product)]
    grid = listed(source, axes)
    total = count_points(grid) * len(at_first(document.seeds))
    if total > MAX_POINTS:
        raise SpecError(
            f"{source.at(('space',))}: the space has {total:,} trials, {MAX_POINTS:,} are allowed"
        )
    return [(where, each) for (where, _), each in zip(axes, grid, strict=True)]


def _objective(source: Source, document: Document, *, judged: bool) -> Objective:
    """The objective with what it has where the spec names no metric, or nothing to prefer. Raises
    SpecError where several tasks are the objective and something needs the one number of a trial
    by itself.
    """
    found = document.objective
    if "metric" not in (source.data.get("objective") or {}) and (found.tasks or judged):
        metric = found.tasks[0] if found.tasks else RANKING
        found = found.model_copy(update={"metric": metric})
    follows = followed(document.search)
    if follows is not None and "prefer" not in (source.data.get("objective") or {}):
        found = found.model_copy(update={"prefer": follows})
    if not found.tasks:
        return found
    alone = {
        ("artifacts", "keep"): document.artifacts.count not in (None, 0),
        ("search", "algorithm"): document.search.proposes,
        ("stop", "score"): document.stop.score is not None,
        ("stop", "no_better_for"): document.stop.no_better_for is not None,
    }
    for where, given in alone.items():
        if given:
            raise SpecError(
                f"{source.at(where)}: {'.'.join(where)} goes by one score of each trial by itself, "
                "and with objective.tasks a trial has none: its Borda score takes all trials. "
                f"Leave out objective.tasks, or {'.'.join(where)}"
            )
    return found


def _evaluators(
    source: Source, document: Document, objective: Objective, *, judged: bool
) -> list[EvaluatorSpec]:
    """The entries in one order, however written, checked against each other and the objective."""
    entries = list(dict.fromkeys(document.evaluators))
    if judged:
        for metric in (objective.metric, *objective.tasks):
            entries = with_retrieval(entries, metric)
    titles = [(entry.kind, entry.label) for entry in entries]
    for i, title in enumerate(titles):
        if title in titles[:i]:
            raise SpecError(
                f"{source.at(('evaluators',))}: two evaluators are called {title[1]!r}: give each "
                "a `name` of its own, which stands before its metrics"
            )
    named = {"metric": (objective.metric,), "tasks": objective.tasks}
    for field, metrics in named.items():
        for metric in metrics:
            try:
                giving(metric, entries)
            except ValueError as error:
                at = source.at(("objective", field))
                where = "objective.metric is" if field == "metric" else "objective.tasks names"
                raise SpecError(f"{at}: {where} {metric!r}: {error}") from None
    return sorted(entries, key=lambda entry: entry.model_dump_json())


def _points(
    source: Source,
    sections: Mapping[str, Any],
    axes: list[tuple[Where, dict[str, list[Any]]]],
    folder: Path,
) -> Iterator[PlannedPoint]:
    checked: dict[str, Any] = {}
    for where, product in axes:
        for params, positions in points(product):
            origin: dict[Where, Where] = {
                tuple(axis.split(".")): (*where, axis, i) for axis, i in positions.items()
            }
            for name, section in with_point(sections, params).items():
                # A section that another point has already is not checked again.
                identity = f"{name}:{section!r}"
                if identity not in checked:
                    found = _validated(SECTIONS[name], source, section, (name,), origin)
                    checked[identity] = _relative(found, folder)
                checked[name] = checked[identity]
            reason = untrainable_reason(checked["model"], checked["train"])
            if reason is not None:
                at = source.at(_origin(("train", "method"), origin))
                raise SpecError(f"{at}: {reason}")
            yield PlannedPoint.model_construct(
                params=dict(params),
                data=checked["data"],
                model=checked["model"],
                train=checked["train"],
            )


def _relative(section: Fields, folder: Path) -> Fields:
    return section.relative_to(folder) if isinstance(section, DataSpec | ModelSpec) else section


def _validated(
    model: type[_Model],
    source: Source,
    data: Any,
    where: Where,
    origin: Mapping[Where, Where] | None = None,
) -> _Model:
    """`data` as a `model`. JSON mode is strict on types, and still takes a list for a tuple."""
    try:
        text = json.dumps(data, allow_nan=False)
    except ValueError:
        raise SpecError(f"{source.at(where)}: infinity and NaN are not allowed") from None
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        loc, words = _worded(model, error, where)
        written = _origin(loc, origin or {})
        raise SpecError(f"{source.at(written)}: {words}{_as_an_end(source, written)}") from None


def _as_an_end(source: Source, written: Where) -> str:
    """What to add where a value is an end of a distribution, which need not be as it was written:
    `randint` leaves its upper end out.
    """
    given = source.data
    for part in written[:-1]:
        try:
            given = given[part]
        except (KeyError, IndexError, TypeError):
            return ""
    kind = next(iter(given)) if isinstance(given, dict) and len(given) == 1 else None
    if kind == "choice" or kind not in KINDS:
        return ""
    return f" (an end of {{{kind}: {given[kind]}}})"


def _worded(model: type[Fields], error: ValidationError, where: Where) -> tuple[Where, str]:
    """Where below `where` a section is wrong, and what to say of it."""
    found = _clearest(error)
    *outer, last = found["loc"] or ("",)
    loc = (*where, *(part for part in outer if not _is_tag(part)))
    if found["type"] == "extra_forbidden" or not _is_tag(last):  # a user's own word is no tag
        loc = (*loc, last)
    return loc, _words(loc, found, model, loc[len(where) :])


def _clearest(error: ValidationError) -> Any:
    """The first error; of a union's several complaints the one that reached furthest in: rather
    what we worded ourselves, or an unknown field, and of a word that it is none of those allowed.
    """
    found = _misspelt_first(error.errors(include_url=False))
    first = found[0]["loc"][:1]

    def reached(complaint: Any) -> tuple[int, bool, bool]:
        kind = complaint["type"]
        depth = sum(not _is_tag(part) for part in complaint["loc"])
        telling = kind in {"value_error", "extra_forbidden"}
        return depth, telling, (kind == "literal_error") == isinstance(complaint["input"], str)

    return max((e for e in found if e["loc"][:1] == first), key=reached)


def _misspelt_first(found: list[Any]) -> list[Any]:
    """A field that is missing may stand there under a wrong name, which says more."""
    if found[0]["type"] != "missing":
        return found
    beside = found[0]["loc"][:-1]
    return sorted(
        found, key=lambda e: not (e["type"] == "extra_forbidden" and e["loc"][:-1] == beside)
    )


def _is_tag(part: str | int) -> bool:
    """Whether pydantic put this in a location to name a union's member."""
    if not isinstance(part, str):
        return False
    return "[" in part or part in {"str", "int"} or part.endswith("Spec") or "constrained-" in part


def _origin(loc: Where, origin: Mapping[Where, Where]) -> Where:
    """Where a value was written: in its axis if an axis set it, else in its section."""
    for path, written in origin.items():
        if loc[: len(path)] == path:
            return written
    return loc


# Fields that no axis may set.
_BESIDE = tuple(
    f"{section}.{name}"
    for section, model in (
        ("objective", Objective),
        ("resources", Resources),
        ("artifacts", Artifacts),
        ("serving", Serving),
    )
    for name in model.model_fields
)


def _words(loc: Where, error: Any, model: type[Fields], inner: Where) -> str:
    name = ".".join(str(part) for part in loc)
    kind, context, given = error["type"], error.get("ctx", {}), error["input"]
    if kind == "extra_forbidden":
        allowed = _fields_at(model, inner[:-1])
        misspelt = difflib.get_close_matches(str(loc[-1]), allowed, n=1, cutoff=0.85)
        known = [*Document.model_fields, *axis_names(), *_BESIDE]
        instead = None if misspelt else written_elsewhere(name, known)
        if instead is not None:
            return f"unknown field {name!r}: {instead}"
        return f"unknown field {name!r}: {nearest(str(loc[-1]), allowed)}"
    if kind == "missing":
        return f"{name!r} is missing"
    if kind in {"literal_error", "enum"}:
        return f"{name} is {given!r}: {nearest(str(given), _choices(model, inner))}"
    if kind == "value_error":
        return f"{name}: {context['error']}"
    fields = ", ".join(_fields_at(model, inner)) if kind == "model_type" else "its fields"
    reason = (
        error["msg"]
        .removeprefix("Input ")
        .removeprefix("Value ")
        .removeprefix("Tuple ")
        .removeprefix("should ")
        .removesuffix(f" after validation, not {context.get('actual_length')}")
        .replace("valid array", "list")
        .replace("an object", f"a mapping of {fields}")
    )
    return f"{name} is {given!r:.80}: it should {reason}"


def _field(model: Any, loc: Where) -> Any:
    """The type annotation at a location of a model, or None."""
    here = model
    for part in loc:
        if isinstance(part, int):
            here = next(iter(get_args(here)), None)  # an item of a list
            continue
        options = [here, *get_args(here)]
        inner = next((o for o in options if isinstance(o, type) and issubclass(o, Fields)), None)
        if inner is None or part not in inner.written():
            return None
        here = inner.written()[str(part)]
    return here


def _fields_at(model: type[Fields], loc: Where) -> list[str]:
    here = _field(model, loc)
    options = [here, *get_args(here)]
    inner = next((o for o in options if isinstance(o, type) and issubclass(o, Fields)), model)
    return list(inner.written())


def _choices(model: type[Fields], loc: Where) -> list[str]:
    return list(dict.fromkeys(_words_in(_field(model, loc))))


_OTHERS = {int: "a whole number", float: "a number"}


def _words_in(annotation: Any) -> Iterator[str]:
    """What the literals and enums in a type allow, however deep they stand, and what else it is."""
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        yield from (str(each.value) for each in annotation)
    elif get_origin(annotation) is Literal:
        yield from map(str, get_args(annotation))
    elif annotation in _OTHERS or get_origin(annotation) is tuple:
        yield _OTHERS.get(annotation, "a list of names")
    else:
        for part in get_args(annotation):
            yield from _words_in(part)
