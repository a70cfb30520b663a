"""The file that vouches for the others."""

import hashlib
from pathlib import Path

import timm
import torch

from app.domain.manifest import Manifest, Parity, Preprocessing
from app.domain.spec import TrainingSpec
from worker.training.export.manifest import describe_file, describe_student, versions, write_manifest

PREPROCESSING = Preprocessing(
    resize_short_side=32, center_crop=32, interpolation="bilinear", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)
)


class TestWriteManifest:
    def test_describes_each_file_and_can_be_read_back(self, tmp_path: Path) -> None:
        (tmp_path / "student.onnx").write_bytes(b"weights")
        (tmp_path / "evaluation.json").write_text("{}")
        spec = TrainingSpec(student="test_resnet", method="scratch", seed=7)
        written = write_manifest(
            tmp_path,
            files=["student.onnx", "evaluation.json"],
            spec=spec,
            classes=["a", "b"],
            preprocessing=PREPROCESSING,
            student={"architecture": "test_resnet", "parameters": 1, "arguments": {}},
            teacher=None,
            dataset={"digest": "d"},
            device="cpu",
            metrics={"test_top1": 0.5},
            seconds={"distill": 1.5},
            parity={"student.onnx": Parity(images=2, top1_agreement=1.0, max_logit_difference=1e-6)},
        )
        read = Manifest.model_validate_json((tmp_path / "manifest.json").read_text())
        assert read == written
        assert (read.seed, read.spec_fingerprint) == (7, spec.fingerprint())
        assert TrainingSpec.model_validate(read.spec) == spec
        model, evaluation = read.files
        assert (model.name, model.bytes, model.media_type) == ("student.onnx", 7, "application/octet-stream")
        assert model.sha256 == hashlib.sha256(b"weights").hexdigest()
        assert evaluation.media_type == "application/json"
        assert {file.name for file in tmp_path.iterdir()} == {"student.onnx", "evaluation.json", "manifest.json"}

    def test_the_description_of_a_student_builds_it_again(self) -> None:
        network = timm.create_model("test_vit", num_classes=3, img_size=32)
        facts = describe_student("test_vit", network, {"img_size": 32}, 32)
        again = timm.create_model(facts["architecture"], num_classes=3, **facts["arguments"])
        again.load_state_dict(network.state_dict())
        assert facts["parameters"] == sum(p.numel() for p in again.parameters())


class TestFacts:
    def test_versions_name_what_computed(self) -> None:
        found = versions()
        assert found["timm"] == timm.__version__
        assert found["torch"] == torch.__version__
        assert {"python", "tdmr", "onnxruntime"} <= set(found)

    def test_archives_of_models_are_not_called_zip(self, tmp_path: Path) -> None:
        (tmp_path / "student.ts").write_bytes(b"PK")
        assert describe_file(tmp_path, "student.ts").media_type == "application/octet-stream"
