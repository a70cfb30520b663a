"""`python -m worker.training SPEC.json DATA_DIR OUT_DIR`: one training run, no server needed.

SPEC.json is a TrainingSpec (app/domain/spec.py); DATA_DIR an image folder, or a prepared data set with its
index.json. Progress is printed as one JSON object a line (app/domain/progress.py). Exit status: 0 done, 1 failed
(the last line says why), 75 stopped by SIGTERM with a checkpoint: run the same command again to go on. A student's
files lie in OUT_DIR; where the spec names `students`, in a folder of its name there.

Settings of the machine (app/domain/runtime.py) come from RUNTIME.json where `--runtime` names it, otherwise from the
environment: TDMR_MODELS_DIR, TDMR_DEVICE, TDMR_CACHE_DIR, TDMR_CACHE_GB, TDMR_PRECISION, TDMR_CHECKPOINT_SECONDS,
TDMR_CONFINE, TDMR_THREADS and TDMR_LOG_LEVEL. TDMR_LOG_CONTEXT is a JSON object: the fields that each log line carries.
"""

import argparse
import errno
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
import torch
from pydantic import ValidationError

from app.domain.errors import DiskFull, LocalFilesLost, OutOfMemory, TdmrError, TrainingFailed
from app.domain.files import lost_below
from app.domain.progress import FailureLine
from app.domain.runtime import RuntimeConfig
from app.domain.spec import TrainingSpec
from app.domain.speeds import Known, Speeds, Work
from app.imaging import UnreadableImage
from app.logs import configure_logging
from worker.training.engine.allocator import keep_freed_memory
from worker.training.engine.loop import Stopped
from worker.training.engine.reporter import Reporter
from worker.training.models.hub import fetch_teachers, leave_network
from worker.training.pipeline import train
from worker.training.run import Run

EXIT_FAILED, EXIT_STOPPED = 1, 75
log = logging.getLogger("worker.training")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m worker.training", description=__doc__.splitlines()[0])
    parser.add_argument("spec", type=Path, metavar="SPEC.json", help="what to train: a TrainingSpec as JSON")
    parser.add_argument("data", type=Path, metavar="DATA_DIR", help="an image folder or a prepared data set")
    parser.add_argument(
        "out", type=Path, metavar="OUT_DIR", help="where the student goes; resumed if it holds this run"
    )
    parser.add_argument("--runtime", type=Path, metavar="RUNTIME.json", help="settings; default: the environment")
    parser.add_argument("--speeds", type=Path, metavar="SPEEDS.json", help="what this machine is known to take")
    arguments = parser.parse_args()
    keep_freed_memory()
    # standard output belongs to the progress lines: libraries that print there would break them
    lines = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    stop = {"requested": False}
    signal.signal(signal.SIGTERM, lambda *_: stop.update(requested=True))
    reporter = Reporter(lines)
    folders = [arguments.data, arguments.out]
    try:
        runtime = RuntimeConfig.read(arguments.runtime, os.environ)
        configure_logging(runtime.log_level)
        if runtime.cache_dir is not None:
            folders.append(runtime.cache_dir)
        spec = _read_spec(arguments.spec)
        speeds = _read_speeds(arguments.speeds)
        run = Run(spec, arguments.data, arguments.out, runtime, reporter, lambda: stop["requested"], speeds)
        if runtime.confine:
            # before the first image, which is from a stranger
            fetch_teachers(spec, runtime.models_dir)
            _ = run.initial_weights
            leave_network()
        if runtime.threads is not None:
            torch.set_num_threads(runtime.threads)
        reporter.learned(Work.START, time.time() - psutil.Process().create_time(), 1)
        train(run)
    except Stopped:
        return EXIT_STOPPED
    except Exception as error:
        failure = in_words(error, folders)
        if failure.code == TrainingFailed.code or not isinstance(error, TdmrError):
            log.exception("The run failed")
        reporter.emit(failure)
        return EXIT_FAILED
    return 0


def _read_speeds(path: Path | None) -> Speeds:
    return Speeds(() if path is None else (Known(**row) for row in json.loads(path.read_bytes())))


def _read_spec(path: Path) -> TrainingSpec:
    try:
        return TrainingSpec.model_validate_json(path.read_bytes())
    except ValidationError as error:
        details = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'spec'}: {e['msg']}" for e in error.errors())
        raise _InvalidSpecFile(details) from error


class _InvalidSpecFile(TdmrError):
    code = "invalid_spec"


def in_words(error: Exception, folders: Sequence[Path] = ()) -> FailureLine:
    """What is told to the user: never a path, never a traceback.

    Args:
        folders: whose files are there as long as nobody else deletes them.
    """
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
            code=DiskFull.code, detail="The worker's disk is full.", hint="Free space, then retry the job."
        )
    # libraries that write files have errors of their own for a folder that is gone
    if lost_below(folders, error) or not all(folder.is_dir() for folder in folders[:2]):
        return FailureLine(
            code=LocalFilesLost.code,
            detail="The worker's local files were deleted, or cannot be read, while the job ran.",
            hint="Keep everything else away from TDMR_HOME and TDMR_CACHE_DIR of the worker.",
        )
    if isinstance(error, UnreadableImage):
        return FailureLine(
            code="unreadable_image", detail=f"An image cannot be read: {error}.", hint="Upload the data set again."
        )
    return FailureLine(
        code=TrainingFailed.code,
        detail=f"The training package failed unexpectedly ({type(error).__name__}).",
        hint="The worker's log has the details. Please report this.",
    )


if __name__ == "__main__":
    sys.exit(main())
