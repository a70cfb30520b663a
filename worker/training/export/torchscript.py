"""`student.ts`: TorchScript, for PyTorch's C++ and mobile runtimes and for Python without this project's code."""

import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import torch

from worker.training.export.deployable import Deployable, example
from worker.training.export.parity import allowed

How = Literal["traced", "scripted"]

_CHECKED_BATCHES = (1, 3)


def write_torchscript(
    model: Deployable, image_size: int, path: Path, metadata: dict[str, str], max_difference: float
) -> str:
    """Trace where a trace holds for other batch sizes, else script; freeze; write. Returns which of the two it was.

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


def _trace_or_script(model: Deployable, image_size: int, max_difference: float) -> tuple[torch.jit.ScriptModule, How]:
    try:
        traced = torch.jit.freeze(torch.jit.trace(model, (example(image_size),), check_trace=False))
        if _holds(traced, model, image_size, max_difference):
            return traced, "traced"
    except RuntimeError:  # what the tracer and the interpreter raise
        pass
    return torch.jit.freeze(torch.jit.script(model)), "scripted"


def _holds(traced: torch.jit.ScriptModule, model: Deployable, image_size: int, max_difference: float) -> bool:
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
