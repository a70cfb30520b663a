"""`python -m worker.training.export.parity_run`: one exported file, in its own runtime, in a process of its own.

A fresh process knows the file and nothing else: no class definitions, no weights, for ONNX not even torch.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from app.domain.manifest import Preprocessing
from worker.training.export.inputs import INPUT_NAME, OUTPUT_NAME, normalise, uneven_batches

Run = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, help="the exported file; its suffix names the runtime")
    parser.add_argument("images", type=Path, help="uint8 [N, S, S, 3] as .npy")
    parser.add_argument("logits", type=Path, help="where to write float32 [N, K] as .npy")
    parser.add_argument("--preprocessing", required=True, type=Preprocessing.model_validate_json)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()

    run = _RUNTIMES[options.file.suffix](options.file, options.threads)
    prepare: Preprocessing = options.preprocessing
    images = np.load(options.images, mmap_mode="r")
    logits = [run(normalise(batch, prepare.mean, prepare.std, prepare.scale)) for batch in uneven_batches(images)]
    np.save(options.logits, np.concatenate(logits))


def _onnx(path: Path, threads: int) -> Run:
    import onnxruntime  # noqa: PLC0415

    assert "torch" not in sys.modules
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
    return lambda images: session.run([OUTPUT_NAME], {INPUT_NAME: images})[0]


def _torchscript(path: Path, threads: int) -> Run:
    import torch  # noqa: PLC0415

    return _torch(torch.jit.load(path, map_location="cpu"), threads)


def _exported_program(path: Path, threads: int) -> Run:
    import torch  # noqa: PLC0415

    return _torch(torch.export.load(path).module(), threads)


def _torch(model: Any, threads: int) -> Run:
    import torch  # noqa: PLC0415

    torch.set_num_threads(threads)

    def run(images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        with torch.inference_mode():
            logits: npt.NDArray[np.float32] = model(torch.from_numpy(images)).numpy()
        return logits

    return run


_RUNTIMES = {".onnx": _onnx, ".ts": _torchscript, ".pt2": _exported_program}

if __name__ == "__main__":
    main()
