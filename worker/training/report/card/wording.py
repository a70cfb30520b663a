"""The sentences of a model card, for either of its forms."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from app.domain.dataset import Split
from app.domain.evaluation import ClassScore, ConfusionCell, Evaluation, Interval, PairedDifference, PredictorScores
from app.domain.manifest import ArtifactFile, Manifest
from app.domain.states import Stage
from worker.training.export import formats
from worker.training.export.formats.safetensors import WEIGHTS_NAME
from worker.training.report.card.forms import Form, interval, pictures, share, signed_points

FEW_IMAGES = 20
"""With fewer test images of a class, the 95 % interval of its recall is some 20 points wide on either side."""
_LISTED, _NAMED = 6, 12
_ROWS = 200
"""Classes of the card's table."""
_OWN_METHODS = {
    "tdmr": "The teacher was reprogrammed to these classes, and the student learned from its outputs "
    "(task-driven model reprogramming, arXiv 2304.02263).",
    "reprogrammed-kd": "The teacher was reprogrammed to these classes; then plain knowledge distillation.",
    "scratch": "Trained on the labels alone, without a teacher.",
    "finetune": "Its own pretrained weights were trained further on the labels, without a teacher.",
}


class Row(NamedTuple):
    """One line of the table of results."""

    who: str
    top1: float
    interval: Interval | None
    scores: PredictorScores | None


class FileRow(NamedTuple):
    """A published file, as far as it is known when the card is written."""

    name: str
    bytes: int
    parity: str
    latency: str


@dataclass(frozen=True)
class Facts:
    """Everything in the templates that is more than a value of manifest or evaluation."""

    manifest: Manifest
    evaluation: Evaluation
    form: Form

    @property
    def scores(self) -> PredictorScores:
        return self.evaluation.judged

    @property
    def title(self) -> str:
        architecture = (self.manifest.student or {}).get("architecture", "student")
        return f"{architecture} for {len(self.evaluation.classes)} classes"

    @property
    def lead(self) -> str:
        scores, majority = self.scores, self.evaluation.majority
        images = f"{self.evaluation.images:,} {self.evaluation.split.value} images"
        unseen = ", not used in training" if self.evaluation.split is Split.TEST else ""
        return self.form.say(
            "Its top-1 accuracy is {top1} on {images}{unseen} (95 % interval: {interval}). Always predicting "
            "{majority}, the most frequent class, would reach {floor}.",
            top1=share(scores.top1),
            images=images,
            unseen=unseen,
            interval=interval(scores.top1_interval),
            majority=self.form.name(majority.name),
            floor=share(majority.top1),
        )

    @property
    def classes(self) -> str:
        return _list([self.form.name(name) for name in self.evaluation.classes], self.form)

    @property
    def rows(self) -> list[Row]:
        named = {
            "this student": self.evaluation.student,
            "its teacher, reprogrammed": self.evaluation.teacher,
            "a linear probe on the teacher": self.evaluation.probe,
        }
        rows = [Row(who, scores.top1, scores.top1_interval, scores) for who, scores in named.items() if scores]
        majority = self.evaluation.majority
        return [*rows, Row("always the most frequent class", majority.top1, majority.top1_interval, None)]

    @property
    def comparisons(self) -> list[str]:
        return [self._comparison(pair) for pair in self.evaluation.paired if pair.other != "majority"]

    @property
    def calibration(self) -> str | None:
        bins = self.scores.calibration.bins
        if not bins:
            return None
        sure = sum(b.images * (b.confidence or 0) for b in bins) / self.evaluation.images
        gap = sure - self.scores.top1
        verdict = "well calibrated" if abs(gap) < 0.02 else "overconfident" if gap > 0 else "underconfident"
        return (
            f"Its mean confidence is {share(sure)} and its accuracy {share(self.scores.top1)}: it is {verdict}. The "
            f"expected calibration error (ECE) is {share(self.scores.calibration.ece)}."
        )

    @property
    def weakest(self) -> list[str]:
        found = [score for score in self.scores.per_class if score.support and score.recall < 1]
        return [self._weak(score) for score in sorted(found, key=lambda s: (s.recall, -s.support))[:_LISTED]]

    @property
    def table(self) -> Sequence[ClassScore]:
        return self.scores.per_class[:_ROWS]

    @property
    def untabled(self) -> str:
        """That the table is not all, where it is not."""
        count = len(self.scores.per_class)
        return f"The first {_ROWS} of {count:,} classes; evaluation.json lists all." if count > _ROWS else ""

    @property
    def confusions(self) -> list[str]:
        support = {score.name: score.support for score in self.scores.per_class}
        wrong = [cell for cell in self.evaluation.cells if cell.label != cell.predicted]
        return [self._confusion(cell, support[cell.label]) for cell in wrong[:_LISTED]]

    @property
    def limits(self) -> list[str]:
        scores, classes, say = self.scores, self.evaluation.classes, self.form.say
        low, high = scores.top1_interval
        few = [score.name for score in scores.per_class if 0 < score.support < FEW_IMAGES]
        none = [score.name for score in scores.per_class if not score.support]
        size = self.manifest.spec.get("image_size")
        said = [] if self.evaluation.note is None else [say(self.evaluation.note)]
        said.append(
            say(
                f"It was evaluated on {self.evaluation.images:,} images, which give its accuracy to within "
                f"{100 * (high - low) / 2:.1f} points; a student trained with another seed may differ by more."
            )
        )
        if few:
            said.append(
                self._about(few, f"{{names}}: fewer than {FEW_IMAGES} images each, so their figures say little.")
            )
        if none:
            said.append(self._about(none, "{names}: no images, so nothing is known about their recall and precision."))
        said += [
            say(
                f"It always predicts one of its {len(classes)} classes, often with high probability even for an image "
                "of something else; it was not tested on such images."
            ),
            say(
                "Test and training images have the same origin. Other cameras, lighting, backgrounds and years were "
                "not tested, nor were adversarial images or fairness between groups of people."
            ),
            say(
                f"It sees the central square of an image at {size} × {size} pixels: nothing outside this square, and "
                "no detail that is lost at this size."
            ),
        ]
        if (self.manifest.spec.get("views") or {}).get("hflip"):
            said.append(say("It was trained on mirrored images too, so it cannot tell left from right."))
        return said

    @property
    def method(self) -> str:
        method = self.manifest.spec["method"]
        return _OWN_METHODS.get(
            method,
            f"Knowledge distillation from a linear probe on the frozen teacher, with the method '{method}'.",
        )

    @property
    def licences(self) -> list[tuple[str, str]]:
        """What the student was made from, with its licence."""
        teachers, told = self.manifest.every_teacher, self.manifest.licences
        chain = [("its architecture, as code", "timm, Apache-2.0")]
        if told is not None and told.student_weights is not None:
            chain.append(("its initial weights", told.student_weights))
        for teacher in teachers:
            stated = told.teacher if told is not None and len(teachers) == 1 else teacher.get("licence")
            chain.append((f"its teacher, {teacher.get('name')}", stated or "not stated"))
        chain.append(("its training images", "not stated" if told is None else told.dataset))
        return [(self.form.name(what), self.form.name(terms)) for what, terms in chain]

    @property
    def _initial_weights(self) -> str:
        student, told = self.manifest.student or {}, self.manifest.licences
        pretrained = told is not None and told.student_weights is not None
        return student.get("weights") or ("pretrained" if pretrained else "random")

    @property
    def making(self) -> list[tuple[str, str]]:
        """What it was trained with, as pairs of words."""
        spec, dataset = self.manifest.spec, self.manifest.dataset
        counts = ", ".join(f"{count:,} {split}" for split, count in dataset.get("images", {}).items())
        pairs = [
            ("method", str(spec["method"])),
            ("initial weights", self._initial_weights),
            ("images", f"{counts}; split: {dataset.get('split_source', 'unknown')}"),
            ("data set digest", str(dataset.get("digest", ""))),
            ("budget", f"{spec['distill']['image_steps']:,} images seen, {spec['distill']['batch_size']} a step"),
            ("seed", str(self.manifest.seed)),
            ("device", self.manifest.device),
            ("time", f"{sum(self._seconds):,.0f} seconds, not counting results reused from earlier runs"),
            ("spec fingerprint", self.manifest.spec_fingerprint),
        ]
        for teacher in reversed(self.manifest.every_teacher):
            known = f"{teacher.get('name')}, from {teacher.get('source') or 'an unknown source'}"
            said = f"; its own share of the answers: {teacher['share']:.0%}" if "share" in teacher else ""
            pairs.insert(1, ("teacher", known + said))
            pairs.insert(2, ("SHA-256 of its weights", str(teacher.get("sha256"))))
        return [(label, self.form.name(value)) for label, value in pairs]

    @property
    def files(self) -> list[FileRow]:
        return [self._file(file) for file in self.manifest.files]

    @property
    def main_file(self) -> ArtifactFile | None:
        """The one that `usage` is about, else the weights."""
        chosen = self.usage[0] if self.usage else WEIGHTS_NAME
        return next((file for file in self.manifest.files if file.name == chosen), None)

    @property
    def versions(self) -> str:
        return self.form.name(", ".join(f"{name} {version}" for name, version in self.manifest.versions.items()))

    @property
    def usage(self) -> tuple[str, str] | None:
        """The file that is simplest to use, and Python that uses it; None where no file runs by itself."""
        how, names = self.manifest.preprocessing, {file.name for file in self.manifest.files}
        if how is None:
            return None
        return next(((each.file, each.usage(how)) for each in formats.every() if each.file in names), None)

    def _comparison(self, pair: PairedDifference) -> str:
        low, high = pair.interval
        sure = "" if low > 0 or high < 0 else " These images do not show which of the two is better."
        return self.form.say(
            f"Against its {pair.other}: {signed_points(pair.difference)} (95 % interval: {signed_points(low)} to "
            f"{signed_points(high)}). Only this student is right on {pictures(pair.only_this)}, only the {pair.other} "
            f"on {pictures(pair.only_other)} (McNemar's exact test: p-value {_small(pair.p_value)}).{sure}"
        )

    def _weak(self, score: ClassScore) -> str:
        known = "" if score.recall_interval is None else f" ({interval(score.recall_interval)})"
        said = f", precision {share(score.precision)}" if score.predicted else ", never predicted"
        return self.form.say(
            "{name}: recall {recall} of {images}{known}{said}.",
            name=self.form.name(score.name),
            recall=share(score.recall),
            images=pictures(score.support),
            known=known,
            said=said,
        )

    def _confusion(self, cell: ConfusionCell, support: int) -> str:
        return self.form.say(
            "{count} of {images} of {label} classified as {predicted}.",
            count=cell.count,
            images=pictures(support),
            label=self.form.name(cell.label),
            predicted=self.form.name(cell.predicted),
        )

    @property
    def _seconds(self) -> list[float]:
        return [seconds for name, seconds in self.manifest.seconds.items() if name in set(Stage)]

    def _file(self, file: ArtifactFile) -> FileRow:
        parity, measured = self.manifest.parity.get(file.name), self.manifest.measured.get(file.name)
        agrees = ""
        if parity is not None:
            agrees = (
                f"top-1 agreement {share(parity.top1_agreement)} on {pictures(parity.images)}, max logit difference "
                f"{parity.max_logit_difference:.1e}"
            )
        latencies = [] if measured is None else measured.latencies
        told = [
            f"p50 {one.p50_ms:.3g} ms, p95 {one.p95_ms:.3g} ms for {pictures(one.batch)} ({one.device}, "
            f"{one.threads} thread{'' if one.threads == 1 else 's'})"
            for one in latencies
        ]
        return FileRow(file.name, file.bytes, agrees, self.form.name("; ".join(told)))

    def _about(self, names: Sequence[str], sentence: str) -> str:
        return self.form.say(sentence, names=_list([self.form.name(name) for name in names], self.form))


def _small(probability: float) -> str:
    return "below 0.001" if probability < 0.001 else f"{probability:.3f}"


def _list(names: Sequence[str], form: Form) -> str:
    """The first dozen."""
    shown = names[:_NAMED]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    slots = ", ".join(f"{{n{place}}}" for place in range(len(shown)))
    return form.say(slots + more, **{f"n{place}": name for place, name in enumerate(shown)})
