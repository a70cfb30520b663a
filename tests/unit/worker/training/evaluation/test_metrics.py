"""The figures users decide by, against numbers worked out by hand and scikit-learn's."""

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix, log_loss, precision_recall_fscore_support, top_k_accuracy_score
from torch import nn

from app.domain.dataset import Split, evaluation_split
from app.domain.errors import NonFiniteLoss
from app.domain.evaluation import Evaluation, shown
from app.domain.intervals import mcnemar, newcombe, wilson
from tests.unit.app.reports import planted
from worker.training.evaluation.metrics import compare, score
from worker.training.export.prediction import predict
from worker.training.report.card.model_card import render_html, render_markdown
from worker.training.report.figures import draw


def logits_of(probabilities: list[list[float]]) -> np.ndarray:
    return np.log(np.array(probabilities))


class TestScore:
    def test_agrees_with_numbers_worked_out_by_hand(self) -> None:
        logits = logits_of([[0.8, 0.2], [0.6, 0.4], [0.3, 0.7], [0.9, 0.1]])
        scores = score(logits, np.array([0, 1, 1, 0]), ["cat", "dog"])

        assert scores.top1 == 0.75
        assert scores.confusion == ((2, 0), (1, 1))
        cat, dog = scores.per_class
        assert (cat.precision, cat.recall, cat.support) == (pytest.approx(2 / 3), 1.0, 2)
        assert (dog.precision, dog.recall, dog.f1) == (1.0, 0.5, pytest.approx(2 / 3))
        assert scores.calibration.nll == pytest.approx(-sum(map(math.log, (0.8, 0.4, 0.7, 0.9))) / 4)
        # two equal squares for each image: 2 · (0.2² + 0.6² + 0.3² + 0.1²) / 4
        assert scores.calibration.brier == pytest.approx(0.25)
        # each image has a bin of its own: |1 − .8|, |0 − .6|, |1 − .7|, |1 − .9|
        assert scores.calibration.ece == pytest.approx((0.2 + 0.6 + 0.3 + 0.1) / 4)

    def test_agrees_with_scikit_learn(self) -> None:
        rng = np.random.default_rng(0)
        labels = rng.integers(0, 8, 300)
        logits = rng.normal(size=(300, 8)) + 1.5 * np.eye(8)[labels]
        scores = score(logits, labels, [f"c{k}" for k in range(8)])

        precision, recall, f1, support = precision_recall_fscore_support(labels, logits.argmax(1))
        assert [c.precision for c in scores.per_class] == pytest.approx(precision)
        assert [c.recall for c in scores.per_class] == pytest.approx(recall)
        assert [c.f1 for c in scores.per_class] == pytest.approx(f1)
        assert [c.support for c in scores.per_class] == support.tolist()
        assert scores.macro_f1 == pytest.approx(f1.mean())
        assert scores.confusion == tuple(map(tuple, confusion_matrix(labels, logits.argmax(1)).tolist()))
        assert scores.top5 == pytest.approx(top_k_accuracy_score(labels, logits, k=5))
        probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        assert scores.calibration.nll == pytest.approx(log_loss(labels, probabilities))

    def test_images_of_one_confidence_share_a_bin(self) -> None:
        # three of four right at 0.75: perfectly calibrated together, though no single image is
        scores = score(logits_of([[0.75, 0.25]] * 4), np.array([0, 0, 0, 1]), ["a", "b"])
        assert scores.calibration.ece == pytest.approx(0)

    def test_the_bins_are_those_of_the_error(self) -> None:
        rng = np.random.default_rng(1)
        labels = rng.integers(0, 4, 200)
        scores = score(rng.normal(size=(200, 4)) + np.eye(4)[labels], labels, list("abcd"))
        bins = scores.calibration.bins
        assert (bins[0].low, bins[-1].high, sum(b.images for b in bins)) == (0, 1, 200)
        assert bins[0].confidence is bins[0].accuracy is bins[0].accuracy_interval is None
        filled = [b for b in bins if b.images]
        assert all(b.low < b.confidence <= b.high for b in filled)
        error = sum(b.images * abs(b.accuracy - b.confidence) for b in filled) / 200
        assert scores.calibration.ece == pytest.approx(error)

    def test_every_share_has_its_interval(self) -> None:
        scores = score(np.eye(3)[[0, 1, 0]], np.array([0, 0, 0]), ["a", "b", "c"])
        a, b, c = scores.per_class
        assert (a.predicted, a.recall_interval, a.precision_interval) == (2, wilson(2, 3), wilson(2, 2))
        assert (b.predicted, b.recall_interval, b.precision_interval) == (1, None, wilson(0, 1))
        assert (c.predicted, c.recall_interval, c.precision_interval) == (0, None, None)

    def test_top5_needs_more_than_five_classes(self) -> None:
        names = [f"c{k}" for k in range(6)]
        assert score(np.eye(5), np.arange(5), names[:5]).top5 is None
        # the last class is the only one of six outside the first five, ties being broken as argmax breaks them
        assert score(np.zeros((6, 6)), np.arange(6), names).top5 == pytest.approx(5 / 6)

    def test_a_class_without_images_does_not_count_in_the_mean(self) -> None:
        scores = score(np.eye(3)[[0, 1]], np.array([0, 1]), ["a", "b", "c"])
        assert scores.macro_f1 == 1.0
        assert (scores.per_class[2].f1, scores.per_class[2].support) == (0.0, 0)

    def test_torch_tensors_give_the_same_as_arrays(self) -> None:
        logits = torch.randn(20, 3, requires_grad=True)
        labels = torch.arange(20) % 3
        names = ["a", "b", "c"]
        assert score(logits, labels, names) == score(logits.detach().numpy(), labels.numpy(), names)

    def test_huge_logits_stay_finite(self) -> None:
        scores = score(np.array([[1e4, -1e4], [1e4, -1e4]]), np.array([0, 1]), ["a", "b"])
        assert scores.calibration.nll == pytest.approx(1e4)

    def test_refuses_logits_that_are_not_numbers(self) -> None:
        with pytest.raises(NonFiniteLoss):
            score(np.array([[1.0, math.nan]]), np.array([0]), ["a", "b"])


@pytest.fixture(scope="module")
def many() -> tuple[dict[str, Any], dict[str, float]]:
    """An evaluation with 2,000 classes, and figures of it as scikit-learn has them, from all images at once."""
    images, count = 3000, 2000
    rng = np.random.default_rng(0)
    labels = rng.integers(0, count, images)
    logits = rng.normal(size=(images, count)).astype(np.float32)
    logits[np.arange(images), labels] += 2
    probabilities = np.exp(logits.astype(np.float64))
    probabilities /= probabilities.sum(1, keepdims=True)
    expected = {
        "top5": top_k_accuracy_score(labels, logits, k=5, labels=np.arange(count)),
        "nll": log_loss(labels, probabilities, labels=np.arange(count)),
        "brier": ((probabilities - np.eye(count)[labels]) ** 2).sum(1).mean(),
    }
    names = [f"class {k}" for k in range(count)]
    paths = [f"{number}.png" for number in range(images)]
    content = compare(split=Split.TEST, classes=names, labels=labels, train_labels=labels, student=logits, paths=paths)
    return content, expected


class TestManyClasses:
    """Nothing but the list of scores grows with their number, and nothing with its square."""

    def test_have_no_matrix(self, many: tuple[dict[str, Any], dict[str, float]]) -> None:
        content, _ = many
        assert content["student"]["confusion"] is None
        assert content["class_count"] == len(content["student"]["per_class"]) == 2000
        assert sum(cell["count"] for cell in content["cells"]) == 3000

    def test_have_the_scores_of_a_few(self, many: tuple[dict[str, Any], dict[str, float]]) -> None:
        content, expected = many
        found = content["student"]["calibration"] | {"top5": content["student"]["top5"]}
        assert {name: found[name] for name in expected} == pytest.approx(expected)

    def test_are_shown_in_part(self, many: tuple[dict[str, Any], dict[str, float]]) -> None:
        content, _ = many
        cut = shown(content)
        assert len(cut["classes"]) == len(cut["student"]["per_class"]) == 500
        assert cut["student"]["top1"] == content["student"]["top1"]
        assert cut["class_count"] == len(content["student"]["per_class"]) == 2000

    def test_have_a_short_card_and_no_drawing_of_a_matrix(self, many: tuple[dict[str, Any], dict[str, float]]) -> None:
        content, _ = many
        drawings = draw(Evaluation.model_validate(content), [])
        assert "confusion_matrix.svg" not in drawings
        about = planted.manifest(tuple(content["classes"]))
        for card in (render_html, render_markdown):
            text = card(about, Evaluation.model_validate(content), drawings)
            assert "The first 200 of 2,000 classes" in text
            assert "class 199" in text
            assert len(text) < 300_000


class TestCompare:
    def test_puts_student_and_teacher_side_by_side(self) -> None:
        labels = np.array([0, 1, 1])
        content = compare(
            split=Split.TEST,
            classes=["a", "b"],
            labels=labels,
            train_labels=np.array([0, 0, 1]),
            student=np.eye(2)[[0, 1, 0]],
            teacher=np.eye(2)[labels],
        )
        assert content["split"] == "test"
        assert content["note"] is None
        assert (content["images"], content["classes"]) == (3, ["a", "b"])
        assert content["student"]["top1"] == pytest.approx(2 / 3)
        assert content["teacher"]["top1"] == 1.0
        assert content["probe"] is None
        # the majority is training's: judged by the test images it would be the other class
        assert content["majority"] == {
            "name": "a",
            "top1": pytest.approx(1 / 3),
            "top1_interval": pytest.approx(wilson(1, 3)),
        }
        assert Evaluation.model_validate_json(json.dumps(content)).student.top1 == content["student"]["top1"]

    def test_compares_on_the_very_same_images(self) -> None:
        labels = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1])
        right, wrong = np.eye(2)[labels], np.eye(2)[1 - labels]
        rows = np.arange(9)[:, None]
        content = compare(
            split=Split.TEST,
            classes=["a", "b"],
            labels=labels,
            train_labels=labels,
            student=np.where(rows < 6, right, wrong),  # right on 0 to 5
            teacher=np.where((rows > 4) | (rows == 0), right, wrong),  # right on 0 and on 5 to 8
        )
        teacher, majority = content["paired"]
        assert (teacher["other"], teacher["only_this"], teacher["only_other"]) == ("teacher", 4, 3)
        assert teacher["difference"] == pytest.approx(content["student"]["top1"] - content["teacher"]["top1"])
        assert teacher["interval"] == pytest.approx(newcombe(2, 4, 3, 0))
        assert teacher["p_value"] == mcnemar(4, 3) == 1.0
        # the majority is right on 4 to 8, the student on 4 and 5 of these
        assert (majority["other"], majority["only_this"], majority["only_other"]) == ("majority", 4, 3)

    def test_without_a_student_the_probe_stands_in_its_place(self) -> None:
        labels = np.array([0, 1, 1])
        content = compare(
            split=Split.TEST,
            classes=["a", "b"],
            labels=labels,
            train_labels=labels,
            student=None,
            probe=np.eye(2)[[0, 1, 0]],
            paths=["0.png", "1.png", "2.png"],
        )
        assert [pair["other"] for pair in content["paired"]] == ["majority"]
        assert [(cell["label"], cell["predicted"]) for cell in content["cells"]] == [("b", "a"), ("a", "a"), ("b", "b")]
        assert content["cells"][0]["images"][0]["student"] is None
        assert content["cells"][0]["images"][0]["probe"]["answer"] == "a"

    def test_an_evaluation_from_before_still_reads(self) -> None:
        labels = np.array([0, 1])
        content = compare(split=Split.TEST, classes=["a", "b"], labels=labels, train_labels=labels, student=np.eye(2))
        for key in ("paired", "cells"):
            del content[key]
        del content["student"]["calibration"]["bins"], content["student"]["top5_interval"]
        for score_ in content["student"]["per_class"]:
            for key in ("predicted", "precision_interval", "recall_interval"):
                del score_[key]
        assert Evaluation.model_validate(content).cells == ()

    def test_says_so_where_there_is_no_test_split(self) -> None:
        split = evaluation_split({Split.TRAIN, Split.VAL, Split.UNLABELLED})
        labels = np.array([0, 1])
        content = compare(split=split, classes=["a", "b"], labels=labels, train_labels=labels, student=np.eye(2))
        assert content["split"] == "val"
        assert "no test split" in content["note"]

    def test_prefers_test_images(self) -> None:
        assert evaluation_split({Split.TRAIN, Split.VAL, Split.TEST}) is Split.TEST
        assert evaluation_split({Split.TRAIN}) is Split.TRAIN


class TestPredict:
    def test_is_the_network_in_eval_mode_on_normalised_images(self) -> None:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten(), nn.Linear(144, 2))
        images = np.random.default_rng(0).integers(0, 256, (7, 8, 8, 3), dtype=np.uint8)
        mean, std = (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)
        logits = predict(model, images, mean, std, batch_size=3, device="cpu")

        inputs = torch.from_numpy(images).permute(0, 3, 1, 2) / 255
        inputs = (inputs - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
        expected = model.eval()(inputs).detach().numpy()
        assert logits.dtype == np.float32
        np.testing.assert_allclose(logits, expected, atol=1e-5)

    def test_leaves_every_module_in_its_own_mode(self) -> None:
        model = nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(12, 2))
        model.train()
        model[2].eval()
        predict(model, np.zeros((1, 2, 2, 3), np.uint8), (0, 0, 0), (1, 1, 1), batch_size=1, device="cpu")
        assert [module.training for module in model.modules()] == [True, True, True, False]

    def test_reads_memory_mapped_images(self, tmp_path) -> None:
        np.save(tmp_path / "images.npy", np.full((5, 2, 2, 3), 255, np.uint8))
        images = np.load(tmp_path / "images.npy", mmap_mode="r")
        logits = predict(nn.Flatten(), images, (0, 0, 0), (1, 1, 1), batch_size=2, device="cpu")
        np.testing.assert_allclose(logits, np.ones((5, 12)))
