"""Tables of several splits: what belongs together, and what is said where they contradict each other."""

from collections import Counter
from collections.abc import Iterable

import pytest

from tests.unit.app.reading.reading_helpers import FRUIT, chosen, counts, fruit_images, splits

IMAGES = fruit_images(each=8)
ALL = dict.fromkeys(FRUIT, 8)
EVERY = range(8)


def table(numbers: Iterable[int], heading: str = "path,label", row: str = "{path},{label}", up: str = "") -> str:
    """The images of these numbers, of each class."""
    wanted = {f"_{n}.jpg" for n in numbers}
    rows = [row.format(path=up + p, label=c, n=p[-5]) for p, c in IMAGES.items() if p[-6:] in wanted]
    return "\n".join([heading, *rows])


def of_each(choice: object) -> Counter[str]:
    return Counter(splits(choice).values())  # type: ignore[arg-type]


def told(choice: object, words: str) -> bool:
    return any(words in warning for warning in getattr(choice, "warnings", ()))


class TestGroups:
    def test_without_headings_are_told_by_the_words_beside_their_splits(self) -> None:
        """FGVC-Aircraft: what it is, and who made it."""
        makers = {"lemon": "yellow", "lime": "green", "plum": "blue"}
        files = {}
        for split, numbers in (("train", range(4)), ("val", (4, 5)), ("test", (6, 7)), ("trainval", range(6))):
            variants = table(numbers, heading="", row="{path} {label}").strip()
            files[f"data/images_variant_{split}.txt"] = variants
            files[f"data/images_maker_{split}.txt"] = "\n".join(
                f"{path} {'blue' if makers[label] == 'blue' else 'other'}"
                for path, label in (line.split(" ") for line in variants.splitlines())
            )
        images = {f"data/{path}": label for path, label in IMAGES.items()}
        choice = chosen(images, files)
        assert choice.asks
        offered = {len(one.classes) for one in (choice.reading, *choice.others)}
        assert offered == {2, 3}
        assert of_each(choice) == {"train": 12, "val": 6, "test": 6}

    def test_of_another_numbering_do_not_hide_the_splits(self) -> None:
        """TrashNet: one-indexed lists of three splits beside a zero-indexed one of all images."""
        numbers = {name: n for n, name in enumerate(FRUIT)}
        images = {f"all/{label}/{label}{i}.jpg": label for label in FRUIT for i in range(8)}

        def listed(chosen_ones: Iterable[int], first: int) -> str:
            return "\n".join(f"{c}{i}.jpg {numbers[c] + first}" for c in FRUIT for i in range(8) if i in chosen_ones)

        files = {"zero-indexed-files.txt": listed(EVERY, 0)}
        files |= {
            f"one-indexed-files-notrash_{split}.txt": listed(which, 1)
            for split, which in (("train", range(5)), ("val", (5,)), ("test", (6, 7)))
        }
        choice = chosen(images, files)
        assert counts(choice) == ALL
        assert of_each(choice) == {"train": 15, "val": 3, "test": 6}
        assert not choice.warnings

    @pytest.mark.parametrize(
        ("heading", "row"),
        [
            ("label,path", "{label},{path}"),
            ("path,label,notes", "{path},{label},ok {n}"),
            ("n,notes,Label,Path", "{n},seen,{label},{path}"),
        ],
    )
    def test_other_columns_and_another_order_are_the_same_data_set(self, heading: str, row: str) -> None:
        choice = chosen(IMAGES, {"train.csv": table(range(6)), "test.csv": table((6, 7), heading, row)})
        assert counts(choice) == ALL
        assert of_each(choice) == {"train": 18, "test": 6}
        assert list(choice.warnings) == []

    def test_each_of_three_may_have_its_own_columns(self) -> None:
        files = {
            "train.csv": table(range(4)),
            "val.csv": table((4, 5), "label,path", "{label},{path}"),
            "test.csv": table((6, 7), "path,x,label", "{path},{n},{label}"),
        }
        choice = chosen(IMAGES, files)
        assert counts(choice) == ALL
        assert of_each(choice) == {"train": 12, "val": 6, "test": 6}

    def test_one_hot_columns_in_another_order(self) -> None:
        def flags(names: Iterable[str], numbers: Iterable[int]) -> str:
            wanted = {f"_{n}.jpg" for n in numbers}
            rows = [[p, *(str(int(c == n)) for n in names)] for p, c in IMAGES.items() if p[-6:] in wanted]
            return "\n".join(map(",".join, [["path", *names], *rows]))

        choice = chosen(IMAGES, {"train.csv": flags(FRUIT, range(6)), "test.csv": flags(FRUIT[::-1], (6, 7))})
        assert counts(choice) == ALL
        assert all(p.label == IMAGES[path] for path, p in choice.reading.placements.items())

    def test_tables_of_one_split_are_not_joined(self) -> None:
        files = {"labels.csv": table(EVERY), "more.csv": table(EVERY, "path,label,x", "{path},{n},{label}")}
        assert counts(chosen(IMAGES, files)) == ALL


class TestContradictions:
    @pytest.mark.parametrize(
        "files",
        [
            {f"{split}_{f}.csv": [n for n in EVERY if (n % 4 == f) == (split == "val")]
             for split in ("train", "val") for f in range(4)},
            {"train_fold1.csv": range(4), "test_fold1.csv": range(4, 8),
             "train_fold2.csv": range(4, 8), "test_fold2.csv": range(4)},
            {"train.csv": range(6), "test.csv": range(5, 8)},
            {"train.csv": EVERY, "test.csv": EVERY},
            {"train.csv": EVERY, "val.csv": (5, 6), "test.csv": (6, 7)},
        ],
        ids=["folds", "two folds", "overlap", "the same", "two held out"],
    )  # fmt: skip
    def test_no_splits_are_taken_and_it_is_told(self, files: dict[str, Iterable[int]]) -> None:
        choice = chosen(IMAGES, {file: table(numbers) for file, numbers in files.items()})
        assert counts(choice) == ALL
        assert choice.reading.splits is None
        assert told(choice, "into several splits, so the splits were not taken from them")

    def test_an_older_pair_in_a_folder(self) -> None:
        files = {"train.csv": table(range(6)), "test.csv": table((6, 7))}
        files |= {"old/train.csv": table(range(2, 8), up="../"), "old/test.csv": table((0, 1), up="../")}
        choice = chosen(IMAGES, files)
        assert choice.reading.splits is None
        assert told(choice, "`test.csv` and `train.csv` put 12 images into several splits")

    @pytest.mark.parametrize("held", ["val", "test"])
    def test_held_out_ones_that_train_holds_too_are_held_out(self, held: str) -> None:
        choice = chosen(IMAGES, {"train.csv": table(EVERY), f"{held}.csv": table((6, 7))})
        assert counts(choice) == ALL
        assert of_each(choice) == {"train": 18, held: 6}
        assert told(choice, f"All images of `{held}.csv` are in `train.csv` too: 6. They were held out")

    def test_a_table_that_contradicts_none_still_counts(self) -> None:
        files = {f"{s}_fold{f}.csv": table(range(6)[f::2] if s == "val" else range(6)[1 - f :: 2])
                 for s in ("train", "val") for f in (0, 1)}  # fmt: skip
        choice = chosen(IMAGES, files | {"test.csv": table((6, 7))})
        assert of_each(choice) == {"train": 18, "test": 6}
        assert choice.reading.splits == "`test.csv`"
        assert told(choice, "put 18 images into several splits")
