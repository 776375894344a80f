"""ONNX: a transformer as a graph, exported by torch, quantised and run by ONNX Runtime.

optimum, which sentence-transformers' own backend needs, supports no transformers of today
(`docs/decisions/0022-formats-without-optimum.md`); names and places of files are those that it
reads.
"""

from __future__ import annotations

import copy
import importlib.util
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Transformer

from embft.errors import ModelError
from embft.shipping.format_model import Graph

PLAIN, INT8 = "onnx/model.onnx", "onnx/model_qint8.onnx"
_NEEDED = ("onnx", "onnxruntime", "onnxscript")
_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_MOST_INSIDE = 1_500_000_000  # bytes of weights in the file itself; protobuf ends at 2 GiB


def check_installed(needed: tuple[str, ...] = _NEEDED, extra: str = "onnx") -> None:
    """Raise ModelError where a package is missing."""
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise ModelError(f"{missing[0]} is not installed: pip install 'embft[{extra}]'")


def write_onnx(model: SentenceTransformer, path: Path) -> None:
    """Export the model's transformer, in float32, with any number of texts and tokens.

    Raises ModelError where it has none, or torch cannot export it.
    """
    first: Any = model[0]
    if not isinstance(first, Transformer):
        raise ModelError(f"{type(first).__name__} is no transformer: there is nothing to export")
    given = _example(first)
    path.parent.mkdir(parents=True, exist_ok=True)
    batch, tokens = torch.export.Dim("batch"), torch.export.Dim("sequence")
    with torch.no_grad(), quiet():
        try:
            torch.onnx.export(
                _Hidden(first, tuple(given)).eval(),
                tuple(given.values()),
                path,
                input_names=list(given),
                output_names=["last_hidden_state"],
                dynamic_shapes=(tuple({0: batch, 1: tokens} for _ in given),),
                dynamo=True,
                external_data=_bytes(model) > _MOST_INSIDE,
                verbose=False,
            )
        except Exception as error:  # noqa: BLE001 - whatever its passes stumble over
            reason = " ".join(str(error).split())[:300]
            raise ModelError(f"torch cannot export this model to ONNX: {reason}") from None


class _Hidden(torch.nn.Module):
    """A transformer's hidden states as the model uses them, and nothing else."""

    def __init__(self, transformer: Any, names: tuple[str, ...]) -> None:
        super().__init__()
        inner = transformer.auto_model
        as_it_is = inner.dtype == torch.float32 and inner.device.type == "cpu"
        self.inner = inner if as_it_is else copy.deepcopy(inner).float().cpu()
        self.names = names
        self.layer = _layer(transformer)

    def forward(self, *tokens: torch.Tensor) -> torch.Tensor:
        """(n, tokens) of each input -> (n, tokens, width)."""
        given = dict(zip(self.names, tokens, strict=True))
        if self.layer is None:
            last: torch.Tensor = self.inner(**given).last_hidden_state
            return last
        states: torch.Tensor = self.inner(**given, output_hidden_states=True).hidden_states[
            self.layer
        ]
        return states


def _layer(transformer: Any) -> int | None:
    """The index of the hidden states that the model takes; None for the last layer's."""
    output = transformer.modality_config.get("text", {}).get("method_output_name")
    return int(output[1]) if isinstance(output, list | tuple) else None


def _example(transformer: Any) -> dict[str, torch.Tensor]:
    """Two texts' tokens, of which the second is shorter."""
    found = transformer.tokenizer(["a b c", "a"], padding=True, return_tensors="pt")
    names = [name for name in _INPUTS if name in found]
    return {name: found[name] for name in names}


def _bytes(model: SentenceTransformer) -> int:
    return 4 * sum(parameter.numel() for parameter in model.parameters())


def quantise_onnx(path: Path, out: Path) -> None:
    """Weights in 8 bits, for each channel by itself, activations at run time; no data is needed."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    big = path.with_name(f"{path.name}.data").exists()
    with quiet():
        quantize_dynamic(
            path, out, per_channel=True, weight_type=QuantType.QInt8, use_external_data_format=big
        )


def open_onnx(path: Path) -> Graph:
    """A graph on the CPU, with as many threads as torch has. Raises ModelError."""
    check_installed(("onnxruntime",))
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # noqa: BLE001 - its errors have no common kind
        reason = " ".join(str(error).split())[:300]
        raise ModelError(f"{path}: ONNX Runtime cannot open it: {reason}") from None
    names = tuple(each.name for each in session.get_inputs())
    return Graph(names, lambda given: session.run(None, dict(given)))


@contextmanager
def quiet() -> Iterator[None]:
    """The exporters tell much about their own work, on every channel."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
