"""The script that makes the shipped teacher, for a few steps."""

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file

from benchmarks.models.pretrain_teacher import main
from worker.training.models.weights import list_local

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    main([str(folder), "--steps", "2", "--seed", "1"])
    return folder


class TestMain:
    def test_writes_a_teacher_that_workers_can_load(self, folder: Path) -> None:
        found = list_local(folder)["resnet10t.glyphs62"]
        assert found.path.parent == folder
        model = timm.create_model(found.card.architecture, num_classes=0, **found.card.kwargs)
        model.load_state_dict(load_file(found.path), strict=True)
        assert model.eval()(torch.zeros(1, *found.card.input_size)).isfinite().all()
