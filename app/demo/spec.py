"""What the demo trains. The benchmark of the digits uses the same, so its table is about this demo."""

from typing import Any

TEACHER = "resnet10t.glyphs62"
"""Ours, pretrained on printed glyphs; it lies in worker/models."""
STUDENT = "mobilenetv3_small_050"
IMAGE_SIZE = 32
IMAGE_STEPS = 24_000
HUB_TEACHER_SIZE = 112
"""Side in pixels for a teacher from the hub: a multiple of the patches of 14 and 16, and quick enough for two cores.
DINOv2's own 518 would take hours."""


def demo_spec(method: str, teacher: str = TEACHER, seed: int = 0) -> dict[str, Any]:
    """A TrainingSpec as JSON: a student of 32 px, the same for every method."""
    ours = teacher == TEACHER
    return {
        "teacher": None if method == "scratch" else teacher,
        "student": STUDENT,
        "pretrained": False,  # the demo needs no network
        "method": method,
        "image_size": IMAGE_SIZE,
        "seed": seed,
        # a mirrored digit is no digit, and a digit cut in half is another one
        "views": {"hflip": False, "min_scale": 0.75, "jitter": 0.2, "count": 16 if ours else 8},
        "reprogram": {"steps": 400, "image_size": None if ours else HUB_TEACHER_SIZE},
        # half as many steps as with the default's 32: a demo is watched
        "distill": {"image_steps": IMAGE_STEPS, "batch_size": 64},
    }
