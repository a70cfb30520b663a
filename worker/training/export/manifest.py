"""`manifest.json`: written last, it vouches for every other file of a run."""

import platform
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from app.domain.files import replaced_atomically, sha256_file
from app.domain.manifest import ArtifactFile, Licences, Manifest, Measurement, Parity, Preprocessing
from app.domain.model_selection import Choice
from app.domain.spec import TrainingSpec
from worker.training.export import formats
from worker.training.export.format import Format
from worker.training.export.latency import cpu_name
from worker.training.export.source import example, wrapped

MANIFEST_NAME = "manifest.json"

_PACKAGES = ("tdmr", "torch", "timm", "numpy", "onnx", "onnxscript", "onnxruntime", "safetensors")
_MEDIA_TYPES = {
    ".json": "application/json",
    ".csv": "text/csv",
    ".svg": "image/svg+xml",
    ".html": "text/html",
    ".md": "text/markdown",
}


def versions() -> dict[str, str]:
    """The packages that computed the student."""
    installed = {name: version(name) for name in _PACKAGES}
    return {"python": platform.python_version(), **installed, "torch": str(torch.__version__)}  # says which CUDA too


def describe_student(
    architecture: str, network: nn.Module, arguments: Mapping[str, Any], image_size: int
) -> dict[str, Any]:
    """The manifest's `student`. `timm.create_model(architecture, num_classes=K, **arguments)` builds it again."""
    return {
        "architecture": architecture,
        "arguments": dict(arguments),
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "multiply_adds": multiply_adds(network, image_size),
    }


def multiply_adds(network: nn.Module, image_size: int) -> int:
    """Of one image, in convolutions, matrix products and attention. What is left out, norms and activations, is little.

    Half of what torch counts, to which a multiplication and an addition are two floating-point operations.
    """
    model = wrapped(network)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model(example(image_size, 1))
    return counter.get_total_flops() // 2


def describe_file(folder: Path, name: str) -> ArtifactFile:
    """Name, size, digest and media type of one file of `folder`, or of a folder in it."""
    path = folder / name
    exported = formats.of_file(name)
    return ArtifactFile(
        name=name,
        bytes=path.stat().st_size,
        sha256=sha256_file(path),
        media_type=exported.media_type if exported else _MEDIA_TYPES.get(path.suffix, Format.media_type),
    )


def write_manifest(
    out_dir: Path,
    *,
    files: Sequence[str],
    spec: TrainingSpec,
    classes: Sequence[str],
    preprocessing: Preprocessing | None,
    student: Mapping[str, Any] | None,
    teacher: Mapping[str, Any] | None,
    teachers: Sequence[Mapping[str, Any]] = (),
    dataset: Mapping[str, Any],
    device: str,
    metrics: Mapping[str, float],
    seconds: Mapping[str, float],
    parity: Mapping[str, Parity],
    withheld: Mapping[str, str] | None = None,
    measured: Mapping[str, Measurement] | None = None,
    choice: Choice | None = None,
    licences: Licences | None = None,
    illustrate: Callable[[Manifest], Sequence[str]] = lambda manifest: (),
) -> Manifest:
    """Describe `files` of `out_dir` and write `manifest.json` beside them, whole or not at all.

    Args:
        files: names below `out_dir`; all that is to be published but the manifest itself.
        student: from `describe_student`; None where there is none, or more than one.
        teacher: name, architecture, SHA-256 of the weights, licence; None for a method that needs none.
        teachers: the same of each, and how much it says, where there are several.
        dataset: digest, number of images per split, how the split came to be.
        metrics: fractions by name.
        seconds: wall time of each stage.
        licences: as in the files themselves.
        withheld: why a file that was asked for is not among `files`.
        measured: bytes and latencies by file name.
        choice: the file that the spec's constraints ask for.
        illustrate: writes more files into `out_dir` that tell of the manifest without them, and returns their names.
    """
    manifest = Manifest(
        classes=tuple(classes),
        preprocessing=preprocessing,
        spec=spec.model_dump(mode="json"),
        spec_fingerprint=spec.fingerprint(),
        seed=spec.seed,
        student=None if student is None else dict(student),
        teacher=None if teacher is None else dict(teacher),
        teachers=tuple(map(dict, teachers)),
        dataset=dict(dataset),
        versions=versions(),
        device=device,
        metrics=dict(metrics),
        seconds=dict(seconds),
        parity=dict(parity),
        withheld=dict(withheld or {}),
        measured=dict(measured or {}),
        cpu=cpu_name(),
        choice=choice,
        licences=licences,
        files=tuple(describe_file(out_dir, name) for name in files),
    )
    told = tuple(describe_file(out_dir, name) for name in illustrate(manifest))
    manifest = manifest.model_copy(update={"files": manifest.files + told})
    with replaced_atomically(out_dir / MANIFEST_NAME) as temporary:
        temporary.write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return manifest
