"""Labels in brackets, as parquet holds them."""

import io
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from app.domain.errors import DatasetRejected
from app.ingest.columnar import open_table
from app.ingest.limits import Limits
from app.reading.choose import choose
from app.reading.context import Context
from app.reading.listing import Given, Listing

arrow = pytest.importorskip("pyarrow")
CLASS_LABEL = {"names": ["cat", "dog"], "_type": "ClassLabel"}


def given(
    folder: Path,
    labels: list[object],
    name: str = "label",
    feature: object = None,
    further: Mapping[str, list[object]] | None = None,
) -> Given:
    import pyarrow.parquet

    table = arrow.table({"image": [b"\x89PNG"] * len(labels), name: labels, **(further or {})})
    if feature is not None:
        features = json.dumps({"info": {"features": {name: feature}}})
        table = table.replace_schema_metadata({"huggingface": features})
    file = io.BytesIO()
    pyarrow.parquet.write_table(table, file)
    (folder / "table").write_bytes(file.getvalue())
    return open_table(folder / "table", Limits()).given[0]


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda name: [name],
        lambda name: [name, name],
        lambda name: f"['{name}'] ",
        lambda name: {"id": 1, "name": name},
        lambda name: [{"tagId": 1, "tagName": name}],
    ],
)
@pytest.mark.parametrize("column", ["label", "tags"])
def test_one_label_is_read(tmp_path: Path, wrapped: Callable[[str], object], column: str) -> None:
    labels = given(tmp_path, [wrapped("cat"), wrapped("dog")], column).labels
    assert [*labels.values()] == ["cat", "dog"]


@pytest.mark.parametrize("feature", [[CLASS_LABEL], {"feature": CLASS_LABEL, "_type": "Sequence"}])
def test_numbers_in_lists_have_their_names(tmp_path: Path, feature: object) -> None:
    found = given(tmp_path, [[1], [0], []], feature=feature)
    assert [*found.labels.values()] == ["1", "0", None]
    assert found.names == ("cat", "dog")


@pytest.mark.parametrize("labels", [[["cat", "dog"]], [["cat"], ["cat", "dog"]], [{"box": 1}]])
def test_several_are_refused_with_what_stands_there(tmp_path: Path, labels: list[object]) -> None:
    with pytest.raises(DatasetRejected) as caught:
        given(tmp_path, labels)
    assert f"gives several labels to one image, such as {labels[-1]}" in caught.value.detail


def test_truths_and_floats_of_whole_numbers_are_labels(tmp_path: Path) -> None:
    assert [*given(tmp_path, [True, False, None]).labels.values()] == ["True", "False", None]
    assert [*given(tmp_path, [0.0, 1.0, float("nan")]).labels.values()] == ["0", "1", None]
    with pytest.raises(DatasetRejected, match="neither text nor a whole number"):
        given(tmp_path, [0.5, 1.0])


def test_captions_are_no_classes(tmp_path: Path) -> None:
    captions: list[object] = [f"a photo of the cat number {number}" for number in range(9)]
    with pytest.raises(DatasetRejected, match="No column of a parquet table tells a class; it has image, text"):
        given(tmp_path, captions, "text")
    assert len(set(given(tmp_path, ["cat", "dog"] * 5, "text").labels.values())) == 2


WORDS: list[object] = ["train", "test", "validation", "train"]


@pytest.mark.parametrize(
    ("column", "cells", "expected"),
    [
        ("split", WORDS, ["train", "test", "val", "train"]),
        ("Subset", WORDS, ["train", "test", "val", "train"]),
        ("is_test", [False, True, False, False], ["train", "test", "train", "train"]),
        ("is_valid", [0, 1, 0, 0], ["train", "val", "train", "train"]),
        ("fold", [1, 2, 3, 4], None),
        ("split", ["train", "test", None, "train"], None),
        ("split", ["train", "train", "train", "train"], None),
        ("remark", ["a", "b", "train", "test"], None),
    ],
)
def test_a_column_of_splits_tells_them(
    tmp_path: Path, column: str, cells: list[object], expected: list[str] | None
) -> None:
    found = given(tmp_path, ["cat", "dog", "cat", "dog"], further={column: cells})
    choice = choose(Context(Listing(tuple(found.labels), given=(found,))))
    drawn = ["train"] * 4
    assert [str(p.split) for _, p in sorted(choice.reading.placements.items())] == (expected or drawn)
    assert choice.reading.splits == (f"the column `{column}`" if expected else None)


@pytest.mark.parametrize(
    ("cells", "why"),
    [
        (["test", "test"], "names no images for training, only `test`"),
        (["train", "train", "test", None], "names no split in 1 rows"),
    ],
)
def test_a_column_that_is_not_used_is_told(tmp_path: Path, cells: list[object], why: str) -> None:
    found = given(tmp_path, ["cat", "dog"] * (len(cells) // 2), further={"split": cells})
    choice = choose(Context(Listing(tuple(found.labels), given=(found,))))
    assert choice.reading.splits is None
    assert choice.warnings == [f"The column `split` {why}, so the splits are not taken from it."]


def test_splits_survive_the_renaming_of_images(tmp_path: Path) -> None:
    """As a table inside an archive has it: the images stand in a folder called like the table."""
    found = given(tmp_path, ["cat", "dog", "cat", "dog"], further={"split": WORDS})
    moved = replace(found, labels={f"all/{path}": label for path, label in found.labels.items()})
    reading = choose(Context(Listing(tuple(moved.labels), given=(moved,)))).reading
    assert Counter(str(p.split) for p in reading.placements.values()) == {"train": 2, "val": 1, "test": 1}
