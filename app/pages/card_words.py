"""What a model card says, in plain words, for either of its forms."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from app.domain.dataset import Split
from app.domain.evaluation import ClassScore, ConfusionCell, Evaluation, Interval, PairedDifference, PredictorScores
from app.domain.manifest import ArtifactFile, Manifest
from app.domain.spec import Method
from app.domain.states import Stage
from app.pages.card_forms import Form, interval, pictures, share, signed_points
from app.pages.card_usage import usage

FEW_IMAGES = 20
"""A class with fewer test images: its recall is known to no better than some 20 points either way."""
_LISTED, _NAMED = 6, 12
_OWN_METHODS = {
    Method.TDMR: "The teacher was reprogrammed to these classes, and the student learned from what it then answers "
    "(task-driven model reprogramming, arXiv 2304.02263).",
    Method.REPROGRAMMED_KD: "The teacher was reprogrammed to these classes; then plain knowledge distillation.",
    Method.SCRATCH: "Trained on the labels alone, without a teacher.",
    Method.FINETUNE: "Its own pretrained weights were trained further on the labels, without a teacher.",
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
    """Everything the templates say that is more than a value of manifest or evaluation."""

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
        unseen = ", which training never saw" if self.evaluation.split is Split.TEST else ""
        return self.form.say(
            "It is right on {top1} of {images}{unseen} (95 % interval: {interval}). Always answering {majority}, the "
            "most frequent class, would be right on {floor}.",
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
        verdict = (
            "about as sure as it is right" if abs(gap) < 0.02 else "too sure of itself" if gap > 0 else "too unsure"
        )
        return (
            f"On average it gives its answer a probability of {share(sure)} and is right in {share(self.scores.top1)}: "
            f"it is {verdict}. The expected calibration error is {share(self.scores.calibration.ece)}."
        )

    @property
    def weakest(self) -> list[str]:
        found = [score for score in self.scores.per_class if score.support and score.recall < 1]
        return [self._weak(score) for score in sorted(found, key=lambda s: (s.recall, -s.support))[:_LISTED]]

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
                f"It was judged by {self.evaluation.images:,} images. From so many, its accuracy is known to within "
                f"{100 * (high - low) / 2:.1f} points; a student trained with another seed may differ by more."
            )
        )
        if few:
            said.append(
                self._about(few, f"{{names}}: fewer than {FEW_IMAGES} such images, so their figures say little.")
            )
        if none:
            said.append(
                self._about(none, "{names}: no such image at all. Nothing is known of how well it knows these.")
            )
        said += [
            say(
                f"It always answers one of its {len(classes)} classes. An image of anything else gets one too, often "
                "with a high probability; it was not tested on such images."
            ),
            say(
                "It was tested on images of the same origin as those it was trained on. Other cameras, light, "
                "backgrounds or years were not tested, nor images made to mislead it, nor whether it treats groups of "
                "people alike."
            ),
            say(
                f"It sees the central square of an image at {size} × {size} pixels. What lies outside of it, or is too "
                "small then, it cannot know."
            ),
        ]
        if (self.manifest.spec.get("views") or {}).get("hflip"):
            said.append(say("It was trained on mirrored images too: left and right mean nothing to it."))
        return said

    @property
    def method(self) -> str:
        method = Method(self.manifest.spec["method"])
        return _OWN_METHODS.get(
            method,
            f"Knowledge distillation from a linear probe on the frozen teacher, with the method '{method}'.",
        )

    @property
    def licences(self) -> list[tuple[str, str]]:
        """What the student came from, and what is known of the terms."""
        teacher, told = self.manifest.teacher, self.manifest.licences
        chain = [("its architecture, as code", "timm, Apache-2.0")]
        if told is not None and told.student_weights is not None:
            chain.append(("its initial weights", told.student_weights))
        if teacher is not None:
            stated = told.teacher if told is not None else teacher.get("licence")
            chain.append((f"its teacher, {teacher.get('name')}", stated or "not stated"))
        chain.append(("the images it learned from", "not stated" if told is None else told.dataset))
        return [(self.form.name(what), self.form.name(terms)) for what, terms in chain]

    @property
    def making(self) -> list[tuple[str, str]]:
        """What it was trained with, as pairs of words."""
        spec, dataset, teacher = self.manifest.spec, self.manifest.dataset, self.manifest.teacher
        counts = ", ".join(f"{count:,} {split}" for split, count in dataset.get("images", {}).items())
        pretrained = spec.get("pretrained") or spec["method"] == Method.FINETUNE
        pairs = [
            ("method", str(spec["method"])),
            ("initial weights", "pretrained" if pretrained else "random"),
            ("images", f"{counts}; split: {dataset.get('split_source', 'unknown')}"),
            ("digest of the data set", str(dataset.get("digest", ""))),
            ("budget", f"{spec['distill']['image_steps']:,} images seen, {spec['distill']['batch_size']} a step"),
            ("seed", str(self.manifest.seed)),
            ("device", self.manifest.device),
            ("time", f"{sum(self._seconds):,.0f} seconds, without what was read from earlier runs"),
            ("fingerprint of the spec", self.manifest.spec_fingerprint),
        ]
        if teacher is not None:
            known = f"{teacher.get('name')}, from {teacher.get('source') or 'an unknown source'}"
            pairs.insert(1, ("teacher", known))
            pairs.insert(2, ("SHA-256 of its weights", str(teacher.get("sha256"))))
        return [(label, self.form.name(value)) for label, value in pairs]

    @property
    def files(self) -> list[FileRow]:
        return [self._file(file) for file in self.manifest.files]

    @property
    def main_file(self) -> ArtifactFile | None:
        """The one that `usage` is about, else the weights."""
        chosen = self.usage[0] if self.usage else "student.safetensors"
        return next((file for file in self.manifest.files if file.name == chosen), None)

    @property
    def versions(self) -> str:
        return self.form.name(", ".join(f"{name} {version}" for name, version in self.manifest.versions.items()))

    @property
    def usage(self) -> tuple[str, str] | None:
        return usage(self.manifest)

    def _comparison(self, pair: PairedDifference) -> str:
        low, high = pair.interval
        sure = "" if low > 0 or high < 0 else " These images do not tell which of the two is better."
        return self.form.say(
            f"Against its {pair.other}: {signed_points(pair.difference)} (95 % interval: {signed_points(low)} to "
            f"{signed_points(high)}). It alone is right on {pictures(pair.only_this)}, the {pair.other} alone on "
            f"{pictures(pair.only_other)}; two equals would differ so much with a probability of "
            f"{_small(pair.p_value)}.{sure}"
        )

    def _weak(self, score: ClassScore) -> str:
        known = "" if score.recall_interval is None else f" ({interval(score.recall_interval)})"
        said = f" Of what it calls so, {share(score.precision)} is." if score.predicted else " It never answers this."
        return self.form.say(
            "{name}: it recognises {recall} of {images}{known}.{said}",
            name=self.form.name(score.name),
            recall=share(score.recall),
            images=pictures(score.support),
            known=known,
            said=said,
        )

    def _confusion(self, cell: ConfusionCell, support: int) -> str:
        return self.form.say(
            "{count} of {images} of {label} taken for {predicted}.",
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
                f"same answer on {share(parity.top1_agreement)} of {pictures(parity.images)}, logits within "
                f"{parity.max_logit_difference:.1e}"
            )
        latencies = [] if measured is None else measured.latencies
        told = [
            f"{one.p50_ms:.3g} ms for {pictures(one.batch)} ({one.p95_ms:.3g} at most in 95 of 100; {one.device}, "
            f"{one.threads} thread{'' if one.threads == 1 else 's'})"
            for one in latencies
        ]
        return FileRow(file.name, file.bytes, agrees, self.form.name("; ".join(told)))

    def _about(self, names: Sequence[str], sentence: str) -> str:
        return self.form.say(sentence, names=_list([self.form.name(name) for name in names], self.form))


def _small(probability: float) -> str:
    return "less than 0.001" if probability < 0.001 else f"{probability:.3f}"


def _list(names: Sequence[str], form: Form) -> str:
    """The first dozen."""
    shown = names[:_NAMED]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    slots = ", ".join(f"{{n{place}}}" for place in range(len(shown)))
    return form.say(slots + more, **{f"n{place}": name for place, name in enumerate(shown)})
