"""`student.ts`: TorchScript, for PyTorch's C++ and mobile runtimes and for Python without this project's code."""

import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy.typing as npt
import torch

from worker.training.export.format import Format, Loaded
from worker.training.export.source import ExportWrapper, Source, example
from worker.training.export.tolerance import allowed

How = Literal["traced", "scripted"]

_CHECKED_BATCHES = (1, 3)


class TorchScript(Format):
    name = "torchscript"
    file = "student.ts"
    label = "TorchScript"
    timed_on_gpu = True
    cannot = "it can be neither traced nor scripted"
    usage_code = """
import json
import numpy as np, torch
from PIL import Image, ImageOps

{prepare}
extra = {{"classes": ""}}
model = torch.jit.load("{file}", _extra_files=extra)
probabilities = model(torch.from_numpy(images)).softmax(1)[0]
print(json.loads(extra["classes"])[int(probabilities.argmax())], float(probabilities.max()))
"""

    def write(self, source: Source, path: Path) -> str:
        bound = source.config.max_logit_difference
        return write_torchscript(source.model, source.image_size, path, source.metadata, bound)

    def load(self, path: Path, *, threads: int, device: str = "cpu") -> Loaded:
        metadata = {"preprocessing": ""}
        model = torch.jit.load(path, map_location=device, _extra_files=metadata)
        return loaded(model, metadata, threads, torch.device(device))


def loaded(model: Any, metadata: dict[str, str], threads: int, device: torch.device) -> Loaded:
    """A network that torch runs on `device`."""
    torch.set_num_threads(threads)

    def prepare(images: npt.NDArray[Any]) -> Callable[[], torch.Tensor]:
        inputs = torch.from_numpy(images).to(device)

        def call() -> torch.Tensor:
            with torch.inference_mode():
                logits: torch.Tensor = model(inputs)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            return logits

        return call

    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return Loaded(prepare, lambda logits: logits.cpu().numpy(), metadata, name)


def write_torchscript(
    model: ExportWrapper, image_size: int, path: Path, metadata: dict[str, str], max_difference: float
) -> str:
    """Trace where a trace holds for other batch sizes, else script; write. Returns which of the two it was.

    Not frozen: the weights of a frozen module are constants, so it could be neither converted to half precision nor
    moved to a GPU.

    Args:
        metadata: goes into the extra files.
        max_difference: a trace that is further off than this on another batch size is not used.

    Raises:
        Exception: whatever the script compiler raises for Python that it does not know.
    """
    with _without_known_warnings():
        script, how = _trace_or_script(model, image_size, max_difference)
        with_notes = path.with_suffix(".notes")
        torch.jit.save(script, with_notes, _extra_files=metadata)
    _copy_without_debugging_notes(with_notes, path)
    with_notes.unlink()
    return how


def _trace_or_script(
    model: ExportWrapper, image_size: int, max_difference: float
) -> tuple[torch.jit.ScriptModule, How]:
    try:
        traced = torch.jit.trace(model, (example(image_size),), check_trace=False)
        if _holds(traced, model, image_size, max_difference):
            return traced, "traced"
    except RuntimeError:  # what the tracer and the interpreter raise
        pass
    return torch.jit.script(model), "scripted"


def _holds(traced: torch.jit.ScriptModule, model: ExportWrapper, image_size: int, max_difference: float) -> bool:
    with torch.inference_mode():
        for batch in _CHECKED_BATCHES:
            images = example(image_size, batch)
            expected = model(images)
            bound = allowed(max_difference, float(expected.abs().max()))
            if not float((traced(images) - expected).abs().max()) <= bound:
                return False
    return True


@contextmanager
def _without_known_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        # the format is deprecated, and what deployed C++ programs read
        warnings.filterwarnings("ignore", message=r"`torch\.jit\.\w+` is (deprecated|not supported)")
        # Python branches on sizes become fixed: the image size is, and other batch sizes are checked
        warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)  # type: ignore[attr-defined]
        yield


def _copy_without_debugging_notes(source: Path, target: Path) -> None:
    """Leave out the source maps: they name files of this machine, and only serve error messages."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as new:
        for item in old.infolist():
            if not item.filename.endswith(".debug_pkl"):
                new.writestr(item, old.read(item))


FORMAT = TorchScript()
