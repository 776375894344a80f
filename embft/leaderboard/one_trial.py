"""A trial of a sweep as a spec file of its own, which runs it again from where the file is saved.

What the sweep's spec says beside its trials (tolerance, resources, artifacts) is taken over as it
is written there; paths are those of the same files as seen from the folder of the new file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from embft.errors import SpecError
from embft.results.folders import SweepDir
from embft.spec import TrialSpec
from embft.spec.source import read_text, scalar

_FAST = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # by libyaml, where PyYAML has it
_LONGEST_NAME = 100
# What decides no trial's result and is the sweep's own; a search's sections are not one trial's.
_BESIDE = ("description", "resources", "artifacts", "serving")
_BESIDE_GOAL = ("tolerance", "prefer", "tasks")
_HEAD = """\
# Its paths begin in the folder that it is meant for, the one of the sweep's results.
"""


@dataclass(frozen=True)
class Seen:
    """Paths that begin in one folder, as they are seen from another: what `relative_to` of a
    section of a spec puts before them. No path that it gives is absolute, unless those that were
    given so are to stay.
    """

    start: Path
    folder: Path
    absolute_stays: bool = False

    def __truediv__(self, given: str) -> str:
        if self.absolute_stays and Path(given).is_absolute():
            return given
        # Links are followed, except at a file's own name: `..` leads to where a link points to.
        parent, name = os.path.split(os.path.normpath(self.start / given))
        path = os.path.relpath(os.path.join(_real(parent), name), _real(self.folder))  # noqa: PTH118
        return f"./{path}" if path.startswith("~") else path


def _real(folder: str | Path) -> str:
    return os.path.realpath(folder)


@dataclass(frozen=True)
class Origin:
    """The sweep that a trial's spec comes from. start: the folder in which paths of its trials
    begin, as its plan says it; relative to the sweep's own.
    """

    sweep: SweepDir
    name: str
    start: str | None = None

    @cached_property
    def beside(self) -> Mapping[str, Any]:
        """The fields of the sweep's spec that are no trial's own, as written; none without it."""
        try:
            data = read_text(self.sweep.spec_file.read_text(), self.sweep.spec_file.name).data
        except (OSError, UnicodeDecodeError, SpecError):
            return {}
        if not isinstance(data, dict):
            return {}
        goal = data.get("objective") or {}
        found = {name: data[name] for name in _BESIDE if data.get(name)}
        return found | {"objective": {k: goal[k] for k in _BESIDE_GOAL if k in goal}}

    def moved(self, spec: TrialSpec, folder: Path | None) -> TrialSpec:
        """The same trial with its paths as seen from a folder; for None, which is to be saved who
        knows where, from the current one, and absolute ones as they are.
        """
        start = Path.cwd() if self.start is None else self.sweep.path / self.start
        seen = Seen(start, folder or Path.cwd(), absolute_stays=folder is None)
        model = spec.model
        if Path(model.base).is_absolute():
            path = seen / model.base
            base = path if path.startswith((".", "/")) else f"./{path}"
            model = model.model_copy(update={"base": base})
        return spec.model_copy(
            update={
                "data": spec.data.relative_to(seen),
                "model": model,
                "evaluators": tuple(entry.relative_to(seen) for entry in spec.evaluators),
            }
        )


def trial_yaml(
    spec: TrialSpec, origin: Origin, folder: Path | None, seeds: Sequence[int] = ()
) -> str:
    """A spec file that runs this one trial from a folder (see `Origin.moved`); with `seeds`, with
    each of them.
    """
    beside = origin.beside
    text = one_trial_yaml(origin.moved(spec, folder), origin.name, beside, seeds)
    return text if folder is None else _HEAD + text


def one_trial_yaml(
    spec: TrialSpec, sweep: str, beside: Mapping[str, Any] | None = None, seeds: Sequence[int] = ()
) -> str:
    """A spec file with these fields and paths as they are; those at their default are left out.

    beside: further fields, as a spec has them.
    """
    fields = json.loads(spec.model_dump_json(exclude_defaults=True))
    fields["model"] = {"base": spec.model.base, **fields.get("model", {})}
    if spec.train.method == "full":
        fields.setdefault("train", {})["method"] = "full"
    seed = fields.pop("seed", 42)
    more = dict(beside or {})
    goal = {**fields.pop("objective", {}), **more.pop("objective", {})}
    content = {
        "name": f"{sweep[: _LONGEST_NAME - 4]}-one",
        **({"description": more.pop("description")} if "description" in more else {}),
        **fields,
        "seeds": list(seeds) or [seed],
        **({"objective": goal} if goal else {}),
        **more,
    }
    return _yaml(content)


def _yaml(content: Mapping[str, Any]) -> str:
    text: str = yaml.dump(content, Dumper=_Fast, sort_keys=False, allow_unicode=True)
    if "\\U" in text:  # libyaml escapes what lies beyond U+FFFF, such as emoji
        text = yaml.dump(content, Dumper=_Slow, sort_keys=False, allow_unicode=True)
    return text


class _Fast(_FAST):  # type: ignore[misc, valid-type]
    """Writes YAML that our own reader reads as the same."""


class _Slow(yaml.SafeDumper):
    """The same, all in Python."""


def _quoted(dumper: Any, text: str) -> Any:
    """A text; in quotes where our reader would take it for a number or another word."""
    style = None if scalar(text) == text else "'"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


for _dumper in (_Fast, _Slow):
    _dumper.add_representer(str, _quoted)
