"""The teachers that come with the project: each is what its card says, and small enough to lie in the repository."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import load_file

import worker

FOLDER = Path(next(iter(worker.__path__))) / "models"
CARDS = sorted(FOLDER.glob("*.json"))
FIELDS = {
    "name": str,
    "file": str,
    "sha256": str,
    "architecture": str,
    "kwargs": dict,
    "mean": list,
    "std": list,
    "input_size": list,
    "interpolation": str,
    "trained_on": str,
    "classifier": bool,
    "accuracy": dict,
    "source": str,
    "licence": str,
}


@pytest.fixture(params=CARDS, ids=lambda path: path.stem)
def card(request: pytest.FixtureRequest) -> dict[str, Any]:
    return json.loads(request.param.read_text(encoding="utf-8"))


def test_every_file_of_weights_has_a_card_and_every_card_its_file() -> None:
    assert CARDS
    assert [path.stem for path in CARDS] == [path.stem for path in sorted(FOLDER.glob("*.safetensors"))]


class TestCard:
    def test_has_every_field(self, card: dict[str, Any]) -> None:
        assert {name: type(card.get(name)) for name in FIELDS} == FIELDS

    def test_is_named_after_its_file(self, card: dict[str, Any]) -> None:
        assert (FOLDER / f"{card['name']}.json") in CARDS
        assert card["file"] == f"{card['name']}.safetensors"
        assert card["name"].startswith(f"{card['architecture']}.")

    def test_says_how_to_normalise_rgb(self, card: dict[str, Any]) -> None:
        assert len(card["mean"]) == len(card["std"]) == len(card["input_size"]) == card["input_size"][0] == 3
        assert all(value > 0 for value in card["std"])


class TestWeights:
    def test_have_the_hash_of_the_card(self, card: dict[str, Any]) -> None:
        assert hashlib.sha256((FOLDER / card["file"]).read_bytes()).hexdigest() == card["sha256"]

    def test_are_smaller_than_two_megabytes(self, card: dict[str, Any]) -> None:
        assert (FOLDER / card["file"]).stat().st_size < 2_000_000

    def test_load_strictly_and_answer_with_finite_numbers(self, card: dict[str, Any]) -> None:
        model = timm.create_model(card["architecture"], num_classes=0, **card["kwargs"]).eval()
        model.load_state_dict(load_file(FOLDER / card["file"]), strict=True)
        with torch.no_grad():
            features = model(torch.zeros(2, *card["input_size"]))
        assert features.isfinite().all()

    def test_are_stored_in_half_precision_without_a_classifier(self, card: dict[str, Any]) -> None:
        state = load_file(FOLDER / card["file"])
        assert {value.dtype for value in state.values() if value.is_floating_point()} == {torch.float16}
        assert card["classifier"] is False
