"""From a trained student to the files a user downloads, each of them checked before it takes its name."""

import copy
import tempfile
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.export import ExportedProgram

from app.domain.errors import ExportFailed, ExportParityFailed, TdmrError
from app.domain.files import replaced_atomically
from app.domain.manifest import Parity, Preprocessing
from app.domain.spec import ExportConfig, ExportFormat
from worker.training.evaluate import predict
from worker.training.export.deployable import Deployable, deployable, metadata
from worker.training.export.exported_program import capture, write_exported_program
from worker.training.export.inputs import BATCH, normalise
from worker.training.export.onnx import write_onnx
from worker.training.export.parity import allowed, check_parity, run_exported
from worker.training.export.safetensors import write_safetensors
from worker.training.export.torchscript import write_torchscript

FILE_NAMES = {
    ExportFormat.ONNX: "student.onnx",
    ExportFormat.TORCHSCRIPT: "student.ts",
    ExportFormat.EXPORTED_PROGRAM: "student.pt2",
}
WEIGHTS_NAME = "student.safetensors"

_REASONS = {
    ExportFormat.ONNX: "its operations cannot be expressed in ONNX with a free batch size",
    ExportFormat.TORCHSCRIPT: "it can be neither traced nor scripted",
    ExportFormat.EXPORTED_PROGRAM: "torch.export cannot follow it with a free batch size",
}


def export_student(
    student: nn.Module,
    *,
    config: ExportConfig,
    out_dir: Path,
    image_size: int,
    classes: Sequence[str],
    preprocessing: Preprocessing,
    fingerprint: str,
    eval_images_u8: npt.NDArray[np.uint8],
    eval_paths: Sequence[str],
    on_event: Callable[[str, str], None],
) -> dict[str, Parity]:
    """Write `student.safetensors` and every format of `config`, and check each against the student on real images.

    Args:
        student: normalised images [N, 3, S, S] in, logits [N, K] out; any device and mode; not altered.
        eval_images_u8: [N, S, S, 3], already resized and cropped; at least one. May be memory-mapped.
        eval_paths: [N], how an image is called in an error.
        on_event: takes a code and a sentence, once a file.

    Returns:
        Parity by file name, for the formats that have a runtime of their own.

    Raises:
        ExportFailed: the student cannot be written in one of the formats.
        ExportParityFailed: a file computes something else than the student. No such file is left in `out_dir`.
    """
    assert len(eval_images_u8) == len(eval_paths) > 0
    assert eval_images_u8.shape[1:] == (image_size, image_size, 3)
    writer = _Writer(student, config, image_size, metadata(classes, preprocessing, fingerprint))
    mean, std = preprocessing.mean, preprocessing.std
    expected_NK = predict(writer.model, eval_images_u8, mean, std, batch_size=BATCH, device="cpu")

    gate = _Gate(writer.model, expected_NK, eval_images_u8, eval_paths, preprocessing, config.max_logit_difference)
    parities = {}
    # in a folder of its own, as some writers insist on the suffix
    with tempfile.TemporaryDirectory(dir=out_dir, prefix=".export-") as folder:
        draft = Path(folder, WEIGHTS_NAME)
        write_safetensors(writer.model.student, draft, writer.metadata)
        _publish(draft, out_dir)
        for chosen in config.formats:
            draft = Path(folder, FILE_NAMES[chosen])
            how = writer.write(chosen, draft)
            actual_NK = run_exported(draft, eval_images_u8, preprocessing)
            parity = gate.check(draft.name, actual_NK)
            parities[draft.name] = parity
            on_event(
                "exported",
                f"{draft.name} ({how}, {draft.stat().st_size:,} bytes) agrees with the trained student on "
                f"{parity.images:,} images: top-1 {parity.top1_agreement:.2%}, largest logit difference "
                f"{parity.max_logit_difference:.1e}.",
            )
            _publish(draft, out_dir)
    return parities


class _Gate:
    """Judges the exported files of one student."""

    def __init__(
        self,
        model: Deployable,
        expected_NK: npt.NDArray[np.float32],
        images_u8: npt.NDArray[np.uint8],
        paths: Sequence[str],
        preprocessing: Preprocessing,
        max_difference: float,
    ) -> None:
        self._model, self._expected_NK = model, expected_NK
        self._images_u8, self._paths, self._preprocessing = images_u8, paths, preprocessing
        self._max_difference = max_difference

    def check(self, name: str, actual_NK: npt.NDArray[np.float32]) -> Parity:
        """Raises ExportParityFailed."""
        largest = float(np.abs(self._expected_NK).max())
        try:
            bound = allowed(self._max_difference, largest)
            return check_parity(name, self._expected_NK, actual_NK, self._paths, bound)
        except ExportParityFailed:  # only now is it worth a pass in float64
            wider = allowed(self._max_difference, largest, self._own_rounding)
            if wider <= bound:
                raise
            return check_parity(name, self._expected_NK, actual_NK, self._paths, wider)

    @cached_property
    def _own_rounding(self) -> float:
        """How far the student's float32 logits are from its float64 ones; 0 where it cannot run in float64."""
        exact = copy.deepcopy(self._model).double()
        distance = 0.0
        try:
            with torch.inference_mode():
                for start in range(0, len(self._images_u8), BATCH):
                    rows = slice(start, start + BATCH)
                    images = normalise(self._images_u8[rows], self._preprocessing.mean, self._preprocessing.std)
                    exact_NK = exact(torch.from_numpy(images).double()).numpy()
                    distance = max(distance, float(np.abs(exact_NK - self._expected_NK[rows]).max()))
        except RuntimeError:  # a network that insists on float32 inside
            return 0.0
        return distance


class _Writer:
    """Writes one student in any format; the captured graph is shared by the two formats that start from it."""

    def __init__(self, student: nn.Module, config: ExportConfig, image_size: int, metadata: dict[str, str]) -> None:
        self.model = deployable(student)
        self.metadata = metadata
        self._config = config
        self._image_size = image_size

    def write(self, chosen: ExportFormat, path: Path) -> str:
        """Returns how it was done, in a few words."""
        try:
            match chosen:
                case ExportFormat.ONNX:
                    return write_onnx(self._program, path, self.metadata)
                case ExportFormat.TORCHSCRIPT:
                    bound = self._config.max_logit_difference
                    return write_torchscript(self.model, self._image_size, path, self.metadata, bound)
                case ExportFormat.EXPORTED_PROGRAM:
                    return write_exported_program(self._program, path, self.metadata)
        except (TdmrError, MemoryError, OSError):
            raise
        except Exception as error:  # exporters raise anything, compiler internals included
            raise ExportFailed(
                f"The student cannot be written as '{chosen}': {_REASONS[chosen]} ({type(error).__name__}).",
                hint="Choose other export.formats, or another student.",
            ) from error

    @cached_property
    def _program(self) -> ExportedProgram:
        return capture(self.model, self._image_size)


def _publish(draft: Path, out_dir: Path) -> None:
    with replaced_atomically(out_dir / draft.name) as temporary:
        draft.rename(temporary)
