"""Methods are found in their modules, and the service knows those of the release."""

import json

from app.domain.config import DistillConfig, StudentConfig
from app.domain.methods import RELEASED, MethodInfo
from worker.training.methods.registry import METHODS


def test_what_the_service_holds_is_what_the_modules_say() -> None:
    released = [MethodInfo.model_validate(row) for row in json.loads(RELEASED.read_bytes())]
    assert {"tdmr", "kd", "scratch", "probe"} <= {info.name for info in released}
    for info in released:
        assert METHODS[info.name].info.model_dump(mode="json") == info.model_dump(mode="json")


def test_every_method_reads_options_that_there_are() -> None:
    choosy = DistillConfig.model_fields.keys() - StudentConfig.model_fields.keys()
    read = set()
    for one in METHODS.values():
        assert set(one.info.reads) <= choosy, one.info.name
        assert not one.info.options.keys() & DistillConfig.model_fields.keys(), one.info.name
        assert (one.task is not None) == one.info.needs_student
        read |= set(one.info.reads)
    assert read == choosy
