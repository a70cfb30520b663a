"""`student.fp16.onnx`: half the bytes, for accelerators that compute in float16."""

import onnx
from onnxruntime.transformers.float16 import convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel


def to_fp16(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy with weights and operators in float16. Input and output stay float32, so that it is used like `model`.

    Raises:
        Exception: whatever the converter raises for an operator it does not know.
    """
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
