"""How long files take, in processes of their own. No test asks how long: a busy machine would answer."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper
from torch import nn

from worker.training.export.latency import cpu_name, measure_files
from worker.training.export.manifest import multiply_adds
from worker.training.export.runtime import MOST_CALLS, WARM_UP_CALLS, timed

SIDE = 8


def write_onnx(path: Path, kind: int, shape: list[int | str]) -> None:
    """A graph that flattens its input."""
    image = helper.make_tensor_value_info("image", kind, shape)
    flat = helper.make_tensor_value_info("flat", kind, None)
    graph = helper.make_graph([helper.make_node("Flatten", ["image"], ["flat"])], "flat", [image], [flat])
    opset = [helper.make_opsetid("", 18)]
    path.write_bytes(helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString())


def write_torchscript(path: Path) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE * SIDE, 2)).eval()
    torch.jit.script(network).save(path)


def write_exported_program(path: Path) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE * SIDE, 2)).eval()
    example = (torch.zeros(2, 3, SIDE, SIDE),)
    shapes = {"input": {0: torch.export.Dim("batch", min=1)}}
    torch.export.save(torch.export.export(network, example, dynamic_shapes=shapes), path)


@pytest.mark.slow
class TestMeasureFiles:
    def measure(self, folder: Path, *names: str, timed: bool = True) -> tuple[dict[str, list[int]], list[str]]:
        """Batches that were timed by file, and the codes of the events."""
        events: list[tuple[str, str]] = []
        measured = measure_files(
            folder,
            names,
            image_size=SIDE,
            device=torch.device("cpu"),
            timed=timed,
            on_event=lambda code, message: events.append((code, message)),
        )
        for name, found in measured.items():
            assert found.bytes == (folder / name).stat().st_size
            for latency in found.latencies:
                assert (latency.device, latency.threads) == ("cpu", torch.get_num_threads())
                assert 0 < latency.p50_ms <= latency.p95_ms
                assert 1 <= latency.calls <= MOST_CALLS
        assert all(name in message for name, (_, message) in zip(names, events, strict=False))
        batches = {name: [latency.batch for latency in found.latencies] for name, found in measured.items()}
        return batches, [code for code, _ in events]

    def test_times_one_and_32_images_in_every_runtime(self, tmp_path: Path) -> None:
        write_onnx(tmp_path / "student.onnx", onnx.TensorProto.FLOAT, ["batch", 3, SIDE, SIDE])
        write_torchscript(tmp_path / "student.ts")
        write_exported_program(tmp_path / "student.pt2")
        names = ("student.onnx", "student.ts", "student.pt2")
        batches, events = self.measure(tmp_path, *names)
        assert batches == {name: [1, 32] for name in names}
        assert events == ["measured"] * 3

    def test_a_file_that_takes_a_picture_is_timed_with_one(self, tmp_path: Path) -> None:
        write_onnx(tmp_path / "student.pixels.onnx", onnx.TensorProto.UINT8, ["height", "width", 3])
        assert self.measure(tmp_path, "student.pixels.onnx")[0] == {"student.pixels.onnx": [1]}

    def test_what_cannot_be_run_has_bytes_and_no_latency(self, tmp_path: Path) -> None:
        (tmp_path / "student.onnx").write_bytes(b"weights")
        assert self.measure(tmp_path, "student.onnx") == ({"student.onnx": []}, ["not_measured"])

    def test_can_be_left_out(self, tmp_path: Path) -> None:
        (tmp_path / "student.onnx").write_bytes(b"weights")
        assert self.measure(tmp_path, "student.onnx", timed=False) == ({"student.onnx": []}, [])

    def test_knows_the_processor(self) -> None:
        assert cpu_name()


class TestTimed:
    def test_warms_up_and_ends_after_many_calls(self) -> None:
        calls: list[int] = []
        seconds = timed(lambda: calls.append(1))
        assert len(calls) == WARM_UP_CALLS + len(seconds)
        assert 1 <= len(seconds) <= MOST_CALLS
        assert np.all(np.array(seconds) > 0)


class TestMultiplyAdds:
    def test_counts_one_image(self) -> None:
        network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.Flatten(), nn.Linear(4 * SIDE * SIDE, 5))
        assert multiply_adds(network, SIDE) == SIDE * SIDE * 3 * 3 * 3 * 4 + 4 * SIDE * SIDE * 5
