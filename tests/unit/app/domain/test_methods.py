"""Which options a method reads, and that specs of earlier releases mean what they meant."""

from typing import Any

import pytest
from pydantic import ValidationError

from app.domain.methods import METHODS
from app.domain.spec import TrainingSpec


def spec(**changes: Any) -> TrainingSpec:
    return TrainingSpec.model_validate({"teacher": "a", "student": "b"} | changes)


class TestOwnOptions:
    def test_are_typed_and_bounded_as_their_method_says(self) -> None:
        assert spec(method="rkd", distill={"distance_weight": 3}).distill.own == {"distance_weight": 3}
        for wrong in (-1, "3", True, None):
            with pytest.raises(ValidationError) as raised:
                spec(method="rkd", distill={"distance_weight": wrong})
            assert [error["loc"] for error in raised.value.errors()] == [("distill", "distance_weight")]

    @pytest.mark.parametrize("name", ["distance_weight", "align_wieght"])
    def test_of_another_method_or_of_none_are_extra(self, name: str) -> None:
        with pytest.raises(ValidationError) as raised:
            spec(method="kd", distill={name: 1.0})
        assert [(error["loc"], error["type"]) for error in raised.value.errors()] == [
            (("distill", name), "extra_forbidden")
        ]

    def test_survive_json(self) -> None:
        given = spec(method="dkd", distill={"others_weight": 2.0})
        assert TrainingSpec.model_validate_json(given.model_dump_json()) == given
        assert given.fingerprint() != spec(method="dkd").fingerprint()


class TestUnreadOptions:
    def test_are_those_that_would_have_no_effect(self) -> None:
        distill = {"align_weight": 0.5, "temperature": 3, "image_steps": 64}
        assert spec(method="kd", distill=distill).unread_options == ["align_weight"]
        assert spec(method="scratch", distill=distill).unread_options == ["align_weight", "temperature"]
        assert spec(method="tdmr", distill=distill).unread_options == []
        assert spec(method="probe", distill={"image_steps": 64}).unread_options == ["image_steps"]

    @pytest.mark.parametrize("method", METHODS)
    def test_a_spec_as_the_service_shows_it_can_be_sent_again(self, method: str) -> None:
        assert TrainingSpec.model_validate(spec(method=method).model_dump(mode="json")).unread_options == []


def test_a_stored_spec_is_read_even_where_its_method_is_not_known() -> None:
    stored = spec(method="dkd", distill={"others_weight": 2.0}).model_dump(mode="json") | {"method": "unheard-of"}
    with pytest.raises(ValidationError):
        TrainingSpec.model_validate(stored)
    assert TrainingSpec.read(stored).every_student == ("b",)
    assert TrainingSpec.read(stored).model_dump(mode="json") == stored


@pytest.mark.parametrize(
    ("given", "fingerprint"),
    [
        ({}, "516547fbf50fc12f982689d83d0e20dbff0f32fc67219a32a5345fb6b421428e"),
        (
            {"method": "kd", "distill": {"align_weight": 0.5, "image_steps": 64}},
            "b467c6261025449d5fba2e6075ae4235c67f56aa045c5c52a613c0d36ffd7f54",
        ),
        (
            {"method": "rkd", "views": {"count": 8}},
            "b0954ababd40f33f1c75e19249cff7c097793a85f4f8152a5411fb990e0555ad",
        ),
    ],
)
def test_a_paused_job_of_the_release_before_goes_on(given: dict[str, Any], fingerprint: str) -> None:
    """Its output folder is claimed by the fingerprint, and its unread options were accepted."""
    # stored as that release had it: without `auto`
    assert spec(**{"pretrained": False, **given}).fingerprint() == fingerprint
