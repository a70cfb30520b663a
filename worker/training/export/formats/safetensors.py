"""`student.safetensors`: the weights alone, for timm and for further training. Always written; it has no runtime."""

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from app.domain.errors import ExportParityFailed

WEIGHTS_NAME = "student.safetensors"


def write_safetensors(student: nn.Module, path: Path, metadata: dict[str, str]) -> None:
    """Write the state dict, each tensor on its own (tied weights twice), and read it back bit for bit.

    Raises:
        ExportParityFailed: the file holds something else.
    """
    state = {name: value.detach().cpu().clone().contiguous() for name, value in student.state_dict().items()}
    save_file(state, path, metadata={"format": "pt", **metadata})
    read = load_file(path)
    for name, value in state.items():
        if name not in read or not torch.equal(read[name].view(-1).view(torch.uint8), value.view(-1).view(torch.uint8)):
            raise ExportParityFailed(f"{path.name} does not hold the trained weights: '{name}' differs.")
