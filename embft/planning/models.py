"""What a base model cannot do, or does otherwise than a user may expect: known from its files."""

from __future__ import annotations

from collections.abc import Iterable

from embft.models.model_folder import Anatomy, anatomy
from embft.models.resolve import LocalBase
from embft.models.supported import check_base, check_spec, check_training, notes
from embft.planning.capacity import may_have_gpu
from embft.spec import ModelSpec, TrialSpec
from embft.system.machine import Device


class BaseChecks:
    """Checks each distinct kind of trial once. device: where the trials are to run."""

    def __init__(self, device: Device) -> None:
        self.on_cpu = device == "cpu" or (device == "auto" and not may_have_gpu(device))
        self._found: dict[str, Anatomy] = {}
        self._models: dict[tuple[str, ModelSpec], Anatomy] = {}
        self._checked: set[object] = set()

    def check(self, trial: TrialSpec, base: LocalBase) -> None:
        """Raise ModelError for what every such trial would come to grief on."""
        kind = (base.digest, trial.model, trial.train)
        if kind in self._checked:
            return
        found = self._model(trial.model, base)
        check_training(found, trial.model, trial.train, on_cpu=self.on_cpu)
        self._checked.add(kind)

    def _model(self, spec: ModelSpec, base: LocalBase) -> Anatomy:
        found = self._models.get((base.digest, spec))
        if found is None:
            if base.digest not in self._found:
                self._found[base.digest] = anatomy(base.folder)
            found = self._models[base.digest, spec] = self._found[base.digest]
            check_base(found, spec)
            check_spec(found, spec, on_cpu=self.on_cpu)
        return found

    def notes(self) -> Iterable[str]:
        """What is done with properties of the bases, a sentence each."""
        return dict.fromkeys(
            note
            for (_, model), found in self._models.items()
            for note in notes(found, model, on_cpu=self.on_cpu)
        )
