"""`student.pt2`: PyTorch's own graph format, read by `torch.export.load`."""

from pathlib import Path

import torch
from torch.export.passes import move_to_device_pass

from worker.training.export.format import Format, Loaded
from worker.training.export.formats.torchscript import loaded
from worker.training.export.source import Source


class ExportedProgram(Format):
    name = "exported_program"
    file = "student.pt2"
    label = "ExportedProgram"
    timed_on_gpu = True
    cannot = "torch.export cannot follow it with a free batch size"
    usage_code = """
import json
import numpy as np, torch
from PIL import Image, ImageOps

{prepare}
extra = {{"classes": ""}}
model = torch.export.load("{file}", extra_files=extra).module()
probabilities = model(torch.from_numpy(images)).softmax(1)[0]
print(json.loads(extra["classes"])[int(probabilities.argmax())], float(probabilities.max()))
"""

    def write(self, source: Source, path: Path) -> str:
        torch.export.save(source.program, path, extra_files=dict(source.metadata))
        return "torch.export program"

    def load(self, path: Path, *, threads: int, device: str = "cpu") -> Loaded:
        metadata = {"preprocessing": ""}
        program = torch.export.load(path, extra_files=metadata)
        if device != "cpu":
            program = move_to_device_pass(program, device)
        return loaded(program.module(), metadata, threads, torch.device(device))


FORMAT = ExportedProgram()
