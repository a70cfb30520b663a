"""A format of its own: a linear student as a NumPy archive, run by NumPy. The project knows nothing of it."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from worker.training.export.format import Format, Loaded

if TYPE_CHECKING:
    from worker.training.export.source import Source


class NumpyLinear(Format):
    name = "numpy_linear"
    file = "student.npz"
    label = "NumPy"
    media_type = "application/x-npz"
    hub_tag = "numpy"
    cannot = "it is not a linear classifier"
    usage_code = """
import json
import numpy as np
from PIL import Image, ImageOps

{prepare}
student = np.load("{file}")
logits = images.reshape(1, -1) @ student["weight"].T + student["bias"]
print(json.loads(str(student["classes"]))[logits.argmax()])
"""

    def write(self, source: "Source", path: Path) -> str:
        weight, bias = (value.numpy() for value in source.model.student[1].parameters())
        np.savez(path, weight=weight, bias=bias, **source.metadata)
        return "two arrays"

    def load(self, path: Path, *, threads: int, device: str = "cpu") -> Loaded:
        student = np.load(path)
        metadata = {name: str(student[name]) for name in ("classes", "preprocessing")}
        return Loaded(
            prepare=lambda images: lambda: images.reshape(len(images), -1) @ student["weight"].T + student["bias"],
            logits=lambda result: result,
            metadata=metadata,
        )


FORMAT = NumpyLinear()
