"""Classes that stand in the names of the files."""

import pytest

from tests.unit.app.reading.reading_helpers import FRUIT, chosen, counts, refused, splits

SORTED = [f"train/{name}/{i}.jpg" for name in FRUIT for i in range(5)]
EACH = dict.fromkeys(FRUIT, 5)


def files(pattern: str, labels: tuple[str, ...] = FRUIT, each: int = 5) -> list[str]:
    return [pattern.format(label=label, n=n) for label in labels for n in range(each)]


class TestOnlyNames:
    @pytest.mark.parametrize(
        "pattern",
        [
            "{label}.{n}.jpg",
            "images/{label}_{n}.jpg",
            "images/{label}{n}.jpg",
            "images/{label} ({n}).jpg",
            "images/img_{n}_{label}.jpg",
            "images/{n}-{label}.jpg",
            "images/IMG_2024_{label}_{n}.jpg",
            "images/kitchen_{label}_{n}.jpg",
            "train_{label}_{n}.jpg",
            "photos/raw/{label}_{n:04}.PNG",
        ],
    )
    def test_are_asked_about(self, pattern: str) -> None:
        choice = chosen(files(pattern))
        assert choice.asks
        assert dict(choice.reading.counts) == EACH
        assert "15 of 15 images have a class in their name" in choice.reading.evidence[0]
        assert "is `lime`" in choice.reading.evidence[0]

    def test_are_taken_where_the_caller_says_so(self) -> None:
        choice = chosen(files("{label}.{n}.jpg"), layout="names")
        assert counts(choice) == EACH
        assert not choice.warnings

    def test_keep_their_words(self) -> None:
        breeds = ("Abyssinian", "american_bulldog", "Viral Pneumonia", "n01440764", "Straße-Süd")
        assert set(chosen(files("{label}_{n}.jpg", breeds)).reading.classes) == set(breeds)

    def test_in_two_cases_are_one_class(self) -> None:
        assert len(chosen(files("{label}_{n}.jpg", ("Lime", "lime", "plum"))).reading.classes) == 2

    def test_lie_in_folders_of_splits(self) -> None:
        choice = chosen([*files("train/{label}.{n}.jpg"), *files("test/{label}.{n}.jpg", each=2)])
        assert choice.asks and choice.reading.splits == "`test` and `train`"
        assert all(split == path.partition("/")[0] for path, split in splits(choice).items())

    def test_leave_out_a_folder_of_numbers(self) -> None:
        choice = chosen([*files("train/{label}.{n}.jpg"), *(f"test1/{n}.jpg" for n in range(9))])
        assert dict(choice.reading.counts) == EACH
        assert {why.kind for why in choice.reading.skipped.values()} == {"has no class in its name"}

    def test_leave_the_unlabelled_without_a_label(self) -> None:
        more = [f"unlabeled/{n}.jpg" for n in range(4)]
        choice = chosen([*files("{label}.{n}.jpg"), *more], layout="names")
        assert counts(choice) == EACH
        assert {path for path, split in splits(choice).items() if split == "unlabelled"} == set(more)

    def test_may_say_several_things(self) -> None:
        sides = [f"{label}_p{n}_{side}.png" for label in FRUIT for n in range(6) for side in ("left", "right")]
        choice = chosen(sides)
        offered = {one.id: set(one.classes) for one in (choice.reading, *choice.others)}
        assert offered["names:first"] == set(FRUIT) and offered["names:third"] == {"left", "right"}
        assert len(offered["names"]) == 6
        assert counts(chosen(sides, layout="names:first")) == dict.fromkeys(FRUIT, 12)

    def test_may_begin_with_the_number_of_a_class(self) -> None:
        choice = chosen([f"{digit}_{n:04}.png" for digit in range(10) for n in range(5)])
        assert choice.asks and choice.reading.id == "names:first" and len(choice.reading.classes) == 10
        assert "bare numbers" in choice.warnings[0]

    def test_may_be_of_numbers_alone(self) -> None:
        """As UTKFace's are: age, gender, race, date."""
        faces = [f"{20 + n % 5}_{n % 2}_{n % 3}_20170116{n:04}.jpg" for n in range(60)]
        choice = chosen(faces)
        offered = {one.id: len(one.classes) for one in (choice.reading, *choice.others)}
        assert choice.asks and offered == {"names:first": 5, "names:second": 2, "names:third": 3}

    @pytest.mark.parametrize(
        "images",
        [
            [f"2024051{n % 3}_10{n:04}.jpg" for n in range(12)],
            files("{label}_{n}.jpg", ("IMG", "DSC", "PXL")),
            files("WhatsApp Image 2024-01-0{n} at 10.1{n}.jpg", ("",), 9),
            [f"{n * 7919 % 10**6:x}{n}.jpg" for n in range(40)],
            files("2024-01-01_{n}.jpg", ("",), 9),
            files("{label}_{n}.jpg", ("cat",), 9),
            [f"{word}.jpg" for word in ["all", "of", "these", "pictures", "differ", "in", "their", "names"]],
        ],
    )
    def test_that_tell_nothing_are_refused(self, images: list[str]) -> None:
        assert "at least two" in refused(images)

    def test_count_less_than_a_table_that_cannot_be_read(self) -> None:
        assert "labels.csv" in refused(files("{label}_{n}.jpg"), {"labels.csv": "a,b\nx,y\n"})

    def test_count_less_than_folders(self) -> None:
        images = [path.replace("/0.jpg", f"/{FRUIT[i % 3]}_0.jpg") for i, path in enumerate(SORTED)]
        assert counts(chosen(images)) == EACH


class TestNamesBesideClassFolders:
    @pytest.mark.parametrize(
        ("train", "test"),
        [
            ("train/{label}/{n}.jpg", "test/{label}_{n}.jpg"),
            ("train/{label}/{n}.jpg", "test/{label}{n}.jpg"),
            ("a_train/a_train/{label}/{label}{n}.jpg", "a_test/a_test/{label}_test{n}.jpg"),
            ("fruit_dataset/{label}/pic_{n}.jpg", "kaggle_fruit_testset/{label}_{n}.jpg"),
            ("fruit_dataset/{label}/pic_{n}.jpg", "fruit_dataset/test/{label}_{n}.jpg"),
        ],
    )
    def test_label_the_flat_folder(self, train: str, test: str) -> None:
        images = dict.fromkeys(files(train), "train") | dict.fromkeys(files(test, each=2), "test")
        choice = chosen(images)
        assert counts(choice) == dict.fromkeys(FRUIT, 7)
        assert splits(choice) == images
        assert "from the names of its files" in choice.reading.source
        assert "is `lemon`" in choice.reading.evidence[-1]

    def test_take_the_longest_class(self) -> None:
        labels = ("apple", "apple_pie", "pie")
        images = [*files("train/{label}/{n}.jpg", labels), *files("test/{label}_{n}.jpg", labels, 2)]
        assert counts(chosen(images)) == dict.fromkeys(labels, 7)

    @pytest.mark.parametrize(
        "test",
        [
            [f"test/{n}.jpg" for n in range(6)],
            files("test/{label}_{n}.jpg", (*FRUIT, "marrow"), 2),
            files("test/lime_{n}.jpg", ("",), 6),
            files("test/{label}s_{n}.jpg", FRUIT, 2),
        ],
    )
    def test_tell_nothing_where_one_is_called_otherwise(self, test: list[str]) -> None:
        choice = chosen([*SORTED, *test])
        assert counts(choice) == EACH
        assert set(choice.reading.skipped) == set(test)

    @pytest.mark.parametrize(
        ("labels", "test"),
        [
            ([str(n) for n in range(10)], [f"test/{n}.jpg" for n in range(10)]),
            ([f"{n:05}" for n in range(5)], [f"test/{n:05}.ppm" for n in range(5)]),
            ([str(n) for n in range(4)], [f"test/{n % 4}_{n}.jpg" for n in range(9)]),
            (list("abcdef"), [f"test/{name}.jpg" for name in ("a3f09c", "b1e2d7", "c0ffee1", "f00b4")]),
        ],
    )
    def test_of_numbers_and_digests_are_no_classes(self, labels: list[str], test: list[str]) -> None:
        choice = chosen([*(f"train/{label}/x{n}.jpg" for label in labels for n in range(5)), *test])
        assert counts(choice) == dict.fromkeys(labels, 5)
        assert set(choice.reading.skipped) == set(test)

    def test_count_less_than_a_table_of_the_same_images(self) -> None:
        test = files("test/{label}_{n}.jpg", each=2)
        told = {path: FRUIT[n % 3] for n, path in enumerate(test)}
        table = "\n".join(["filename,label", *(f"{path},{label}" for path, label in told.items())])
        choice = chosen([*SORTED, *test], {"test.csv": table})
        placed = choice.reading.placements
        assert {path: placed[path].label for path in test} == told

    def test_are_left_alone_where_the_split_has_class_folders(self) -> None:
        images = [*SORTED, *files("test/{label}/t{n}.jpg", each=2)]
        choice = chosen([*images, "test/lime_1.jpg", "test/plum_1.jpg"])
        assert counts(choice) == dict.fromkeys(FRUIT, 7)
