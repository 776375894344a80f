"""A device that computes on the CPU, and keeps what lies on it apart as a GPU does.

It is no GPU: nothing here tells how fast one is, or how it rounds. But whatever a training or an
evaluation leaves on the CPU beside what lies on the device is an error, numpy reads nothing that
was not copied first, and the model's own layers run in place of what is compiled for the CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import cache
from typing import Any
from unittest.mock import patch

import torch
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

DEVICE = "pretended"
_aten = torch.ops.aten
_COPIES = {_aten._to_copy.default, _aten.copy_.default}
# As on a GPU their indices may lie on the CPU.
_INDEXING = {
    _aten.index.Tensor,
    _aten.index_put.default,
    _aten.index_put_.default,
    _aten._index_put_impl_.default,
}
# What a tensor says of its memory, which whoever saves it asks for.
_OF_MEMORY = {
    torch.Tensor.tolist,
    torch.Tensor.storage,
    torch.Tensor.untyped_storage,
    torch.Tensor.data_ptr,
}
_CAST = ("linear", "matmul", "mm", "bmm", "addmm", "baddbmm")  # what autocast casts, of what we use
_PLAIN_ATTENTION = 0  # torch's name for attention by products, which every device has


class OnDevice(torch.Tensor):
    """A tensor on the device. hidden: its values."""

    hidden: torch.Tensor

    @staticmethod
    def __new__(cls, hidden: torch.Tensor) -> OnDevice:
        """The values, as they lie in memory."""
        made: OnDevice = torch.Tensor._make_wrapper_subclass(
            cls,
            hidden.size(),
            strides=hidden.stride(),
            storage_offset=hidden.storage_offset(),
            dtype=hidden.dtype,
            device=torch.device(DEVICE, 0),
        )
        made.hidden = hidden
        return made

    def __repr__(self) -> str:  # type: ignore[override]
        return f"OnDevice({self.hidden!r})"

    @classmethod
    def __torch_function__(
        cls, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """What torch does with a tensor's memory beside its operators."""
        if function in _OF_MEMORY:
            return function(args[0].hidden, *args[1:], **(kwargs or {}))
        if function is torch.Tensor.__getitem__ and isinstance(args[1], list):
            args = args[0], torch.tensor(args[1])
        with torch._C.DisableTorchFunctionSubclass():
            found = function(*args, **(kwargs or {}))
        if function == torch.Tensor.data.__set__:  # type: ignore[attr-defined]
            args[0].hidden = args[1].hidden
        return found

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, operator: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """An operator on tensors of which one at least lies here."""
        return _run(operator, args, kwargs or {})


class _MadeThere(TorchDispatchMode):
    """Tensors that are made on the device."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def __torch_dispatch__(
        self, operator: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return _run(operator, args, kwargs or {})


def _run(operator: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    if operator.has_kernel_for_dispatch_key(torch._C.DispatchKey.CompositeImplicitAutograd):
        with _MadeThere():  # where no gradients are kept operators come as they are called
            return operator.decompose(*args, **kwargs)
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    here = [tensor for tensor in tensors if isinstance(tensor, OnDevice)]
    if here and operator is _aten._fused_sdp_choice.default:
        return _PLAIN_ATTENTION
    if here and operator not in _COPIES | _INDEXING:
        _refuse_mixed(operator, tensors)
    hidden = tree_map_only(OnDevice, lambda tensor: tensor.hidden, (args, dict(kwargs)))
    target = torch.device(kwargs["device"]) if kwargs.get("device") is not None else None
    if target is not None and target.type == DEVICE:
        hidden[1]["device"] = "cpu"
    on_device = target.type == DEVICE if target is not None else bool(here)
    draws = on_device and torch.Tag.nondeterministic_seeded in operator.tags
    with _own_random_numbers() if draws else nullcontext():
        found = operator(*hidden[0], **hidden[1])
    if operator is _aten.copy_.default:
        return args[0]
    if not on_device:
        return found
    found = tree_map_only(torch.Tensor, OnDevice, found)
    return return_and_correct_aliasing(operator, args, dict(kwargs), found) if here else found


def _refuse_mixed(operator: Any, tensors: Sequence[torch.Tensor]) -> None:
    """A single number may stand beside tensors on a device, but not where its address is passed."""
    by_address = "fused" in operator.name()
    left = [t for t in tensors if not isinstance(t, OnDevice) and (t.dim() or by_address)]
    if left:
        raise RuntimeError(f"{operator}: {len(left)} of {len(tensors)} tensors lie on the CPU")


_drawn = [torch.Generator().get_state()]


@contextmanager
def _own_random_numbers() -> Iterator[None]:
    """A device draws from a state of its own."""
    before = torch.get_rng_state()
    torch.set_rng_state(_drawn[0])
    try:
        yield
    finally:
        _drawn[0] = torch.get_rng_state()
        torch.set_rng_state(before)


def _set_state(state: torch.Tensor, _: Any = None) -> None:
    _drawn[0] = state


class _Module:
    """What torch asks the module of a device."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        known: dict[str, Any] = {
            "is_available": lambda: True,
            "is_initialized": lambda: True,
            "_is_in_bad_fork": lambda: False,
            "device_count": lambda: 1,
            "current_device": lambda: 0,
            "get_amp_supported_dtype": lambda: [torch.bfloat16, torch.float16],
            "device": lambda _: nullcontext(),
            "get_rng_state": lambda _=None: _drawn[0],
            "set_rng_state": _set_state,
            "manual_seed_all": lambda seed: _set_state(
                torch.Generator().manual_seed(seed).get_state()
            ),
        }
        return known.get(name, lambda *_, **__: None)


@cache
def _register() -> list[torch.library.Library]:
    """Have torch know the device, and cast products on it under autocast."""
    _setup_privateuseone_for_python_backend(DEVICE, _Module())
    rest = torch.library.Library("_", "IMPL", "AutocastPrivateUse1")
    rest.fallback(torch.library.fallthrough_kernel)
    products = torch.library.Library("aten", "IMPL", "AutocastPrivateUse1")
    for name in _CAST:
        products.impl(name, _cast(getattr(_aten, name).default))
    return [rest, products]


def _cast(operator: Any) -> Callable[..., Any]:
    autocast = torch._C.DispatchKeySet(torch._C._dispatch_key_parse("AutocastPrivateUse1"))

    def product(*args: Any, **kwargs: Any) -> Any:
        dtype = torch.get_autocast_dtype(DEVICE)
        given = tree_map_only(
            torch.Tensor, lambda t: t.to(dtype) if t.dtype == torch.float32 else t, (args, kwargs)
        )
        with torch._C._ExcludeDispatchKeyGuard(autocast):
            return operator(*given[0], **given[1])

    return product


@contextmanager
def pretended_gpu() -> Iterator[None]:
    """In the block models are loaded onto the device."""
    _register()
    with patch("embft.models.base.resolve_device", lambda *_, **__: DEVICE), _MadeThere():
        yield
