"""A model by its name, checked before it is used: whoever loads a trial's model loads it here.

A trained model is what was verified only together with its base: an adapter on other weights gives
other embeddings, and no loader notices.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sentence_transformers import SentenceTransformer

from embft.encoding.encoder import encode_sides
from embft.errors import ModelError, VerificationError
from embft.models.adapter import ADAPTER_CONFIG
from embft.models.base import load_base
from embft.models.resolve import LocalBase, content_digest, spec_base
from embft.models.safety import check_agreed
from embft.models.save import Origin, adapter_origin, load_saved, read_origin
from embft.models.verification import Reference, check_unchanged
from embft.results.folders import TrialDir
from embft.results.records import Completed, TrialInput
from embft.spec import ModelSpec


@dataclass(frozen=True)
class Found:
    """What a model's name leads to.

    name: as it was given. spec: how a text becomes an embedding. saved: the folder of what was
    trained; None where the name is itself a base's. origin: the base, as far as it is known. trial:
    its folder and input, where it is a trial's.
    """

    name: str
    spec: ModelSpec
    saved: Path | None = None
    origin: Origin | None = None
    trial: tuple[TrialDir, TrialInput] | None = None

    @property
    def is_adapter(self) -> bool:
        """Whether it takes a base to load it."""
        return self.saved is not None and (self.saved / ADAPTER_CONFIG).is_file()

    def base(self) -> LocalBase:
        """The base model, which is as it was when the model was trained. Raises ModelError."""
        try:
            base = spec_base(self.spec)
        except ModelError as error:
            raise ModelError(f"{self.name}: its base model is not to be had: {error}") from None
        now = content_digest(base.folder, trusted=self.spec.trust_remote_code)
        then = None if self.origin is None else self.origin.digest
        if then is not None and then != now:
            raise ModelError(
                f"{self.name}: its base model {base.described} is not the one that it was trained "
                f"on: the content has digest {now[:12]}, and then it was {then[:12]}. Put the "
                "files of then back, or run the sweep again, which trains on those of now"
            )
        return base


def load_trained(name: str, *, trusted: bool = False) -> SentenceTransformer:
    """The model of a hub name, a model's folder, an adapter's folder or a trial's folder.

    Of a trial the files, the base's content and the reference embeddings are checked. Raises
    ModelError, RecordError, and VerificationError where it is not the model that was verified.
    """
    return load_found(find_trained(name, trusted=trusted))


def load_found(found: Found) -> SentenceTransformer:
    """As `load_trained`, of what `find_trained` has found."""
    if found.saved is None:
        return load_base(found.base().folder, found.spec)
    base = found.base().folder if found.is_adapter else None
    model = load_saved(found.saved, base, found.spec)
    _check_reference(model, found)
    return model


def find_trained(name: str, *, trusted: bool = False) -> Found:
    """Where the model of this name lies, and what its base is.

    Raises ModelError, and RecordError where a trial's files are not what its record says.
    """
    folder = Path(name).expanduser()
    for trial in (folder, folder.parent):
        found = TrialDir(trial)
        if found.input_file.is_file() and folder in {trial, found.model_folder}:
            return _of_trial(name, TrialDir.copied(trial.resolve()), trusted=trusted)
    origin = adapter_origin(folder)
    if origin is None:
        return Found(name, ModelSpec(base=name, trust_remote_code=trusted))
    spec = ModelSpec(base=origin.name, revision=origin.revision, trust_remote_code=trusted)
    return Found(name, spec, folder, origin)


def _of_trial(name: str, folder: TrialDir, *, trusted: bool) -> Found:
    given, result = folder.read_input(), folder.result()
    check_agreed(given.spec.model.trust_remote_code, agreed=trusted)
    if not isinstance(result, Completed):
        ended = f"it {result.status}" if result else "it has not finished"
        raise ModelError(f"{folder.path}: this trial has no verified model: {ended}")
    folder.check_files(result)
    if folder.removed_file.exists():
        raise ModelError(
            f"{folder.path}: this trial's model was removed after it was scored, as artifacts.keep "
            "of its spec asked: move the trial's folder away, set artifacts: {keep: all}, and "
            "the same sweep trains it again"
        )
    spec = given.spec.model
    planned = Origin(spec.base, spec.revision, given.model_digest)
    if given.spec.is_baseline:
        return Found(name, spec, origin=planned)
    origin = read_origin(folder.model_folder) or planned
    spec = spec.model_copy(update={"revision": origin.revision})
    return Found(name, spec, folder.model_folder, origin, (folder, given))


def trial_reference(found: Found) -> Reference | None:
    """The embeddings by which a trial's model was verified; None where there are none."""
    if found.trial is None or not found.trial[0].reference_file.exists():
        return None
    return Reference.read(found.trial[0].reference_file)


def _check_reference(model: SentenceTransformer, found: Found) -> None:
    """Raise VerificationError unless the model embeds these texts as when it was trained."""
    reference = trial_reference(found)
    if reference is None:
        return  # its files' digests have been checked
    try:
        check_unchanged(
            encode_sides(model, reference.texts, reference.sides),
            reference.trained,
            str(model.dtype).removeprefix("torch."),
            quantised=found.spec.quantization != "none",
        )
    except VerificationError as error:
        raise VerificationError(f"{found.name}: {error}") from None
