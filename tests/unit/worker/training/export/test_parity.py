"""Tolerances, and runtimes on files that are wrong."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from app.domain.errors import ExportParityFailed
from app.domain.manifest import Preprocessing
from worker.training.export.format import normalise, uneven_batches
from worker.training.export.formats import find
from worker.training.export.parity import run_exported
from worker.training.export.tolerance import allowed, check_parity, measure

BOUND = 1e-4
PATHS = ["test/a/0.png", "test/a/1.png", "test/b/2.png"]
LOGITS = np.array([[2.0, 0.0], [1.0, 0.5], [0.0, 3.0]], np.float32)
PLAIN = Preprocessing(
    resize_short_side=4, center_crop=4, interpolation="bilinear", mean=(0.5, 0.5, 0.5), std=(0.5, 0.25, 1.0)
)


class TestCheckParity:
    def test_lets_rounding_pass(self) -> None:
        parity = check_parity("student.onnx", LOGITS, LOGITS + np.float32(5e-5), PATHS, BOUND)
        assert (parity.images, parity.top1_agreement) == (3, 1.0)
        assert parity.max_logit_difference == pytest.approx(5e-5, rel=1e-2)

    def test_the_bound_grows_with_large_logits_as_rounding_does(self) -> None:
        assert allowed(BOUND, 3.0) == allowed(BOUND, 10.0) == BOUND
        assert allowed(BOUND, 150.0) == pytest.approx(15 * BOUND)

    def test_no_file_has_to_agree_better_than_the_student_with_exact_arithmetic(self) -> None:
        assert allowed(BOUND, 3.0, own_rounding=1e-5) == BOUND
        assert allowed(BOUND, 3.0, own_rounding=1e-3) == pytest.approx(4e-3)

    def test_names_the_file_and_the_first_image_that_is_off(self) -> None:
        wrong = LOGITS.copy()
        wrong[1:] += 1e-2
        with pytest.raises(ExportParityFailed) as failure:
            check_parity("student.ts", LOGITS, wrong, PATHS, BOUND)
        assert "student.ts" in failure.value.detail
        assert "'test/a/1.png'" in failure.value.detail
        assert "2 of 3 images" in failure.value.detail

    def test_forgives_another_class_where_the_student_is_undecided(self) -> None:
        tied = np.array([[1.0, 1.0 - 5e-5]], np.float32)
        other = np.array([[1.0 - 5e-5, 1.0]], np.float32)
        assert check_parity("student.onnx", tied, other, PATHS[:1], BOUND).top1_agreement == 0.0

    def test_another_class_fails_where_the_student_is_decided(self) -> None:
        # each logit is within the bound, the student's margin is not
        margin = np.array([[1.0, 1.0 - 1.5e-4]], np.float32)
        other = np.array([[1.0 - 9e-5, 1.0 - 7e-5]], np.float32)
        with pytest.raises(ExportParityFailed):
            check_parity("student.onnx", margin, other, PATHS[:1], BOUND)

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_what_is_not_a_number_fails(self, value: float) -> None:
        wrong = LOGITS.copy()
        wrong[2, 0] = value
        with pytest.raises(ExportParityFailed, match=r"2\.png"):
            check_parity("student.onnx", LOGITS, wrong, PATHS, BOUND)
        assert measure(LOGITS, wrong).max_logit_difference > 1e38

    def test_another_number_of_classes_fails(self) -> None:
        with pytest.raises(ExportParityFailed, match=r"student\.onnx"):
            check_parity("student.onnx", LOGITS, LOGITS[:, :1], PATHS, BOUND)


class TestInputs:
    def test_normalises_channel_by_channel(self) -> None:
        images = np.zeros((1, 1, 2, 3), np.uint8)
        images[0, 0, 1] = (255, 255, 255)
        values = normalise(images, PLAIN.mean, PLAIN.std)
        assert values.dtype == np.float32
        np.testing.assert_allclose(values[0, :, 0], [[-1, 1], [-2, 2], [-0.5, 0.5]])

    @pytest.mark.parametrize(("count", "sizes"), [(1, [1]), (2, [1, 1]), (33, [1, 32]), (70, [1, 32, 32, 5])])
    def test_batches_hold_every_image_once_in_uneven_sizes(self, count: int, sizes: list[int]) -> None:
        batches = list(uneven_batches(np.arange(count)))
        assert [len(batch) for batch in batches] == sizes
        assert np.concatenate(batches).tolist() == list(range(count))


@pytest.mark.slow
class TestRunExported:
    def test_prepares_the_images_as_the_trainer_does(self, tmp_path: Path) -> None:
        path = write_onnx_sum(tmp_path / "sum.onnx", batch="batch")
        images = np.random.default_rng(0).integers(0, 256, (40, 4, 4, 3), dtype=np.uint8)
        expected = normalise(images, PLAIN.mean, PLAIN.std).sum((2, 3))
        np.testing.assert_allclose(run_exported(find("onnx"), path, images, PLAIN), expected, rtol=1e-4, atol=1e-4)

    def test_refuses_a_file_with_a_fixed_batch_size(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        path = write_onnx_sum(tmp_path / "fixed.onnx", batch=1)
        with pytest.raises(ExportParityFailed, match=r"fixed\.onnx cannot be run") as failure:
            run_exported(find("onnx"), path, np.zeros((3, 4, 4, 3), np.uint8), PLAIN)
        assert str(tmp_path) not in failure.value.detail
        assert "Got invalid dimensions" in caplog.text

    def test_refuses_a_file_that_cannot_be_loaded(self, tmp_path: Path) -> None:
        path = tmp_path / "student.ts"
        path.write_bytes(b"not a program")
        with pytest.raises(ExportParityFailed, match=r"student\.ts cannot be run"):
            run_exported(find("torchscript"), path, np.zeros((1, 4, 4, 3), np.uint8), PLAIN)


def write_onnx_sum(path: Path, batch: int | str) -> Path:
    """A hand-written model: the sum of each channel."""
    axes = onnx.numpy_helper.from_array(np.array([2, 3]), "axes")
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("ReduceSum", ["images", "axes"], ["logits"], keepdims=0)],
        "sum",
        [onnx.helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, [batch, 3, 4, 4])],
        [onnx.helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, [batch, 3])],
        [axes],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=8)
    onnx.save(model, path)
    return path
