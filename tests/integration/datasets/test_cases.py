"""Inputs that people really have (`../shared/cases`), through the service: what each is understood to be.

Cases about other things than the import are not here: a learning rate, TorchScript, the lines of docs/exports.md (whose
images are imported all the same).
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.bad_inputs.importing import Door, open_door

FRUIT = ["lemon", "lime", "plum"]


@dataclass(frozen=True)
class Expected:
    """What is right."""

    sentence: str
    """A part of the layout's."""
    classes: list[str]
    warns: tuple[str, ...] = ()
    """Parts of warnings."""
    totals: dict[str, int] | None = None
    state: str = "ready"


CASES = {
    "brain_tumor_kaggle": Expected(
        "4 classes from the second folder level, splits from `Testing` and `Training`",
        ["glioma", "meningioma", "notumor", "pituitary"],
        totals={"train": 28, "val": 4, "test": 12},
    ),
    "seg_train_intel": Expected("from the third folder level, splits from `seg_test` and `seg_train`", FRUIT),
    "kaggle_cassava": Expected("from the column `label` of `train.csv`", FRUIT),
    "places_nested": Expected(
        "2 readings are possible", ["airfield", "alley", "bakery", "beach"], state="needs_answer"
    ),
    "class_all_heic": Expected(
        "2 classes (1 more is lost) from the top folders",
        ["cat", "dog"],
        ("The class 'bird' is lost", "HEIC image: save"),
    ),
    "gbk_names": Expected("3 classes from the top folders", ["李子", "柠檬", "青柠"], ("were read as gbk",)),
    "class_starts_with_dot": Expected(
        "2 classes", ["java logo", "rust logo"], ("The hidden folder '.NET logo' was left out with its 8 images",)
    ),
    "grey16_docs_snippet": Expected("3 classes from the top folders", FRUIT),
    "cutout_docs_snippet": Expected("3 classes from the top folders", FRUIT),
    "case_classes_a_A": Expected("3 classes from the top folders", ["A", "a", "b"], ("differ only by letter case",)),
    "powershell5_backslash": Expected("3 classes from the second folder level", FRUIT),
    "kaggle_dog_breed": Expected("from the column `breed` of `labels.csv`", FRUIT),
    "roboflow_multiclass_csv": Expected(
        "`valid/_classes.csv`, splits from `test`, `train` and `valid`",
        FRUIT,
        totals={"train": 24, "val": 9, "test": 9},
    ),
    "labelstudio_csv": Expected("from the column `choice` of `project-1-at", FRUIT),
    "cvat_images_xml": Expected("from CVAT for images (`annotations.xml`)", FRUIT),
    "datumaro_geti": Expected("from Datumaro JSON (`annotations/default.json`)", FRUIT),
    "hf_parquet_repo": Expected("from the column `label` of a parquet table", FRUIT),
    "webdataset": Expected("from WebDataset (`*.cls`)", ["0", "1", "2"], ("bare numbers",)),
    "csv_label_case": Expected(
        "6 classes", ["Lemon", "lemon", "Lime", "lime", "Plum", "plum"], ("only by letter case",)
    ),
    "cvat_imagenet_unannotated": Expected(
        "3 classes from the top folders", FRUIT, totals={"train": 15, "val": 3, "test": 6, "unlabelled": 5}
    ),
    "hf_metadata_jsonl_int": Expected("from the column `label` of `train/metadata.jsonl`", FRUIT),
    "empty_class_folder": Expected("3 classes", FRUIT, ("Class folders without a file: `pear`",)),
    "class_colon": Expected("2 classes", ["A: ok", "B: scratched"]),
    "csv_pandas_index": Expected("the column `label` of `labels.csv`", FRUIT),
    "csv_extra_column": Expected("the column `label` of `labels.csv`", FRUIT),
    "csv_trailing_commas": Expected("the column `label` of `labels.csv`", FRUIT),
    "csv_filename_class": Expected("the column `class` of `labels.csv`", FRUIT),
    "csv_no_header": Expected("column 2 of `labels.csv`", FRUIT),
    "csv_case_ext": Expected("the column `label` of `labels.csv`", FRUIT),
    "csv_one_missing": Expected(
        "the column `label` of `labels.csv`", FRUIT, ("left out: 2 of 26: line 26 'img/lost_1.jpg' (nearest:",)
    ),
    "csv_duplicate_row": Expected(
        "the column `label` of `labels.csv`", FRUIT, totals={"train": 15, "val": 3, "test": 6}
    ),
    "nfd_nfc_classes": Expected(
        "splits from `train` and `val`", ["Café crème", "milk", "tea"], totals={"val": 9, "train": 18, "test": 6}
    ),
    "kaggle_nested_zip": Expected("the column `diagnosis` of `train.csv`", ["0", "1", "2"], ("bare numbers",)),
    "coco_json": Expected("from COCO (`annotations/instances_default.json`)", FRUIT),
}
REFUSED = {
    "all_lfs": ("Git LFS pointer", "git lfs pull"),
    "tfrecord": ("is a TFRecord file", "one folder per class"),
}


@pytest.fixture(scope="module")
def cases() -> Path:
    root = Path(__file__).resolve().parents[3]
    folder = Path(os.environ.get("TDMR_SHARED") or root.parent / "shared") / "cases"
    if not folder.is_dir():
        pytest.skip("no shared cases beside the repository, and TDMR_SHARED names none")
    return folder


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    yield from open_door(tmp_path_factory.mktemp("home"))


def archive_of(cases: Path, name: str) -> bytes:
    (archive,) = (cases / name).iterdir()
    return archive.read_bytes()


@pytest.mark.parametrize("name", [name for name, expected in CASES.items() if expected.state == "ready"])
def test_is_understood(door: Door, cases: Path, name: str) -> None:
    expected, report = CASES[name], door.ready(archive_of(cases, name))
    assert expected.sentence in report["layout"]["sentence"]
    assert report["classes"] == expected.classes
    for words in expected.warns:
        assert any(words in warning for warning in report["warnings"]), report["warnings"]
    if name == "class_all_heic":
        assert "'bird' is lost" in report["warnings"][0]
    if expected.totals is not None:
        assert {split: count for split, count in report["totals"].items() if count} == expected.totals
    shown = door.http.get(f"/v1/datasets/{report['id']}").json()
    assert shown["layout"] == report["layout"]


@pytest.mark.parametrize("name", [name for name, expected in CASES.items() if expected.state == "needs_answer"])
def test_asks(door: Door, cases: Path, name: str) -> None:
    expected, dataset = CASES[name], door.imported(archive_of(cases, name))
    assert (dataset["state"], dataset["classes"]) == ("needs_answer", None)
    assert expected.sentence in dataset["layout"]["sentence"]
    meant = next(one["id"] for one in dataset["layout"]["readings"] if one["classes"] == expected.classes)
    answered = answer(door, dataset, meant)
    assert (answered["state"], answered["classes"]) == ("ready", expected.classes)


@pytest.mark.parametrize("name", REFUSED)
def test_is_refused_by_name(door: Door, cases: Path, name: str) -> None:
    words, advice = REFUSED[name]
    assert words in door.rejected(archive_of(cases, name))
    (dataset,) = door.http.get("/v1/datasets?limit=1").json()["data"]
    assert advice in dataset["error"]["hint"]


def test_a_browser_on_windows_sends_its_own_media_type(door: Door, cases: Path) -> None:
    body = archive_of(cases, "brain_tumor_kaggle")
    made = door.http.post("/v1/datasets", content=body, headers={"Content-Type": "application/x-zip-compressed"})
    assert made.status_code == 202


def answer(door: Door, dataset: dict[str, Any], layout: str) -> dict[str, Any]:
    """The data set after its second import."""
    chosen = door.http.post(f"/v1/datasets/{dataset['id']}/layout", json={"layout": layout})
    assert (chosen.status_code, chosen.json()["state"]) == (202, "validating"), chosen.text
    door.importer.run(dataset["id"])
    ended: dict[str, Any] = door.http.get(f"/v1/datasets/{dataset['id']}").json()
    return ended
