import json
from pathlib import Path
from typing import Literal

import pytest
import timm.optim.muon
import torch
from timm.optim import create_optimizer_v2
from torch import Tensor, nn

from app.domain.runtime import RuntimeConfig
from worker.training.engine import autotune as fast
from worker.training.engine.autotune import FILE_NAME, PLAIN, fastest, tune_muon, tune_student, tune_teacher
from worker.training.engine.muon import orthogonalise_in
from worker.training.models.networks import Execution, Teacher, build_student, build_teacher

SIDE = 32
CPU = torch.device("cpu")
NARROW, NARROW_LAST = Execution("bfloat16"), Execution("bfloat16", channels_last=True)
LAST = Execution(channels_last=True)


class Clock:
    """Instead of `time`: it moves by what the networks here claim to take, however busy the machine is."""

    def __init__(self) -> None:
        self._now = 0.0

    def perf_counter(self) -> float:
        self.sleep(1e-6)
        return self._now

    def sleep(self, seconds: float) -> None:
        self._now += seconds


CLOCK = Clock()


@pytest.fixture(autouse=True)
def a_host_that_remembers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast, "_here", {})
    monkeypatch.setattr(fast, "time", CLOCK)
    bfloat16_is(monkeypatch, faster=True)


def bfloat16_is(monkeypatch: pytest.MonkeyPatch, *, faster: bool) -> None:
    """Let a CPU multiply as one that has instructions for bfloat16, or as one that emulates it."""

    def product(matrix_RC: Tensor) -> Tensor:
        CLOCK.sleep(0.001 if (matrix_RC.dtype == torch.bfloat16) == faster else 0.01)
        return matrix_RC

    monkeypatch.setattr(fast, "_product", product)


class Events(list[str]):
    def __call__(self, code: str, message: str) -> None:
        assert code == "device_settings"
        self.append(message)


class Paced(nn.Module):
    """A network whose speed depends on how it is asked, so that the choice is known: seconds a call by execution."""

    def __init__(self, seconds: dict[Execution, float], *, crude: bool = False) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.seconds = seconds
        self.crude = crude
        self.asked = 0
        self.precisions: set[str] = set()

    def forward_features(self, images_BCHW: Tensor) -> Tensor:
        narrow = torch.is_autocast_enabled("cpu")
        last = images_BCHW.is_contiguous(memory_format=torch.channels_last)
        self.asked += 1
        self.precisions.add("bfloat16" if narrow else "float32")
        CLOCK.sleep(self.seconds.get(Execution("bfloat16" if narrow else "float32", last), 0.03))
        features: Tensor = self.stem(images_BCHW)
        return features.flip(1) if narrow and self.crude else features

    def forward_head(self, features: Tensor, pre_logits: bool = False) -> Tensor:
        return features.mean((2, 3))

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(images_BCHW))


def paced(seconds: dict[Execution, float], *, crude: bool = False) -> Teacher:
    torch.manual_seed(0)
    card = {"architecture": "paced", "mean": (0.5,) * 3, "std": (0.5,) * 3}
    return Teacher("paced.test", Paced(seconds, crude=crude), card, SIDE)


def asked(teacher: Teacher) -> int:
    assert isinstance(teacher.network, Paced)
    return teacher.network.asked


class TestFastest:
    @pytest.mark.parametrize(
        ("seconds", "expected"),
        [
            ((1.0, 0.95, 1.0, 0.96), PLAIN),
            ((1.0, 0.6, 2.0, 1.9), LAST),
            ((1.0, 0.8, 0.5, 0.48), NARROW),
            ((1.0, 0.8, 0.7, 0.5), NARROW_LAST),
        ],
    )
    def test_prefers_the_plainer_where_others_are_hardly_faster(
        self, seconds: tuple[float, ...], expected: Execution
    ) -> None:
        assert fastest(dict(zip((PLAIN, LAST, NARROW, NARROW_LAST), seconds, strict=True))) == expected


class TestSettleTeacher:
    @pytest.mark.parametrize("fastest", [LAST, NARROW, NARROW_LAST])
    def test_takes_the_fastest_way_and_says_so(self, fastest: Execution, tmp_path: Path) -> None:
        events = Events()
        teacher = tune_teacher(paced({fastest: 0.005}), RuntimeConfig(), tmp_path, events)
        assert teacher.execution == fastest
        assert teacher.precision == fastest.precision
        assert len(events) == 1
        assert f"runs in {fastest.precision}" in events[0]
        assert "× plain" in events[0]

    def test_never_takes_a_precision_that_answers_otherwise(self, tmp_path: Path) -> None:
        teacher = paced({NARROW: 0.001, NARROW_LAST: 0.001, LAST: 0.01}, crude=True)
        assert tune_teacher(teacher, RuntimeConfig(), tmp_path, Events()).execution == LAST

    def test_does_not_even_try_bfloat16_where_the_machine_emulates_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bfloat16_is(monkeypatch, faster=False)
        teacher = paced({NARROW: 0.001, NARROW_LAST: 0.001, LAST: 0.01})
        assert tune_teacher(teacher, RuntimeConfig(), tmp_path, Events()).execution == LAST
        assert isinstance(teacher.network, Paced)
        assert teacher.network.precisions == {"float32"}

    def test_a_resumed_run_goes_on_as_it_began_whatever_the_settings_say(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        events = Events()
        tune_teacher(paced({NARROW: 0.001}), RuntimeConfig(), tmp_path, events)
        monkeypatch.setattr(fast, "_here", {})
        again = paced({LAST: 0.001})
        before = asked(again)
        assert tune_teacher(again, RuntimeConfig(precision="float32"), tmp_path, events).execution == NARROW
        assert asked(again) == before
        assert len(events) == 1

    @pytest.mark.parametrize("shared", [True, False])
    def test_another_run_on_this_host_computes_alike_without_timing(
        self, shared: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        runtime = RuntimeConfig(cache_dir=tmp_path / "cache" if shared else None)
        (tmp_path / "one").mkdir()
        (tmp_path / "two").mkdir()
        tune_teacher(paced({NARROW: 0.001}), runtime, tmp_path / "one", Events())
        if shared:  # another process remembers nothing of its own
            monkeypatch.setattr(fast, "_here", {})
        other = paced({LAST: 0.001})
        before, events = asked(other), Events()
        assert tune_teacher(other, runtime, tmp_path / "two", events).execution == NARROW
        assert asked(other) == before
        assert len(events) == 1

    def test_measures_again_where_the_memory_is_damaged(self, tmp_path: Path) -> None:
        runtime = RuntimeConfig(cache_dir=tmp_path / "cache")
        tune_teacher(paced({NARROW: 0.001}), runtime, tmp_path, Events())
        for path in [tmp_path / FILE_NAME, *(tmp_path / "cache" / "fast").iterdir()]:
            path.write_text("{")
        assert tune_teacher(paced({LAST: 0.001}), runtime, tmp_path, Events()).execution == LAST

    @pytest.mark.parametrize("precision", ["float32", "bfloat16"])
    def test_what_is_asked_for_is_taken_without_timing(
        self, precision: Literal["float32", "bfloat16"], tmp_path: Path
    ) -> None:
        teacher, events = paced({}), Events()
        before = asked(teacher)
        assert tune_teacher(teacher, RuntimeConfig(precision=precision), tmp_path, events).precision == precision
        assert asked(teacher) == before
        assert "TDMR_PRECISION" in events[0]

    def test_leaves_weights_random_numbers_and_modes_alone(self, tmp_path: Path) -> None:
        teacher = build_teacher("test_resnet.random", SIDE)
        digest, state = teacher.digest(), torch.get_rng_state()
        tune_teacher(teacher, RuntimeConfig(), tmp_path, Events())
        assert teacher.digest() == digest
        assert torch.equal(torch.get_rng_state(), state)
        assert not teacher.training


class TestSettleStudent:
    def test_leaves_the_student_as_it_was(self, tmp_path: Path) -> None:
        student = build_student("test_resnet", 3, SIDE)
        before = {name: value.clone() for name, value in student.state_dict().items()}
        state = torch.get_rng_state()
        tune_student(student, 64, RuntimeConfig(), tmp_path, Events())
        assert all(torch.equal(value, before[name]) for name, value in student.state_dict().items())
        assert all(parameter.grad is None for parameter in student.parameters())
        assert student.training
        assert torch.equal(torch.get_rng_state(), state)
        assert student.precision == "float32"  # on a CPU
        assert all(
            key.startswith("Student test_resnet at 32 px") for key in json.loads((tmp_path / FILE_NAME).read_text())
        )

    def test_stays_in_float32_on_a_cpu_even_when_asked(self, tmp_path: Path) -> None:
        student, asked = build_student("test_resnet", 3, SIDE), RuntimeConfig(precision="bfloat16")
        assert tune_student(student, 8, asked, tmp_path, Events()).precision == "float32"


class TestSettleMuon:
    @pytest.fixture(autouse=True)
    def afterwards_as_before(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(timm.optim.muon, "zeropower_via_newtonschulz", timm.optim.muon.zeropower_via_newtonschulz)

    @pytest.mark.parametrize(("faster", "expected"), [(True, torch.bfloat16), (False, torch.float32)])
    def test_a_step_is_taken_in_the_faster_precision(
        self, faster: bool, expected: torch.dtype, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bfloat16_is(monkeypatch, faster=faster)
        events = Events()
        tune_muon(CPU, RuntimeConfig(), tmp_path, events)
        assert [event[: event.index(" (")] for event in events] == [
            f"Muon on cpu runs in {str(expected).removeprefix('torch.')}"
        ]
        assert self.precision_of_a_step(monkeypatch) == expected

    def test_a_resumed_run_goes_on_as_it_began(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        tune_muon(CPU, RuntimeConfig(), tmp_path, Events())
        bfloat16_is(monkeypatch, faster=False)
        events = Events()
        tune_muon(CPU, RuntimeConfig(precision="float32"), tmp_path, events)
        assert not events
        assert self.precision_of_a_step(monkeypatch) == torch.bfloat16

    @pytest.mark.parametrize("precision", ["float32", "bfloat16"])
    def test_is_exact_on_a_cpu_where_a_precision_is_asked_for(
        self, precision: Literal["float32", "bfloat16"], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tune_muon(CPU, RuntimeConfig(precision=precision), tmp_path, Events())
        assert self.precision_of_a_step(monkeypatch) == torch.float32

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
    def test_each_precision_makes_the_matrix_nearly_orthogonal(
        self, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        orthogonalise_in(dtype)
        layer = nn.Linear(32, 8, bias=False)
        before = layer.weight.detach().clone()
        layer(torch.randn(64, 32, generator=torch.Generator().manual_seed(0))).square().sum().backward()
        create_optimizer_v2(layer, opt="muon", lr=1.0).step()
        values = torch.linalg.svdvals(before - layer.weight.detach())
        assert values.max() / values.min() < 2  # the quintic iteration leaves them between 0.68 and 1.13

    @staticmethod
    def precision_of_a_step(monkeypatch: pytest.MonkeyPatch) -> torch.dtype:
        seen: list[torch.dtype] = []
        inner = timm.optim.muon.zeropower_via_newtonschulz

        def watched(*args: object, **options: object) -> Tensor:
            answer: Tensor = inner(*args, **options)
            seen.append(answer.dtype)
            return answer

        monkeypatch.setattr(timm.optim.muon, "zeropower_via_newtonschulz", watched)
        layer = nn.Linear(8, 4)
        layer(torch.rand(2, 8)).sum().backward()
        create_optimizer_v2(layer, opt="muon", lr=0.1).step()
        (dtype,) = seen
        return dtype


class TestRunAs:
    @pytest.mark.parametrize("architecture", ["test_resnet", "test_vit", "test_mambaout"])
    @pytest.mark.parametrize("execution", [LAST, NARROW_LAST])
    def test_computes_nearly_the_same_in_float32(self, architecture: str, execution: Execution) -> None:
        student = build_student(architecture, 3, SIDE).eval()
        images = torch.rand(4, 3, SIDE, SIDE)
        with torch.no_grad():
            plain = student.answer(images)
            other = student.run_as(execution).answer(images)
        tolerance = 1e-4 if execution.precision == "float32" else 0.05
        for a, b in zip([*plain.stages, *plain[1:]], [*other.stages, *other[1:]], strict=True):
            assert b.dtype == torch.float32
            torch.testing.assert_close(a, b, atol=tolerance, rtol=tolerance)

    @pytest.mark.parametrize("execution", [LAST, NARROW_LAST])
    def test_gradients_reach_every_weight(self, execution: Execution) -> None:
        student = build_student("test_resnet", 3, SIDE).run_as(execution)
        loss = student.answer(torch.rand(4, 3, SIDE, SIDE)).logits.square().sum()
        torch.autograd.backward(loss)
        for parameter in student.parameters():
            assert parameter.grad is not None
            assert parameter.grad.dtype == torch.float32
            assert torch.isfinite(parameter.grad).all()
