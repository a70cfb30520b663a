"""`python -m worker.verify FOLDER IMAGES [--split test]`: do downloaded files do what the manifest says?

FOLDER holds what was downloaded of a job: `manifest.json`, `student.safetensors` and any of the exported files. IMAGES
is a data set as it is uploaded, a folder or a zip. The images are read from their files and prepared as the manifest
tells, so nothing of the training run is taken on trust.

N images, K classes.
"""

import argparse
import contextlib
import json
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import timm
from pydantic import ValidationError
from safetensors.torch import load_file
from torch import nn

from app.domain.base import Frozen
from app.domain.dataset import Split
from app.domain.errors import ExportParityFailed, NotFound, TdmrError
from app.domain.files import sha256_file
from app.domain.layout import load_index
from app.domain.manifest import ArtifactFile, Manifest, Preprocessing
from app.domain.spec import TrainingSpec
from app.imaging import UnreadableImage, fit_square, open_rgb
from worker.training.evaluate import predict
from worker.training.export.inputs import BATCH
from worker.training.export.manifest import MANIFEST_NAME
from worker.training.export.parity import allowed, check_parity, measure, run_exported
from worker.training.export.student import FILE_NAMES, WEIGHTS_NAME

DISAGREEMENT, UNUSABLE = 1, 2
"""Exit statuses: a file is not what it should be; or there was nothing to check."""


class FileCheck(Frozen):
    """One downloaded file. The figures are None where it was not run."""

    name: str
    bytes: int
    accuracy: float | None = None
    top1_agreement: float | None = None
    """With the PyTorch student rebuilt from the weights."""
    max_logit_difference: float | None = None
    problem: str | None = None


class VerifyReport(Frozen):
    """All files that are there."""

    images: int
    split: Split | None
    files: tuple[FileCheck, ...]
    absent: tuple[str, ...]
    """In the manifest, but not in the folder: not checked."""

    @property
    def ok(self) -> bool:
        return all(check.problem is None for check in self.files)


@dataclass(frozen=True)
class Images:
    """What the student is tried on."""

    squares_NHWC: npt.NDArray[np.uint8]
    labels_N: npt.NDArray[np.int64]
    paths: Sequence[str]


def verify(folder: Path, data: Path, split: Split | None = None) -> VerifyReport:
    """Check every file of `folder` against its manifest, and the exported ones against the weights, on real images.

    Args:
        folder: with `manifest.json` and `student.safetensors`.
        data: a folder or zip, laid out as an upload.
        split: None for all labelled images.

    Raises:
        TdmrError: something is missing or cannot be read, so there is nothing to check.
    """
    manifest = read_manifest(folder)
    with _unpacked(data) as images_dir:
        images = read_images(images_dir, manifest, split)
    present = [file for file in manifest.files if (folder / file.name).is_file()]
    checks = {file.name: _check_bytes(folder, file) for file in present}
    if WEIGHTS_NAME not in checks:
        raise NotFound(f"{WEIGHTS_NAME} is not in the folder; the files are compared with it.", hint="Download it too.")
    if checks[WEIGHTS_NAME].problem is None:
        checks |= _compare(folder, manifest, images, checks)
    return VerifyReport(
        images=len(images.paths),
        split=split,
        files=tuple(checks.values()),
        absent=tuple(file.name for file in manifest.files if file.name not in checks),
    )


def read_manifest(folder: Path) -> Manifest:
    """Raises NotFound where there is none that can be read."""
    try:
        return Manifest.model_validate_json((folder / MANIFEST_NAME).read_bytes())
    except (OSError, ValidationError):
        raise NotFound(f"There is no readable {MANIFEST_NAME} in the folder.", hint="Download it again.") from None


def read_images(folder: Path, manifest: Manifest, split: Split | None) -> Images:
    """Decode and prepare the labelled images of a data set's folder.

    Raises:
        NotFound: there are none, or their classes are not the student's.
    """
    index = load_index(folder)
    unknown = sorted(set(index.classes) - set(manifest.classes))
    if unknown:
        raise NotFound(f"The student does not know the class '{unknown[0]}'.", hint="Use the data it was trained for.")
    number = {name: k for k, name in enumerate(manifest.classes)}
    chosen = [
        (sample.path, number[index.classes[sample.label]])
        for sample in index.samples
        if sample.label is not None and split in (None, sample.split)
    ]
    if not chosen:
        raise NotFound(f"There are no labelled {split or ''} images.", hint="Choose another --split, or leave it out.")
    paths, labels = zip(*chosen, strict=True)
    squares = [_prepared(folder, path, manifest.preprocessing) for path in paths]
    return Images(np.stack(squares), np.array(labels, np.int64), paths)


def rebuild(folder: Path, manifest: Manifest) -> nn.Module:
    """The PyTorch student, from timm and the downloaded weights.

    Raises:
        NotFound: this timm cannot build it, or the weights do not fit.
    """
    student = manifest.student
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


def _prepared(folder: Path, path: str, preprocessing: Preprocessing) -> npt.NDArray[np.uint8]:
    try:
        image = open_rgb(folder / path)
    except UnreadableImage as error:
        raise NotFound(f"'{path}' cannot be read: {error}.", hint="Take it out of the data.") from None
    square = fit_square(image, preprocessing.resize_short_side, preprocessing.interpolation)
    margin = round((preprocessing.resize_short_side - preprocessing.center_crop) / 2)
    inside = slice(margin, margin + preprocessing.center_crop)
    return square[inside, inside]


def _check_bytes(folder: Path, file: ArtifactFile) -> FileCheck:
    path = folder / file.name
    same = path.stat().st_size == file.bytes and sha256_file(path) == file.sha256
    problem = None if same else "is not the file of the manifest (SHA-256); not run"
    return FileCheck(name=file.name, bytes=path.stat().st_size, problem=problem)


def _compare(folder: Path, manifest: Manifest, images: Images, checks: dict[str, FileCheck]) -> dict[str, FileCheck]:
    preprocessing = manifest.preprocessing
    expected_NK = predict(
        rebuild(folder, manifest),
        images.squares_NHWC,
        preprocessing.mean,
        preprocessing.std,
        batch_size=BATCH,
        device="cpu",
    )
    results = {WEIGHTS_NAME: _measured(checks[WEIGHTS_NAME], expected_NK, expected_NK, images)}
    asked = TrainingSpec.model_validate(manifest.spec).export.max_logit_difference
    for name in FILE_NAMES.values():
        # what is not the manifest's file may be anything, and loading TorchScript or .pt2 runs code
        if name in checks and checks[name].problem is None:
            judged = manifest.parity.get(name)
            bound = (judged and judged.bound) or allowed(asked, float(np.abs(expected_NK).max()))
            results[name] = _run(folder / name, checks[name], expected_NK, images, preprocessing, bound)
    return results


def _run(
    path: Path,
    check: FileCheck,
    expected_NK: npt.NDArray[np.float32],
    images: Images,
    preprocessing: Preprocessing,
    bound: float,
) -> FileCheck:
    try:
        actual_NK = run_exported(path, images.squares_NHWC, preprocessing)
        if actual_NK.shape == expected_NK.shape:
            check = _measured(check, expected_NK, actual_NK, images)
        check_parity(path.name, expected_NK, actual_NK, images.paths, bound)
    except ExportParityFailed as error:
        return check.model_copy(update={"problem": error.detail})
    return check


def _measured(
    check: FileCheck, expected_NK: npt.NDArray[np.float32], actual_NK: npt.NDArray[np.float32], images: Images
) -> FileCheck:
    parity = measure(expected_NK, actual_NK)
    return check.model_copy(
        update={
            "accuracy": float((actual_NK.argmax(1) == images.labels_N).mean()),
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
        description="Check a job's downloaded files against its manifest and real images.",
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="with manifest.json and the downloaded files")
    parser.add_argument("images", type=Path, metavar="IMAGES", help="a data set: folder or zip")
    parser.add_argument(
        "--split",
        type=Split,
        choices=[Split.TRAIN, Split.VAL, Split.TEST],
        help="only these images; default: all labelled ones",
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


def show(report: VerifyReport) -> None:
    """Print the report for a person: a `rich` table on a terminal where rich is installed, else plain columns."""
    title = f"{report.images:,} {report.split or 'labelled'} images"
    header = ("file", "bytes", "accuracy", "top-1 agreement", "max |Δlogit|")
    rows = [_cells(check) for check in report.files]
    problems = [f"{check.name}: {check.problem}" for check in report.files if check.problem]
    if not (sys.stdout.isatty() and _show_rich(title, header, rows)):
        widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
        lines = [
            "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)) for row in (header, *rows)
        ]
        sys.stdout.write("\n".join([title, *(line.rstrip() for line in lines)]) + "\n")
    sys.stdout.writelines(f"{problem}\n" for problem in problems)


def _cells(check: FileCheck) -> tuple[str, ...]:
    def number(value: float | None, spec: str) -> str:
        return "" if value is None else format(value, spec)

    figures = (number(check.accuracy, ".2%"), number(check.top1_agreement, ".2%"))
    return (check.name, f"{check.bytes:,}", *figures, number(check.max_logit_difference, ".1e"))


def _show_rich(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    try:
        from rich.console import Console  # noqa: PLC0415  only the demo's extra has it
        from rich.table import Table  # noqa: PLC0415
    except ImportError:
        return False
    table = Table(title=title, title_justify="left")
    for column, name in enumerate(header):
        table.add_column(name, justify="right" if column else "left")
    for row in rows:
        table.add_row(*row)
    Console().print(table)
    return True


if __name__ == "__main__":
    sys.exit(main())
