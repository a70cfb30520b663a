"""No random archive is read with wrong classes or splits unless a warning says so."""

import pytest

from tests.unit.app.reading.trees import judge, make


@pytest.mark.parametrize("first", range(0, 300, 50))
def test_no_wrong_classes_without_a_warning(first: int) -> None:
    """`python -m tests.unit.app.reading.trees 2000` tries more."""
    outcomes = {seed: judge(make(seed)) for seed in range(first, first + 50)}
    assert {seed: outcome for seed, outcome in outcomes.items() if outcome.how == "wrong"} == {}
    assert sum(outcome.how in ("right", "asked") for outcome in outcomes.values()) >= 40
