"""The student ready to be written, and the graphs that several formats start from."""

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from importlib.metadata import version

import numpy as np
import numpy.typing as npt
import onnx
import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from app.domain.config import ExportConfig
from app.domain.errors import ExportFailed, TdmrError
from app.domain.manifest import Licences, Preprocessing
from worker.training.export.format import INPUT_NAME, OUTPUT_NAME

PRODUCER = "tdmr"
OPSET = 18
"""What torch's exporter writes natively, so nothing is converted downwards; it and the IR version are from early 2023,
so ONNX Runtime from 1.14 and the device compilers of the years since read it. Later operators would buy an image
classifier nothing."""
IR_VERSION = 8
"""The file format that came with opset 18. The exporter would claim a later one only to carry its debugging notes."""
LARGEST = 2**31 - 2**24
"""Bytes of weights that fit one protobuf file (2 GiB) with space for the graph."""

Calibration = Callable[[], npt.NDArray[np.uint8]]
"""Gives training images [N, S, S, 3], resized and cropped. Asked only where a format is calibrated."""


class ExportWrapper(nn.Module):
    """Takes `images`, gives `logits`: the argument's name becomes the input's name in every format."""

    def __init__(self, student: nn.Module) -> None:
        super().__init__()
        self.student = student

    def forward(self, images: Tensor) -> Tensor:
        return self.student(images)


class Source:
    """One student with everything that a format may need to write it. Each graph is made once, when it is needed."""

    def __init__(
        self,
        student: nn.Module,
        config: ExportConfig,
        image_size: int,
        preprocessing: Preprocessing,
        metadata: dict[str, str],
        calibration: Calibration | None,
    ) -> None:
        self.model = wrapped(student)
        self.config, self.image_size = config, image_size
        self.preprocessing, self.metadata = preprocessing, metadata
        self.calibration = calibration

    @cached_property
    def program(self) -> ExportedProgram:
        return capture(self.model, self.image_size)

    @cached_property
    def onnx_model(self) -> onnx.ModelProto:
        try:
            return convert(self.program)
        except TdmrError:
            raise
        except Exception:  # ONNX knows fused attention over batch and heads alone, not over windows as well
            spelt_out = with_attention_spelt_out(self.model)
            if spelt_out is None:
                raise
            return convert(capture(spelt_out, self.image_size))


def wrapped(student: nn.Module) -> ExportWrapper:
    """A deep copy on the CPU, float32, eval mode, default memory format. `student` itself is left as it is."""
    model = ExportWrapper(copy.deepcopy(student)).to(device="cpu", dtype=torch.float32)
    model.to(memory_format=torch.contiguous_format)
    return model.eval().requires_grad_(False)


def with_attention_spelt_out(model: ExportWrapper) -> ExportWrapper | None:
    """A copy whose attention is two products and a softmax instead of one operation; None if it has no such choice.

    `fused_attn` is what timm calls the choice in each of its attention modules.
    """
    fused = [name for name, module in model.named_modules() if getattr(module, "fused_attn", False)]
    if not fused:
        return None
    spelt_out = copy.deepcopy(model)
    for name in fused:
        spelt_out.get_submodule(name).fused_attn = False  # type: ignore[assignment]
    return spelt_out


def example(image_size: int, batch: int = 2) -> Tensor:
    """Made-up input [B, 3, S, S] to follow a network with: 2 images, as tracers treat a dimension of 1 as fixed.

    From a generator of its own, so that an export does not disturb the random numbers of a run.
    """
    return torch.rand(batch, 3, image_size, image_size, generator=torch.Generator().manual_seed(0))


def metadata(
    classes: Sequence[str],
    preprocessing: Preprocessing,
    fingerprint: str,
    metrics: Mapping[str, float] | None = None,
    licences: Licences | None = None,
) -> dict[str, str]:
    """What every format carries inside, so that a file that lost its manifest can still be used rightly."""
    told = {
        "classes": json.dumps(list(classes), ensure_ascii=False),
        "preprocessing": preprocessing.model_dump_json(),
        "spec_fingerprint": fingerprint,
        "metrics": json.dumps(dict(metrics or {})),
        "producer": f"{PRODUCER} {version(PRODUCER)}",
    }
    return told if licences is None else told | {"licences": licences.model_dump_json()}


def capture(model: ExportWrapper, image_size: int) -> ExportedProgram:
    """Follow the network once. The batch is dynamic from 1 on; the image size is fixed, as position tables need it.

    Raises:
        Exception: whatever torch.export raises for control flow that depends on the data.
    """
    batch = Dim("batch", min=1)
    program = torch.export.export(model, (example(image_size),), dynamic_shapes=({0: batch},))
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # file names of this machine have no place in what users download
    return program


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


def _drop_debugging_notes(model: onnx.ModelProto) -> None:
    """The exporter notes module paths and source lines at each node and value: half of a small file, of use to nobody
    outside."""
    graph = model.graph
    del model.functions[:]
    for item in (graph, *graph.node, *graph.initializer, *graph.input, *graph.output, *graph.value_info):
        item.doc_string = ""
        del item.metadata_props[:]
