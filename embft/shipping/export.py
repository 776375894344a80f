"""A model out of a sweep: a folder that plain sentence-transformers loads on any machine, verified.

The folder appears whole and verified, or not at all.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling

import embft
from embft.data.dating import generate
from embft.encoding.encoder import encode
from embft.errors import EmbftError, ModelError, VerificationError
from embft.models.adapter import ADAPTER_CONFIG, merge_adapter
from embft.models.resolve import ORIGIN_FILE
from embft.models.save import Origin, load_saved
from embft.models.trained import Found, load_found, trial_reference
from embft.models.verification import LEAST_CHANGE, largest_share
from embft.planning.estimate import FLOAT, count_weights, free_disk, size_text
from embft.shipping.card import Facts
from embft.shipping.formats import Format, Trials, add_formats, check_formats, disk_factor
from embft.shipping.fresh_process import embed_fresh
from embft.shipping.library_modules import use_library_modules
from embft.storage.errors import storage_reason
from embft.storage.files import new_folder, write_atomic
from embft.storage.seal import folder_digests

Embeddings = npt.NDArray[np.float32]

CARD = "README.md"
_CHECK_TEXTS = 8
# The largest share of an embedding's length that may differ. Merged weights are added once, and
# not products at each text: other roundings, layer upon layer. 16 bits round by larger steps.
_TOLERANCE, _TOLERANCE_16_BIT = 1e-4, 5e-2
_OTHER_BYTES = 50_000_000  # tokenizer, configuration, card


@dataclass(frozen=True)
class Checked:
    """A fresh process's embeddings, and the largest differences as shares of an embedding's length.

    own: of `texts`; from_memory: their difference from the model in memory. from_reference: that of
    the trial's `reference_texts` from those that it was verified by, None where there are none.
    """

    texts: tuple[str, ...]
    own: Embeddings
    from_memory: float
    from_reference: float | None
    reference_texts: int
    tolerance: float

    def sentences(self) -> Iterator[str]:
        """How the model was verified, for the card and the terminal."""
        yield (
            "A fresh process without embft and without a hub loaded this folder. Its embeddings of "
            f"{len(self.texts)} texts differ from those of the model in memory by at most "
            f"{self.from_memory:.0e} of their length."
        )
        if self.from_reference is not None:
            yield (
                f"Of the trial's {self.reference_texts} reference texts they differ from those "
                f"that the trained model gave by at most {self.from_reference:.0e}."
            )


@dataclass(frozen=True)
class Wanted:
    """What is to be exported: the whole model, or its adapter alone. base_name: of an adapter's
    base, as others will find it; else as the spec names it. formats: to add, tried on `trials`.
    """

    adapter: bool = False
    base_name: str | None = None
    formats: tuple[Format, ...] = ()
    trials: Trials = field(default_factory=Trials)


@dataclass(frozen=True)
class Exported:
    """What was exported, and how it was verified."""

    folder: Path
    facts: Facts
    checked: Checked


@dataclass(frozen=True)
class _Made:
    """The model as it was saved, the precision that it was trained in, and the embeddings of the
    built-in texts that it gave before it was saved, shape (n, width).
    """

    model: SentenceTransformer
    trained_in: torch.dtype | None
    expected: Embeddings


def export(found: Found, out: Path, describe: Callable[[Facts], str], wanted: Wanted) -> Exported:
    """Export a model to a new folder. describe: makes the card.

    Raises ModelError where that cannot be, VerificationError where the result is not the model,
    EmbftError for want of disk.
    """
    _refuse(found, out, wanted)
    check_formats(wanted.formats)
    _check_room(found, out, wanted)
    origin = _origin(found, wanted.base_name)
    with _disk_full_said(out), new_folder(out) as folder:
        adapter = wanted.adapter
        made = _write_adapter(found, folder, origin) if adapter else _write_whole(found, folder)
        with _loadable(found, folder, adapter=adapter) as plain:
            checked = _check(found, plain, made)
        shipped = add_formats(folder, made.model, wanted.formats, wanted.trials)
        facts = _facts(found, out.name, made.model, origin, checked, adapter=adapter)
        facts = replace(facts, formats=tuple(each.sentence() for each in shipped))
        _write_about(folder, found, origin, checked, adapter=adapter)
        write_atomic(folder / CARD, describe(facts))
    return Exported(out, facts, checked)


def _refuse(found: Found, out: Path, wanted: Wanted) -> None:
    adapter = wanted.adapter
    if out.exists():
        raise EmbftError(f"--out {out}: this folder exists already: give another one")
    if adapter and not found.is_adapter:
        raise ModelError(f"{found.name}: no adapter was trained here: leave --adapter out")
    if found.is_adapter and not adapter and found.spec.quantization != "none":
        raise ModelError(
            f"{found.name}: its base was quantised to {found.spec.quantization}, and merging needs "
            "whole weights: give --adapter, or train with model.quantization: none"
        )
    if adapter and found.spec.pooling == "text_mean":
        raise ModelError(
            f"{found.name}: pooling text_mean is embft's own, and plain loaders get it with the "
            "whole model alone: leave --adapter out"
        )


def _check_room(found: Found, out: Path, wanted: Wanted) -> None:
    """Raise EmbftError where the disk has not enough space for what is to be written."""
    source = found.saved if wanted.adapter or not found.is_adapter else None
    factor = 1.0 + disk_factor(wanted.formats)
    weights = FLOAT * count_weights(source or found.base().folder)
    needed, free = int(factor * weights) + _OTHER_BYTES, free_disk(out.absolute().parent)
    if needed > free:
        raise EmbftError(
            f"--out {out}: the export needs about {size_text(needed)} of disk, and "
            f"{size_text(free)} are free there: free some, or give a folder on another disk"
        )


@contextmanager
def _disk_full_said(out: Path) -> Iterator[None]:
    """A full disk in the block is an EmbftError, whatever library met it."""
    try:
        yield
    except EmbftError:
        raise
    except Exception as error:
        if storage_reason(error) is None:
            raise
        reason = " ".join(str(error).split())[:200]
        raise EmbftError(
            f"--out {out}: cannot be written: {reason}. Nothing is left there"
        ) from None


def _origin(found: Found, base_name: str | None) -> Origin:
    """The base under a name that is good on other machines."""
    origin = found.origin if found.origin and found.origin.digest else Origin.of(found.base())
    return replace(origin, name=base_name or _portable_name(origin.name, found.spec.base))


def _portable_name(name: str, given: str) -> str:
    """A base's name without a folder of this machine. name: for loaders; given: by the user."""
    if not PurePath(name).is_absolute():
        return name
    return PurePath(name if PurePath(given).is_absolute() else given).name


def _write_whole(found: Found, folder: Path) -> _Made:
    """Save the whole model; of an adapter merged into its base, in float32."""
    model = load_found(found)
    trained_in = model.dtype
    if found.is_adapter and found.saved is not None:
        del model  # it is the trained one: now once more in the precision that rounds least
        whole = found.spec.model_copy(update={"dtype": "float32"})
        model = load_saved(found.saved, found.base().folder, whole)
    made = _Made(model, trained_in, encode(model, _texts()))
    if found.is_adapter:
        merge_adapter(model)
    use_library_modules(model)
    model.save_pretrained(str(folder), create_model_card=False)
    return made


def _write_adapter(found: Found, folder: Path, origin: Origin) -> _Made:
    """Copy the adapter, its base under a name that is good elsewhere."""
    model = load_found(found)
    if found.saved is not None:
        about = shutil.ignore_patterns(ORIGIN_FILE)  # it names the base by its place here
        shutil.copytree(found.saved, folder, dirs_exist_ok=True, ignore=about)
    _name_base(folder, origin.name, origin.revision)
    return _Made(model, model.dtype, encode(model, _texts()))


def _name_base(folder: Path, name: str, revision: str | None) -> None:
    path = folder / ADAPTER_CONFIG
    named = {"base_model_name_or_path": name, "revision": revision}
    content = {**json.loads(path.read_text()), **named}
    write_atomic(path, json.dumps(content, indent=2, sort_keys=True))


@contextmanager
def _loadable(found: Found, folder: Path, *, adapter: bool) -> Iterator[Path]:
    """The folder; of an adapter a copy that names its base by where that lies on this machine."""
    if not adapter:
        yield folder
        return
    with TemporaryDirectory(prefix="embft-") as name:
        copy = Path(name) / "adapter"
        shutil.copytree(folder, copy)
        _name_base(copy, str(found.base().folder), None)
        yield copy


def _texts() -> tuple[str, ...]:
    """The texts by which anyone can check the exported model: built-in ones, short and long."""
    texts = tuple(generate().dev.text_1[: _CHECK_TEXTS - 1])
    return (*texts, " ".join(texts))


def _check(found: Found, folder: Path, made: _Made) -> Checked:
    """Load the folder in a fresh process. Raises VerificationError unless it is the same model."""
    reference = trial_reference(found)
    more = reference.texts if reference else ()
    texts = _texts()
    fresh = embed_fresh(folder, [*texts, *more], trusted=found.spec.trust_remote_code)
    checked = Checked(
        texts=texts,
        own=fresh[: len(texts)],
        from_memory=largest_share(fresh[: len(texts)], made.expected),
        from_reference=largest_share(fresh[len(texts) :], reference.trained)
        if reference and more
        else None,
        reference_texts=len(more),
        tolerance=_tolerance(made.model.dtype),
    )
    _require("those of the model in memory", checked.from_memory, checked.tolerance)
    if reference and checked.from_reference is not None:
        _require("those of the trained model", checked.from_reference, _tolerance(made.trained_in))
        _require_change(fresh[len(texts) :], reference.base)
    return checked


def _tolerance(dtype: torch.dtype | None) -> float:
    return _TOLERANCE if dtype == torch.float32 else _TOLERANCE_16_BIT


def _require(what: str, share: float, allowed: float) -> None:
    if not share <= allowed:
        raise VerificationError(
            f"the exported model's embeddings differ from {what} by up to {share:.1e} of their "
            f"length, {allowed:.0e} is allowed"
        )


def _require_change(fresh: Embeddings, base: Embeddings) -> None:
    if float(np.abs(fresh - base).max()) < LEAST_CHANGE:
        raise VerificationError(
            "the exported model gives the base model's embeddings: what was trained is not in it"
        )


def _facts(  # noqa: PLR0913 - what a card needs comes from all of them
    found: Found,
    name: str,
    model: SentenceTransformer,
    origin: Origin,
    checked: Checked,
    *,
    adapter: bool,
) -> Facts:
    return Facts(
        name=name,
        kind=_kind(found, adapter=adapter),
        base=origin.name,
        is_hub_name="/" in origin.name,
        base_digest=origin.digest or "unknown",
        revision=origin.revision,
        is_adapter=adapter,
        trusted=found.spec.trust_remote_code,
        width=checked.own.shape[1],
        max_tokens=model.max_seq_length,
        prompts={name: text for name, text in (model.prompts or {}).items() if text},
        template=found.spec.template,
        pooling=found.spec.pooling or _pooling(model),
        verified=tuple(checked.sentences()),
    )


def _kind(found: Found, *, adapter: bool) -> str:
    if adapter:
        return "the adapter alone"
    if found.is_adapter:
        return "base and adapter merged"
    return "the base model" if found.saved is None else "the whole model"


def _pooling(model: SentenceTransformer) -> str:
    modes = (m.pooling_mode for m in model.children() if isinstance(m, Pooling))
    mode: Any = next(modes, "none")
    return mode if isinstance(mode, str) else " and ".join(mode)


def _write_about(
    folder: Path, found: Found, origin: Origin, checked: Checked, *, adapter: bool
) -> None:
    """`embft.json`: where the model comes from, and texts with the embeddings that it must give."""
    trial = found.trial[1] if found.trial else None
    content = {
        "embft": embft.__version__,
        "base": asdict(origin),
        "adapter": adapter,
        "trial": None if trial is None else {"key": trial.key, "name": trial.name},
        "data_digest": None if trial is None else trial.data_digest,
        "files": folder_digests(folder),
        "check": {
            "texts": list(checked.texts),
            "embeddings": [[round(float(x), 7) for x in row] for row in checked.own],
            "tolerance": checked.tolerance,
        },
    }
    write_atomic(folder / ORIGIN_FILE, json.dumps(content, indent=1, allow_nan=False))
