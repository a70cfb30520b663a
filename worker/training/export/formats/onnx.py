"""`student.onnx`: one file, dynamic batch, for any ONNX runtime. The other ONNX formats start from its graph."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from worker.training.export.format import OUTPUT_NAME, Format, Loaded

if TYPE_CHECKING:
    import onnx

    from worker.training.export.source import Source


class Onnx(Format):
    """Of float32 weights; the base of the other ONNX formats."""

    name = "onnx"
    file = "student.onnx"
    label = "ONNX"
    hub_tag = "onnx"
    cannot = "its operations cannot be expressed in ONNX with a free batch size"
    usage_code = """
import json
import numpy as np, onnxruntime
from PIL import Image, ImageOps

{prepare}
session = onnxruntime.InferenceSession("{file}")
classes = json.loads(session.get_modelmeta().custom_metadata_map["classes"])
logits = session.run(["logits"], {{"images": images}})[0][0]
probabilities = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
print(classes[logits.argmax()], probabilities.max())
"""
    outputs: tuple[str, ...] = (OUTPUT_NAME,)

    def write(self, source: "Source", path: Path) -> str:
        save_onnx(source.onnx_model, path, source.metadata)
        return f"opset {source.onnx_model.opset_import[0].version}"

    def load(self, path: Path, *, threads: int, device: str = "cpu") -> Loaded:
        import onnxruntime  # noqa: PLC0415  not needed to write one

        assert "torch" not in sys.modules, "a user's process has none either"
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
        (wanted,) = session.get_inputs()
        names = tuple(output.name for output in session.get_outputs())

        def logits(results: list[npt.NDArray[Any]]) -> npt.NDArray[np.float32]:
            assert names == self.outputs
            return self.read(results)

        return Loaded(
            prepare=lambda images: lambda: session.run(None, {wanted.name: images}),
            logits=logits,
            metadata=session.get_modelmeta().custom_metadata_map,
        )

    def read(self, results: list[npt.NDArray[Any]]) -> npt.NDArray[np.float32]:
        """The logits among a session's results."""
        return results[0]


def save_onnx(model: "onnx.ModelProto", path: Path, metadata: dict[str, str]) -> None:
    """Write one file; `metadata` becomes its `metadata_props`, in place of what a tool may have left there."""
    import onnx  # noqa: PLC0415  not needed to run one

    model.producer_name, _, model.producer_version = metadata["producer"].partition(" ")
    onnx.helper.set_model_props(model, metadata)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


FORMAT = Onnx()
