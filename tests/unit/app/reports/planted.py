"""A finished student with a planted evaluation: three classes, seven images, nothing computed."""

from collections.abc import Sequence
from typing import Any

from app.domain.dataset import Split
from app.domain.evaluation import (
    BINS,
    Answer,
    Calibration,
    ClassScore,
    ConfusionCell,
    Evaluation,
    JudgedImage,
    Majority,
    PairedDifference,
    PredictorScores,
    ReliabilityBin,
)
from app.domain.manifest import ArtifactFile, Latency, Manifest, Measurement, Parity, Preprocessing
from app.domain.spec import TrainingSpec


def scores(names: Sequence[str], confusion: Sequence[Sequence[int]]) -> PredictorScores:
    images = sum(map(sum, confusion))
    right = sum(row[k] for k, row in enumerate(confusion))
    said = [sum(row[k] for row in confusion) for k in range(len(names))]
    bins = [
        ReliabilityBin(
            low=k / BINS,
            high=(k + 1) / BINS,
            images=images if k == BINS - 2 else 0,
            confidence=0.9 if k == BINS - 2 else None,
            accuracy=right / images if k == BINS - 2 else None,
            accuracy_interval=(0.1, 0.95) if k == BINS - 2 else None,
        )
        for k in range(BINS)
    ]
    return PredictorScores(
        top1=right / images,
        top1_interval=(0.25, 0.85),
        top5=None,
        macro_f1=0.5,
        per_class=tuple(
            ClassScore(
                name=name,
                precision=row[k] / said[k] if said[k] else 0.0,
                recall=row[k] / sum(row) if sum(row) else 0.0,
                f1=0.5,
                support=sum(row),
                predicted=said[k],
                recall_interval=(0.2, 0.9) if sum(row) else None,
            )
            for k, (name, row) in enumerate(zip(names, confusion, strict=True))
        ),
        confusion=tuple(map(tuple, confusion)),
        calibration=Calibration(ece=0.2, nll=0.5, brier=0.4, bins=tuple(bins)),
    )


def evaluation(names: Sequence[str] = ("cat", "dog", "cow")) -> Evaluation:
    image = JudgedImage(path=f"{names[0]}/1.png", label=names[0], student=Answer(answer=names[1], probability=0.9))
    return Evaluation(
        split=Split.TEST,
        note=None,
        images=7,
        classes=tuple(names),
        student=scores(names, [[1, 3, 0], [0, 3, 0], [0, 0, 0]]),
        teacher=scores(names, [[4, 0, 0], [0, 3, 0], [0, 0, 0]]),
        probe=None,
        majority=Majority(name=names[0], top1=4 / 7, top1_interval=(0.25, 0.84)),
        paired=(
            PairedDifference(
                other="teacher", difference=-3 / 7, interval=(-0.7, 0.01), only_this=0, only_other=3, p_value=0.25
            ),
        ),
        cells=(ConfusionCell(label=names[0], predicted=names[1], count=3, images=(image,)),),
    )


def manifest(names: Sequence[str] = ("cat", "dog", "cow"), **changes: Any) -> Manifest:
    spec = TrainingSpec(teacher="resnet18.a1_in1k", student="resnet10t", image_size=32)
    files = {"student.onnx": 2_400_123, "student.safetensors": 2_362_240, "evaluation.json": 9_000}
    content: dict[str, Any] = {
        "classes": tuple(names),
        "preprocessing": Preprocessing(
            resize_short_side=32,
            center_crop=32,
            interpolation="bilinear",
            mean=(0.485, 0.456, 0.406),
            std=(0.229, 0.224, 0.225),
        ),
        "spec": spec.model_dump(mode="json"),
        "spec_fingerprint": spec.fingerprint(),
        "seed": 0,
        "student": {"architecture": "resnet10t", "parameters": 4_924_000, "arguments": {}},
        "teacher": {"name": "resnet18.a1_in1k", "licence": "apache-2.0", "source": "timm", "sha256": "b" * 64},
        "dataset": {"digest": "d" * 64, "images": {"train": 100, "test": 7}, "split_source": "given"},
        "versions": {"python": "3.11", "torch": "2.9"},
        "device": "cpu",
        "metrics": {},
        "seconds": {"prepare": 10.0, "distill": 90.0, "decode": 5.0},
        "parity": {"student.onnx": Parity(images=7, top1_agreement=1, max_logit_difference=3e-6, bound=1e-4)},
        "measured": {
            "student.onnx": Measurement(
                bytes=2_400_123,
                latencies=(Latency(device="cpu", threads=2, batch=1, p50_ms=2.13, p95_ms=2.9, calls=50),),
            )
        },
        "withheld": {"student.int8.onnx": "It loses 4.2 points of accuracy, and 1 is allowed."},
        "files": tuple(
            ArtifactFile(name=name, bytes=size, sha256="0" * 64, media_type="x/y") for name, size in files.items()
        ),
    }
    return Manifest.model_validate(content | changes)
