"""Splits that stand elsewhere than the classes."""

from collections import Counter

import pytest

from tests.unit.app.reading.reading_helpers import FRUIT, chosen, counts, splits

IMAGES = [f"{name}/{name}_{number}.jpg" for name in FRUIT for number in range(8)]
VAL = [path for path in IMAGES if path.endswith(("_6.jpg", "_5.jpg"))]
TEST = [path for path in IMAGES if path.endswith(("_7.jpg", "_4.jpg"))]
TRAIN = [path for path in IMAGES if path not in VAL + TEST]
LABEL = {path: path.split("/")[0] for path in IMAGES}


def lines(paths: list[str]) -> str:
    return "".join(f"{path}\n" for path in paths)


def table(paths: list[str], heading: str = "filename,label\n") -> str:
    return heading + "".join(f"{path},{LABEL[path]}\n" for path in paths)


def numbered(paths: list[str]) -> str:
    return "".join(f"{path} {FRUIT.index(LABEL[path])}\n" for path in paths)


@pytest.mark.parametrize(
    "texts",
    [
        {"train.txt": lines(TRAIN + VAL), "test.txt": lines(TEST)},
        {"test.txt": lines(TEST)},
        {"train_list.txt": lines(TRAIN + VAL), "test_list.txt": lines(TEST)},
        {"trainlist01.txt": lines(TRAIN + VAL), "testlist01.txt": lines(TEST)},
        {"trainval.txt": lines(TRAIN + VAL), "test.txt": lines(TEST)},
        {"train.txt": lines(TRAIN + VAL), "test.txt": lines(TEST), "all.txt": lines(IMAGES)},
        {"train.txt": numbered(TRAIN + VAL), "test.txt": numbered(TEST)},
        {"test.csv": table(TEST)},
        {"labels.csv": table(IMAGES), "test.txt": lines(TEST)},
    ],
)
def test_given_beside_class_folders_are_kept(texts: dict[str, object]) -> None:
    choice = chosen(IMAGES, texts)
    assert counts(choice) == dict.fromkeys(FRUIT, 8)
    assert {path for path, split in splits(choice).items() if split == "test"} == set(TEST)
    assert {split for path, split in splits(choice).items() if path not in TEST} == {"train"}


def test_of_two_held_out_lists_the_rest_is_train() -> None:
    found = splits(chosen(IMAGES, {"testing_list.txt": lines(TEST), "validation_list.txt": lines(VAL)}))
    assert {split: sum(s == split for s in found.values()) for split in ("train", "val", "test")} == {
        "train": 12, "val": 6, "test": 6,
    }  # fmt: skip


def test_trainval_is_train_but_for_val() -> None:
    texts = {"trainval.txt": lines(TRAIN + VAL), "val.txt": lines(VAL), "test.txt": lines(TEST)}
    assert {path for path, split in splits(chosen(IMAGES, texts)).items() if split == "val"} == set(VAL)


def test_lists_of_few_images_are_told_of() -> None:
    choice = chosen(IMAGES, {"train.txt": lines(TRAIN[:3]), "test.txt": lines(TEST[:3])})
    assert any("name 6 of 24 images, so the splits were not taken" in told for told in choice.warnings)


NUMBERED = {n: f"{name}/{name}_{i}.jpg" for n, (name, i) in enumerate(((f, i) for f in FRUIT for i in range(6)), 1)}


def numbered(said: str) -> dict[str, object]:
    """As CUB-200-2011 tells its splits; `said` by turns."""
    split = "".join(f"{n} {said[n % len(said)]}\n" for n in NUMBERED)
    return {"cub/images.txt": "".join(f"{n} {p}\n" for n, p in NUMBERED.items()), "cub/train_test_split.txt": split}


def test_splits_may_stand_beside_the_numbers_of_images() -> None:
    choice = chosen([f"cub/images/{path}" for path in NUMBERED.values()], numbered("01"))
    assert counts(choice) == dict.fromkeys(FRUIT, 6)
    assert splits(choice) == {f"cub/images/{p}": "train" if n % 2 else "test" for n, p in NUMBERED.items()}
    assert not choice.warnings


@pytest.mark.parametrize("said", ["012", "yn"])
def test_numbers_that_tell_something_else_are_no_splits(said: str) -> None:
    choice = chosen([f"cub/images/{path}" for path in NUMBERED.values()], numbered(said))
    assert set(splits(choice).values()) == {"train"}


def test_a_json_file_for_each_split_is_one_set() -> None:
    """Food-101."""
    images = [f"images/{name}/{i}.jpg" for name in FRUIT for i in range(6)]
    documents = {
        f"meta/{split}.json": {
            name: [f"{name}/{i}" for i in range(6) if (i < 4) == (split == "train")] for name in FRUIT
        }
        for split in ("train", "test")
    }
    choice = chosen(images, documents)
    assert counts(choice) == dict.fromkeys(FRUIT, 6)
    assert Counter(splits(choice).values()) == {"train": 12, "test": 6}
    assert not choice.warnings


def test_a_table_against_the_folders_is_told_of() -> None:
    images = [f"{split}/{path}" for split, paths in (("train", TRAIN), ("test", TEST)) for path in paths]
    rows = "".join(f"{path},{path.split('/')[1]},train\n" for path in images[:-1])
    last = f"{images[-1]},{images[-1].split('/')[1]},test\n"
    choice = chosen(images, {"labels.csv": f"path,label,split\n{rows}{last}"})
    assert any("another split than the folder that they lie in: 5 in `test`" in told for told in choice.warnings)


def test_a_table_of_some_images_says_how_many_are_left_out() -> None:
    choice = chosen(IMAGES, {"labels.csv": table(TRAIN)})
    assert any("names 12 images; 12 more lie in folders of the same classes" in told for told in choice.warnings)


def test_a_list_that_is_not_used_is_called_what_it_is() -> None:
    images = {f"images/{name}_{number}.jpg": name for name in FRUIT for number in range(4)}
    rows = "".join(f"{path},{name}\n" for path, name in images.items())
    others = [f"images/test_{number}.jpg" for number in range(4)]
    choice = chosen([*images, *others], {"train.csv": f"path,label\n{rows}", "test.csv": lines(["path", *others])})
    assert counts(choice) == dict.fromkeys(FRUIT, 4)
    assert not any("other classes" in told for told in choice.warnings)
