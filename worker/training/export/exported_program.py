"""`student.pt2`: PyTorch's own graph format, read by `torch.export.load`; also what the ONNX export starts from."""

from pathlib import Path

import torch
from torch.export import Dim, ExportedProgram

from worker.training.export.deployable import Deployable, example


def capture(model: Deployable, image_size: int) -> ExportedProgram:
    """Follow the network once. The batch is dynamic from 1 on; the image size is fixed, as position tables need it.

    Raises:
        Exception: whatever torch.export raises for control flow that depends on the data.
    """
    batch = Dim("batch", min=1)
    program = torch.export.export(model, (example(image_size),), dynamic_shapes=({0: batch},))
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # file names of this machine have no place in what users download
    return program


def write_exported_program(program: ExportedProgram, path: Path, metadata: dict[str, str]) -> str:
    """Write `program`; `metadata` goes into its extra files. Returns what a person may want to know of it."""
    torch.export.save(program, path, extra_files=dict(metadata))
    return "torch.export program"
