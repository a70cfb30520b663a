"""Classes and splits from folders."""

from collections import Counter

import pytest

from app.domain.dataset import Split
from app.reading.words import is_unlabelled, split_of, splits_of
from tests.unit.app.reading.reading_helpers import FRUIT, chosen, counts, refused, splits


def below(*folders: str, each: int = 4) -> list[str]:
    return [f"{folder}/{i}.jpg" for folder in folders for i in range(each)]


class TestWords:
    @pytest.mark.parametrize(
        ("name", "split"),
        [
            *(
                (name, Split.TRAIN)
                for name in ("train", "Training", "TRAIN_IMAGES", "seg_train", "trainset", "train2017")
            ),
            *((name, Split.VAL) for name in ("val", "valid", "Validation_Set", "dev", "validación", "验证集")),
            *(
                (name, Split.TEST)
                for name in ("Testing", "hold-out", "holdout", "eval", "Testdaten", "prueba", "test data")
            ),
            *((name, Split.UNLABELLED) for name in ("unlabeled", "no_label", "Unannotated")),
            *(
                (name, None)
                for name in ("trenchcoat", "cat", "contest", "train station", "train_test", "testosterone", "evaluated")
            ),
        ],
    )
    def test_splits(self, name: str, split: Split | None) -> None:
        assert split_of(name) is split

    def test_siblings_that_say_the_same_beside_it(self) -> None:
        assert splits_of(["fruit_train", "fruit_test"]) == {"fruit_train": Split.TRAIN, "fruit_test": Split.TEST}
        assert splits_of(["train station", "test tube", "cat"]) == {}

    def test_further_names_for_no_label(self) -> None:
        assert is_unlabelled("Unknown", frozenset({"unknown"}))
        assert not is_unlabelled("Unknown")


class TestSplits:
    def test_above_the_classes_in_several_languages(self) -> None:
        choice = chosen(below("Entraînement/a", "Entraînement/b", "Prueba/a", "Prueba/b"))
        assert counts(choice) == {"a": 8, "b": 8}
        assert choice.reading.splits == "`Entraînement` and `Prueba`"

    def test_doubled(self) -> None:
        choice = chosen(
            below("seg_train/seg_train/a", "seg_train/seg_train/b", "seg_test/seg_test/a", "seg_test/seg_test/b")
        )
        assert splits(choice)["seg_test/seg_test/a/0.jpg"] == "test"
        assert choice.reading.source == "the third folder level"

    def test_inside_each_class(self) -> None:
        choice = chosen(below("a/train", "a/test", "b/train", "b/test"))
        assert counts(choice) == {"a": 8, "b": 8}
        assert splits(choice)["b/test/1.jpg"] == "test"

    def test_with_a_folder_of_images_between(self) -> None:
        choice = chosen(below("train/images/a", "train/images/b", "test/images/a", "test/images/b"))
        assert counts(choice) == {"a": 8, "b": 8}

    def test_alone_are_no_classes(self) -> None:
        assert "no class" in refused(below("train_images", "test_images"))

    def test_that_are_listed_in_files(self) -> None:
        images = below("images/apple_pie", "images/waffles")
        lists = {
            "meta/train.txt": "apple_pie/0\napple_pie/1\napple_pie/2\nwaffles/0\nwaffles/1\nwaffles/2\n",
            "meta/test.txt": "apple_pie/3\nwaffles/3\n",
        }
        choice = chosen(images, lists)
        assert counts(choice) == {"apple_pie": 4, "waffles": 4}
        assert splits(choice)["images/waffles/3.jpg"] == "test"

    def test_lists_that_contradict_each_other_are_not_taken(self) -> None:
        images = below("images/a", "images/b")
        halves = "\n".join(images[::2]), "\n".join(images[1::2])
        lists = {"train1.txt": halves[0], "test1.txt": halves[1], "train2.txt": halves[1], "test2.txt": halves[0]}
        choice = chosen(images, lists)
        assert set(splits(choice).values()) == {"train"}
        assert any("put some images into several splits" in told for told in choice.warnings)
        assert set(splits(chosen(images, {"train1.txt": halves[0], "test1.txt": halves[1]})).values()) == {
            "train",
            "test",
        }

    @pytest.mark.parametrize(
        ("folder", "split"),
        [("trian", "train"), ("vaild", "val"), ("tets", "test"), ("train_part1", "train"), ("validtion", "val")],
    )
    def test_nearly_called_so_where_the_same_folders_are_in_it(self, folder: str, split: str) -> None:
        other = "train" if split != "train" else "test"
        choice = chosen(below(f"{folder}/a", f"{folder}/b", f"{other}/a", f"{other}/b"))
        assert counts(choice) == {"a": 8, "b": 8}
        assert splits(choice)[f"{folder}/a/0.jpg"] == split
        assert any(f"`{folder}` was taken for a part of {split}" in told for told in choice.warnings)

    def test_not_where_other_folders_are_in_it(self) -> None:
        choice = chosen(below("brain/x", "brain/y", "test/a", "test/b", "train/a", "train/b"))
        assert counts(choice) == {"a": 8, "b": 8}

    def test_of_which_one_is_called_otherwise_is_said(self) -> None:
        choice = chosen(below("train/a", "train/b", "test/a", "test/b", "extra/a", "extra/b"))
        assert counts(choice) == {"a": 8, "b": 8}
        assert any("`extra` holds the same folders as `test` and `train`" in told for told in choice.warnings)

    @pytest.mark.parametrize("folders", [("train", "drain", "bridge"), ("Test", "ODI", "T20"), ("valid", "invalid")])
    def test_of_one_alone_is_asked_about_where_the_others_hold_the_same_folders(self, folders: tuple[str, ...]) -> None:
        choice = chosen(below(*(f"{folder}/{year}" for folder in folders for year in ("2022", "2023"))))
        readings = {reading.id: set(reading.classes) for reading in (choice.reading, *choice.others)}
        assert choice.asks and len(readings) == 1 + len(choice.others)
        assert readings["folders-without-splits:1"] == set(folders)

    def test_beside_the_name_of_each_class(self) -> None:
        folders = ("cats_train", "cats_test", "dogs_train", "dogs_test")
        choice = chosen(below(*folders))
        assert counts(choice) == {"cats": 8, "dogs": 8}
        assert splits(choice)["dogs_test/0.jpg"] == "test"
        assert {"cats", "dogs"} <= set(chosen(below(*(f"{f}/cam1" for f in folders))).reading.classes)

    def test_of_one_thing_without_train_are_classes(self) -> None:
        assert counts(chosen(below("dev kit", "eval kit"))) == {"dev kit": 4, "eval kit": 4}

    def test_inside_each_class_with_some_images_beside_them(self) -> None:
        choice = chosen([*below("a/train", "a/test", "b/train", "b/test"), "b/9.jpg"])
        assert counts(choice) == {"a": 8, "b": 9}
        assert splits(choice)["a/test/0.jpg"] == "test" and splits(choice)["b/9.jpg"] == "train"
        assert any("1 images of `b` lie beside" in told for told in choice.warnings)

    @pytest.mark.parametrize("above", ["", "{0}/"], ids=["once", "doubled"])
    def test_of_which_train_is_called_like_the_whole(self, above: str) -> None:
        def inside(folder: str, per_class: int) -> list[str]:
            start = f"{folder}/{above.format(folder)}"
            return [f"{start}{name}/{folder}{i}.png" for name in FRUIT for i in range(per_class)]

        choice = chosen([*inside("fruit", 5), *inside("fruit-test-set", 2), *inside("fruit_validation", 1)])
        assert counts(choice) == dict.fromkeys(FRUIT, 8)
        assert Counter(splits(choice).values()) == {"train": 15, "test": 6, "val": 3}

    @pytest.mark.parametrize(("train", "held"), [("images", "test"), ("dataset", "test_dataset"), ("Photos 2", "val")])
    def test_of_which_train_is_called_like_nothing(self, train: str, held: str) -> None:
        images = [f"{top}/{name}/{top}{i}.png" for top in (train, held) for name in FRUIT for i in range(5)]
        choice = chosen(images)
        assert counts(choice) == dict.fromkeys(FRUIT, 10)
        assert Counter(splits(choice).values()) == {"train": 15, "val" if held == "val" else "test": 15}

    @pytest.mark.parametrize(
        ("train", "held"),
        [
            ("images", ["test"]),
            ("fruit", ["test"]),
            ("fruit", ["fruit_test", "val"]),
            ("data_large", ["val_large", "test_large"]),
            ("Photos 2", ["holdout"]),
        ],
    )
    def test_of_which_train_alone_holds_class_folders(self, train: str, held: list[str]) -> None:
        images = [f"{train}/{name}/{i}.png" for name in FRUIT for i in range(5)]
        flat = [f"{top}/{i}.png" for top in held for i in range(4)]
        choice = chosen([*images, *flat])
        assert counts(choice) == dict.fromkeys(FRUIT, 5)
        assert set(choice.reading.skipped) == set(flat)

    def test_are_none_beside_a_flat_folder_that_is_called_otherwise(self) -> None:
        images = [f"fruit/{name}/{i}.png" for name in FRUIT for i in range(5)]
        choice = chosen([*images, *(f"stones/{i}.png" for i in range(4))])
        assert counts(choice) == {"fruit": 15, "stones": 4} and choice.warnings

    @pytest.mark.parametrize("held", [["test"], ["test_images"], ["val", "test"]])
    @pytest.mark.parametrize("above", ["", "pets/"])
    def test_flat_among_class_folders_are_asked_about(self, above: str, held: list[str]) -> None:
        """They may hold what nobody has sorted, or be a class that is called so."""
        images = below(f"{above}cat", f"{above}dog")
        flat = below(*(above + name for name in held))
        choice = chosen([*images, *flat])
        assert choice.asks and dict(choice.reading.counts) == {"cat": 4, "dog": 4}
        assert set(choice.reading.skipped) == set(flat)
        assert any(f"{len(flat)} images of `{min(held)}`" in told for told in choice.warnings)
        assert [set(one.classes) for one in choice.others] == [{"cat", "dog", *held}]
        assert counts(chosen([*images, *flat], layout="folders:1")) == {"cat": 4, "dog": 4}
        every = counts(chosen([*images, *flat], layout="folders-without-splits"))
        assert every == {"cat": 4, "dog": 4} | dict.fromkeys(held, 4)

    def test_flat_among_class_folders_are_classes_where_one_may_be_train(self) -> None:
        for names in (("bus", "car", "train"), ("dev", "prod", "test")):
            assert set(counts(chosen(below(*names)))) == set(names)

    def test_flat_among_class_folders_are_named_by_files(self) -> None:
        flat = [f"test/{name}_{i}.jpg" for name in ("cat", "dog") for i in range(3)]
        choice = chosen([*below("cat", "dog"), *flat])
        assert counts(choice) == {"cat": 7, "dog": 7}
        assert {path for path, split in splits(choice).items() if split == "test"} == set(flat)

    def test_of_which_one_holds_other_classes_are_none(self) -> None:
        """`board` and `test board` are two things."""
        images = [f"board/{side}/{i}.png" for side in ("front", "back") for i in range(4)]
        choice = chosen([*images, *(f"test board/{view}/{i}.png" for view in ("top", "bottom") for i in range(4))])
        assert choice.asks or {"board", "test board"} <= choice.reading.counts.keys()

    def test_with_one_class_that_is_called_like_a_folder_of_images(self) -> None:
        choice = chosen(below("train/fake", "train/original", "test/original"))
        assert counts(choice) == {"fake": 4, "original": 8}
        wrapped = [*below("train/a/images", "train/b/images"), *below("val/images", "test/images")]
        assert counts(chosen(wrapped)) == {"a": 4, "b": 4}

    def test_doubled_and_flat_holds_no_class(self) -> None:
        choice = chosen(
            [*below("signs_train/signs_train/a", "signs_train/signs_train/b"), "signs_test/signs_test/a.jpg"]
        )
        assert counts(choice) == {"a": 4, "b": 4}
        assert not any("lost" in told for told in choice.warnings)


class TestLevels:
    def test_shared_subfolders_are_asked_about_and_come_first(self) -> None:
        choice = chosen(below("site a/cat", "site a/dog", "site b/cat", "site b/dog"))
        assert choice.asks
        assert [r.id for r in (choice.reading, *choice.others)][:2] == ["folders:2", "folders:1"]

    def test_some_subfolders_of_classes_are_a_warning(self) -> None:
        choice = chosen(below("cat", "cat/2023", "dog"))
        assert counts(choice) == {"cat": 8, "dog": 4}
        assert any("Classes hold subfolders: `cat` = `2023`" in warning for warning in choice.warnings)

    @pytest.mark.parametrize(("layout", "classes"), [("folders:1", 2), ("folders:2", 4), ("folders:last", 4)])
    def test_the_level_that_is_named_is_taken(self, layout: str, classes: int) -> None:
        images = below("a/x", "a/y", "b/z/deep", "b/w")
        assert len(counts(chosen(images, layout=layout))) == classes

    def test_the_same_partition_under_other_names_is_not_asked_about(self) -> None:
        assert counts(chosen(below("cat/images", "dog/images"))) == {"cat": 4, "dog": 4}

    def test_numbers_give_way_to_names(self) -> None:
        assert counts(chosen(below("001/cat", "002/dog"))) == {"cat": 4, "dog": 4}


class TestBeside:
    @pytest.mark.parametrize("stray", ["cover.jpg", "docs/figure.png", "samples/1.jpg", "w/readme.png"])
    def test_a_wrapping_folder(self, stray: str) -> None:
        choice = chosen([*below("w/cat", "w/dog"), stray])
        assert counts(choice) == {"cat": 4, "dog": 4}
        assert stray in choice.reading.skipped

    def test_images_are_masks(self) -> None:
        choice = chosen(below("cat/images", "cat/masks", "dog/images", "dog/masks"))
        assert counts(choice) == {"cat": 4, "dog": 4}
        assert any("Left out as masks: 8" in warning for warning in choice.warnings)
        assert "only one class, 'images'" in refused(below("images", "masks"))

    def test_classes_that_mean_no_label(self) -> None:
        choice = chosen(below("cat", "dog", "unknown", "no_label"), unlabelled_classes=["Unknown"])
        assert counts(choice) == {"cat": 4, "dog": 4}
        assert splits(choice)["unknown/0.jpg"] == "unlabelled"

    def test_a_copy_of_all_of_it_is_more_of_the_same_classes(self) -> None:
        choice = chosen(below("yes", "no", "tumours/yes", "tumours/No"))
        assert counts(choice) == {"yes": 8, "no": 8}
        assert any("`tumours`: it holds folders called like those beside it" in told for told in choice.warnings)
        assert counts(chosen(below("yes", "no", "other/yes"))) == {"yes": 4, "no": 4, "other": 4}

    def test_what_holds_the_same_folders_is_no_stray(self) -> None:
        choice = chosen(below("notes/2023", "notes/2024", "invoices/2023", "invoices/2024"))
        assert choice.asks
        assert "notes" in {name for reading in (choice.reading, *choice.others) for name in reading.classes}


class TestSuspicions:
    def test_no_label_beside_labels(self) -> None:
        choice = chosen(below("label_ok", "label_torn", "no_label"))
        assert any("`no_label` were taken for images without a label" in told for told in choice.warnings)
        assert not any("without a label" in told for told in chosen(below("cat", "dog", "no_label")).warnings)

    @pytest.mark.parametrize(
        ("folders", "words"),
        [
            (("0", "1", "2"), "bare numbers"),
            (("Dog", "dog", "cat"), "differ only by letter case"),
            (("apple pie", "apple_pie", "cat"), "differ only by letter case, accents or spacing"),
            (("bus", "car", "train"), "called like splits: `train`"),
            (("images", "photos"), "called like folders of files"),
            (("part1", "part2"), "called like parts of one whole"),
        ],
    )
    def test_are_loud(self, folders: tuple[str, ...], words: str) -> None:
        choice = chosen(below(*folders))
        assert len(counts(choice)) == len(folders)
        assert any(words in warning for warning in choice.warnings), choice.warnings

    def test_plain_classes_give_none(self) -> None:
        assert list(chosen(below("cat", "dog")).warnings) == []
