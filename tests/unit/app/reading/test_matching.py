"""Which file a name means, where several are called so."""

import pytest

from app.domain.dataset import Split
from app.reading.paths.matching import ELSEWHERE, SEVERAL, PathIndex
from app.reading.paths.split_folders import split_folders, table_splits
from tests.unit.app.reading.reading_helpers import FRUIT, chosen, counts, refused, splits


def numbered(folder: str, first: int, last: int, suffix: str = ".jpg") -> list[str]:
    return [f"{folder}/{i}{suffix}" for i in range(first, last + 1)]


def table(first: int, last: int, heading: str = "id,label") -> str:
    return f"{heading}\n" + "".join(f"{i},{FRUIT[i % 3]}\n" for i in range(first, last + 1))


class TestSplitsOfTables:
    @pytest.mark.parametrize(
        ("file", "split"),
        [
            ("train.csv", Split.TRAIN),
            ("trainLabels.csv", Split.TRAIN),
            ("train_labels.csv", Split.TRAIN),
            ("Training_set.csv", Split.TRAIN),
            ("labels_test.csv", Split.TEST),
            ("val_annotations.txt", Split.VAL),
            ("labels/train/all.csv", Split.TRAIN),
            ("test_labels/labels.csv", Split.TEST),
            ("labels.csv", None),
            ("trainval.txt", None),
            ("train_test.csv", None),
            ("training/labels.csv", None),  # it holds all images
            ("station_train.csv", None),
        ],
    )
    def test_by_name_or_folder(self, file: str, split: Split | None) -> None:
        assert table_splits([file], "training/").get(file) is split

    def test_by_the_names_of_the_others(self) -> None:
        files = ["LOC_train_solution.csv", "LOC_val_solution.csv"]
        assert [*table_splits(files, "").values()] == [Split.TRAIN, Split.VAL]


class TestSplitFolders:
    def test_the_outermost_below_the_root(self) -> None:
        found = split_folders(["test/train/a/", "test/val/test/", "test/other/"], "test/")
        assert {folder: there.name for folder, there in found.items()} == {
            "test/train/a/": "train",
            "test/val/test/": "val",
        }


class TestFind:
    index = PathIndex([*numbered("train", 1, 3), *numbered("test", 2, 4), "other/5.jpg", "other/2.png"])

    @pytest.mark.parametrize(
        ("cell", "split", "path", "how"),
        [
            ("2.jpg", Split.TRAIN, "train/2.jpg", None),
            ("2", Split.TEST, "test/2.jpg", None),
            ("2.jpg", None, None, SEVERAL),
            ("2.jpg", Split.VAL, None, SEVERAL),  # there is no folder of it
            ("4", Split.TRAIN, None, ELSEWHERE),
            ("4", None, "test/4.jpg", None),
            ("4", Split.VAL, "test/4.jpg", None),
            ("5", Split.TRAIN, "other/5.jpg", None),
            ("test/4.jpg", Split.TRAIN, "test/4.jpg", None),
            ("data/test/4", Split.TRAIN, "test/4.jpg", None),
        ],
    )
    def test_by_the_split(self, cell: str, split: Split | None, path: str | None, how: str | None) -> None:
        found = self.index.find(cell, "", split)
        assert found.path == path
        if how is not None:
            assert found.how == how
            assert found.there

    def test_a_further_column_tells_the_folder(self) -> None:
        assert self.index.find("2.jpg", row=["x", "Test"]).path == "test/2.jpg"
        assert self.index.find("2.jpg", row=["train", "test"]).path is None

    def test_what_is_told(self) -> None:
        several = self.index.find("2.jpg")
        assert self.index.told("2.jpg", several) == " is there 2 times: 'train/2.jpg', 'test/2.jpg'"


class TestTablesOfSplits:
    """Kaggle's folders: the pictures of `train` and `test` are numbered from 1 each."""

    @pytest.mark.parametrize("file", ["train.csv", "trainLabels.csv", "Training_set.csv", "labels/train/a.csv"])
    @pytest.mark.parametrize("heading", ["id,label", "Filename,Class"])
    @pytest.mark.parametrize("in_test", [4, 12])
    def test_finds_the_files_of_its_own_split(self, file: str, heading: str, in_test: int) -> None:
        images = [*numbered("train", 1, 12), *numbered("test", 1, in_test)]
        choice = chosen(images, {file: table(1, 12, heading)})
        assert counts(choice) == dict.fromkeys(FRUIT, 4)
        assert {path for path in splits(choice) if path.startswith("test")} == set()
        assert not any("there" in warning for warning in choice.warnings)

    def test_never_those_of_another(self) -> None:
        choice = chosen([*numbered("train", 1, 12), *numbered("test", 13, 16)], {"train.csv": table(1, 20)})
        assert counts(choice) == dict.fromkeys(FRUIT, 4)
        (told,) = [warning for warning in choice.warnings if warning.startswith("Rows of")]
        assert "left out: 8 of 20: line 14 '13' is only in the folder of another split: 'test/13.jpg'" in told

    @pytest.mark.parametrize("name", ["{:07x}b", "lemon {} b", "{}-site-{}"])
    def test_a_name_that_is_there_once_means_its_image(self, name: str) -> None:
        names = [name.format(i * 7919 % 9973, i) + ".jpg" for i in range(12)]
        images = [f"{'train' if i < 8 else 'test'}/{name}" for i, name in enumerate(names)]
        text = "file,label\n" + "".join(f"{name},{FRUIT[i % 3]}\n" for i, name in enumerate(names))
        assert splits(chosen(images, {"train.csv": text})) == {path: path.partition("/")[0] for path in images}

    def test_two_tables(self) -> None:
        images = [*numbered("train", 1, 6), *numbered("val", 1, 3)]
        choice = chosen(images, {"train_labels.csv": table(1, 6), "val_labels.csv": table(1, 3)})
        assert splits(choice) == {path: path.partition("/")[0] for path in images}

    def test_a_split_column_decides_for_its_rows(self) -> None:
        images = [*numbered("train", 1, 6), *numbered("test", 1, 3)]
        lines = ["id,label,split", *(f"{p[-5]},{FRUIT[int(p[-5]) % 3]},{p.partition('/')[0]}" for p in images)]
        choice = chosen(images, {"data.csv": "\n".join(lines)})
        assert splits(choice) == {path: path.partition("/")[0] for path in images}

    def test_a_split_column_is_right_about_other_folders(self) -> None:
        images = [*numbered("train", 1, 9), *numbered("test", 10, 12)]
        lines = ["id,label,split", *(f"{i},{FRUIT[i % 3]},{'test' if i < 4 else 'train'}" for i in range(1, 13))]
        choice = chosen(images, {"train.csv": "\n".join(lines)})
        assert splits(choice)["train/1.jpg"] == "test"
        assert splits(choice)["test/12.jpg"] == "train"

    @pytest.mark.parametrize("file", ["labels.csv", "data.csv"])
    @pytest.mark.parametrize("in_test", [4, 12])
    def test_a_table_that_names_each_image_of_train(self, file: str, in_test: int) -> None:
        images = [*numbered("train", 1, 12), *numbered("test", 1, in_test)]
        choice = chosen(images, {file: table(1, 12)})
        assert counts(choice) == dict.fromkeys(FRUIT, 4)
        assert {path.partition("/")[0] for path in splits(choice)} == {"train"}
        assert any(f"{in_test} of its names are in several folders" in warning for warning in choice.warnings)

    def test_one_that_may_mean_either_is_told(self) -> None:
        told = refused([*numbered("train", 1, 12), *numbered("test", 1, 9)], {"labels.csv": table(1, 9)})
        assert (
            "9 of 9 rows of `labels.csv` name a file that is there more than once: line 2 '1' is there 2 times" in told
        )
        assert "'test/1.jpg', 'train/1.jpg'" in told
        assert "nearest" not in told
        assert "not there" not in told

    def test_the_images_of_further_tables_are_for_training(self) -> None:
        images = numbered("images", 1, 12)
        texts = {"list.txt": table(1, 12), "trainval.txt": table(1, 9), "test.txt": table(10, 12)}
        choice = chosen(images, {f"annotations/{file}": text for file, text in texts.items()})
        assert sorted(path for path, split in splits(choice).items() if split == "test") == images[9:]

    def test_a_folder_in_another_column(self) -> None:
        images = [*numbered("cam1", 1, 6), *numbered("cam2", 1, 6)]
        lines = [f"cam{c},{i}.jpg,{'ok' if (c + i) % 2 else 'bad'}" for c in (1, 2) for i in range(1, 7)]
        choice = chosen(images, {"labels.csv": "\n".join(["camera,file,label", *lines])})
        assert counts(choice) == {"ok": 6, "bad": 6}
        assert not any("by their names alone" in warning for warning in choice.warnings)

    def test_an_export(self) -> None:
        images = [*numbered("images/train", 1, 6), *numbered("images/val", 1, 3)]

        def items(last: int) -> dict[str, object]:
            each = [
                {"id": str(i), "annotations": [{"id": 0, "type": "label", "label_id": i % 3}]}
                for i in range(1, last + 1)
            ]
            labels = [{"name": name} for name in FRUIT]
            return {"info": {}, "categories": {"label": {"labels": labels}}, "items": each}

        choice = chosen(images, {"annotations/train.json": items(6), "annotations/val.json": items(3)})
        assert splits(choice) == {path: path.split("/")[1] for path in images}


class TestMasks:
    @pytest.mark.parametrize(
        ("images", "masks"),
        [
            ("images", "masks"),
            ("images", "annotations/trimaps"),
            ("images", "thumbnails"),
            ("train", "train_masks"),
            ("data/images", "data/ground_truth"),
        ],
    )
    @pytest.mark.parametrize("file", ["train.csv", "labels.csv", "annotations/labels.csv", "masks/data.csv"])
    @pytest.mark.parametrize("suffix", ["", ".jpg", ".png"])
    def test_are_not_matched_instead_of_images(self, images: str, masks: str, file: str, suffix: str) -> None:
        there = [f"{images}/pic_{i}.jpg" for i in range(12)]
        beside = [f"{masks}/pic_{i}.png" for i in range(12)]
        text = "name,label\n" + "".join(f"pic_{i}{suffix},{FRUIT[i % 3]}\n" for i in range(12))
        choice = chosen([*there, *beside], {file: text}, "table")
        assert counts(choice) == dict.fromkeys(FRUIT, 4)
        assert choice.reading.placements.keys() == {*there}
        assert {reason.kind for reason in choice.reading.skipped.values()} == {
            "is a mask or thumbnail of an image, beside it"
        }

    @pytest.mark.parametrize("cell", ["masks/1.png", "C:\\data\\masks\\1.png"])
    def test_are_found_by_their_folder(self, cell: str) -> None:
        assert PathIndex(["images/1.jpg", "masks/1.png"]).find(cell).path == "masks/1.png"

    @pytest.mark.parametrize(
        "paths",
        [["mask/1.jpg", "no_mask/1.jpg"], ["images/1.jpg", "masks/2.jpg"], ["images/labels/1.jpg", "images/a/1.jpg"]],
    )
    def test_are_told_from_classes_and_from_pictures_that_stand_alone(self, paths: list[str]) -> None:
        assert [PathIndex(paths).aside(path) for path in paths] == [None, None]
