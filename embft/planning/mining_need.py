"""What mining hard negatives takes of memory and disk, before anything is mined.

The process that mines holds its models, the texts, the vectors of queries, and the scores of some
queries at a time. Vectors of many texts lie in a file.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from embft.data.mining import Mining
from embft.models.model_folder import anatomy
from embft.planning.corpora import FEW, FLOAT, WIDTH
from embft.planning.freeze import to_mine
from embft.planning.plan import Plan
from embft.results.folders import TrialDir

_PROCESS_BYTES = 700_000_000  # the sweep's own process, and the imports of the one that mines
_TEXT_BYTES = 500
"""Of a text beside its own bytes: as it is written and as it is compared, tables of both, ranks."""
_SCORES = 50_000_000  # of queries with texts, at once


@dataclass(frozen=True)
class MiningNeed:
    """Bytes of the setting that needs most memory, of which `texts` are the texts; disk: of all."""

    texts: int = 0
    memory: int = 0
    disk: int = 0


NO_MINING = MiningNeed()


def mining_need(plan: Plan) -> MiningNeed:
    """What those settings need that are not mined yet."""
    found = [_need(plan, digest) for digest in to_mine(plan)]
    largest = max(found, key=lambda each: each.memory, default=NO_MINING)
    return MiningNeed(largest.texts, largest.memory, sum(each.disk for each in found))


def _need(plan: Plan, digest: str) -> MiningNeed:
    splits = plan.data[digest]
    mining = splits.mining
    if mining is None:
        return NO_MINING
    queries, texts = len(splits.train), len(mining.pool.texts)
    trial = next(trial for trial in plan.trials if trial.data_digest == digest)
    width = anatomy(trial.base.folder).width or WIDTH
    vectors, scores = FLOAT * texts * width, FLOAT * min(_SCORES, queries * texts)
    in_memory = vectors if texts <= FEW else 0
    held = _TEXT_BYTES * texts + 2 * mining.pool.size + in_memory + FLOAT * queries * width
    memory = _PROCESS_BYTES + FLOAT * _weights(mining) + held + scores
    return MiningNeed(texts, memory, mining.pool.size + vectors - in_memory)


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
