"""What a sweep may use of the machine, and which models it keeps.

None of this is part of a trial's key: it decides whether a trial ends, not what it comes to.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from embft.errors import nearest
from embft.spec.base import Fields

_BYTES = {
    "B": 1,
    **{f"{p}B": 1000 ** (i + 1) for i, p in enumerate("KMGT")},
    **{f"{p}iB": 1024 ** (i + 1) for i, p in enumerate("KMGT")},
}
_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86400}
_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]+)")
_TOP = re.compile(r"top:([1-9][0-9]{0,5})")


def _parser(units: Mapping[str, int], what: str, example: str) -> Callable[[object], object]:
    """A function from a number with a unit to a plain number; plain numbers stay as they are."""
    factors = {name.lower(): factor for name, factor in units.items()}

    def parse(value: object) -> object:
        if not isinstance(value, str):
            return value
        match = _QUANTITY.fullmatch(value.strip())
        if match is None or match[2].lower() not in factors:
            raise ValueError(
                f"{value!r} is no {what}: write a number and a unit "
                f"({', '.join(units)}), such as {example}"
            )
        return int(float(match[1]) * factors[match[2].lower()])

    return parse


parse_size = _parser(_BYTES, "size", "8GiB or 500MB")
parse_duration = _parser(_SECONDS, "duration", "2h or 30min")


def _keep(value: str) -> str:
    if value not in {"all", "best", "none"} and not _TOP.fullmatch(value):
        raise ValueError(f"{value!r}: {nearest(value, ['all', 'best', 'none', 'top:3'])}")
    return value


Size = Annotated[int, BeforeValidator(parse_size, json_schema_input_type=int | str), Field(gt=0)]
Duration = Annotated[
    float, BeforeValidator(parse_duration, json_schema_input_type=float | str), Field(gt=0)
]


class Resources(Fields):
    """What a sweep may use. memory: bytes for driver, Ray and workers together; times in seconds.

    timeout: for one trial. heartbeat: a worker that has done nothing for so long hangs.
    threads: of each trial; auto: its share of the cores, or fewer on a busy machine.
    max_failures: how often a trial that was killed, crashed or hung is tried again.
    gpus_per_trial: may be a part of one.
    """

    concurrent_trials: Annotated[int, Field(ge=1, le=1024)] | Literal["auto"] = 1
    threads: Annotated[int, Field(ge=1, le=1024)] | Literal["auto"] = "auto"
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    gpus_per_trial: float | None = Field(default=None, gt=0, le=64)
    memory: Size | None = None
    on_oom: Literal["fail", "halve_batch"] = "fail"
    timeout: Duration | None = None
    heartbeat: Duration = 600.0
    max_failures: int = Field(default=0, ge=0, le=100)


class Artifacts(Fields):
    """Which trials' models stay on disk once they are scored, by their objective on dev."""

    keep: Annotated[str, AfterValidator(_keep)] = "all"

    @property
    def count(self) -> int | None:
        """How many models stay; None for all of them."""
        match = _TOP.fullmatch(self.keep)
        return int(match[1]) if match else {"all": None, "best": 1, "none": 0}[self.keep]
