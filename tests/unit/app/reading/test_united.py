"""Class folders for one split, and a table for the images of another."""

from collections.abc import Callable

import pytest

from tests.unit.app.reading.reading_helpers import FRUIT, chosen, counts, splits

SORTED = {f"train/{name}/{name}_{i}.jpg": name for name in FRUIT for i in range(5)}
NUMBERED = {f"test/{i}.jpg": FRUIT[i % 3] for i in range(6)}
BOTH = dict.fromkeys(FRUIT, 7)


def table(
    images: dict[str, str], path: str = "{name}", heading: str = "filename,label", row: str = "{path},{label}"
) -> str:
    lines = (
        row.format(path=path.format(name=file.rpartition("/")[2], file=file), label=label)
        for file, label in images.items()
    )
    return "\n".join(filter(None, [heading, *lines]))


class TestTables:
    @pytest.mark.parametrize(
        ("file", "content"),
        [
            ("test.csv", table(NUMBERED)),
            ("test_labels.csv", table(NUMBERED)),
            ("test/labels.csv", table(NUMBERED)),
            ("labels.csv", table(NUMBERED, "{file}")),
            ("solution.csv", table(NUMBERED, "{file}", "Id,Category")),
            ("test.txt", table(NUMBERED, heading="", row="{path} {label}")),
            ("test/annotations.txt", table(NUMBERED, heading="", row="{path}\t{label}\t0\t0\t9\t9")),
            ("test.json", {path.rpartition("/")[2]: label for path, label in NUMBERED.items()}),
        ],
    )
    def test_label_what_lies_in_no_class_folder(self, file: str, content: object) -> None:
        choice = chosen([*SORTED, *NUMBERED], {file: content})
        assert counts(choice) == BOTH
        assert splits(choice) == dict.fromkeys(SORTED, "train") | dict.fromkeys(NUMBERED, "test")
        assert not choice.warnings and not choice.reading.skipped
        first, _, second = choice.reading.source.partition("; ")
        assert first == "the second folder level" and second.startswith("those of `test` from ") and file in second

    def test_may_label_train_where_folders_sort_test(self) -> None:
        train = {f"train/{n}.jpg": FRUIT[n % 3] for n in range(15)}
        test = {f"test/{name}/t{n}.jpg": name for name in FRUIT for n in range(2)}
        choice = chosen([*train, *test], {"train.csv": table(train)})
        assert counts(choice) == BOTH
        assert splits(choice) == dict.fromkeys(train, "train") | dict.fromkeys(test, "test")

    @pytest.mark.parametrize(
        "written", [str.upper, lambda name: name.replace("_", " "), lambda name: name.replace("_", "-")]
    )
    def test_may_write_the_words_of_a_class_otherwise(self, written: Callable[[str], str]) -> None:
        pies = [f"{name}_pie" for name in FRUIT]
        train = [f"train/{pie}/{n}a.jpg" for pie in pies for n in range(4)]
        test = {f"test/{n}.jpg": written(pies[n % 3]) for n in range(6)}
        assert counts(chosen([*train, *test], {"test.csv": table(test)})) == dict.fromkeys(pies, 6)

    def test_of_val_and_of_test_are_both_used(self) -> None:
        val = {f"val/v{i}.jpg": FRUIT[i % 3] for i in range(3)}
        choice = chosen([*SORTED, *NUMBERED, *val], {"test.csv": table(NUMBERED), "val.csv": table(val)})
        assert counts(choice) == dict.fromkeys(FRUIT, 8)
        assert set(splits(choice).values()) == {"train", "val", "test"}

    def test_may_write_the_number_of_a_class_otherwise(self) -> None:
        train = {f"Train/{n:05}/{n}_{i}.ppm": f"{n:05}" for n in range(12) for i in range(3)}
        test = {f"Test/{n:05}.ppm": str(n) for n in range(12)}
        choice = chosen([*train, *test], {"Test.csv": table(test, "{file}", "Path,ClassId")})
        assert counts(choice) == {f"{n:05}": 4 for n in range(12)}

    def test_tiny_imagenet_has_its_own_val(self) -> None:
        train = {f"tiny/train/{name}/images/{name}_{i}.JPEG": name for name in FRUIT for i in range(5)}
        val = {f"tiny/val/images/val_{i}.JPEG": FRUIT[i % 3] for i in range(6)}
        boxes = table(val, heading="", row="{path}\t{label}\t0\t32\t44\t62")
        choice = chosen([*train, *val], {"tiny/val/val_annotations.txt": boxes, "tiny/wnids.txt": "\n".join(FRUIT)})
        assert counts(choice) == BOTH
        assert splits(choice) == dict.fromkeys(train, "train") | dict.fromkeys(val, "val")
        assert not choice.warnings

    def test_folders_alone_can_be_asked_for(self) -> None:
        choice = chosen([*SORTED, *NUMBERED], {"test.csv": table(NUMBERED)}, layout="folders:1")
        assert counts(choice) == dict.fromkeys(FRUIT, 5)


class TestNotUnited:
    @pytest.mark.parametrize("answers", [["plum"], FRUIT], ids=["one for all", "by turns"])
    @pytest.mark.parametrize("file", ["sample_submission.csv", "sampleSubmission.csv", "submission_format.csv"])
    def test_with_made_up_answers(self, file: str, answers: list[str]) -> None:
        """What Kaggle wants to be sent looks like labels."""
        made_up = {path: answers[n % len(answers)] for n, path in enumerate(NUMBERED)}
        choice = chosen([*SORTED, *NUMBERED], {file: table(made_up, heading="file,species")})
        assert counts(choice) == dict.fromkeys(FRUIT, 5)
        assert any(file in told for told in choice.ignored)

    @pytest.mark.parametrize(
        ("file", "heading"),
        [
            ("predictions.csv", "filename,label"),
            ("my_preds.csv", "filename,label"),
            ("test_results.csv", "filename,label"),
            ("test.csv", "filename,prediction"),
            ("output.csv", "image,predicted_class"),
        ],
    )
    def test_with_what_a_model_made_of_the_images(self, file: str, heading: str) -> None:
        choice = chosen([*SORTED, *NUMBERED], {file: table(NUMBERED, heading=heading)})
        assert counts(choice) == dict.fromkeys(FRUIT, 5)
        assert f"Not used: `{file}`: the images that it labels are left out." in choice.warnings

    def test_with_one_class_for_all(self) -> None:
        choice = chosen([*SORTED, *NUMBERED], {"test.csv": table(dict.fromkeys(NUMBERED, "plum"))})
        assert counts(choice) == dict.fromkeys(FRUIT, 5)
        assert "Not used: `test.csv`: the images that it labels are left out." in choice.warnings

    @pytest.mark.parametrize(
        ("more", "content"),
        [
            (NUMBERED, table(dict.fromkeys(NUMBERED, "quince"))),  # a class that has no folder
            (NUMBERED, table({path: str(n % 3) for n, path in enumerate(NUMBERED)})),  # numbers, of which order?
        ],
        ids=["another class", "numbers for names"],
    )
    def test_where_the_table_has_other_classes(self, more: dict[str, str], content: str) -> None:
        choice = chosen([*SORTED, *more], {"test.csv": content})
        assert counts(choice) == dict.fromkeys(FRUIT, 5)
        assert "Not used: `test.csv`: the images that it labels are left out." in choice.warnings

    def test_where_it_says_otherwise_of_an_image_in_a_folder(self) -> None:
        wrong = {**NUMBERED, "train/lemon/lemon_0.jpg": "plum"}
        choice = chosen([*SORTED, *NUMBERED], {"labels.csv": table(wrong, "{file}")})
        assert "+" not in choice.reading.id

    def test_where_the_folders_hold_that_split_too(self) -> None:
        there = {f"test/{name}/t{name}.jpg": name for name in FRUIT}
        choice = chosen([*SORTED, *there, *NUMBERED], {"test.csv": table(NUMBERED)})
        assert "+" not in choice.reading.id

    def test_where_the_rest_is_of_no_split(self) -> None:
        rest = {path.replace("test", "more"): label for path, label in NUMBERED.items()}
        folders = {path.removeprefix("train/"): label for path, label in SORTED.items()}
        choice = chosen([*folders, *rest], {"labels.csv": table(rest, "{file}")})
        assert "+" not in choice.reading.id
