"""How to use a student's files without us, as a few lines of Python."""

from app.domain.manifest import Manifest, Preprocessing

_PREPARE = """\
image = ImageOps.exif_transpose(Image.open("photo.jpg")).convert("RGB")
size = [{resize} * side // min(image.size) for side in image.size]
image = image.resize(size, Image.Resampling.{interpolation})
left, top = (round((side - {crop}) / 2) for side in image.size)
pixels = np.asarray(image.crop((left, top, left + {crop}, top + {crop})), np.float32) / 255
images = (pixels - np.float32({mean})) / np.float32({std})
images = np.ascontiguousarray(images.transpose(2, 0, 1)[None])
"""
_ONNX = """\
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
_PIXELS = """\
import json
import numpy as np, onnxruntime
from PIL import Image, ImageOps

session = onnxruntime.InferenceSession("{file}")
image = ImageOps.exif_transpose(Image.open("photo.jpg")).convert("RGB")
probabilities = session.run(["probabilities"], {{"image": np.asarray(image)}})[0]
classes = json.loads(session.get_modelmeta().custom_metadata_map["classes"])
print(classes[probabilities.argmax()], probabilities.max())
"""
_TORCHSCRIPT = """\
import json
import numpy as np, torch
from PIL import Image, ImageOps

{prepare}
extra = {{"classes": ""}}
model = torch.jit.load("{file}", _extra_files=extra)
probabilities = model(torch.from_numpy(images)).softmax(1)[0]
print(json.loads(extra["classes"])[int(probabilities.argmax())], float(probabilities.max()))
"""


def usage(manifest: Manifest) -> tuple[str, str] | None:
    """The file that is used, and the code. None where there is none that runs by itself."""
    if manifest.preprocessing is None:
        return None
    names = {file.name for file in manifest.files}
    # the simplest first
    for name, code in (("student.pixels.onnx", _PIXELS), ("student.onnx", _ONNX), ("student.ts", _TORCHSCRIPT)):
        if name in names:
            return name, code.format(prepare=_prepare(manifest.preprocessing), file=name).strip()
    return None


def _prepare(how: Preprocessing) -> str:
    return _PREPARE.format(
        resize=how.resize_short_side,
        crop=how.center_crop,
        interpolation=how.interpolation.upper(),
        mean=[round(value, 6) for value in how.mean],
        std=[round(value, 6) for value in how.std],
    ).strip()
