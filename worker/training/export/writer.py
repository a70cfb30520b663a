"""Writes one student in any format; what several formats start from is made once."""

import logging
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from torch import nn
from torch.export import ExportedProgram

from app.domain.errors import ExportFailed, TdmrError
from app.domain.knobs import ExportConfig, ExportFormat
from app.domain.manifest import Preprocessing
from worker.training.export.accuracy import Withheld
from worker.training.export.deployable import deployable, with_attention_spelt_out
from worker.training.export.exported_program import capture, write_exported_program
from worker.training.export.fp16 import to_fp16
from worker.training.export.int8 import to_int8
from worker.training.export.onnx import OPSET, convert, write_onnx
from worker.training.export.pixels import to_pixels
from worker.training.export.torchscript import write_torchscript

log = logging.getLogger(__name__)

Calibration = Callable[[], npt.NDArray[np.uint8]]
"""Gives training images [N, S, S, 3], resized and cropped. Asked only where a format is calibrated."""

_REASONS = {
    ExportFormat.ONNX: "its operations cannot be expressed in ONNX with a free batch size",
    ExportFormat.TORCHSCRIPT: "it can be neither traced nor scripted",
    ExportFormat.EXPORTED_PROGRAM: "torch.export cannot follow it with a free batch size",
    ExportFormat.ONNX_FP16: "it cannot be expressed in ONNX, or an operation has no float16 form",
    ExportFormat.ONNX_PIXELS: "its operations cannot be expressed in ONNX with a free batch size",
}


class Writer:
    """Of one student."""

    def __init__(
        self,
        student: nn.Module,
        config: ExportConfig,
        image_size: int,
        preprocessing: Preprocessing,
        metadata: dict[str, str],
        calibration: Calibration | None,
    ) -> None:
        self.model = deployable(student)
        self.metadata = metadata
        self._config = config
        self._image_size = image_size
        self._preprocessing = preprocessing
        self._calibration = calibration

    def write(self, chosen: ExportFormat, path: Path) -> str:
        """Returns how it was done, in a few words.

        Raises:
            ExportFailed: it cannot be done.
            Withheld: it cannot be done, and the job goes on without the file.
        """
        try:
            return self._write(chosen, path)
        except (TdmrError, MemoryError, OSError, Withheld):
            raise
        except Exception as error:  # exporters raise anything, compiler internals included
            if chosen is ExportFormat.ONNX_INT8:
                log.warning("int8 failed", exc_info=True)
                raise Withheld(
                    f"onnxruntime's quantiser cannot handle this architecture ({type(error).__name__})."
                ) from error
            raise ExportFailed(
                f"The student cannot be written as '{chosen}': {_REASONS[chosen]} ({type(error).__name__}).",
                hint="Choose other export.formats, or another student.",
            ) from error

    def _write(self, chosen: ExportFormat, path: Path) -> str:
        match chosen:
            case ExportFormat.ONNX:
                return self._save(self._onnx, path, f"opset {OPSET}")
            case ExportFormat.ONNX_FP16:
                return self._save(to_fp16(self._onnx), path, "float16")
            case ExportFormat.ONNX_INT8:
                return self._save_int8(path)
            case ExportFormat.ONNX_PIXELS:
                return self._save(to_pixels(self._onnx, self._preprocessing), path, "from a picture to probabilities")
            case ExportFormat.TORCHSCRIPT:
                bound = self._config.max_logit_difference
                return write_torchscript(self.model, self._image_size, path, self.metadata, bound)
            case ExportFormat.EXPORTED_PROGRAM:
                return write_exported_program(self._program, path, self.metadata)

    def _save_int8(self, path: Path) -> str:
        if self._calibration is None:
            raise Withheld("There are no training images to calibrate it with.")
        images = self._calibration()
        model = to_int8(self._onnx, images, self._preprocessing, path.parent)
        return self._save(model, path, f"calibrated on {len(images)} training images")

    def _save(self, model: onnx.ModelProto, path: Path, how: str) -> str:
        write_onnx(model, path, self.metadata)
        return how

    @cached_property
    def _onnx(self) -> onnx.ModelProto:
        try:
            return convert(self._program)
        except TdmrError:
            raise
        except Exception:  # ONNX knows fused attention over batch and heads alone, not over windows as well
            spelt_out = with_attention_spelt_out(self.model)
            if spelt_out is None:
                raise
            return convert(capture(spelt_out, self._image_size))

    @cached_property
    def _program(self) -> ExportedProgram:
        return capture(self.model, self._image_size)
