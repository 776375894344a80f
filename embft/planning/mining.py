"""The recipe of mined negatives: which model, which texts, and whether it can be had at all.

Whatever a worker would come to grief on is refused here. Loads no model.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from embft.data.mining import Mining, Pool
from embft.data.pairs import Splits
from embft.data.unpaired import TextFile
from embft.errors import EmbftError, ModelError
from embft.models.model_folder import anatomy
from embft.models.resolve import LocalBase, find_base_model, spec_base
from embft.models.supported import check_base
from embft.results.folders import TrialDir
from embft.results.records import Completed
from embft.spec import ModelSpec, TrialSpec
from embft.spec.negatives import BASE, NegativesSpec, PoolSpec
from embft.spec.shape import Shape
from embft.storage.seal import canonical_json
from embft.system.machine import Device

_KEY = re.compile(r"[0-9a-f]{8}([0-9a-f]{4})?")


@dataclass(frozen=True)
class Miners:
    """Adds recipes to splits. results: where finished trials are looked for by name; device: what
    mining computes on. Pools that were read are known.
    """

    results: Path
    device: Device
    _pools: dict[object, Pool] = field(default_factory=dict)

    def add(self, splits: Splits, trial: TrialSpec) -> Splits:
        """The splits with what will be mined for train, where the trial's data ask for it.

        Raises EmbftError where it cannot be.
        """
        rule = trial.data.negatives
        if rule is None or (trial.is_baseline and not len(splits.train)):
            return splits
        _check_train(splits)
        pool = self._pool(splits, rule)
        _check_range(rule, pool)
        model, source, described = self._model(rule, trial.model)
        judge = None if rule.cross_encoder is None else _judge(rule.cross_encoder)
        source |= {"device": self.device, "judge": None if judge is None else str(judge.folder)}
        digest = None if judge is None else judge.digest
        mining = Mining(rule, pool, model, digest, trial.data.seed, source, described)
        return replace(splits, mining=mining)

    def _pool(self, splits: Splits, rule: NegativesSpec) -> Pool:
        """The texts of the file that is named, of the corpus, or train's second ones."""
        known: object = rule.pool
        if known is None:
            known = splits.train.digest() if splits.retrieval is None else id(splits.retrieval)
        if known not in self._pools:
            self._pools[known] = _pool(splits, rule.pool)
        return self._pools[known]

    def _model(self, rule: NegativesSpec, own: ModelSpec) -> tuple[str, dict[str, Any], str]:
        """The digest of the model that mines, where it is, and what it is in words."""
        if rule.mine == BASE:
            return (*_of_base(own), "the base model")
        trial = self._trial(rule.mine)
        if trial is not None:
            return (*_of_trial(trial), f"trial {trial.short} ({trial.path.name})")
        try:
            return (*_of_base(ModelSpec(base=rule.mine)), rule.mine)
        except ModelError as error:
            reason = str(error).partition(": ")[2] or str(error)
            raise ModelError(
                f"data.negatives.mine is {rule.mine!r}: no finished trial of that name in "
                f"{self.results}, and no model: {reason}. Give `base`, a model's folder or name, "
                "or a trial's folder, name or short name"
            ) from None

    def _trial(self, name: str) -> TrialDir | None:
        """The trial that a folder, a name or a key means."""
        folder = TrialDir(Path(name).expanduser())
        if folder.input_file.is_file():
            return TrialDir.copied(folder.path.resolve())
        if not _KEY.fullmatch(name):
            pattern = f"*/trials/{name.replace('[', '[[]')}" if "/" not in name else ""
        else:
            pattern = f"*/trials/*-{name}*"
        found = sorted(self.results.glob(pattern)) if pattern else []
        done = [TrialDir(path) for path in found if TrialDir(path).result_file.exists()]
        keys = {each.key for each in done}
        if len(keys) > 1:
            raise EmbftError(
                f"data.negatives.mine is {name!r}, which several trials are called: "
                f"{', '.join(sorted(keys))}: give the whole key"
            )
        return done[0] if done else None


def _check_train(splits: Splits) -> None:
    """Raise EmbftError unless train is pairs that belong together."""
    train = splits.train
    if not len(train):
        raise EmbftError("data.negatives: train has no pairs, so none can be given negatives")
    if train.shape == Shape.TRIPLETS:
        raise EmbftError(
            "data.negatives: train has negatives of its own: leave data.negatives out, or set "
            "`data.shape: positives`, which leaves train's own out"
        )
    if train.shape != Shape.POSITIVES:
        raise EmbftError(
            "data.negatives: negatives are mined for pairs that belong together, and train has "
            "labels: set `data.shape: positives`"
        )


def _pool(splits: Splits, given: PoolSpec | None) -> Pool:
    if given is not None:
        texts = [*TextFile(given.file, given.column).texts(), *splits.train.text_2]
        return Pool(texts, f"the texts of {TextFile(given.file).files} and train's second texts")
    if splits.retrieval is not None:
        corpus = splits.retrieval.corpus.texts
        return Pool(corpus, f"the {len(corpus):,} documents of the corpus")
    return Pool(splits.train.text_2, "train's second texts")


def _check_range(rule: NegativesSpec, pool: Pool) -> None:
    """Raise EmbftError where there are not as many texts as ranks."""
    last = rule.range[1]
    texts = pool.different(last + 1)
    if last >= texts:
        raise EmbftError(
            f"data.negatives.range is {list(rule.range)}, and {pool.name} are {texts:,} different "
            "texts, one of them the positive: end it below that, or give more texts "
            "(data.negatives.corpus)"
        )


def _of_base(spec: ModelSpec) -> tuple[str, dict[str, Any]]:
    base = spec_base(spec)
    check_base(anatomy(base.folder), spec)
    own = spec.model_dump(mode="json", exclude_defaults=True, exclude={"base", "revision"})
    digest = hashlib.sha256(canonical_json([base.digest, own]).encode()).hexdigest()
    return digest, {"base": str(base.folder), "model": spec.model_dump(mode="json")}


def _of_trial(trial: TrialDir) -> tuple[str, dict[str, Any]]:
    """Of a finished trial, whose model is there. Raises ModelError."""
    result = trial.result()
    if not isinstance(result, Completed) or trial.removed_file.exists():
        why = "its model was removed (artifacts.keep)" if result else "it has not finished"
        if result and not isinstance(result, Completed):
            why = f"it {result.status}"
        raise ModelError(
            f"data.negatives.mine: trial {trial.path} has no verified model: {why}. Give a trial "
            "that has completed and whose model is kept"
        )
    digest = hashlib.sha256(canonical_json([trial.key, dict(result.files)]).encode()).hexdigest()
    return digest, {"trial": str(trial.path.resolve())}


def _judge(name: str) -> LocalBase:
    """The cross-encoder of this name. Raises ModelError where there is none, or it is another kind
    of model.
    """
    try:
        found = find_base_model(name)
    except ModelError as error:
        reason = str(error).replace("model.base", "data.negatives.cross_encoder")
        raise ModelError(reason.partition(". Give a folder, or for")[0]) from None
    config = anatomy(found.folder).config
    names = config.get("architectures") or []
    if not any(str(each).endswith("ForSequenceClassification") for each in names):
        raise ModelError(
            f"data.negatives.cross_encoder is {name!r}, which is no cross-encoder: its config.json "
            f"names {', '.join(map(str, names)) or 'no architecture'}, and not one "
            "ForSequenceClassification"
        )
    return found


def mining_notes(data: Iterable[Splits]) -> Iterator[str]:
    """What will be mined for these data, a sentence each."""
    for splits in data:
        if splits.mining is not None:
            yield f"{splits.mining.text(len(splits.train))}."
