"""A rerun by another worker host: another home, another cache, the same kind of machine; and the jobs side by side."""

import pytest
from stack import REAL, TOY, Stack, wait_for

from app.domain.states import JobState


@pytest.mark.slow_fault
@pytest.mark.timeout(900)  # four jobs of the real training, and workers that start with torch
def test_another_host_makes_the_same_student(stack: Stack, dataset: str) -> None:
    stack.start_api()
    first_host = stack.start_worker("a", REAL)
    wait_for(lambda: "resnet10t.glyphs62" in stack.request("GET", "/v1/teachers?limit=100").text)
    original = stack.submit(dataset_id=dataset, **TOY)
    other = stack.submit(dataset_id=dataset, **TOY | {"seed": 1})
    stack.wait_for_end(original, other)
    first_host.terminate()

    # its folder, whether its own or shared as on one machine, holds nothing of what the first one computed
    cache = stack.folder / "another cache"
    stack.start_worker("b", REAL, TDMR_CACHE_DIR=str(cache))
    rerun = stack.request("POST", f"/v1/jobs/{original}/rerun").json()["id"]
    stack.wait_for_end(rerun)
    assert stack.job(rerun).state == JobState.SUCCEEDED
    assert any(cache.rglob("*"))
    body = stack.request("GET", f"/v1/jobs/{rerun}").json()
    assert body["reproduces"] == {"tensors_equal": True, "accuracy_difference": 0.0}

    seen = stack.request("GET", f"/v1/jobs/compare?ids={original},{rerun},{other}").json()
    assert [job["id"] for job in seen["jobs"]] == [original, rerun, other]
    assert seen["spec_differences"] == [{"path": "seed", "values": {original: 0, rerun: 0, other: 1}}]
    same, *_ = seen["differences"]
    assert (same["difference"], same["only_first"], same["only_second"], same["p_value"]) == (0, 0, 0, 1)
    assert [pair["images"] for pair in seen["differences"]] == [8, 8, 8]
    assert all(pair["reason"] is None for pair in seen["differences"])
