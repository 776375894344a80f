"""OpenVINO: the ONNX graph converted, quantised by NNCF with the user's own texts, and run.

OpenVINO reports each import to Intel unless its package of telemetry is missing: here it is.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from embft.errors import ModelError
from embft.shipping.format_model import Arrays, Graph
from embft.shipping.onnx_format import check_installed, quiet

PLAIN, INT8 = "openvino/openvino_model.xml", "openvino/openvino_model_qint8_quantized.xml"
NEEDED = ("onnx", "onnxscript", "openvino", "nncf")


def _openvino() -> Any:
    """The library, which then tells nobody that it was imported."""
    check_installed(("openvino",), "openvino")
    for name in ("openvino_telemetry", "openvino_telemetry.backend"):
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]
    import openvino

    return openvino


def write_openvino(onnx: Path, path: Path) -> None:
    """Convert an ONNX graph; weights stay in float32."""
    openvino = _openvino()
    path.parent.mkdir(parents=True, exist_ok=True)
    openvino.save_model(openvino.convert_model(onnx), path, compress_to_fp16=False)


def quantise_openvino(path: Path, out: Path, batches: Iterable[Arrays]) -> None:
    """Weights and activations in 8 bits, their ranges from these batches of tokens."""
    openvino = _openvino()
    import nncf

    nncf.set_log_level("ERROR")
    model = openvino.Core().read_model(path)
    given = [{n: v for n, v in batch.items() if n in _names(model)} for batch in batches]
    with quiet():
        quantised = nncf.quantize(
            model,
            nncf.Dataset(given),
            model_type=nncf.ModelType.TRANSFORMER,
            subset_size=len(given),
        )
    openvino.save_model(quantised, out, compress_to_fp16=False)


def open_openvino(path: Path) -> Graph:
    """A graph on the CPU that computes in float32, also where the processor has bfloat16."""
    openvino = _openvino()
    try:
        compiled = openvino.Core().compile_model(
            str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
        )
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelError(f"{path}: OpenVINO cannot open it: {reason}") from None
    outputs = len(compiled.outputs)

    def run(given: Arrays) -> list[Any]:
        found = compiled(dict(given))
        return [np.asarray(found[i]) for i in range(outputs)]

    return Graph(_names(compiled), run)


def _names(model: Any) -> tuple[str, ...]:
    return tuple(each.any_name for each in model.inputs)
