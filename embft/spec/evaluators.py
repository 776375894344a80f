"""What a spec's `evaluators` may hold, and what every evaluator declares.

An evaluator is one module of `embft/evaluation/`, with one class: its fields in a spec, its
metrics, the files that it reads, and its code. This module lies below them and finds each by its
name, when it is first asked for; it runs none of them.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from pydantic import (
    Field,
    GetJsonSchemaHandler,
    SerializeAsAny,
    SerializerFunctionWrapHandler,
    ValidationError,
    create_model,
    model_serializer,
    model_validator,
)
from pydantic_core import CoreSchema, InitErrorDetails

from embft.errors import EmbftError, nearest
from embft.metrics.metric import Family, Metric
from embft.metrics.registry import METRICS
from embft.spec.base import Below, Fields, Paths, matching, moved

if TYPE_CHECKING:
    from embft.evaluation.context import Context, Found
    from embft.results.evaluators import EvaluatorFiles

EVALUATORS = (
    "attention",
    "classification",
    "clustering",
    "clusters",
    "collapse",
    "function",
    "mteb",
    "probe",
    "retrieval",
    "sts",
)
"""Each is the class of this name, with a capital, in the module `embft.evaluation.<name>`."""

USERS = "function"
"""The one that runs a function of the user's; plain text `module:function` stands for it."""

_PREFIX = "^[A-Za-z_][A-Za-z0-9_]{0,59}$"
Prefix = Annotated[
    str,
    matching(
        _PREFIX,
        "letters, digits and underscores are allowed, 60 at most, the first of them no digit; "
        "such as held_out",
    ),
    Field(json_schema_extra={"pattern": _PREFIX}),
]


class Evaluator(Fields):
    """What an evaluator declares, beside its fields, and what it does.

    Its module is loaded by `embft plan`, which has no time for torch: what is heavy is imported
    where it is used.

    declared: its metrics, and families of metrics with a cut-off. during_training: whether it runs
    at each evaluation on dev. needs_pairs: whether it works on the pairs of dev and test. foreign:
    whether it runs code that is not ours, so that what that raises costs its metrics alone.
    """

    declared: ClassVar[tuple[Metric | Family, ...]] = ()
    during_training: ClassVar[bool] = False
    needs_pairs: ClassVar[bool] = True
    foreign: ClassVar[bool] = False

    @classmethod
    def kind(cls) -> str:
        """The evaluator's name in a spec."""
        return cls.__name__.lower()

    @property
    def title(self) -> str:
        """The evaluator's name in messages."""
        return self.kind()

    def files(self) -> dict[str, Paths]:
        """The data files that it reads: the name of the field -> path, or paths."""
        return {}

    def dev_metrics(self) -> frozenset[str] | None:
        """The metrics that it has on dev, which may be the objective; None where only running it
        can tell.
        """
        own = (metric for metric in self.declared if isinstance(metric, Metric))
        return frozenset(metric.name for metric in own if metric.objective)

    def metric(self, name: str) -> Metric | None:
        """The metric of this name, a family's members included; None where it declares none."""
        for each in self.declared:
            found = each.member(name) if isinstance(each, Family) else each
            if found is not None and found.name == name:
                return found
        return None

    def content(self) -> dict[str, Any]:
        """The fields that decide its result, as JSON: no paths, no defaults."""
        decided: dict[str, Any] = self.model_dump(mode="json", exclude_defaults=True)
        return {name: value for name, value in decided.items() if name not in self.files()}

    def relative_to(self, folder: Below) -> Self:
        """The same with its paths read as relative to `folder`."""
        return self.model_copy(
            update={name: moved(paths, folder) for name, paths in self.files().items()}
        )

    def find_files(self) -> EvaluatorFiles | None:
        """What it reads, found and checked when a sweep is planned, before anything runs.

        None where it reads nothing. Raises EmbftError for what is missing or does not fit.
        """
        return None

    def load(self, folder: Path | None) -> Callable[[Context], Mapping[str, Found]]:
        """What runs it. folder: where what it reads is frozen, None where it reads nothing.

        Raises EmbftError where it cannot run.
        """
        if self.files() and folder is None:
            raise EmbftError(f"evaluator {self.title!r}: its files are not frozen")
        return partial(self.run, folder=folder)

    def run(self, context: Context, folder: Path | None) -> Mapping[str, Found]:
        """Its metrics by split, `dev` and `test`; at least of the splits in `context.asked`, where
        it has them.
        """
        raise NotImplementedError


@cache
def evaluator_class(kind: str) -> type[Evaluator]:
    """The class of one of `EVALUATORS`."""
    module = importlib.import_module(f"embft.evaluation.{kind}")
    found: type[Evaluator] = getattr(module, kind.capitalize())
    return found


def _declared() -> list[Metric | Family]:
    return [each for kind in EVALUATORS for each in evaluator_class(kind).declared]


METRICS.add_source(_declared)


class EvaluatorSpec(Fields):
    """One entry of `evaluators`: the fields of an evaluator under its name, or its name alone.

    In a spec: `clusters`, `module:function`, `{clustering: {data: FILE}, name: banking}`.
    `function` with the name of an evaluator says the same as the name alone. name: put before the
    names of its metrics.
    """

    name: Prefix | None = None
    kind: str
    fields: SerializeAsAny[Evaluator]

    @classmethod
    def of(cls, given: Any) -> EvaluatorSpec:
        """The entry that a spec has so. Raises pydantic's ValidationError."""
        return cls.model_validate(given)

    @classmethod
    def written(cls) -> dict[str, Any]:
        """The fields that an entry may have, with their types."""
        users = evaluator_class(USERS).model_fields
        own = {kind: evaluator_class(kind) for kind in EVALUATORS if kind != USERS}
        return {"name": str, **{n: field.annotation for n, field in users.items()}, **own}

    @model_validator(mode="before")
    @classmethod
    def _read(cls, given: Any) -> Any:
        if isinstance(given, Mapping) and isinstance(given.get("fields"), Evaluator):
            return given
        entry = {"function": given} if isinstance(given, str) else given
        if not isinstance(entry, Mapping):
            raise ValueError("an evaluator is a name, module:function, or a mapping of fields")
        _refuse_unknown(entry, cls.written())
        kind, fields = _split(entry)
        return {"name": entry.get("name"), "kind": kind, "fields": _checked(kind, fields)}

    @model_serializer(mode="wrap")
    def _short(self, handler: SerializerFunctionWrapHandler) -> Any:
        found = handler(self)
        name = {"name": found["name"]} if found.get("name") is not None else {}
        fields = {k: v for k, v in found["fields"].items() if self.kind != USERS or v is not None}
        if self.kind == USERS:
            entry = {**name, **fields}
        elif self.fields != type(self.fields).model_construct():
            entry = {**name, self.kind: fields}
        else:
            entry = {**name, "function": self.kind}
        return entry["function"] if entry.keys() == {"function"} else entry

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """An entry as a spec has it, for editors that complete and check."""
        del core_schema
        users = handler(evaluator_class(USERS).__pydantic_core_schema__)
        own = {k: evaluator_class(k) for k in EVALUATORS if k != USERS}
        fields = {kind: handler(found.__pydantic_core_schema__) for kind, found in own.items()}
        named = {"name": {"type": "string"}, **handler.resolve_ref_schema(users)["properties"]}
        text = {"type": "string", "examples": [*names(), "module:function"]}
        entry = {"type": "object", "properties": {**named, **fields}, "additionalProperties": False}
        return {"anyOf": [text, entry]}

    @property
    def is_users(self) -> bool:
        """Whether it is a function of the user's."""
        return self.kind == USERS

    @property
    def label(self) -> str:
        """The evaluator's name in messages."""
        return self.name or self.fields.title

    @property
    def files(self) -> dict[str, Paths]:
        """The data files that it reads: what for -> path, or paths."""
        return self.fields.files()

    def dev_metrics(self) -> frozenset[str] | None:
        """The names of its metrics on dev; None where only running it can tell."""
        found = self.fields.dev_metrics()
        return None if found is None else frozenset(map(self.prefixed, found))

    def prefixed(self, metric: str) -> str:
        """A metric's name as it is recorded."""
        return f"{self.name}_{metric}" if self.name else metric

    def metric(self, recorded: str) -> Metric | None:
        """What is recorded under this name, where it comes from this entry and is known to."""
        prefix = self.prefixed("")
        return self.fields.metric(recorded[len(prefix) :]) if recorded.startswith(prefix) else None

    def content(self) -> Any:
        """What decides its result, the files' and modules' content apart: no paths."""
        shown = self.model_dump(mode="json", exclude_defaults=True)
        if isinstance(shown, str):
            return shown
        decided = self.fields.content()
        if self.is_users:
            return {name: value for name, value in shown.items() if name in {"name", *decided}}
        return {**shown, self.kind: decided} if self.kind in shown else shown

    def relative_to(self, folder: Below) -> EvaluatorSpec:
        """The same entry with its paths read as relative to `folder`."""
        return self.model_copy(update={"fields": self.fields.relative_to(folder)})


def _refuse_unknown(entry: Mapping[str, Any], allowed: Mapping[str, Any]) -> None:
    """Raise ValidationError, as pydantic does, for a field that no entry has."""
    unknown = [
        InitErrorDetails(type="extra_forbidden", loc=(str(name),), input=value)
        for name, value in entry.items()
        if name not in allowed
    ]
    if unknown:
        raise ValidationError.from_exception_data("EvaluatorSpec", unknown)


def _split(entry: Mapping[str, Any]) -> tuple[str, Any]:
    """An entry's evaluator, and its fields as they were given."""
    users = evaluator_class(USERS).model_fields
    function = {k: v for k, v in entry.items() if k in users and v is not None}
    given = [kind for kind in EVALUATORS if kind != USERS and entry.get(kind) is not None]
    if "function" in function:
        given.append(USERS)
    if len(given) != 1:
        found = " and ".join(given) or "none"
        raise ValueError(f"an evaluator is one of {', '.join(EVALUATORS)}; here is {found}")
    if given != [USERS] and function:
        raise ValueError(f"{next(iter(function))} is for module:function only")
    if given != [USERS]:
        return given[0], entry[given[0]]
    name = function["function"]
    if isinstance(name, str) and ":" in name:
        return USERS, function
    if name not in EVALUATORS or name == USERS:
        near = nearest(str(name), names())
        raise ValueError(f"{name!r}: {near}, or module:function for your own")
    others = [field for field in function if field != "function"]
    if others:
        raise ValueError(f"{others[0]} is for module:function only")
    return name, {}


def _checked(kind: str, given: Any) -> Evaluator:
    """The fields as the evaluator's class. Raises ValidationError that says where."""
    if isinstance(given, Evaluator):
        return given
    if kind == USERS:
        return evaluator_class(kind).model_validate_json(json.dumps(given))
    # Inside a field of that name, so that an error's location has it; as JSON, which is strict on
    # types and still takes a list for a tuple.
    found: Any = _named(kind).model_validate_json(json.dumps({kind: given}))
    checked: Evaluator = getattr(found, kind)
    return checked


@cache
def _named(kind: str) -> type[Fields]:
    field: Any = {kind: (evaluator_class(kind), ...)}
    made: type[Fields] = create_model(kind, __base__=Fields, **field)
    return made


def names() -> list[str]:
    """The evaluators that need no fields, so that their name alone is an entry."""
    found = {kind: evaluator_class(kind).model_fields for kind in EVALUATORS if kind != USERS}
    return [k for k, fields in found.items() if not any(f.is_required() for f in fields.values())]
