"""fit(): the one training loop. It never asks which stage it runs: a task takes a batch and returns named losses."""

import math
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from timm.optim import create_optimizer_v2
from timm.utils import ModelEmaV3
from torch import Tensor, nn

from app.domain.errors import NonFiniteLoss
from app.domain.runtime import MAX_CHECKPOINT_SECONDS
from app.domain.workload import EVALUATIONS
from worker.training.engine import checkpoint
from worker.training.engine.prefetch import prefetched

_POINTS = 100  # of each curve


class StepOutput(NamedTuple):
    """What a task returns: the loss to descend, and its parts for the curves (scalars, detached)."""

    loss: Tensor
    parts: dict[str, Tensor]


class Stopped(Exception):
    """The run was asked to stop; its checkpoint is written."""


@dataclass(frozen=True)
class Optimisation:
    """How a stage descends."""

    steps: int
    learning_rate: float
    weight_decay: float
    warmup: float = 0.05
    clip_norm: float = 1.0
    optimiser: str = "adamw"
    """As timm calls it."""

    def rate(self, step: int) -> float:
        """Linear warm-up, then a cosine to zero (Loshchilov & Hutter, 2017)."""
        rising = max(1, round(self.steps * self.warmup))
        if step < rising:
            return self.learning_rate * (step + 1) / rising
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, self.steps - rising)))


@dataclass
class Hooks:
    """What the loop tells others. All optional."""

    metric: Callable[[int, dict[str, float]], None] = lambda step, values: None
    progress: Callable[[float], None] = lambda fraction: None
    """Told after each step; who listens may well skip some."""
    event: Callable[[str, str], None] = lambda code, message: None
    stop_requested: Callable[[], bool] = lambda: False
    after_step: Callable[[], None] = lambda: None
    """Called after each step; whoever listens may well skip some."""
    judged: Callable[[int, nn.Module, dict[str, float]], None] = lambda step, delivered, values: None
    """Given what would be delivered now and its values, `evaluations` times, also where nothing evaluates it."""
    averages: Callable[[nn.Module], None] = lambda averaged: None
    """Given the averaged copy before the first step, where there is one: it changes with every step."""
    evaluate: Callable[[nn.Module], dict[str, float]] | None = None
    """Given what would be delivered now; its values join the curves."""
    evaluations: int = EVALUATIONS
    select_lowest: str | None = None
    """Deliver the weights of the evaluation at which this value was lowest, instead of the last ones."""
    checkpoints: Path | None = None
    checkpoint_seconds: float = MAX_CHECKPOINT_SECONDS
    """At most this much work is repeated after a crash."""


def fit(
    task: nn.Module,
    delivered: nn.Module,
    batch_at: Callable[[int], Any],
    how: Optimisation,
    *,
    ema: float = 0.0,
    hooks: Hooks | None = None,
) -> nn.Module:
    """Train `task` for `how.steps` steps.

    Args:
        task: called as `task(batch, progress)` with progress in [0, 1); returns a StepOutput.
        delivered: the part of the task that is wanted afterwards.
        batch_at: the batch of a step; depends on the step alone, so that a run can be resumed. Called in a thread,
            a few steps ahead.
        ema: decay of the averaged weights; 0 for none.

    Returns:
        `delivered`, or its averaged copy, in eval mode.

    Raises:
        NonFiniteLoss: before the optimiser takes the step.
        Stopped: after writing a checkpoint, when a stop was requested.
    """
    hooks = hooks or Hooks()
    optimiser = create_optimizer_v2(task, opt=how.optimiser, lr=how.learning_rate, weight_decay=how.weight_decay)
    average = ModelEmaV3(delivered, decay=ema, use_warmup=True, warmup_power=0.75) if ema else None
    run = _Run(task, delivered, optimiser, average, hooks)
    parameters = [p for p in task.parameters() if p.requires_grad]
    every_log = max(1, how.steps // _POINTS)
    every_evaluation = max(1, how.steps // max(1, hooks.evaluations))
    means = _Means()
    task.train()
    saved_at = time.monotonic()
    begin = run.resume()
    if average is not None:
        hooks.averages(average.module)
    with closing(prefetched(batch_at, range(begin, how.steps))) as batches:
        for step, batch in enumerate(batches, begin):
            for group in optimiser.param_groups:
                group["lr"] = how.rate(step)
            output = task(batch, step / how.steps)
            if not torch.isfinite(output.loss):  # one scalar to the host: a poisoned optimiser would cost the run
                raise NonFiniteLoss(
                    f"The loss became {output.loss.item()} at step {step} of {how.steps}.",
                    hint="Lower the learning rate, or look at the curves for the loss that grows.",
                )
            optimiser.zero_grad(set_to_none=True)
            output.loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, how.clip_norm)
            optimiser.step()
            if average is not None:
                average.update(delivered, step=step + 1)
            means.add({"loss": output.loss.detach(), **output.parts})
            done = step + 1
            hooks.progress(done / how.steps)
            point: dict[str, float] = {}
            if done % every_log == 0 or done == how.steps:
                point = {**means.take(), "learning_rate": how.rate(step)}
            is_due = done % every_evaluation == 0 or done == how.steps
            values = run.evaluate() if hooks.evaluate and is_due else {}
            point |= values
            if point:  # one point a step: a later one of the same step would replace it
                hooks.metric(done, point)
            if is_due:
                hooks.judged(done, run.current, values)
            hooks.after_step()
            if hooks.stop_requested():
                run.save(done)
                raise Stopped
            # after the last step too: what follows may be killed, and must not cost the training
            if done == how.steps or time.monotonic() - saved_at > hooks.checkpoint_seconds:
                run.save(done)
                saved_at = time.monotonic()
    return run.deliver()


class _Run:
    """What a checkpoint holds, and what is evaluated and delivered."""

    def __init__(
        self,
        task: nn.Module,
        delivered: nn.Module,
        optimiser: torch.optim.Optimizer,
        average: ModelEmaV3 | None,
        hooks: Hooks,
    ) -> None:
        self.task = task
        self.delivered = delivered
        self.optimiser = optimiser
        self.average = average
        self.hooks = hooks
        self.best_value = math.inf
        self.best_state: dict[str, Tensor] | None = None

    @property
    def current(self) -> nn.Module:
        return self.delivered if self.average is None else self.average.module

    def evaluate(self) -> dict[str, float]:
        assert self.hooks.evaluate is not None
        self.current.eval()
        values = self.hooks.evaluate(self.current)
        self.task.train()
        value = values.get(self.hooks.select_lowest) if self.hooks.select_lowest else None
        if value is not None and value < self.best_value:
            self.best_value = value
            self.best_state = {name: tensor.detach().clone() for name, tensor in self.current.state_dict().items()}
        return values

    def deliver(self) -> nn.Module:
        if self.best_state is not None:
            self.current.load_state_dict(self.best_state)
        return self.current.eval()

    def save(self, step: int) -> None:
        if self.hooks.checkpoints is None:
            return
        state = {
            "step": step,
            "task": self.task.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "average": self.average.module.state_dict() if self.average else None,
            "best_value": self.best_value,
            "best_state": self.best_state,
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }
        checkpoint.save(self.hooks.checkpoints, step, state)

    def resume(self) -> int:
        """Returns the step to go on from."""
        if self.hooks.checkpoints is None:
            return 0

        def damaged(name: str) -> None:
            self.hooks.event("checkpoint_damaged", f"Checkpoint {name} is damaged; the one before it is used.")

        state = checkpoint.load_newest(self.hooks.checkpoints, damaged)
        if state is None:
            return 0
        self.task.load_state_dict(state["task"])
        self.optimiser.load_state_dict(state["optimiser"])
        if self.average is not None:
            self.average.module.load_state_dict(state["average"])
        self.best_value, self.best_state = state["best_value"], state["best_state"]
        torch.set_rng_state(state["random"])
        if state["random_cuda"] and torch.cuda.is_available():
            torch.cuda.set_rng_state_all(state["random_cuda"])
        step = int(state["step"])
        self.hooks.event("resumed", f"Resumed at step {step} from a checkpoint.")
        return step


class _Means:
    """Running means that stay on the device until they are logged."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._count = 0

    def add(self, values: dict[str, Tensor]) -> None:
        for name, value in values.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value.clone()
        self._count += 1

    def take(self) -> dict[str, float]:
        """Means since the last call."""
        means = {name: float(total) / self._count for name, total in self._sums.items()}
        self._sums, self._count = {}, 0
        return means
