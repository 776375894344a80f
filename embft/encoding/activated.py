"""Activations that follow a linear layer at once, so that its product can take them along.

Found in any architecture by what runs: a model reads a text, and an activation is one where it is
given a layer's own output and computes what oneDNN has under that name. Computes no product.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import torch
from torch import nn

_TRIED = torch.linspace(-9, 9, 181)
_LIBRARIES = ("torch.nn.modules.act", "transformers.activations")


class Kind(NamedTuple):
    """An activation as oneDNN calls it: its name, and which formula."""

    name: str
    formula: str


NONE = Kind("none", "")
KINDS: tuple[tuple[Kind, Callable[[torch.Tensor], torch.Tensor]], ...] = (
    (NONE, nn.Identity()),
    (Kind("gelu", "none"), nn.functional.gelu),
    (Kind("gelu", "tanh"), partial(nn.functional.gelu, approximate="tanh")),
    (Kind("swish", ""), nn.functional.silu),
)


class Activated(NamedTuple):
    """A linear layer, and the activation that is given its output and nothing else."""

    linear: nn.Linear
    activation: nn.Module
    kind: Kind


def activated(model: nn.Module, run: Callable[[], object]) -> list[Activated]:
    """The pairs of a model. run: has it read a text."""
    modules = [*model.modules()]
    kinds = {module: kind for module in modules if (kind := kind_of(module))}
    linears = [module for module in modules if type(module) is nn.Linear]
    made, pairs = dict[int, tuple[nn.Linear, torch.Tensor]](), list[Activated]()
    calls = Counter[nn.Module]()

    def after(linear: nn.Module, _: object, output: torch.Tensor) -> None:
        calls[linear] += 1
        if isinstance(linear, nn.Linear):
            made[id(output)] = linear, output  # held, so that no other tensor gets its number

    def before(activation: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        calls[activation] += 1
        if given and id(given[0]) in made:
            pairs.append(Activated(made[id(given[0])][0], activation, kinds[activation]))

    with _hooked(linears, after), _hooked(list(kinds), before, first=True), torch.no_grad():
        run()
    return [pair for pair in pairs if calls[pair.linear] == calls[pair.activation] == 1]


@contextmanager
def _hooked(
    modules: Sequence[nn.Module], hook: Callable[..., None], *, first: bool = False
) -> Iterator[None]:
    """While open, the hook is called for each of the modules, before or after it computes."""
    handles = [
        module.register_forward_pre_hook(hook) if first else module.register_forward_hook(hook)
        for module in modules
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def kind_of(module: nn.Module) -> Kind | None:
    """What an activation computes, tried on some numbers; None for what is none that is known."""
    if any(True for _ in module.parameters()) or any(True for _ in module.children()):
        return None
    if not type(module).__module__.startswith(_LIBRARIES):
        return None
    try:
        found = module(_TRIED)
    except (TypeError, RuntimeError, ValueError):
        return None
    return next(
        (kind for kind, own in KINDS[1:] if torch.allclose(found, own(_TRIED), atol=1e-6)), None
    )
