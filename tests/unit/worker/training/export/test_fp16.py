"""A value that several operators need in float32."""

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

from worker.training.export.formats.onnx_fp16 import to_fp16

pytestmark = pytest.mark.slow


def test_a_value_that_two_operators_need_in_float32_is_cast_once() -> None:
    # CumSum has no float16 form; position encodings sum one mask along both axes
    graph = helper.make_graph(
        [
            helper.make_node("Relu", ["images"], ["mask"]),
            helper.make_node("CumSum", ["mask", "first"], ["down"]),
            helper.make_node("CumSum", ["mask", "second"], ["across"]),
            helper.make_node("Add", ["down", "across"], ["logits"]),
        ],
        "positions",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [2, 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [2, 3])],
        [helper.make_tensor(name, TensorProto.INT64, [], [axis]) for axis, name in enumerate(("first", "second"))],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    images = np.arange(6, dtype=np.float32).reshape(2, 3)

    session = onnxruntime.InferenceSession(to_fp16(model).SerializeToString())

    (logits,) = session.run(None, {"images": images})
    assert logits.dtype == np.float32
    assert np.array_equal(logits, images.cumsum(0) + images.cumsum(1))
