"""`python -m worker.training SPEC.json DATA_DIR OUT_DIR`: one training run, no server needed.

SPEC.json is a TrainingSpec (app/domain/spec.py); DATA_DIR an image folder, or a prepared data set with its
index.json. Progress is printed as one JSON object a line (app/domain/progress.py). Exit status: 0 done, 1 failed
(the last line says why), 75 stopped by SIGTERM with a checkpoint: run the same command again to go on. A student's
files lie in OUT_DIR; where the spec names `students`, in a folder of its name there.

Environment: TDMR_MODELS_DIR (a folder of local teachers), TDMR_DEVICE (auto, cpu, cuda, cuda:1), TDMR_CACHE_DIR and
TDMR_CACHE_GB (what runs on one host share, and how large it may grow; default: in OUT_DIR, 20), TDMR_PRECISION (auto,
float32, bfloat16: fix it, or share a cache folder, where two runs must agree bit for bit), TDMR_CHECKPOINT_SECONDS
(a run that is killed repeats so much at most; 30 or less), TDMR_LOG_LEVEL (of the JSON
lines on standard error) and TDMR_LOG_CONTEXT (a JSON object: what each of them carries).
"""

import argparse
import errno
import logging
import os
import signal
import sys
from pathlib import Path

import torch
from pydantic import ValidationError

from app.domain.errors import OutOfMemory, TdmrError, TrainingFailed
from app.domain.progress import FailureLine
from app.domain.spec import TrainingSpec
from app.imaging import UnreadableImage
from app.logs import configure_logging
from worker.training.loop import Stopped
from worker.training.memory import keep_freed_memory
from worker.training.pipeline import train
from worker.training.prepare import Run
from worker.training.report import Reporter

EXIT_FAILED, EXIT_STOPPED = 1, 75
log = logging.getLogger("worker.training")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m worker.training", description=__doc__.splitlines()[0])
    parser.add_argument("spec", type=Path, metavar="SPEC.json", help="what to train: a TrainingSpec as JSON")
    parser.add_argument("data", type=Path, metavar="DATA_DIR", help="an image folder or a prepared data set")
    parser.add_argument(
        "out", type=Path, metavar="OUT_DIR", help="where the student goes; resumed if it holds this run"
    )
    arguments = parser.parse_args()
    keep_freed_memory()
    # standard output belongs to the progress lines: libraries that print there would break them
    lines = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    configure_logging(os.environ.get("TDMR_LOG_LEVEL", "info"))

    stop = {"requested": False}
    signal.signal(signal.SIGTERM, lambda *_: stop.update(requested=True))
    reporter = Reporter(lines)
    try:
        spec = _read_spec(arguments.spec)
        train(Run(spec, arguments.data, arguments.out, _device(), reporter, lambda: stop["requested"]))
    except Stopped:
        return EXIT_STOPPED
    except Exception as error:
        failure = in_words(error)
        if failure.code == TrainingFailed.code or not isinstance(error, TdmrError):
            log.exception("The run failed")
        reporter.emit(failure)
        return EXIT_FAILED
    return 0


def _read_spec(path: Path) -> TrainingSpec:
    try:
        return TrainingSpec.model_validate_json(path.read_bytes())
    except ValidationError as error:
        details = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'spec'}: {e['msg']}" for e in error.errors())
        raise _InvalidSpecFile(details) from error


class _InvalidSpecFile(TdmrError):
    code = "invalid_spec"


def _device() -> torch.device:
    wanted = os.environ.get("TDMR_DEVICE", "auto")
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(wanted)


def in_words(error: Exception) -> FailureLine:
    """What is told to the user: never a path, never a traceback."""
    if isinstance(error, TdmrError):
        return FailureLine(code=error.code, detail=error.detail, hint=error.hint)
    # torch's allocator of the CPU's memory and safetensors have no errors of their own for these two
    if isinstance(error, torch.cuda.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error):
        return FailureLine(
            code=OutOfMemory.code,
            detail="The worker ran out of memory.",
            hint="Use a smaller distill.batch_size, image_size or reprogram.image_size.",
        )
    if os.strerror(errno.ENOSPC) in str(error):
        return FailureLine(
            code="disk_full", detail="The worker's disk is full.", hint="Free space, then retry the job."
        )
    if isinstance(error, UnreadableImage):
        return FailureLine(
            code="unreadable_image", detail=f"An image cannot be read: {error}.", hint="Upload the data set again."
        )
    return FailureLine(
        code=TrainingFailed.code,
        detail=f"The training room failed unexpectedly ({type(error).__name__}).",
        hint="The worker's log has the details. Please report this.",
    )


if __name__ == "__main__":
    sys.exit(main())
