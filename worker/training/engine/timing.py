"""Steps of the real loop on made-up images, for knowing beforehand what a step costs."""

import time

import torch
from torch import Tensor

from worker.training.engine.loop import Hooks, Optimisation, StepOutput, fit
from worker.training.models.networks import Student


def step_seconds(student: Student, images: Tensor, optimiser: str, steps: int) -> list[float]:
    """Seconds of each of `steps` steps, forward, backward, optimiser and averaging included; the first one, which warms
    up, is not among them. It trains the student."""
    seconds: list[float] = []
    began = time.perf_counter()

    class Task(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.student = student

        def forward(self, batch: Tensor, _progress: float) -> StepOutput:
            stages, logits = self.student(batch)
            loss = logits.square().mean() + torch.stack([stage.float().mean() for stage in stages]).sum()
            return StepOutput(loss, {})

    def told(step: int, values: dict[str, float]) -> None:
        nonlocal began
        now = time.perf_counter()
        seconds.append(now - began)
        began = now

    how = Optimisation(1 + steps, 1e-4, 0.0, optimiser=optimiser)
    fit(Task(), student, lambda step: images, how, ema=0.999, hooks=Hooks(metric=told))
    return seconds[1:]
