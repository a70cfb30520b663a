"""`student.onnx`: one file, dynamic batch, for any ONNX runtime."""

from pathlib import Path

import onnx
import torch
from torch.export import ExportedProgram

from app.domain.errors import ExportFailed
from worker.training.export.deployable import PRODUCER
from worker.training.export.inputs import INPUT_NAME, OUTPUT_NAME

OPSET = 18
"""What torch's exporter writes natively, so nothing is converted downwards; it and the IR version are from early 2023,
so ONNX Runtime from 1.14 and the device compilers of the years since read it. Later operators would buy an image
classifier nothing."""
IR_VERSION = 8
"""The file format that came with opset 18. The exporter would claim a later one only to carry its debugging notes."""
LARGEST = 2**31 - 2**24
"""Bytes of weights that fit one protobuf file (2 GiB) with room for the graph."""


def convert(program: ExportedProgram) -> onnx.ModelProto:
    """The captured network as ONNX: float32 `images` [batch, 3, S, S] in, `logits` [batch, K] out.

    Raises:
        ExportFailed: the weights do not fit a single file.
        Exception: whatever the converter raises for an operation without a counterpart.
    """
    size = sum(value.numel() * value.element_size() for value in program.state_dict.values())
    if size > LARGEST:
        raise ExportFailed(
            f"The student's weights take {size / 1e9:.1f} GB, and one ONNX file holds at most 2 GB.",
            hint="Choose a smaller student, or other export formats.",
        )
    converted = torch.onnx.export(
        program,
        (),
        input_names=[INPUT_NAME],
        output_names=[OUTPUT_NAME],
        opset_version=OPSET,
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    assert converted is not None
    shape = converted.model.graph.inputs[0].shape
    assert shape is not None
    converted.rename_axes({str(shape[0]): "batch"})
    model = converted.model_proto
    _drop_debugging_notes(model)
    model.ir_version = IR_VERSION
    return model


def write_onnx(model: onnx.ModelProto, path: Path, metadata: dict[str, str]) -> None:
    """Write one file; `metadata` becomes its `metadata_props`, in place of what a tool may have left there."""
    model.producer_name, _, model.producer_version = metadata["producer"].partition(" ")
    assert model.producer_name == PRODUCER
    onnx.helper.set_model_props(model, metadata)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


def _drop_debugging_notes(model: onnx.ModelProto) -> None:
    """The exporter notes module paths and source lines at each node and value: half of a small file, of use to nobody
    outside."""
    graph = model.graph
    del model.functions[:]
    for item in (graph, *graph.node, *graph.initializer, *graph.input, *graph.output, *graph.value_info):
        item.doc_string = ""
        del item.metadata_props[:]
