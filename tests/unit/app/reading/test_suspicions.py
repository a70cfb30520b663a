"""Names of classes that make them doubtful."""

from collections.abc import Sequence

import pytest

from app.domain.dataset import Split
from app.domain.placement import Placement
from app.reading.reading import Reading, Strength
from app.reading.suspicions import suspicions


def told(names: Sequence[str]) -> str:
    placed = {f"{n}.jpg": Placement(Split.TRAIN, name) for n, name in enumerate(names)}
    return " ".join(suspicions(Reading("folders:1", "the top folders", placed, Strength.CLEAN)))


@pytest.mark.parametrize("other", ["cat\u200b", "\ufeffcat", "ca\u00adt", "Cat", "cát", " cat"])
def test_names_that_look_alike(other: str) -> None:
    assert "differ only by letter case, accents or spacing, or by invisible characters" in told(["cat", other, "dog"])


@pytest.mark.parametrize("names", [("0", "0.0"), ("1", "01"), ("-1", "-1.0")])
def test_numbers_that_are_the_same(names: Sequence[str]) -> None:
    assert "are the same number" in told([*names, "7"])


@pytest.mark.parametrize("names", [("1", "-1", "0"), ("0", "00x"), ("1", "10"), ("a-1", "a1")])
def test_numbers_that_are_not(names: Sequence[str]) -> None:
    assert "same number" not in told(names)
    assert "letter case" not in told(names)


@pytest.mark.parametrize("name", ["nan", "NaN", "None", "null", "N/A", "NA", "#N/A", "undefined", "?", "-"])
def test_what_programs_write_for_nothing(name: str) -> None:
    assert f"look like a missing value: `{name}`" in told(["lemon", "lime", name])
    assert f"`unlabelled_classes` = `{name}`" in told(["lemon", "lime", name])


@pytest.mark.parametrize("names", [("DE", "NA", "US"), ("unknown", "other", "nana"), ("no", "yes")])
def test_what_is_no_missing_value(names: Sequence[str]) -> None:
    assert "missing value" not in told(names)
