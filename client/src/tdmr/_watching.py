"""A job's updates as progress for people."""

from __future__ import annotations

from tdmr import models
from tdmr.progress import Display, duration
from tdmr.updates import EndUpdate, EventUpdate, ProgressUpdate, Update

STAGES = {
    "prepare": "Preparing the images",
    "reprogram": "Reprogramming the teacher",
    "distill": "Distilling the student",
    "evaluate": "Evaluating",
    "export": "Exporting and checking the files",
}
_HEADLINES = ("student_accuracy", "val_accuracy", "teacher_agreement", "teacher_accuracy", "loss")


class Watch:
    """Tells a display what a person wants to know."""

    def __init__(self, display: Display) -> None:
        self._display = display

    def tell(self, update: Update) -> None:
        if isinstance(update, EventUpdate):
            if update.kind == "warning":
                self._display.note(f"! {update.message}")
        elif isinstance(update, ProgressUpdate):
            self._display.show(label(update), update.progress, detail(update))
        elif isinstance(update, EndUpdate) and update.job.state == "succeeded":
            self._display.show("Succeeded", 1.0, headline(update.job.metrics))


def label(update: ProgressUpdate | models.Job) -> str:
    """The stage in words; the state where there is none."""
    if update.state == "running" and update.stage:
        return STAGES.get(update.stage, update.stage)
    return update.state.capitalize()


def detail(update: ProgressUpdate | models.Job) -> str:
    """What is known beside the progress: the place in the queue, the figures so far, the time left."""
    if update.queue is not None:
        return f"place {update.queue.position}, {update.queue.reason}"
    left = None if update.eta_seconds is None or update.state != "running" else f"{duration(update.eta_seconds)} left"
    return ", ".join(filter(None, (headline(update.metrics), left)))


def headline(metrics: dict[str, float]) -> str:
    """The figure that says most, of those that there are."""
    for wanted in _HEADLINES:
        for name, value in metrics.items():
            if name == wanted or name.endswith(f"/{wanted}"):
                words = name.replace("_", " ").replace("val ", "validation ")
                return f"{words} {value:.4g}" if wanted == "loss" else f"{words} {value:.1%}"
    return ""
