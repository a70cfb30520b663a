"""`python -m worker.training.export.parity_run`: one exported file, in its own runtime, in a process of its own.

A fresh process knows the file and nothing else: no class definitions, no weights, for ONNX not even torch. How images
are to be prepared it reads from the file's metadata, as a user would.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from app.domain.manifest import Preprocessing
from app.imaging import clean_square, open_rgb
from worker.training.export.inputs import (
    INPUT_NAME,
    OUTPUT_NAME,
    PICTURE_NAME,
    PROBABILITIES_NAME,
    normalise,
    uneven_batches,
)

OTHER_SQUARE = 3
"""Exit status where metadata and evaluation prepare an image differently; the row is printed."""
_SOFTMAX_ROUNDING = 1e-5


class Loaded(NamedTuple):
    """A file in its runtime."""

    run: Callable[[npt.NDArray[Any]], npt.NDArray[np.float32]]
    """From normalised images [N, 3, S, S] to logits [N, K]; or from one picture [H, W, 3] to logits [K]."""
    metadata: Mapping[str, str | bytes]
    takes_pictures: bool = False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, help="the exported file; its suffix names the runtime")
    parser.add_argument("images", type=Path, help="uint8 [N, S, S, 3] as .npy")
    parser.add_argument("logits", type=Path, help="where to write float32 [N, K] as .npy")
    parser.add_argument("--preprocessing", type=Preprocessing.model_validate_json, help="default: what the file says")
    parser.add_argument("--originals", type=Path, help="JSON: [row of `images`, image file] for each to be compared")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()

    loaded = _RUNTIMES[options.file.suffix](options.file, options.threads)
    prepare: Preprocessing = options.preprocessing or Preprocessing.model_validate_json(
        loaded.metadata["preprocessing"]
    )
    images = np.load(options.images, mmap_mode="r")
    originals = dict(json.loads(options.originals.read_text())) if options.originals else {}
    for row, file in originals.items():
        if not np.array_equal(clean_square(open_rgb(Path(file)), prepare), images[row]):
            sys.stdout.write(str(row))
            return OTHER_SQUARE
    if loaded.takes_pictures:
        logits = [
            loaded.run(np.asarray(open_rgb(Path(originals[row])) if originals else images[row]))[None]
            for row in range(len(images))
        ]
    else:
        batches = uneven_batches(images)
        logits = [loaded.run(normalise(batch, prepare.mean, prepare.std, prepare.scale)) for batch in batches]
    np.save(options.logits, np.concatenate(logits))
    return 0


def _onnx(path: Path, threads: int) -> Loaded:
    import onnxruntime  # noqa: PLC0415

    assert "torch" not in sys.modules
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
    metadata = session.get_modelmeta().custom_metadata_map

    def run_picture(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        logits, probabilities = session.run([OUTPUT_NAME, PROBABILITIES_NAME], {PICTURE_NAME: picture})
        powers = np.exp(logits.astype(np.float64) - logits.max())
        assert np.abs(probabilities - powers / powers.sum()).max() < _SOFTMAX_ROUNDING
        return logits

    if session.get_inputs()[0].name == PICTURE_NAME:
        return Loaded(run_picture, metadata, takes_pictures=True)
    return Loaded(lambda images: session.run([OUTPUT_NAME], {INPUT_NAME: images})[0], metadata)


def _torchscript(path: Path, threads: int) -> Loaded:
    import torch  # noqa: PLC0415

    metadata = {"preprocessing": ""}
    model = torch.jit.load(path, map_location="cpu", _extra_files=metadata)
    return Loaded(_torch(model, threads), metadata)


def _exported_program(path: Path, threads: int) -> Loaded:
    import torch  # noqa: PLC0415

    metadata = {"preprocessing": ""}
    model = torch.export.load(path, extra_files=metadata).module()
    return Loaded(_torch(model, threads), metadata)


def _torch(model: Any, threads: int) -> Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]:
    import torch  # noqa: PLC0415

    torch.set_num_threads(threads)

    def run(images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        with torch.inference_mode():
            logits: npt.NDArray[np.float32] = model(torch.from_numpy(images)).numpy()
        return logits

    return run


_RUNTIMES = {".onnx": _onnx, ".ts": _torchscript, ".pt2": _exported_program}

if __name__ == "__main__":
    sys.exit(main())
