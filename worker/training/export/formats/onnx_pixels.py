"""`student.pixels.onnx`: from one picture as a decoder gives it to probabilities, with all preprocessing inside.

H W the picture's height and width, S the student's side, K classes; all in pixels.

The resampling is Pillow's antialiased bilinear one, written as two products with matrices of weights, and rounded to
whole levels after each as Pillow does. Both matrices come from exact integers. ONNX has an antialiased `Resize` of its
own: measured over ten shapes, it was up to 3 of 255 levels off at up to 5 % of the pixels, several runtimes lack it,
and the installed onnxruntime crashed on channels-last input. This way was at most 1 level off, at less than 1 % of the
pixels, and needs nothing but arithmetic. It costs 6·H·W·S operations.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import ModelProto, compose, inliner, numpy_helper, parser

from app.domain.config import ExportConfig
from app.domain.errors import ExportFailed
from app.domain.manifest import Preprocessing
from worker.training.export.format import INPUT_NAME, OUTPUT_NAME, PICTURE_NAME, PROBABILITIES_NAME
from worker.training.export.formats.onnx import Onnx, save_onnx
from worker.training.export.tolerance import LogitTolerance, Tolerance

if TYPE_CHECKING:
    from worker.training.export.source import Source

MAX_LOGIT_DIFFERENCE = 0.05
"""One pixel in a hundred may be rounded to the next of 256 levels (above), which moves no logit much."""
_SOFTMAX_ROUNDING = 1e-5

_PREPARE = """
<ir_version: {ir}, opset_import: ["": {opset}, "local": 1]>
prepare (uint8[height, width, 3] {picture}) => (float[1, 3, {side}, {side}] {input})
<int64[1] short_to = {{{short}}}, int64[1] side = {{{side}}}, int64[1] zero = {{0}}, int64[1] one = {{1}},
 int64[1] two = {{2}}, float half = {{0.5}}, float scale = {{{scale}}}>
{{
  size = Shape <start = 0, end = 2> ({picture})
  short = ReduceMin <keepdims = 1> (size)
  grown = Mul (size, short_to)
  resized = Div (grown, short)
  height = Slice (size, zero, one)
  width = Slice (size, one, two)
  resized_height = Slice (resized, zero, one)
  resized_width = Slice (resized, one, two)
  rows = local.weights (height, resized_height, side)
  columns = local.weights (width, resized_width, side)
  columns_T = Transpose <perm = [1, 0]> (columns)
  bytes_CHW = Transpose <perm = [2, 0, 1]> ({picture})
  levels = Cast <to = 1> (bytes_CHW)
  narrow = MatMul (levels, columns_T)
  narrow_up = Add (narrow, half)
  narrow_levels = Floor (narrow_up)
  small = MatMul (rows, narrow_levels)
  small_up = Add (small, half)
  square = Floor (small_up)
  unit = Mul (square, scale)
  centred = Sub (unit, mean)
  normal = Div (centred, std)
  {input} = Unsqueeze (normal, zero)
}}
<domain: "local", opset_import: ["": {opset}]>
weights (old, new, side) => (weights)
{{
  zero = Constant <value_ints = [0]> ()
  one = Constant <value_ints = [1]> ()
  two = Constant <value_ints = [2]> ()
  first = Constant <value_int = 0> ()
  step = Constant <value_int = 1> ()
  half = Constant <value_float = 0.5> ()
  rest = Sub (new, side)
  rest_float = Cast <to = 1> (rest)
  margin = Mul (rest_float, half)
  margin_even = Round (margin)
  start = Cast <to = 7> (margin_even)
  side_0 = Squeeze (side)
  old_0 = Squeeze (old)
  inside = Range (first, side_0, step)
  target = Add (inside, start)
  target_2 = Mul (target, two)
  target_odd = Add (target_2, one)
  target_at = Mul (target_odd, old)
  target_column = Unsqueeze (target_at, one)
  source = Range (first, old_0, step)
  source_2 = Mul (source, two)
  source_odd = Add (source_2, one)
  source_at = Mul (source_odd, new)
  apart = Sub (source_at, target_column)
  distance = Abs (apart)
  larger = Max (old, new)
  reach = Mul (larger, two)
  room = Sub (reach, distance)
  triangle = Max (room, zero)
  total = ReduceSum <keepdims = 1> (triangle, one)
  triangle_float = Cast <to = 1> (triangle)
  total_float = Cast <to = 1> (total)
  weights = Div (triangle_float, total_float)
}}
"""
"""`weights` gives [side, old]: how much of each `old` pixel goes into each of the middle `side` of `new` ones. Source
pixel x lies at (x + ½)/old of the length, target pixel i at (i + ½)/new; times 2·old·new their distance is a whole
number, and Pillow's triangle reaches 2·max(old, new) there. The crop starts at (new − side)/2, halves to even."""

_ANSWER = """
<ir_version: {ir}, opset_import: ["": {opset}]>
answer (float[batch, K] student_logits) => (float[K] {logits}, float[K] {probabilities})
<int64[1] zero = {{0}}>
{{
  {logits} = Squeeze (student_logits, zero)
  {probabilities} = Softmax <axis = -1> ({logits})
}}
"""


class OnnxPixels(Onnx):
    name = "onnx_pixels"
    file = "student.pixels.onnx"
    label = "pixels ONNX"
    takes_pictures = True
    outputs = (OUTPUT_NAME, PROBABILITIES_NAME)
    usage_code = """
import json
import numpy as np, onnxruntime
from PIL import Image, ImageOps

session = onnxruntime.InferenceSession("{file}")
{read}
probabilities = session.run(["probabilities"], {{"image": np.asarray(image)}})[0]
classes = json.loads(session.get_modelmeta().custom_metadata_map["classes"])
print(classes[probabilities.argmax()], probabilities.max())
"""

    def write(self, source: "Source", path: Path) -> str:
        save_onnx(to_pixels(source.onnx_model, source.preprocessing), path, source.metadata)
        return "from a picture to probabilities"

    def tolerance(self, config: ExportConfig) -> Tolerance:
        return LogitTolerance(max(config.max_logit_difference, MAX_LOGIT_DIFFERENCE))

    def read(self, results: list[npt.NDArray[Any]]) -> npt.NDArray[np.float32]:
        logits: npt.NDArray[np.float32]
        logits, probabilities = results
        powers = np.exp(logits.astype(np.float64) - logits.max())
        assert np.abs(probabilities - powers / powers.sum()).max() < _SOFTMAX_ROUNDING
        return logits


def to_pixels(student: ModelProto, preprocessing: Preprocessing) -> ModelProto:
    """`student` (normalised images in, logits out) with `preprocessing` in front of it and a softmax behind.

    Raises:
        ExportFailed: another interpolation than Pillow's bilinear one was used in training.
    """
    if preprocessing.interpolation != "bilinear":
        raise ExportFailed(
            f"'onnx_pixels' knows bilinear resizing alone, and this student was trained with "
            f"'{preprocessing.interpolation}'.",
            hint="Leave 'onnx_pixels' out of export.formats.",
        )
    known = {"ir": student.ir_version, "opset": student.opset_import[0].version}
    prepare = parser.parse_model(
        _PREPARE.format(
            **known,
            input=INPUT_NAME,
            picture=PICTURE_NAME,
            short=preprocessing.resize_short_side,
            side=preprocessing.center_crop,
            scale=repr(preprocessing.scale),
        )
    )
    for name, values in (("mean", preprocessing.mean), ("std", preprocessing.std)):
        channel = numpy_helper.from_array(_channels(values), name)
        prepare.graph.initializer.append(channel)
    prepare = compose.add_prefix(inliner.inline_local_functions(prepare), "prepare/", rename_inputs=False)
    answer = parser.parse_model(_ANSWER.format(**known, logits=OUTPUT_NAME, probabilities=PROBABILITIES_NAME))
    answer = compose.add_prefix(answer, "answer/", rename_outputs=False)
    body = compose.add_prefix(student, "student/")
    seeing = compose.merge_models(prepare, body, [(f"prepare/{INPUT_NAME}", f"student/{INPUT_NAME}")])
    whole = compose.merge_models(seeing, answer, [(f"student/{OUTPUT_NAME}", "answer/student_logits")])
    whole.ir_version = student.ir_version
    whole.producer_name, whole.producer_version = student.producer_name, student.producer_version
    onnx.checker.check_model(whole)
    return whole


def _channels(values: Sequence[float]) -> npt.NDArray[np.float32]:
    return np.array(values, np.float32).reshape(3, 1, 1)


FORMAT = OnnxPixels()
