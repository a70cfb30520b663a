"""The formats that a student can be downloaded in: one module each, with everything there is to know about it.

A new format is a module with a `FORMAT`, its name here and in `ExportFormat`, and a row in docs/exports.md. Modules are
imported when they are asked for, so a process that runs an ONNX file never loads torch.
"""

from importlib import import_module

from worker.training.export.format import Format

MODULES = {
    name: f"{__name__}.{name}"
    for name in ("onnx_pixels", "onnx", "torchscript", "exported_program", "onnx_fp16", "onnx_int8")
}
"""The module that defines a format, by name; those that are simplest to use come first, as a model card shows the
first. A format that is defined elsewhere is registered by adding its module."""


def find(name: str) -> Format:
    """The format that a spec calls `name`."""
    found: Format = import_module(MODULES[name]).FORMAT
    return found


def every() -> list[Format]:
    return [find(name) for name in MODULES]


def of_file(name: str) -> Format | None:
    """The format whose file is called so, in whatever folder."""
    return next((each for each in every() if each.file == name.rpartition("/")[2]), None)
