"""Exports of labelling tools that are a file for each image, a line for each image, or a document of attributes."""

import json
from collections.abc import Callable, Mapping

import pytest

from tests.unit.app.reading.reading_helpers import FRUIT, chosen, counts, fruit_images, refused, splits

IMAGES = fruit_images(each=4)
Texts = dict[str, object]


def in_lines(records: list[object]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def labelme(*, flags: bool = True) -> Texts:
    return {
        f"{path[:-4]}.json": {
            "flags": {fruit: fruit == name for fruit in FRUIT} if flags else {},
            "shapes": [] if flags else [{"label": name, "points": [[1, 1], [9, 9], [3, 8]]}],
            "imagePath": path[4:],
            "imageData": None,
        }
        for path, name in IMAGES.items()
    }


def supervisely() -> Texts:
    return {
        f"ann/{path[4:]}.json": {"tags": [{"name": name}], "size": {"height": 4, "width": 4}, "objects": []}
        for path, name in IMAGES.items()
    }


def ground_truth(suffix: str = ".manifest") -> Texts:
    records: list[object] = [
        {
            "source-ref": f"s3://bucket/{path}",
            "fruit": FRUIT.index(name),
            "fruit-metadata": {"class-name": name, "type": "groundtruth/image-classification"},
        }
        for path, name in IMAGES.items()
    ]
    return {f"output{suffix}": in_lines(records)}


def vertex() -> Texts:
    use = "aiplatform.googleapis.com/ml_use"
    records: list[object] = [
        {
            "imageGcsUri": f"gs://bucket/{path}",
            "classificationAnnotation": {"displayName": name},
            "dataItemResourceLabels": {use: "test" if path.endswith("3.jpg") else "training"},
        }
        for path, name in IMAGES.items()
    ]
    return {"import.jsonl": in_lines(records)}


def labelbox() -> Texts:
    def labels(name: str) -> list[object]:
        return [{"annotations": {"objects": [], "classifications": [{"radio_answer": {"name": name}}]}}]

    records: list[object] = [
        {"data_row": {"external_id": path[4:]}, "projects": {"p": {"labels": labels(name)}}}
        for path, name in IMAGES.items()
    ]
    return {"export.ndjson": in_lines(records)}


def via_json(**more: Mapping[str, str]) -> Texts:
    return {
        "via.json": {
            f"{path[4:]}900": {"filename": path[4:], "regions": [], "file_attributes": {"fruit": name, **more}}
            for path, name in IMAGES.items()
        }
    }


def via_csv(attributes: Callable[[str], object] = lambda name: {"fruit": name}) -> Texts:
    heading = "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes\n"
    cells = {name: json.dumps(attributes(name)).replace('"', '""') for name in FRUIT}
    return {
        "via.csv": heading
        + "".join(f'{path[4:]},900,"{cells[name]}",0,0,"{{}}","{{}}"\n' for path, name in IMAGES.items())
    }


def labels_of(texts: Texts) -> dict[str, str | None]:
    choice = chosen(IMAGES, texts)
    assert not choice.asks, choice
    return {path: placement.label for path, placement in choice.reading.placements.items()}


EXPORTS = [
    (labelme, "LabelMe"),
    (supervisely, "Supervisely"),
    (ground_truth, "SageMaker Ground Truth"),
    (lambda: ground_truth(".jsonl"), "SageMaker Ground Truth"),
    (vertex, "Vertex AI"),
    (labelbox, "Labelbox"),
    (via_json, "VGG Image Annotator"),
    (via_csv, "VGG Image Annotator"),
    (lambda: via_csv(lambda name: {"fruit": {name: True, "other": False}}), "VGG Image Annotator"),
]


class TestExports:
    @pytest.mark.parametrize(("export", "format"), EXPORTS)
    def test_each_image_has_its_label(self, export: Callable[[], Texts], format: str) -> None:
        assert labels_of(export()) == IMAGES
        choice = chosen(IMAGES, export())
        assert choice.reading.source.startswith(format)
        assert (choice.ignored, choice.warnings) == ([], [])

    @pytest.mark.parametrize("export", [ground_truth, vertex, labelbox, via_json, via_csv])
    def test_count_more_than_folders(self, export: Callable[[], Texts]) -> None:
        moved = [path.replace("img/", f"img/{'ab'[i % 2]}/") for i, path in enumerate(IMAGES)]
        assert counts(chosen(moved, export())) == dict.fromkeys(FRUIT, 4)

    def test_shapes_of_one_kind_are_a_class_loudly(self) -> None:
        choice = chosen(IMAGES, labelme(flags=False))
        assert counts(choice) == dict.fromkeys(FRUIT, 4)
        assert any("LabelMe labels boxes or shapes" in told for told in choice.warnings)

    def test_shapes_of_several_kinds_are_refused(self) -> None:
        texts = labelme(flags=False)
        for document in texts.values():
            document["shapes"].append({"label": "leaf"})  # type: ignore[index]
        assert "LabelMe has boxes or shapes of several classes in an image" in refused(IMAGES, texts)

    def test_several_flags_are_refused(self) -> None:
        texts = labelme()
        for document in texts.values():
            document["flags"] = dict.fromkeys(FRUIT, True)  # type: ignore[index]
        assert "LabelMe has several labels for an image" in refused(IMAGES, texts)

    def test_where_some_have_flags_shapes_are_no_labels(self) -> None:
        texts = labelme()
        blank = next(iter(texts))
        texts[blank]["flags"], texts[blank]["shapes"] = {}, [{"label": "leaf"}]  # type: ignore[index]
        assert labels_of(texts) == {**IMAGES, "img/lemon_0.jpg": None}

    def test_many_files_for_an_image_each_are_all_read(self) -> None:
        images = {f"img/{i}.jpg": FRUIT[i % 3] for i in range(1_200)}
        texts: Texts = {
            f"img/{i}.json": {"flags": {name: True}, "shapes": [], "imagePath": f"{i}.jpg"}
            for i, name in enumerate(images.values())
        }
        assert counts(chosen(images, texts)) == dict.fromkeys(FRUIT, 400)

    def test_vertex_tells_splits(self) -> None:
        found = splits(chosen(IMAGES, vertex()))
        assert {path for path, split in found.items() if split == "test"} == {p for p in IMAGES if p.endswith("3.jpg")}

    def test_of_several_attributes_none_is_guessed(self) -> None:
        told = refused(IMAGES, via_json(ripe="yes"))  # type: ignore[arg-type]
        assert "gives the images several attributes: `fruit` and `ripe`" in told

    @pytest.mark.parametrize("suffix", [".manifest", ".jsonl"])
    def test_a_manifest_of_boxes_gives_no_class(self, suffix: str) -> None:
        records: list[object] = [{"source-ref": path, "boxes": {"annotations": []}} for path in IMAGES]
        assert f"boxes{suffix}" in refused(IMAGES, {f"boxes{suffix}": in_lines(records)})

    @pytest.mark.parametrize("broken", ["{", "[" * 5_000, "null", '{"source-ref": 1}', "\x00"])
    def test_broken_lines_are_not_read(self, broken: str) -> None:
        assert "only one class" in refused(IMAGES, {"output.manifest": f"{broken}\n"})
        assert "only one class" in refused(
            IMAGES, {"output.manifest": f"{ground_truth()['output.manifest']}{broken}\n"}
        )


class TestJson:
    @pytest.mark.parametrize(
        "document",
        [
            {path: [name] for path, name in IMAGES.items()},
            {path[4:]: {"label": name, "source": "me"} for path, name in IMAGES.items()},
            {path: {"source": i, "label": [name]} for i, (path, name) in enumerate(IMAGES.items())},
            {"train": [{"file": path, "label": name} for path, name in IMAGES.items()]},
        ],
    )
    def test_gives_each_image_its_label(self, document: object) -> None:
        assert labels_of({"data.json": document}) == IMAGES

    @pytest.mark.parametrize(
        "row",
        [
            lambda path, name: {"file": path, "label": name},
            lambda path, name: [path, FRUIT.index(name), name],
            lambda path, name: [path[4:], name],
        ],
    )
    def test_below_the_names_of_splits(self, row: Callable[[str, str], object]) -> None:
        parts: dict[str, list[object]] = {"train": [], "val": [], "test": []}
        for i, (path, name) in enumerate(IMAGES.items()):
            parts[("train", "train", "val", "test")[i % 4]].append(row(path, name))
        assert labels_of({"split.json": parts}) == IMAGES
        found = splits(chosen(IMAGES, {"split.json": parts}))
        assert [found[path] for path in list(IMAGES)[:4]] == ["train", "train", "val", "test"]

    def test_of_lists_of_several_labels_is_refused(self) -> None:
        document = {path: [name, "fruit"] for path, name in IMAGES.items()}
        assert "several labels for an image" in refused(IMAGES, {"labels.json": document})
