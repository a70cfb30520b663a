"""`python -m worker.verify FOLDER IMAGES [--split test]`: do downloaded files match the manifest?

FOLDER holds what was downloaded of a job: `manifest.json`, `student.safetensors` and any of the exported files; of a
job with several students, each one's in a folder of its name, as the API calls them. IMAGES is a data set as it is
uploaded, a folder or a zip. The images are read from their files and prepared as the manifest says, so the check does
not rely on the training run.

N images, K classes.
"""

import argparse
import contextlib
import json
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import timm
from pydantic import ValidationError
from safetensors.torch import load_file
from torch import nn

from app.domain.config import ExportConfig
from app.domain.dataset import Split
from app.domain.errors import ExportParityFailed, NotFound, TdmrError
from app.domain.files import sha256_file
from app.domain.manifest import ArtifactFile, Manifest, Preprocessing
from app.imaging import UnreadableImage, clean_square, open_rgb
from app.reading.layout import load_index
from worker.training.export import formats
from worker.training.export.format import BATCH, Format
from worker.training.export.formats.safetensors import WEIGHTS_NAME
from worker.training.export.manifest import MANIFEST_NAME
from worker.training.export.parity import Judged, answers
from worker.training.export.prediction import predict
from worker.training.export.tolerance import Tolerance, Withheld, measure
from worker.verify_report import FileCheck, VerifyReport, show

DISAGREEMENT, UNUSABLE = 1, 2
"""Exit statuses: a file fails its check; or nothing could be checked."""


@dataclass(frozen=True)
class Images:
    """Labelled images, prepared for the student."""

    folder: Path
    squares_NHWC: npt.NDArray[np.uint8]
    labels_N: npt.NDArray[np.int64]
    paths: Sequence[str]
    """Below `folder`."""


@dataclass(frozen=True)
class _Student:
    """One student of a folder."""

    prefix: str
    """Before the names of its files: `<student>/`, or nothing where it is the only one."""
    manifest: Manifest


def verify(folder: Path, data: Path, split: Split | None = None) -> VerifyReport:
    """Check every file of `folder` against its manifest, and the exported ones against the weights, on real images.

    Args:
        folder: with `manifest.json` and, here or in a folder for each student, `student.safetensors`.
        data: a folder or zip, laid out as an upload.
        split: None for all labelled images.

    Raises:
        TdmrError: something is missing or cannot be read, so there is nothing to check.
    """
    manifest = read_manifest(folder)
    present = [file for file in manifest.files if (folder / file.name).is_file()]
    checks = {file.name: _check_bytes(folder, file) for file in present}
    students = _students(folder, manifest, checks)
    images = None
    with _unpacked(data) as images_dir:
        for student in students:
            images = read_images(images_dir, student.manifest, split)
            if checks[student.prefix + WEIGHTS_NAME].problem is None:
                checks |= _compare(folder, student, images, checks)
    return VerifyReport(
        images=len(images.paths) if images is not None else 0,
        split=split,
        files=tuple(checks.values()),
        absent=tuple(file.name for file in manifest.files if file.name not in checks),
    )


def read_manifest(folder: Path) -> Manifest:
    """Raises NotFound where there is none that can be read."""
    try:
        return Manifest.model_validate_json((folder / MANIFEST_NAME).read_bytes())
    except (OSError, ValidationError):
        raise NotFound(f"The folder has no readable {MANIFEST_NAME}.", hint="Download it again.") from None


def read_images(folder: Path, manifest: Manifest, split: Split | None) -> Images:
    """Decode the labelled images of a data set's folder, and prepare them as a student's manifest tells.

    Raises:
        NotFound: there are none, or their classes are not the student's.
    """
    index = load_index(folder)
    unknown = sorted(set(index.classes) - set(manifest.classes))
    if unknown:
        raise NotFound(
            f"The student does not know the class '{unknown[0]}'.", hint="Use a data set with the student's classes."
        )
    number = {name: k for k, name in enumerate(manifest.classes)}
    chosen = [
        (sample.path, number[index.classes[sample.label]])
        for sample in index.samples
        if sample.label is not None and split in (None, sample.split)
    ]
    if not chosen:
        raise NotFound(f"There are no labelled {split or ''} images.", hint="Choose another --split, or leave it out.")
    assert manifest.preprocessing is not None
    paths, labels = zip(*chosen, strict=True)
    squares = [_prepared(folder, path, manifest.preprocessing) for path in paths]
    return Images(folder, np.stack(squares), np.array(labels, np.int64), paths)


def rebuild(folder: Path, manifest: Manifest) -> nn.Module:
    """The PyTorch student of this folder and manifest, from timm and the downloaded weights.

    Raises:
        NotFound: this timm cannot build it, or the weights do not fit.
    """
    student = manifest.student
    assert student is not None
    try:
        network: nn.Module = timm.create_model(
            student["architecture"], num_classes=len(manifest.classes), **student.get("arguments", {})
        )
        network.load_state_dict(load_file(folder / WEIGHTS_NAME))
    except (KeyError, TypeError, RuntimeError) as error:
        made_with = manifest.versions.get("timm", "unknown")
        raise NotFound(
            f"The student cannot be rebuilt with timm {timm.__version__}.", hint=f"It was made with timm {made_with}."
        ) from error
    return network


def _students(folder: Path, manifest: Manifest, checks: Mapping[str, FileCheck]) -> list[_Student]:
    """Those whose weights are there, and whose manifest can be trusted."""
    several = manifest.spec.get("students") or ()
    if manifest.student is None and not several:
        raise NotFound("The job trained no student.", hint="Its files contain nothing to run.")
    if not any(name.endswith(WEIGHTS_NAME) for name in checks):
        raise NotFound(
            f"The folder has no {WEIGHTS_NAME}, which the other files are compared with.", hint="Download it too."
        )
    if manifest.student is not None:
        return [_Student("", manifest)]
    intact = {name for name, check in checks.items() if check.problem is None}
    return [
        _Student(f"{name}/", read_manifest(folder / name))
        for name in several
        if f"{name}/{MANIFEST_NAME}" in intact and f"{name}/{WEIGHTS_NAME}" in checks
    ]


def _prepared(folder: Path, path: str, preprocessing: Preprocessing) -> npt.NDArray[np.uint8]:
    try:
        image = open_rgb(folder / path)
    except UnreadableImage as error:
        raise NotFound(f"'{path}' cannot be read: {error}.", hint="Remove it from the data.") from None
    return clean_square(image, preprocessing)


def _check_bytes(folder: Path, file: ArtifactFile) -> FileCheck:
    path = folder / file.name
    same = path.stat().st_size == file.bytes and sha256_file(path) == file.sha256
    problem = None if same else "differs from the manifest (SHA-256), so it was not run"
    return FileCheck(name=file.name, bytes=path.stat().st_size, problem=problem)


def _compare(folder: Path, student: _Student, images: Images, checks: Mapping[str, FileCheck]) -> dict[str, FileCheck]:
    manifest, preprocessing = student.manifest, student.manifest.preprocessing
    assert preprocessing is not None
    expected_NK = predict(
        rebuild(folder / student.prefix, manifest),
        images.squares_NHWC,
        preprocessing.mean,
        preprocessing.std,
        batch_size=BATCH,
        device="cpu",
    )
    weights = student.prefix + WEIGHTS_NAME
    results = {weights: _measured(checks[weights], expected_NK, expected_NK, images.labels_N)}
    asked = {name: value for name, value in manifest.spec.get("export", {}).items() if name != "formats"}
    config, largest = ExportConfig.model_validate(asked), float(np.abs(expected_NK).max())
    for chosen in formats.every():
        name = student.prefix + chosen.file
        # what is not the manifest's file may be anything, and loading TorchScript or .pt2 runs code
        if name in checks and checks[name].problem is None:
            tolerance = chosen.tolerance(config)
            tolerance = tolerance.recorded(manifest.parity.get(chosen.file)) or tolerance.widened(largest)
            results[name] = _run(chosen, folder / name, checks[name], expected_NK, images, tolerance)
    return results


def _run(
    chosen: Format,
    path: Path,
    check: FileCheck,
    expected_NK: npt.NDArray[np.float32],
    images: Images,
    tolerance: Tolerance,
) -> FileCheck:
    try:
        actual_NK, rows = answers(chosen, path, Judged(images.squares_NHWC, images.paths, images.folder))
        expected_NK, labels_N = expected_NK[rows], images.labels_N[rows]
        if actual_NK.shape == expected_NK.shape:
            check = _measured(check, expected_NK, actual_NK, labels_N)
        tolerance.check(path.name, expected_NK, actual_NK, labels_N, [images.paths[row] for row in rows])
    except ExportParityFailed as error:
        return check.model_copy(update={"problem": error.detail})
    except Withheld as error:
        return check.model_copy(update={"problem": str(error)})
    return check


def _measured(
    check: FileCheck,
    expected_NK: npt.NDArray[np.float32],
    actual_NK: npt.NDArray[np.float32],
    labels_N: npt.NDArray[np.int64],
) -> FileCheck:
    parity = measure(expected_NK, actual_NK)
    return check.model_copy(
        update={
            "accuracy": float((actual_NK.argmax(1) == labels_N).mean()),
            "top1_agreement": parity.top1_agreement,
            "max_logit_difference": parity.max_logit_difference,
        }
    )


@contextlib.contextmanager
def _unpacked(data: Path) -> Iterator[Path]:
    if data.is_dir():
        yield data
        return
    if not zipfile.is_zipfile(data):
        raise NotFound(f"'{data.name}' is neither a folder nor a zip.", hint="Give the data set as it was uploaded.")
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(data) as archive:
            archive.extractall(folder)
        yield Path(folder)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m worker.verify",
        description="Check a job's downloaded files against its manifest and on real images.",
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="the downloaded files, with manifest.json")
    parser.add_argument("images", type=Path, metavar="IMAGES", help="a data set as uploaded: folder or zip")
    parser.add_argument(
        "--split",
        type=Split,
        choices=[Split.TRAIN, Split.VAL, Split.TEST],
        help="use only this split; default: all labelled images",
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    options = parser.parse_args(arguments)
    try:
        report = verify(options.folder, options.images, options.split)
    except TdmrError as error:
        sys.stderr.write(f"{error.detail} {error.hint or ''}\n")
        return UNUSABLE
    if options.json:
        sys.stdout.write(json.dumps({"ok": report.ok, **report.model_dump(mode="json")}, indent=2) + "\n")
    else:
        show(report)
    return 0 if report.ok else DISAGREEMENT


if __name__ == "__main__":
    sys.exit(main())
