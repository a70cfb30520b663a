"""A student of a few numbers, as ONNX: it tells dark images from bright ones."""

import hashlib
import json

import numpy as np
from onnx import TensorProto, helper, numpy_helper

SIDE = 8
PREPROCESSING = {
    "resize_short_side": 10,
    "center_crop": SIDE,
    "interpolation": "bicubic",
    "scale": 1 / 255,
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
    "layout": "NCHW, RGB, float32",
}


def small_student(classes: tuple[str, str] = ("cat", "dog")) -> dict[str, bytes]:
    """Its published files."""
    weights = numpy_helper.from_array(np.array([[-0.1, -0.1, -0.1], [0.1, 0.1, 0.1]], dtype=np.float32), "weights")
    graph = helper.make_graph(
        [
            helper.make_node("GlobalAveragePool", ["images"], ["pooled"]),
            helper.make_node("Flatten", ["pooled"], ["flat"]),
            helper.make_node("Gemm", ["flat", "weights"], ["logits"], transB=1),
        ],
        "student",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2])],
        [weights],
    )
    network = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    manifest = {
        "classes": classes,
        "preprocessing": PREPROCESSING,
        "spec": {"student": "small"},
        "spec_fingerprint": "f" * 64,
        "seed": 0,
        "student": {"architecture": "small"},
        "teacher": None,
        "dataset": {},
        "versions": {},
        "device": "cpu",
        "metrics": {"student_accuracy": 0.75},
        "seconds": {},
        "parity": {},
        "files": [
            {
                "name": "student.onnx",
                "bytes": len(content := network.SerializeToString()),
                "sha256": hashlib.sha256(content).hexdigest(),
                "media_type": "application/octet-stream",
            }
        ],
    }
    return {
        "manifest.json": json.dumps(manifest).encode(),
        "student.onnx": content,
        "student.safetensors": b"weights",
        "model_card.md": b'---\nlicense: "unknown"\n---\n\n## Usage\n\n',
    }
