"""A student's model card: what whoever gets the file, and nothing else, has to know.

In Markdown with the front matter of Hugging Face's hub, where it becomes the repository's README.md, and as a page of
one file. No image of the data set is on it: the card goes where the model goes, and the images may not.
"""

import json
from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from app.domain.evaluation import Evaluation
from app.domain.manifest import Manifest
from app.reports import text
from worker.training.export import formats
from worker.training.report.card.forms import HTML, MARKDOWN, Form, share
from worker.training.report.card.wording import Facts
from worker.training.report.charts.drawing import LIGHT, Drawing, style

MARKDOWN_NAME, HTML_NAME = "model_card.md", "model_card.html"
_DARK = {
    "ink": "#e7eaf0",
    "soft": "#a2abbb",
    "line": "#343b49",
    "paper": "#1b1f28",
    "one": "#56b4e9",
    "two": "#f2965a",
}


_FIGURE_STYLE = Markup(style({role: f"var(--{role})" for role in LIGHT}, within=".figure"))  # noqa: S704 # ours


def render_html(manifest: Manifest, evaluation: Evaluation, figures: Mapping[str, Drawing]) -> str:
    """A complete document that loads nothing, for light and dark screens and for paper.

    Args:
        manifest: of one student.
        figures: by the name of their own file.
    """
    return _render("model_card.html", manifest, evaluation, figures, HTML)


def render_markdown(manifest: Manifest, evaluation: Evaluation, figures: Mapping[str, Drawing]) -> str:
    """The same. The figures are linked: their files lie beside the card."""
    return _render("model_card.md", manifest, evaluation, figures, MARKDOWN)


def front_matter(manifest: Manifest, evaluation: Evaluation) -> dict[str, Any]:
    """What Hugging Face's hub reads. Its licence is for whoever publishes the model to decide."""
    student, teachers = manifest.student or {}, manifest.every_teacher
    scores = evaluation.judged
    described: dict[str, Any] = {
        "license": "unknown",
        "library_name": "timm",
        "pipeline_tag": "image-classification",
        "tags": ["image-classification", "timm", "tdmr", *(["knowledge-distillation"] if teachers else [])],
        "metrics": ["accuracy"],
    }
    exported = [formats.of_file(file.name) for file in manifest.files]
    described["tags"] += sorted({each.hub_tag for each in exported if each is not None and each.hub_tag})
    if bases := [f"timm/{teacher['name']}" for teacher in teachers if teacher.get("source") == "timm"]:
        described["base_model"] = bases[0] if len(bases) == 1 else bases
    if told := [{"name": each.get("name"), "license": each.get("licence") or "unknown"} for each in teachers]:
        described |= {"teacher": told[0]} if len(told) == 1 else {"teachers": told}
    result = {
        "task": {"type": "image-classification"},
        "dataset": {
            "type": "imagefolder",
            "name": f"sha256:{str(manifest.dataset.get('digest', ''))[:12]}",
            "split": evaluation.split.value,
        },
        "metrics": [{"type": "accuracy", "value": round(scores.top1, 4)}],
    }
    described["model-index"] = [{"name": student.get("architecture", "student"), "results": [result]}]
    return described


def _render(
    template: str, manifest: Manifest, evaluation: Evaluation, figures: Mapping[str, Drawing], form: Form
) -> str:
    facts = Facts(manifest, evaluation, form)
    return _ENVIRONMENT.get_template(template).render(
        manifest=manifest,
        evaluation=evaluation,
        facts=facts,
        figures=figures,
        name=form.name,
        front_matter=_yaml(front_matter(manifest, evaluation)),
        figure_style=_FIGURE_STYLE,
        light=LIGHT,
        dark=_DARK,
        spec=json.dumps(manifest.spec, indent=2, ensure_ascii=True),
    )


def _yaml(values: Mapping[str, Any]) -> str:
    """Every value as JSON, which is YAML too: no text can be taken for anything else."""
    return "\n".join(f"{key}: {json.dumps(value)}" for key, value in values.items())


def _embedded(drawing: Drawing) -> Markup:
    return Markup(drawing.embedded())  # noqa: S704 # which escapes what it is given


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("worker.training.report.card"),
        # of Markdown `Form.name` takes care
        autoescape=select_autoescape(enabled_extensions=("html",)),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )
    environment.filters.update(
        visible=text.visible,
        size=text.size,
        number=text.number,
        share=share,
        embedded=_embedded,
    )
    return environment


_ENVIRONMENT = _environment()
