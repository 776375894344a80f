"""What mining hard negatives takes of memory and disk, before anything is mined.

The process that mines holds its models, the texts, the vectors of queries, and the scores of some
queries at a time. Vectors of many texts lie in a file.
"""

from __future__ import annotations

import math
from pathlib import Path

from embft.data.mining import SCORES_AT_ONCE, Mining
from embft.models.model_folder import anatomy
from embft.planning.corpora import FEW, FLOAT, NO_TEXTS, TextsNeed, width_of
from embft.planning.freeze import to_mine
from embft.planning.plan import Plan
from embft.results.folders import TrialDir

_PROCESS_BYTES = 700_000_000  # the sweep's own process, and the imports of the one that mines
_TEXT_BYTES = 500
"""Of a text beside its own bytes: as it is written and as it is compared, tables of both, ranks."""


def mining_need(plan: Plan) -> TextsNeed:
    """What those settings need that are not mined yet, one after another."""
    return TextsNeed.in_turn([_need(plan, digest) for digest in to_mine(plan)])


def _need(plan: Plan, digest: str) -> TextsNeed:
    splits = plan.data[digest]
    mining = splits.mining
    if mining is None:
        return NO_TEXTS
    queries, texts = len(splits.train), len(mining.pool.texts)
    trial = next(trial for trial in plan.trials if trial.data_digest == digest)
    width = width_of(trial)
    vectors, scores = FLOAT * texts * width, FLOAT * min(SCORES_AT_ONCE, queries * texts)
    in_memory = vectors if texts <= FEW else 0
    held = _TEXT_BYTES * texts + 2 * mining.pool.size + in_memory + FLOAT * queries * width
    memory = _PROCESS_BYTES + FLOAT * _weights(mining) + held + scores
    return TextsNeed(texts, memory, mining.pool.size + vectors - in_memory)


def _weights(mining: Mining) -> int:
    """How many numbers the models are that mine and judge. Of a trial that is an adapter, the
    base's are left out.
    """
    source = mining.source
    model = TrialDir(Path(source["trial"])).model_folder if "trial" in source else source["base"]
    folders = [Path(each) for each in (model, source["judge"]) if each is not None]
    return sum(
        math.prod(weight.shape) for folder in folders for weight in anatomy(folder).weights.values()
    )
