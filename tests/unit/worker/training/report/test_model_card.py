"""The card is parsed as a browser and as a Markdown reader would, and searched for what must and must not be in it."""

import io
import json
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import onnx
import onnx.helper
import pytest
import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token
from PIL import Image

from app.domain.evaluation import Evaluation
from app.domain.manifest import Manifest
from tests.unit.app.reports.parsing import Page
from tests.unit.app.reports.planted import evaluation, manifest
from worker.training.report.card.model_card import render_html, render_markdown
from worker.training.report.charts.classes import class_bars
from worker.training.report.charts.confusion import confusion_matrix
from worker.training.report.charts.drawing import Drawing

EVIL = "</style><script>alert(1)</script> | `x` **b** [y](http://z.de) www.z.de\n# t"


def figures(found: Evaluation) -> dict[str, Drawing]:
    return {
        "confusion_matrix.svg": confusion_matrix(found.judged.confusion, found.classes, "student"),
        "classes.svg": class_bars(found.judged, found.teacher, "student"),
    }


def html(about: Manifest, found: Evaluation) -> str:
    return render_html(about, found, figures(found))


def markdown(about: Manifest, found: Evaluation) -> tuple[dict[str, object], list[Token]]:
    """The front matter, and what a reader of GitHub's dialect makes of the rest."""
    _, front, body = render_markdown(about, found, figures(found)).split("---\n", 2)
    return yaml.safe_load(front), MarkdownIt("commonmark").enable("table").parse(body)


def inline(tokens: list[Token]) -> list[Token]:
    return [child for token in tokens for child in token.children or ()]


class TestHtml:
    def test_says_what_one_has_to_know(self) -> None:
        text = " ".join(Page(html(manifest(), evaluation())).text.split())
        for words in (
            "Its top-1 accuracy is 57.1 % on 7 test images, not used in training (95 % interval: 25.0 – 85.0 %).",
            "3 of 4 images of cat classified as dog.",
            "cat: recall 25.0 % of 4 images (20.0 – 90.0 %), precision 100.0 %.",
            "Against its teacher: −42.9 points (95 % interval: −70.0 points to +1.0 points).",
            "These images do not show which of the two is better.",
            "it is overconfident",
            "p-value 0.250",
            "cat, dog: fewer than 20 images each",
            "cow: no images, so nothing is known",
            "top-1 agreement 100.0 % on 7 images, max logit difference 3.0e-06",
            "p50 2.13 ms, p95 2.9 ms for 1 image (cpu, 2 threads)",
            "student.int8.onnx was requested but withheld: It loses 4.2 points of accuracy",
            "its teacher, resnet18.a1_in1kapache-2.0",
            "100 seconds",
        ):
            assert words in text

    def test_stands_alone_and_runs_nothing(self) -> None:
        content = html(manifest(), evaluation())
        page = Page(content)
        assert {tag for tag, _ in page.tags}.isdisjoint({"script", "link", "iframe", "a", "form", "object", "img"})
        assert len(page.all("svg")) == 2
        assert "url(" not in content
        assert "http" not in content.replace("<meta http-equiv", "").replace("http://www.w3.org/2000/svg", "")

    def test_names_are_text_and_nothing_else(self) -> None:
        names = (EVIL, "dog", "cow")
        page = Page(html(manifest(names), evaluation(names)))
        assert page.all("script") == []
        assert page.text.count("alert(1)") >= 5


class TestMarkdown:
    def test_begins_with_what_a_hub_reads(self) -> None:
        front, _ = markdown(manifest(), evaluation())
        assert front["pipeline_tag"] == "image-classification"
        assert front["base_model"] == "timm/resnet18.a1_in1k"
        assert front["teacher"] == {"name": "resnet18.a1_in1k", "license": "apache-2.0"}
        assert front["model-index"][0]["results"][0]["metrics"] == [{"type": "accuracy", "value": 0.5714}]

    def test_names_are_text_and_nothing_else(self) -> None:
        names = (EVIL, "dog", "cow")
        _, plain = markdown(manifest(), evaluation())
        _, evil = markdown(manifest(names), evaluation(names))
        # the same blocks, tables and columns, and in them neither markup nor addresses that were not there before
        assert [token.type for token in evil] == [token.type for token in plain]
        kinds = {token.type for token in inline(plain)} | {"text_special"}
        assert {token.type for token in inline(evil)} <= kinds
        assert "html_inline" not in kinds and "link_open" not in kinds
        assert any(
            "<script>alert(1)</script> | `x` **b** [y](http://z.de) www.z.de\\n# t" in token.content
            for token in (_joined(token) for token in evil if token.children)
        )

    def test_shows_the_figures_that_lie_beside_it(self) -> None:
        _, tokens = markdown(manifest(), evaluation())
        sources = [token.attrs["src"] for token in inline(tokens) if token.type == "image"]
        assert sources == ["confusion_matrix.svg", "classes.svg"]

    def test_has_the_spec_as_it_was(self) -> None:
        _, tokens = markdown(manifest(), evaluation())
        fences = [token.content for token in tokens if token.type == "fence" and token.info == "json"]
        assert json.loads(fences[0]) == manifest().spec


def _joined(token: Token) -> Token:
    """With the text of its children put together, as it is shown."""
    return Token("text", "", 0, content="".join(child.content for child in token.children or ()))


class TestUsage:
    def test_runs_as_it_stands_on_a_photograph(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write_brightest_channel(tmp_path / "student.onnx", ["red", "green", "blue"])
        pixels = np.full((40, 61, 3), 20, np.uint8)
        pixels[..., 1] = 200
        Image.fromarray(pixels).save(tmp_path / "photo.jpg")
        monkeypatch.chdir(tmp_path)
        _, tokens = markdown(manifest(), evaluation())
        (code,) = [token.content for token in tokens if token.type == "fence" and token.info == "python"]
        printed = io.StringIO()
        with redirect_stdout(printed):
            exec(compile(code, "card", "exec"), {})
        assert printed.getvalue().startswith("green ")

    def test_is_left_out_where_no_file_runs_by_itself(self) -> None:
        about = manifest(files=manifest().files[1:])
        assert "<h2>Usage</h2>" not in html(about, evaluation())


def write_brightest_channel(path: Path, classes: list[str]) -> None:
    """A network that gives each channel's mean as its logit."""
    make = onnx.helper
    graph = make.make_graph(
        [make.make_node("ReduceMean", ["images"], ["logits"], axes=[2, 3], keepdims=0)],
        "brightest",
        [make.make_tensor_value_info("images", onnx.TensorProto.FLOAT, ["batch", 3, 32, 32])],
        [make.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["batch", 3])],
    )
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=8)
    make.set_model_props(model, {"classes": json.dumps(classes)})
    path.write_bytes(model.SerializeToString())
