"""A spec on the command line -> its plan."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from embft.planning.plan import Plan


def planned(spec: Path, results: Path, trusted: bool) -> Plan:
    """The plan of a spec's file. Raises EmbftError, also for code that nobody has agreed to run."""
    from embft.models.safety import check_agreed
    from embft.planning.plan import make_plan
    from embft.spec import load_spec

    loaded = load_spec(spec)
    check_agreed(any(point.model.trust_remote_code for point in loaded.points), agreed=trusted)
    return make_plan(loaded, results)
