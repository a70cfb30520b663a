"""From a trained student to the files a user downloads, each of them checked before it takes its name."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import nn

from app.domain.faults import fault_point
from app.domain.files import replaced_atomically
from app.domain.knobs import ExportConfig, ExportFormat
from app.domain.manifest import Licences, Parity, Preprocessing
from worker.training.evaluate import predict
from worker.training.export.accuracy import Withheld
from worker.training.export.deployable import metadata
from worker.training.export.gate import Gate, Judged
from worker.training.export.inputs import BATCH
from worker.training.export.safetensors import write_safetensors
from worker.training.export.writer import Calibration, Writer

FILE_NAMES = {
    ExportFormat.ONNX: "student.onnx",
    ExportFormat.TORCHSCRIPT: "student.ts",
    ExportFormat.EXPORTED_PROGRAM: "student.pt2",
    ExportFormat.ONNX_FP16: "student.fp16.onnx",
    ExportFormat.ONNX_INT8: "student.int8.onnx",
    ExportFormat.ONNX_PIXELS: "student.pixels.onnx",
}
WEIGHTS_NAME = "student.safetensors"


@dataclass(frozen=True)
class Exported:
    """What became of the formats that were asked for."""

    parity: dict[str, Parity] = field(default_factory=dict)
    """By file name, for the published formats that have a runtime of their own."""
    withheld: dict[str, str] = field(default_factory=dict)
    """Why a file is not published, by file name."""


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
    on_event: Callable[..., None],
    eval_labels: npt.NDArray[np.int64] | None = None,
    eval_folder: Path | None = None,
    evaluated_NK: npt.NDArray[np.float32] | None = None,
    calibration: Calibration | None = None,
    metrics: Mapping[str, float] | None = None,
    licences: Licences | None = None,
) -> Exported:
    """Write `student.safetensors` and every format of `config`, and check each against the student on real images.

    Args:
        student: normalised images [N, 3, S, S] in, logits [N, K] out; any device and mode; not altered.
        eval_images_u8: [N, S, S, 3], already resized and cropped; at least one. May be memory-mapped.
        eval_paths: [N], how an image is called in an error.
        on_event: takes a code and a sentence, once a file; and `warning=True` where one is withheld.
        eval_labels: [N], what int8 is judged by. None: the student's own answers.
        eval_folder: where `eval_paths` are image files, so that preprocessing can be checked too. None: they are not.
        evaluated_NK: the logits that the student's evaluation is made of.
        calibration: gives training images for int8, which is withheld without.
        metrics, licences: go into the files.

    Raises:
        ExportFailed: the student cannot be written in one of the formats.
        ExportParityFailed: a file computes something else than the student. No such file is left in `out_dir`.
    """
    assert len(eval_images_u8) == len(eval_paths) > 0
    assert eval_images_u8.shape[1:] == (image_size, image_size, 3)
    told = metadata(classes, preprocessing, fingerprint, metrics, licences)
    writer = Writer(student, config, image_size, preprocessing, told, calibration)
    mean, std = preprocessing.mean, preprocessing.std
    expected_NK = predict(writer.model, eval_images_u8, mean, std, batch_size=BATCH, device="cpu")
    judged = Judged(eval_images_u8, eval_paths, eval_folder, eval_labels)
    gate = Gate(writer.model, expected_NK, judged, preprocessing, config)
    if evaluated_NK is not None:
        gate.check_source(evaluated_NK)

    exported = Exported()
    # in a folder of its own, as some writers insist on the suffix
    with tempfile.TemporaryDirectory(dir=out_dir, prefix=".export-") as folder:
        draft = Path(folder, WEIGHTS_NAME)
        write_safetensors(writer.model.student, draft, writer.metadata)
        _publish(draft, out_dir)
        for chosen in config.formats:
            draft = Path(folder, FILE_NAMES[chosen])
            try:
                how = writer.write(chosen, draft)
                fault_point("export")
                parity = gate.check(chosen, draft, Path(folder))
            except Withheld as reason:
                exported.withheld[draft.name] = str(reason)
                on_event("withheld", f"{draft.name} is not published: {reason}", warning=True)
                continue
            exported.parity[draft.name] = parity
            on_event("exported", _say(draft, how, parity))
            _publish(draft, out_dir)
    return exported


def _say(file: Path, how: str, parity: Parity) -> str:
    said = (
        f"{file.name} ({how}, {file.stat().st_size:,} bytes) agrees with the trained student on "
        f"{parity.images:,} images: top-1 {parity.top1_agreement:.2%}, largest logit difference "
        f"{parity.max_logit_difference:.1e}."
    )
    if parity.accuracy_loss is None or parity.accuracy_loss_interval is None:
        return said
    low, high = parity.accuracy_loss_interval
    return f"{said} It loses {parity.accuracy_loss:.2%} of accuracy (95 % interval {low:.2%} to {high:.2%})."


def _publish(draft: Path, out_dir: Path) -> None:
    with replaced_atomically(out_dir / draft.name) as temporary:
        draft.rename(temporary)
