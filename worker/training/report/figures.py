"""Pictures of an evaluation, and a model card for whoever gets the student without us."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from app.domain.evaluation import Evaluation
from app.domain.files import replaced_atomically
from app.domain.manifest import Manifest
from app.domain.progress import MetricLine
from worker.training.report.card import model_card
from worker.training.report.charts.classes import class_bars
from worker.training.report.charts.confusion import confusion_matrix
from worker.training.report.charts.curves import training_curves
from worker.training.report.charts.drawing import Drawing
from worker.training.report.charts.reliability import reliability_diagram


def illustrate(
    folder: Path, manifest: Manifest, evaluation: Mapping[str, Any], points: Sequence[MetricLine]
) -> list[str]:
    """Write them into the student's folder. Returns their names; `probe` has no model that could have a card."""
    content = Evaluation.model_validate(evaluation)
    drawings = draw(content, points)
    texts = {name: drawing.file() for name, drawing in drawings.items()}
    if manifest.student is not None:
        texts |= {
            model_card.MARKDOWN_NAME: model_card.render_markdown(manifest, content, drawings),
            model_card.HTML_NAME: model_card.render_html(manifest, content, drawings),
        }
    for name, text in texts.items():
        with replaced_atomically(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return list(texts)


def draw(evaluation: Evaluation, points: Sequence[MetricLine]) -> dict[str, Drawing]:
    """By file name: what there is to see of the student, or for `probe` of the probe."""
    who = "student" if evaluation.student is not None else "probe"
    scores, teacher = evaluation.judged, evaluation.teacher if evaluation.student is not None else None
    curves = training_curves(points)
    return {
        **(
            {}
            if scores.confusion is None
            else {"confusion_matrix.svg": confusion_matrix(scores.confusion, evaluation.classes, who)}
        ),
        "classes.svg": class_bars(scores, teacher, who),
        "reliability.svg": reliability_diagram(scores, teacher, who),
        **({} if curves is None else {"training_curves.svg": curves}),
    }
