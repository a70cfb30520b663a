"""Names of classes that make them doubtful."""

from collections.abc import Sequence

import pytest

from app.domain.dataset import Split
from app.domain.placement import Placement
from app.reading.reading import Reading, Strength
from app.reading.suspicions import suspicions


def told(names: Sequence[str], id: str = "folders:1", below: str = "", splits: str | None = None) -> str:
    placed = {f"{name}/{below}{n}.jpg": Placement(Split.TRAIN, name) for n, name in enumerate(names)}
    return " ".join(suspicions(Reading(id, "the top folders", placed, Strength.CLEAN, splits=splits)))


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
@pytest.mark.parametrize("id", ["table:labels.csv", "embedded"])
def test_what_programs_write_for_nothing(name: str, id: str) -> None:
    found = told(["lemon", "lime", name], id)
    assert f"look like a missing value: `{name}`" in found
    assert f"`unlabelled_classes` = `{name}`" in found


@pytest.mark.parametrize("names", [("DE", "NA", "US"), ("unknown", "other", "nana"), ("no", "yes")])
def test_what_is_no_missing_value(names: Sequence[str]) -> None:
    assert "missing value" not in told(names, "table:labels.csv")


@pytest.mark.parametrize("name", ["none", "null", "n_a", "NA"])
def test_a_folder_is_called_so_by_somebody(name: str) -> None:
    assert not told(["scratch", "dent", name])


def test_one_letter_in_both_cases() -> None:
    assert "differ only by" in told(["A", "a", "B"])


@pytest.mark.parametrize("other", ["wild-cat", "Wild_Cat", "wild  cat", "wíld cat", "wild cat "])
def test_names_that_are_spelled_in_two_ways(other: str) -> None:
    assert "differ only by" in told(["wild cat", other, "dog"])


@pytest.mark.parametrize(
    "names",
    [
        ("か", "が"),
        ("は", "ば", "ぱ"),
        ("и", "й"),
        ("A", "a", "B", "b"),
        ("A", "A+", "A-"),
        ("A", "A_"),
        ("C", "C++", "C#"),
    ],
)
def test_names_that_are_not(names: Sequence[str]) -> None:
    assert not told(names)


@pytest.mark.parametrize(
    "names",
    [("mask", "no_mask"), ("raw", "medium", "burnt"), ("photos", "drawings", "paintings"), ("GT", "SUV", "van")],
)
def test_one_word_for_files_among_others_is_a_class(names: Sequence[str]) -> None:
    assert not told(names)


@pytest.mark.parametrize("names", [("images", "masks"), ("images", "masks", "lemon")])
def test_words_for_files_are_told(names: Sequence[str]) -> None:
    assert "called like folders of files: `images` and `masks`" in told(names)


@pytest.mark.parametrize("below", ["", "day/"])
def test_classes_called_like_several_splits(below: str) -> None:
    assert "called like splits: `test` and `train`" in told(["train", "test", "bus"], below=below)


@pytest.mark.parametrize("names", [("train", "bus", "car"), ("valid", "invalid")])
@pytest.mark.parametrize("id", ["folders:1", "table:labels.csv"])
def test_a_class_called_like_one_split(names: Sequence[str], id: str) -> None:
    """A vehicle or a ticket, perhaps; but who packed two splits of one class each must hear of it."""
    assert f"called like splits: `{names[0]}`" in told(names, id)
