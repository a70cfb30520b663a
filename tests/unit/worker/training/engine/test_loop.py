import threading
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from app.domain.errors import NonFiniteLoss
from worker.training.engine import checkpoint
from worker.training.engine.loop import Hooks, Optimisation, StepOutput, Stopped, fit
from worker.training.engine.prefetch import DEPTH, prefetched

HOW = Optimisation(steps=30, learning_rate=0.05, weight_decay=0.01)


class Line(nn.Module):
    """Fits y = 2x with dropout, so that the random numbers of a run matter."""

    def __init__(self, poison_at: int | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 1))
        self.poison_at = poison_at
        self.steps = 0

    def forward(self, x: Tensor, _progress: float) -> StepOutput:
        loss = (self.model(x) - 2 * x[:, :1]).square().mean()
        if self.steps == self.poison_at:
            loss = loss * float("nan")
        self.steps += 1
        return StepOutput(loss, {"fit": loss.detach()})


def batch_at(step: int) -> Tensor:
    return torch.randn(16, 4, generator=torch.Generator().manual_seed(step))


def weights(module: nn.Module) -> list[Tensor]:
    return [value.clone() for value in module.state_dict().values()]


class TestFit:
    def test_learns(self) -> None:
        seen: list[float] = []
        task = Line()
        how = Optimisation(steps=200, learning_rate=0.05, weight_decay=0.01)
        fit(task, task.model, batch_at, how, hooks=Hooks(metric=lambda step, values: seen.append(values["fit"])))
        assert sum(seen[-10:]) < 0.5 * sum(seen[:10])

    def test_stops_at_the_first_loss_that_is_no_number_before_the_optimiser_steps(self) -> None:
        clean, poisoned = Line(), Line(poison_at=7)
        fit(clean, clean.model, batch_at, Optimisation(7, 0.05, 0.01, warmup=0), hooks=Hooks())
        with pytest.raises(NonFiniteLoss, match="step 7 of 30"):
            fit(poisoned, poisoned.model, batch_at, Optimisation(30, 0.05, 0.01, warmup=0))
        assert all(torch.isfinite(value).all() for value in weights(poisoned.model))

    def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(self, tmp_path: Path) -> None:
        straight = Line()
        torch.manual_seed(5)
        expected = weights(fit(straight, straight.model, batch_at, HOW, ema=0.9))

        first = Line()
        torch.manual_seed(5)
        asked = iter(range(100))
        hooks = Hooks(checkpoints=tmp_path, stop_requested=lambda: next(asked) == 12)
        with pytest.raises(Stopped):
            fit(first, first.model, batch_at, HOW, ema=0.9, hooks=hooks)
        second, events = Line(), []
        torch.manual_seed(99)
        resumed = Hooks(checkpoints=tmp_path, event=lambda code, message: events.append(message))
        got = weights(fit(second, second.model, batch_at, HOW, ema=0.9, hooks=resumed))
        assert events == ["Resumed at step 13 from a checkpoint."]
        assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))
        assert second.steps == HOW.steps - 13

    def test_a_finished_run_is_delivered_again_without_a_step(self, tmp_path: Path) -> None:
        def evaluate(model: nn.Module) -> dict[str, float]:
            with torch.no_grad():
                return {"val_ce": float(model(batch_at(1000)).square().mean())}

        hooks = Hooks(checkpoints=tmp_path, evaluate=evaluate, evaluations=5, select_lowest="val_ce")
        first = Line()
        expected = weights(fit(first, first.model, batch_at, HOW, ema=0.9, hooks=hooks))
        again = Line()
        torch.manual_seed(99)
        got = weights(fit(again, again.model, batch_at, HOW, ema=0.9, hooks=hooks))
        assert again.steps == 0
        assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))

    def test_delivers_the_weights_of_the_best_evaluation(self) -> None:
        task, scores = Line(), iter([3.0, 1.0, 2.0])
        kept: list[list[Tensor]] = []

        def evaluate(model: nn.Module) -> dict[str, float]:
            kept.append(weights(model))
            return {"val_ce": next(scores)}

        best = fit(
            task, task.model, batch_at, HOW, hooks=Hooks(evaluate=evaluate, evaluations=3, select_lowest="val_ce")
        )
        assert all(torch.equal(a, b) for a, b in zip(weights(best), kept[1], strict=True))

    def test_the_rate_warms_up_and_falls_to_zero(self) -> None:
        how = Optimisation(steps=100, learning_rate=1.0, weight_decay=0, warmup=0.1)
        assert how.rate(0) == pytest.approx(0.1)
        assert how.rate(9) == how.rate(10) == pytest.approx(1.0)
        assert how.rate(99) < 0.01


class TestPrefetched:
    @pytest.mark.parametrize("depth", [1, DEPTH, 9])
    def test_gives_the_batches_in_order_and_ends_its_thread(self, depth: int) -> None:
        assert list(prefetched(str, range(3, 8), depth)) == ["3", "4", "5", "6", "7"]
        assert not prefetching()

    def test_makes_the_next_batches_while_the_present_one_is_in_use(self) -> None:
        made = threading.Semaphore(0)

        def batch_at(step: int) -> int:
            made.release()
            return step

        batches = prefetched(batch_at, range(10))
        next(batches)
        assert all(made.acquire(timeout=60) for _ in range(1 + DEPTH))
        batches.close()

    def test_raises_at_its_own_step_what_a_batch_raises(self) -> None:
        def batch_at(step: int) -> int:
            if step == 2:
                raise OSError("the disk is gone")
            return step

        batches = prefetched(batch_at, range(10))
        assert [next(batches), next(batches)] == [0, 1]
        with pytest.raises(OSError, match="the disk is gone"):
            next(batches)
        assert not prefetching()

    def test_stops_when_it_is_closed(self) -> None:
        seen: list[int] = []
        batches = prefetched(seen.append, range(1000))
        next(batches)
        batches.close()
        assert not prefetching()
        assert len(seen) <= 1 + 1 + DEPTH


def prefetching() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("prefetch")]


class TestCheckpoint:
    def test_keeps_two_and_loads_the_newest(self, tmp_path: Path) -> None:
        for step in (1, 2, 3):
            checkpoint.save(tmp_path, step, {"step": step, "tensor": torch.full((2,), step)})
        assert sorted(path.name for path in tmp_path.iterdir()) == ["0000000002.ckpt", "0000000003.ckpt"]
        state = checkpoint.load_newest(tmp_path, pytest.fail)
        assert state is not None
        assert state["tensor"].tolist() == [3, 3]

    @pytest.mark.parametrize("damage", ["flipped", "truncated", "empty"])
    def test_passes_over_a_damaged_one_and_says_so(self, tmp_path: Path, damage: str) -> None:
        for step in (1, 2):
            newest = checkpoint.save(tmp_path, step, {"step": step})
        content = bytearray(newest.read_bytes())
        content[len(content) // 2] ^= 1
        newest.write_bytes({"flipped": bytes(content), "truncated": bytes(content[:50]), "empty": b""}[damage])
        passed: list[str] = []
        state = checkpoint.load_newest(tmp_path, passed.append)
        assert state == {"step": 1}
        assert passed == [newest.name]

    def test_is_none_where_there_is_none(self, tmp_path: Path) -> None:
        assert checkpoint.load_newest(tmp_path / "absent", pytest.fail) is None
