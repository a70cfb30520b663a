"""A downloaded student: its classes, its figures, and its answers on this machine."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tdmr._display import card_html
from tdmr.errors import Missing, NoModel

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image as PillowImage

    Image = str | os.PathLike[str] | bytes | PillowImage.Image

ONNX = "student.onnx"


@dataclass(frozen=True)
class Guess:
    """What a student makes of an image."""

    label: str
    probability: float
    ranking: tuple[tuple[str, float], ...]
    """Classes with their probabilities, most probable first."""

    def __str__(self) -> str:
        others = ", ".join(f"{label} {share:.1%}" for label, share in self.ranking[1:3])
        return f"{self.label} {self.probability:.1%}" + (f" ({others})" if others else "")

    def _repr_html_(self) -> str:
        rows = {label: f"{share:.1%}" for label, share in self.ranking}
        return card_html(self.label, f"{self.probability:.1%}", rows)


class Model:
    """A student in a folder that `job.download` has filled.

    Args:
        folder: with `manifest.json` and `student.onnx`.
        student: which one, where the folder has several.
    """

    def __init__(self, folder: str | os.PathLike[str], student: str | None = None) -> None:
        """
        Raises:
            NoModel: the folder has no manifest, or not this student.
        """
        self.path = Path(folder)
        above = _read(self.path / "manifest.json")
        self.students: tuple[str, ...] = tuple((above.get("spec") or {}).get("students") or ())
        """All of the folder, where it has several."""
        if student is not None and student in self.students:
            self.path /= student
            above = _read(self.path / "manifest.json")
        elif student is not None and student != (above.get("spec") or {}).get("student"):
            raise NoModel(f"{self.path} has no student '{student}'.")
        self.manifest: dict[str, Any] = above
        self.classes: tuple[str, ...] = tuple(self.manifest.get("classes") or ())
        self.metrics: dict[str, float] = dict(self.manifest.get("metrics") or {})

    def predict(self, image: Image, *, top_k: int = 5) -> Guess:
        """Classify an image on this machine, with onnxruntime and the preprocessing of the manifest.

        Args:
            image: a path, the bytes of a file, or a Pillow image.
            top_k: so many classes in the ranking.

        Raises:
            Missing: install `tdmr-client[predict]`.
            NoModel: the folder has no `student.onnx`.
        """
        probabilities = self._probabilities(self.prepare(image))
        order = probabilities.argsort()[::-1][:top_k]
        ranking = tuple((self.classes[index], float(probabilities[index])) for index in order)
        return Guess(*ranking[0], ranking)

    def predict_all(self, images: Iterable[Image], *, top_k: int = 5) -> list[Guess]:
        """Classify several images."""
        return [self.predict(image, top_k=top_k) for image in images]

    def prepare(self, image: Image) -> np.ndarray[Any, Any]:
        """The image as the student takes it: float32 [1, 3, side, side]."""
        from tdmr._preprocessing import prepare  # needs the extra `predict`

        preprocessing = self.manifest.get("preprocessing")
        if preprocessing is None:
            several = f" Name one of its students: {', '.join(self.students)}." if self.students else ""
            raise NoModel(f"{self.path} describes no single student.{several}")
        return prepare(_opened(image), preprocessing)

    def _probabilities(self, batch: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        import numpy as np

        logits = self._session.run(None, {self._session.get_inputs()[0].name: batch})[0][0].astype(np.float64)
        shares = np.exp(logits - logits.max())
        normalised: np.ndarray[Any, Any] = shares / shares.sum()
        return normalised

    @cached_property
    def _session(self) -> Any:
        try:
            import onnxruntime
        except ImportError:
            raise _lacking("onnxruntime") from None
        path = self.path / ONNX
        if not path.is_file():
            raise NoModel(f"{self.path} has no {ONNX}: `onnx` is not among the job's formats, or it was withheld.")
        return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def __repr__(self) -> str:
        student = (self.manifest.get("student") or {}).get("architecture") or ", ".join(self.students)
        return f"<Model {student!r} in {str(self.path)!r}, {len(self.classes)} classes{self._accuracy}>"

    def _repr_html_(self) -> str:
        files = ", ".join(file["name"] for file in self.manifest.get("files", ()))
        student = (self.manifest.get("student") or {}).get("architecture") or ", ".join(self.students)
        rows = {"classes": ", ".join(self.classes[:10]), "files": files, "folder": str(self.path)}
        return card_html(student, self._accuracy.removeprefix(", "), rows)

    @property
    def _accuracy(self) -> str:
        accuracy = self.metrics.get("student_accuracy")
        return "" if accuracy is None else f", accuracy {accuracy:.1%}"


def _read(path: Path) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NoModel(f"{path.parent} holds no model: it has no manifest.json.") from None
    return manifest


def _opened(image: Image) -> PillowImage.Image:
    try:
        from PIL import Image as Pillow
    except ImportError:
        raise _lacking("pillow") from None
    if isinstance(image, Pillow.Image):
        return image
    return Pillow.open(io.BytesIO(image) if isinstance(image, bytes) else image)


def _lacking(package: str) -> Missing:
    return Missing(f"{package} is not installed. Predictions need: pip install 'tdmr-client[predict]'")
