"""Writes a trained student as the files that a user downloads, and checks each before publishing it."""

import logging
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import nn

from app.domain.config import ExportConfig
from app.domain.errors import ExportFailed, TdmrError
from app.domain.failpoints import failpoint
from app.domain.files import replaced_atomically
from app.domain.manifest import Licences, Parity, Preprocessing
from worker.training.data.decoded import Pool, decode_squares
from worker.training.data.pools import Images
from worker.training.export import formats
from worker.training.export.format import BATCH, Format
from worker.training.export.formats.safetensors import WEIGHTS_NAME, write_safetensors
from worker.training.export.parity import Judged, spread
from worker.training.export.prediction import predict
from worker.training.export.source import Calibration, Source, metadata
from worker.training.export.tolerance import Withheld
from worker.training.export.validation import ExportValidator
from worker.training.prepare import INTERPOLATION
from worker.training.run import Run

CALIBRATION_IMAGES = 128
"""Training images that the ranges of activations are read from: a hundred is what onnxruntime's own examples take."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Exported:
    """The requested formats: published or withheld."""

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
    on_file: Callable[[str, float], None] = lambda chosen, seconds: None,
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
        on_file: takes a format, once it is done with, and how long that took.

    Raises:
        ExportFailed: the student cannot be written in one of the formats.
        ExportParityFailed: a file computes something else than the student. No such file is left in `out_dir`.
    """
    assert len(eval_images_u8) == len(eval_paths) > 0
    assert eval_images_u8.shape[1:] == (image_size, image_size, 3)
    told = metadata(classes, preprocessing, fingerprint, metrics, licences)
    source = Source(student, config, image_size, preprocessing, told, calibration)
    mean, std = preprocessing.mean, preprocessing.std
    expected_NK = predict(source.model, eval_images_u8, mean, std, batch_size=BATCH, device="cpu")
    judged = Judged(eval_images_u8, eval_paths, eval_folder, eval_labels)
    validator = ExportValidator(source.model, expected_NK, judged, preprocessing, config)
    if evaluated_NK is not None:
        validator.check_source(evaluated_NK)

    exported = Exported()
    # in a folder of its own, as some writers insist on the suffix
    with tempfile.TemporaryDirectory(dir=out_dir, prefix=".export-") as folder:
        draft = Path(folder, WEIGHTS_NAME)
        write_safetensors(source.model.student, draft, source.metadata)
        _publish(draft, out_dir)
        for chosen in map(formats.find, config.formats):
            draft, began = Path(folder, chosen.file), time.monotonic()
            try:
                how = _write(chosen, source, draft)
                failpoint("export")
                parity = validator.check(chosen, draft, Path(folder))
            except Withheld as reason:
                exported.withheld[draft.name] = str(reason)
                on_event("withheld", f"{draft.name} is not published: {reason}", warning=True)
                on_file(chosen.name, time.monotonic() - began)
                continue
            exported.parity[draft.name] = parity
            on_event("exported", _say(draft, how, parity))
            _publish(draft, out_dir)
            on_file(chosen.name, time.monotonic() - began)
    return exported


def calibration_images(run: Run, images: Images) -> npt.NDArray[np.uint8]:
    """Up to `CALIBRATION_IMAGES` training images, labelled or not, prepared as the student will see images in use.

    Never validation or test images: the ranges would then be fitted to what the file is judged by. Pools are sorted by
    the hash of their images' content, so that taking them evenly is a draw by chance, and the same one each time.

    Returns:
        uint8 [N, S, S, 3].
    """
    samples = images.pools.training.samples
    chosen = Pool(tuple(samples[row] for row in spread(len(samples), CALIBRATION_IMAGES).tolist()))
    squares = decode_squares(
        run.data_dir, chosen, run.spec.image_size, INTERPOLATION, run.cache, lambda fraction: None, run.stop_requested
    )
    return squares[:]


def _write(chosen: Format, source: Source, path: Path) -> str:
    """Returns how it was done, in a few words.

    Raises:
        ExportFailed: it cannot be done.
        Withheld: it cannot be done, and the job goes on without the file.
    """
    try:
        return chosen.write(source, path)
    except (TdmrError, MemoryError, OSError, Withheld):
        raise
    except Exception as error:  # exporters raise anything, compiler internals included
        reason = f"{chosen.cannot} ({type(error).__name__})."
        if chosen.optional:
            log.warning("%s cannot be written", chosen.name, exc_info=True)
            raise Withheld(reason) from error
        raise ExportFailed(
            f"The student cannot be written as '{chosen.name}': {reason}",
            hint="Choose other export.formats, or another student.",
        ) from error


def _say(file: Path, how: str, parity: Parity) -> str:
    said = (
        f"{file.name} ({how}, {file.stat().st_size:,} bytes) agrees with the trained student on "
        f"{parity.images:,} images: top-1 agreement {parity.top1_agreement:.2%}, max logit difference "
        f"{parity.max_logit_difference:.1e}."
    )
    if parity.accuracy_loss is None or parity.accuracy_loss_interval is None:
        return said
    low, high = parity.accuracy_loss_interval
    return f"{said} It loses {parity.accuracy_loss:.2%} accuracy (95 % interval {low:.2%} to {high:.2%})."


def _publish(draft: Path, out_dir: Path) -> None:
    with replaced_atomically(out_dir / draft.name) as temporary:
        draft.rename(temporary)
