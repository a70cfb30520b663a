"""Exports of other tools."""

from typing import Any

import pytest

from app.domain.dataset import Split
from tests.unit.app.reading.reading_helpers import FRUIT, chosen, counts, fruit_images, refused, splits

IMAGES = fruit_images()
NAMES = {path: path.rpartition("/")[2] for path in IMAGES}
ALL = dict.fromkeys(FRUIT, 3)


def coco(boxes: bool = False, twice: bool = False) -> dict[str, Any]:
    annotations = [
        {"image_id": n, "category_id": FRUIT.index(name) + 1} | ({"bbox": [1, 1, 5, 5]} if boxes else {})
        for n, name in enumerate(IMAGES.values())
    ]
    if twice:
        annotations += [a | {"category_id": a["category_id"] % 3 + 1} for a in annotations]
    return {
        "images": [{"id": n, "file_name": NAMES[path]} for n, path in enumerate(IMAGES)],
        "annotations": annotations,
        "categories": [{"id": n + 1, "name": name} for n, name in enumerate(FRUIT)],
    }


def datumaro(kind: str = "label") -> dict[str, Any]:
    return {
        "categories": {"label": {"labels": [{"name": name} for name in FRUIT]}},
        "items": [
            {
                "id": NAMES[path][:-4],
                "annotations": [{"type": kind, "label_id": FRUIT.index(name)}],
                "image": {"path": NAMES[path]},
            }
            for path, name in IMAGES.items()
        ],
    }


def label_studio(kind: str = "choices", labels: int = 1) -> list[dict[str, Any]]:
    return [
        {
            "id": n,
            "data": {"image": f"/data/upload/1/0a1b2c3d-{NAMES[path]}"},
            "annotations": [
                {"result": [{"type": kind, "to_name": "image", "value": {kind: [name, "ripe"][:labels]}}]},
                {"was_cancelled": True, "result": []},
            ],
        }
        for n, (path, name) in enumerate(IMAGES.items())
    ]


def cvat(element: str) -> str:
    images = "".join(
        f'<image name="{NAMES[path]}" subset="{"Train" if n % 3 else "Validation"}">{element.format(name)}</image>'
        for n, (path, name) in enumerate(IMAGES.items())
    )
    return f'<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version>{images}</annotations>'


FIFTYONE = {"classes": list(FRUIT), "labels": {NAMES[p][:-4]: FRUIT.index(c) for p, c in IMAGES.items()}}
SAMPLES = {
    "samples": [
        {"filepath": f"data/{NAMES[p]}", "tags": ["train"], "ground_truth": {"_cls": "Classification", "label": c}}
        for p, c in IMAGES.items()
    ]
}


class TestTaken:
    @pytest.mark.parametrize(
        ("texts", "format"),
        [
            ({"annotations/instances_default.json": coco()}, "COCO"),
            ({"a.json": coco(boxes=True)}, "COCO"),
            ({"annotations/default.json": datumaro()}, "Datumaro"),
            ({"project.json": label_studio()}, "Label Studio"),
            ({"annotations.xml": cvat('<tag label="{}" source="manual"></tag>')}, "CVAT"),
            ({"labels.json": FIFTYONE}, "FiftyOne"),
            ({"samples.json": SAMPLES}, "FiftyOne"),
            (
                {
                    "min.json": [
                        {"image": f"/data/upload/1/{NAMES[p]}", "choice": c, "id": 1} for p, c in IMAGES.items()
                    ]
                },
                "choice",
            ),
            ({"a.json": {NAMES[p]: c for p, c in IMAGES.items()}}, "JSON file a.json"),
            ({"a.json": {c: [p for p in IMAGES if IMAGES[p] == c] for c in FRUIT}}, "JSON file a.json"),
            (
                {"train.jsonl": "".join(f'{{"image": "{p}", "label": "{c}"}}\n' for p, c in IMAGES.items())},
                "train.jsonl",
            ),
        ],
    )
    def test_every_image_has_its_class(self, texts: dict[str, object], format: str) -> None:
        choice = chosen(IMAGES, texts)
        assert counts(choice) == ALL
        assert format in choice.reading.source

    def test_roboflows_coco_for_each_split(self) -> None:
        texts = {f"{split}/_annotations.coco.json": coco() for split in ("train", "valid")}
        images = [f"{split}/{name}" for split in ("train", "valid") for name in NAMES.values()]
        choice = chosen(images, texts)
        assert splits(choice)["valid/lemon_0.jpg"] == "val"
        assert counts(choice) == dict.fromkeys(FRUIT, 6)

    def test_cvats_subsets_are_splits(self) -> None:
        choice = chosen(IMAGES, {"annotations.xml": cvat('<tag label="{}"></tag>')})
        assert set(splits(choice).values()) == {Split.TRAIN, Split.VAL}

    def test_images_that_nobody_has_labelled_are_unlabelled(self) -> None:
        document = coco()
        del document["annotations"][0]
        choice = chosen(IMAGES, {"a.json": document})
        assert counts(choice) == ALL | {"lemon": 2}
        assert any("without a label in COCO: 1" in warning for warning in choice.warnings)

    @pytest.mark.parametrize("suffix", [".cls", ".json", ".txt"])
    def test_webdataset(self, suffix: str) -> None:
        images = [f"shard-{n // 5}/{n:06d}.jpg" for n in range(12)]
        label = {".cls": "{}", ".json": '{{"label": {}}}', ".txt": "{}"}[suffix]
        texts: dict[str, object] = {path[:-4] + suffix: label.format(n % 3).encode() for n, path in enumerate(images)}
        choice = chosen(images, texts | {"classnames.txt": "lemon\nlime\nplum\n"})
        assert counts(choice) == dict.fromkeys(FRUIT, 4)

    @pytest.mark.parametrize("label", ["cls", "cls.txt", "class"])
    def test_webdataset_whose_samples_hold_several_files(self, label: str) -> None:
        samples = {f"train-0000/{number:04}": FRUIT[number % 3] for number in range(9)}
        images = [f"{sample}.{kind}" for sample in samples for kind in ("seg.png", "view.jpg")]
        choice = chosen(images, {f"{sample}.{label}": name for sample, name in samples.items()})
        assert counts(choice) == {"lemon": 3, "lime": 3, "plum": 3}
        assert all(path.endswith(".view.jpg") for path in choice.reading.placements)
        assert len(choice.reading.skipped) == 9

    @pytest.mark.parametrize("shard", ["shard-{}", "0000{}", "pets-00000{}", "train-00000{}"])
    @pytest.mark.parametrize("suffix", [".cls", ".txt"])
    def test_the_folders_of_shards_are_no_classes(self, shard: str, suffix: str) -> None:
        images = [f"{shard.format(n // 6)}/{n:06d}.jpg" for n in range(18)]
        choice = chosen(images, {path[:-4] + suffix: FRUIT[n % 3] for n, path in enumerate(images)})
        assert counts(choice) == dict.fromkeys(FRUIT, 6)

    def test_imagenets_text_files(self) -> None:
        texts = {
            "train.txt": "".join(f"{p} {FRUIT.index(c)}\n" for p, c in list(IMAGES.items()) if not p.endswith("2.jpg")),
            "val.txt": "".join(f"{p} {FRUIT.index(c)}\n" for p, c in list(IMAGES.items()) if p.endswith("2.jpg")),
            "synsets.txt": "lemon\nlime\nplum\n",
        }
        choice = chosen(IMAGES, texts)
        assert counts(choice) == ALL
        assert splits(choice)["img/lime_2.jpg"] == "val"


class TestRefused:
    @pytest.mark.parametrize(
        ("texts", "words"),
        [
            (
                {"a.json": coco(boxes=True, twice=True)},
                "COCO has boxes or shapes of several classes in an image: 9 of 9",
            ),
            ({"a.json": coco(twice=True)}, "COCO has several labels for an image: 9 of 9"),
            ({"p.json": label_studio(labels=2)}, "Label Studio JSON has several labels for an image"),
            (
                {"p.json": label_studio("rectanglelabels", 2)},
                "Label Studio JSON has boxes or shapes of several classes",
            ),
            ({"a.xml": cvat('<tag label="{}"/><tag label="ripe"/>')}, "CVAT for images has several labels"),
            ({"a.xml": cvat('<box label="{}"/><box label="ripe"/>')}, "CVAT for images has boxes or shapes"),
            (
                {f"labels/{n[:-4]}.txt": "0 0.5 0.5 0.1 0.2\n1 0.1 0.1 0.2 0.2\n" for n in NAMES.values()},
                "This is YOLO with boxes",
            ),
            (
                {
                    f"Annotations/{n[:-4]}.xml": "<annotation><object><bndbox></bndbox></object></annotation>"
                    for n in NAMES.values()
                },
                "This is Pascal VOC: 9 XML files with boxes",
            ),
            (
                {"p.csv": "image,choice\n" + "".join(f'{p},"{{""choices"": [""a"", ""b""]}}"\n' for p in IMAGES)},
                "several labels",
            ),
        ],
    )
    def test_by_name_with_what_to_do(self, texts: dict[str, object], words: str) -> None:
        told = refused(IMAGES, texts)
        assert words in told
        assert "one folder per class" in told or "Keep one label" in told

    @pytest.mark.parametrize("kind", ["a TFRecord file", "an HDF5 file", "a pickle", "an IDX file"])
    def test_files_that_hold_images_in_themselves(self, kind: str) -> None:
        assert f"'data/x' is {kind}" in refused([], others={"data/x": kind})

    def test_beside_class_folders_they_are_only_named(self) -> None:
        images = [f"{name}/{i}.jpg" for name in FRUIT for i in range(3)]
        choice = chosen(images, others={"weights.h5": "an HDF5 file"})
        assert counts(choice) == ALL
        assert any("'weights.h5' is an HDF5 file" in warning for warning in choice.warnings)

    @pytest.mark.parametrize(
        "text",
        [
            '<!DOCTYPE a [<!ENTITY x "y">]><annotations>&x;</annotations>',
            "<annotations><image",
            "[" * 100_000,
            '{"images": [1',
        ],
    )
    def test_hostile_documents_do_no_harm(self, text: str) -> None:
        images = [f"{name}/{i}.jpg" for name in FRUIT for i in range(3)]
        assert counts(chosen(images, {"a.xml": text, "b.json": text})) == ALL

    @pytest.mark.parametrize(
        "document",
        [
            {
                "images": [{"id": [1], "file_name": 3}],
                "annotations": [{"image_id": {}, "category_id": []}],
                "categories": [{"id": []}],
            },
            {"categories": {"label": {"labels": [{"name": 1}]}}, "items": [{"id": [], "annotations": 7, "image": 3}]},
            {"classes": 3, "labels": {"a": {"label": {"label": {}}}}},
            {"samples": [{"filepath": "a", "x": {"_cls": "Detections", "detections": [3]}, "tags": 1}]},
            [{"data": {"image": 1}, "annotations": [{"result": 3}, 4]}],
            {"9" * 400: "a", "1": "b"},
            {"0": "\ud800", "1": "b", "2": "c"},
            [[[]], None, 3],
        ],
    )
    def test_documents_of_any_shape_do_no_harm(self, document: object) -> None:
        images = [f"{name}/{i}.jpg" for name in range(3) for i in range(3)]
        assert counts(chosen(images, {"a.json": document})) == {"0": 3, "1": 3, "2": 3}


class TestFilesBesideImagesInClassFolders:
    IMAGES = tuple(f"{fruit}/{fruit}_{n}.jpg" for fruit in FRUIT for n in range(4))

    @pytest.mark.parametrize(
        ("suffix", "values"),
        [
            (".txt", ("front view", "side view")),
            (".txt", ("0", "1")),
            (".json", ('{"class": "day"}', '{"class": "night"}')),
            (".cls", ("a", "b")),
        ],
    )
    def test_that_give_other_classes_are_asked_about(self, suffix: str, values: tuple[str, str]) -> None:
        choice = chosen(self.IMAGES, {path[:-4] + suffix: values[n % 2] for n, path in enumerate(self.IMAGES)})
        assert choice.asks
        assert sorted([choice.reading.id, *(r.id for r in choice.others)]) == ["folders:1", "webdataset"]

    @pytest.mark.parametrize("body", ["caption {}", '{{"label": "caption {}"}}'])
    def test_that_nearly_all_differ_are_captions(self, body: str) -> None:
        suffix = ".json" if body.startswith("{") else ".txt"
        texts: dict[str, object] = {path[:-4] + suffix: body.format(n) for n, path in enumerate(self.IMAGES)}
        assert counts(chosen(self.IMAGES, texts)) == dict.fromkeys(FRUIT, 4)

    def test_that_give_the_same_classes_are_used(self) -> None:
        choice = chosen(self.IMAGES, {f"{path[:-4]}.txt": path.partition("/")[0] for path in self.IMAGES})
        assert counts(choice) == dict.fromkeys(FRUIT, 4)


class TestListedSplitsInJson:
    IMAGES = tuple(f"{fruit}/{fruit}_{n}.jpg" for fruit in FRUIT for n in range(4))

    @pytest.mark.parametrize("names", [("train", "test"), ("training", "validation")])
    @pytest.mark.parametrize("file", ["splits.json", "meta/split.json"])
    def test_are_splits_and_no_classes(self, names: tuple[str, str], file: str) -> None:
        train, other = names
        lists = {train: [p for p in self.IMAGES if "_0" not in p], other: [p for p in self.IMAGES if "_0" in p]}
        choice = chosen(self.IMAGES, {file: lists})
        assert counts(choice) == dict.fromkeys(FRUIT, 4)
        assert splits(choice)["lime/lime_0.jpg"] == other[:4].removesuffix("i")
        assert not choice.warnings

    def test_of_other_names_are_classes(self) -> None:
        images = [path.replace("/", "_") for path in self.IMAGES]
        lists = {name: [path for path in images if path.startswith(f"{name}_")] for name in FRUIT}
        assert counts(chosen(images, {"train.json": lists})) == dict.fromkeys(FRUIT, 4)


class TestSplitsAndClassesInOneJson:
    IMAGES = tuple(f"img/{n}.jpg" for n in range(12))
    LABELS = {path: FRUIT[n % 3] for n, path in enumerate(IMAGES)}
    SPLITS = {path: "test" if n < 3 else "train" for n, path in enumerate(IMAGES)}

    def files(self, label: str, split: str) -> list[str]:
        return [path for path in self.IMAGES if (self.LABELS[path], self.SPLITS[path]) == (label, split)]

    def below_splits(self) -> dict[str, object]:
        return {split: {label: self.files(label, split) for label in FRUIT} for split in ("train", "test")}

    def below_classes(self) -> dict[str, object]:
        return {label: {split: self.files(label, split) for split in ("train", "test")} for label in FRUIT}

    def by_file(self) -> dict[str, object]:
        return {
            split: {path: label for path, label in self.LABELS.items() if self.SPLITS[path] == split}
            for split in ("train", "test")
        }

    @pytest.mark.parametrize("shape", ["below_splits", "below_classes", "by_file"])
    def test_are_both_read(self, shape: str) -> None:
        choice = chosen(self.IMAGES, {"labels.json": getattr(self, shape)()})
        assert counts(choice) == dict.fromkeys(FRUIT, 4)
        assert splits(choice) == self.SPLITS
        assert not choice.warnings
