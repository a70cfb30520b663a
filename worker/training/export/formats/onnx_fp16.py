"""`student.fp16.onnx`: half the bytes, for accelerators that compute in float16."""

from pathlib import Path
from typing import TYPE_CHECKING

import onnx

from app.domain.config import ExportConfig
from worker.training.export.formats.onnx import Onnx, save_onnx
from worker.training.export.tolerance import LogitTolerance, Tolerance

if TYPE_CHECKING:
    from worker.training.export.source import Source


class OnnxFp16(Onnx):
    name = "onnx_fp16"
    file = "student.fp16.onnx"
    label = "fp16 ONNX"
    cannot = "it cannot be expressed in ONNX, or an operation has no float16 form"

    def write(self, source: "Source", path: Path) -> str:
        save_onnx(to_fp16(source.onnx_model), path, source.metadata)
        return "float16"

    def tolerance(self, config: ExportConfig) -> Tolerance:
        return LogitTolerance(config.max_logit_difference_fp16)


def to_fp16(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy with weights and operators in float16. Input and output stay float32, so that it is used like `model`.

    Raises:
        Exception: whatever the converter raises for an operator it does not know.
    """
    from onnxruntime.transformers.float16 import convert_float_to_float16  # noqa: PLC0415  not needed to run one
    from onnxruntime.transformers.onnx_model import OnnxModel  # noqa: PLC0415

    halved = OnnxModel(convert_float_to_float16(_copy(model), keep_io_types=True))
    _drop_doubles(halved.model.graph)
    halved.topological_sort()  # the converter appends its casts at the end
    onnx.checker.check_model(halved.model)
    return halved.model


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    return copied


def _drop_doubles(graph: onnx.GraphProto) -> None:
    """The converter casts a value back to float32 once for each operator that has no float16 form, each time under the
    same name."""
    once = {node.output[0]: node for node in reversed(graph.node)}
    kept = [node for node in graph.node if once[node.output[0]] is node]
    del graph.node[:]
    graph.node.extend(kept)


FORMAT = OnnxFp16()
