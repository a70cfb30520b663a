"""What an idle worker measures of networks, with a real one."""

import io
import json

import pytest

from app.domain.runtime import RuntimeConfig
from worker.training.engine.reporter import Reporter
from worker.training.measure import OPTIMISERS, SIZE, SMALL, measure_networks

NAME = "mobilenetv3_small_050"


@pytest.mark.slow
def test_a_network_is_told_in_parts_that_estimates_put_together() -> None:
    out = io.StringIO()
    measure_networks(Reporter(out), [NAME], RuntimeConfig())
    told = {
        (line["work"], line.get("size", 0), line.get("how", "")): line["amount"]
        for line in map(json.loads, out.getvalue().splitlines())
        if line["type"] == "speed" and line["subject"] == NAME
    }
    assert set(told) == {
        ("activations", SIZE, ""),
        ("forward", SIZE, ""),
        ("learn", SMALL, ""),
        ("learn", SIZE, ""),
        *(("step", 0, optimiser) for optimiser in OPTIMISERS),
    }
    assert told["learn", SMALL, ""] <= told["learn", SIZE, ""]
    assert all(amount > 0 for amount in told.values())
