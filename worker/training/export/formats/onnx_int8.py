"""`student.int8.onnx`: a quarter of the bytes, and faster on CPUs with instructions for bytes."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from app.domain.config import ExportConfig
from app.domain.manifest import Preprocessing
from worker.training.export.format import INPUT_NAME, normalise
from worker.training.export.formats.onnx import Onnx, save_onnx
from worker.training.export.tolerance import AccuracyTolerance, Tolerance, Withheld

if TYPE_CHECKING:
    from worker.training.export.source import Source

OPERATORS = ("Conv", "MatMul", "Gemm")
"""Where the weights and the arithmetic are. What lies between (softmax, norms, activations, sums) stays float32: it is
cheap, and it is where a byte is too little for a transformer."""

_AT_ONCE = 8


class OnnxInt8(Onnx):
    """Another function than the student, so it is judged by its accuracy."""

    name = "onnx_int8"
    file = "student.int8.onnx"
    label = "int8 ONNX"
    optional = True
    cannot = "onnxruntime's quantiser cannot handle this architecture"

    def write(self, source: "Source", path: Path) -> str:
        if source.calibration is None:
            raise Withheld("There are no training images to calibrate it with.")
        images = source.calibration()
        save_onnx(to_int8(source.onnx_model, images, source.preprocessing, path.parent), path, source.metadata)
        return f"calibrated on {len(images)} training images"

    def tolerance(self, config: ExportConfig) -> Tolerance:
        return AccuracyTolerance(config.max_accuracy_loss)


def to_int8(
    model: onnx.ModelProto, calibration_NHWC: npt.NDArray[np.uint8], preprocessing: Preprocessing, scratch: Path
) -> onnx.ModelProto:
    """Static quantisation: weights to signed bytes with a scale for each channel, activations to unsigned ones with
    the range seen on `calibration_NHWC`; in QDQ form, which every ONNX runtime reads.

    Products of two activations (attention) stay float32.

    Args:
        calibration_NHWC: training images, [N, S, S, 3]; never those that a student is judged by.
        scratch: a folder for files as large as the model.

    Raises:
        Exception: whatever the quantiser raises for a graph it cannot handle.
    """
    source, prepared, quantised = (scratch / f"{name}.onnx" for name in ("source", "prepared", "quantised"))
    try:
        onnx.save(model, source)  # given the model itself, the tool moves its weights out of it
        with _quiet():
            quant_pre_process(source, prepared, skip_symbolic_shape=True)
            quantize_static(
                prepared,
                quantised,
                _Images(calibration_NHWC, preprocessing.mean, preprocessing.std),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=list(OPERATORS),
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                extra_options={"MatMulConstBOnly": True},
            )
        result = onnx.load(quantised)
    finally:
        for path in (source, prepared, quantised):
            path.unlink(missing_ok=True)
    if not any(node.op_type == "QuantizeLinear" for node in result.graph.node):
        raise ValueError("nothing in the graph could be quantised")
    onnx.checker.check_model(result)
    return result


class _Images(CalibrationDataReader):
    """Feeds the calibration images a few at a time."""

    def __init__(self, images_NHWC: npt.NDArray[np.uint8], mean: Sequence[float], std: Sequence[float]) -> None:
        self._batches: Iterator[npt.NDArray[np.uint8]] = (
            images_NHWC[start : start + _AT_ONCE] for start in range(0, len(images_NHWC), _AT_ONCE)
        )
        self._mean, self._std = mean, std

    def get_next(self) -> dict[str, Any] | None:
        batch = next(self._batches, None)
        return None if batch is None else {INPUT_NAME: normalise(batch, self._mean, self._std)}


@contextmanager
def _quiet() -> Iterator[None]:
    """The quantiser tells the root logger of each step and of advice that is not for the user."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)


FORMAT = OnnxInt8()
