"""The spec: one YAML file, parsed once into frozen, typed objects.

Each section has a module of its name (`data.py`, `model.py`, `train.py`, `objective.py` …) with its
fields. `source.py` reads YAML and remembers lines, `space.py` expands the search space, `parse.py`
joins them and words the errors. Nothing here knows Ray, torch
or click.
"""

from embft.spec.base import ColumnsSpec
from embft.spec.data import DataSpec
from embft.spec.evaluators import EvaluatorSpec
from embft.spec.losses import LOSSES, LossSpec, unfit_reason
from embft.spec.model import LoraSpec, ModelSpec
from embft.spec.objective import Goal, Objective
from embft.spec.parse import SweepSpec, load_spec, parse_spec
from embft.spec.shape import Shape
from embft.spec.shared import trial_spec
from embft.spec.space import Point
from embft.spec.train import TrainSpec, untrainable_reason
from embft.spec.trial import TrialSpec

__all__ = [
    "LOSSES",
    "ColumnsSpec",
    "DataSpec",
    "EvaluatorSpec",
    "Goal",
    "LoraSpec",
    "LossSpec",
    "ModelSpec",
    "Objective",
    "Point",
    "Shape",
    "SweepSpec",
    "TrainSpec",
    "TrialSpec",
    "load_spec",
    "parse_spec",
    "trial_spec",
    "unfit_reason",
    "untrainable_reason",
]
