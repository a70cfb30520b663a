"""Reading cards of local teachers: what is usable is offered, what is not is left out and said."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from worker.training.models.weights import list_local


def card(**changes: Any) -> dict[str, Any]:
    return {
        "file": "tiny.glyphs.safetensors",
        "sha256": "0" * 64,
        "architecture": "resnet10t",
        "kwargs": {"in_chans": 3},
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
        "input_size": [3, 64, 64],
        "interpolation": "bilinear",
        "trained_on": "glyphs",
        "classifier": False,
        "source": "ours",
        "licence": "Apache-2.0",
        "made_by": "a script",
    } | changes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tiny.glyphs.safetensors").write_bytes(b"weights")
    return tmp_path


class TestListLocal:
    def test_finds_a_card_beside_its_weights(self, folder: Path) -> None:
        (folder / "tiny.glyphs.json").write_text(json.dumps(card()))

        weights = list_local(folder)["tiny.glyphs"]

        assert weights.path == folder / "tiny.glyphs.safetensors"
        assert weights.card.architecture == "resnet10t"
        assert weights.card.kwargs == {"in_chans": 3}
        assert weights.card.input_size == (3, 64, 64)

    def test_finds_all_cards_of_one_file(self, folder: Path) -> None:
        (folder / "weights.json").write_text(json.dumps({"a.one": card(), "a.two": card()}))

        assert {"a.one", "a.two"} <= set(list_local(folder))

    @pytest.mark.parametrize(
        ("broken", "said"),
        [
            (card(file="../tiny.glyphs.safetensors"), "file"),
            (card(file="absent.safetensors"), "not beside its card"),
            (card(file="broken.json"), "not a .safetensors"),
            (card(sha256="short"), "sha256"),
            (card(mean=[0.5]), "mean"),
            (card(architecture="hf-hub:someone/net"), "architecture"),
            ([1, 2], "name"),
        ],
    )
    def test_leaves_a_broken_card_out_and_keeps_the_others(
        self, folder: Path, caplog: pytest.LogCaptureFixture, broken: object, said: str
    ) -> None:
        (folder / "broken.json").write_text(json.dumps(broken))
        (folder / "tiny.glyphs.json").write_text(json.dumps(card()))

        with caplog.at_level(logging.WARNING):
            found = list_local(folder)

        assert "broken" not in found
        assert "tiny.glyphs" in found
        assert said in caplog.text

    def test_leaves_out_a_file_that_is_no_json(self, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
        (folder / "weights.json").write_text("{")
        (folder / "tiny.glyphs.json").write_text(json.dumps(card()))

        assert "tiny.glyphs" in list_local(folder)
        assert "weights.json" in caplog.text

    def test_refuses_a_name_that_no_spec_could_ask_for(self, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
        (folder / "weights.json").write_text(json.dumps({"../x": card()}))

        assert "../x" not in list_local(folder)
        assert "'../x'" in caplog.text

    def test_says_that_the_folder_is_absent(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        list_local(tmp_path / "absent")

        assert "no folder of models" in caplog.text
