"""Tables beside class folders that tell something else than the class."""

import json

import pytest

from tests.unit.app.reading.reading_helpers import FRUIT, chosen, counts

IMAGES = {f"{name}/{name}_{i}.jpg": name for name in FRUIT for i in range(8)}
ALL = dict.fromkeys(FRUIT, 8)


def rows(heading: str, row: str = "{path},{what}", what: str = "pq") -> str:
    lines = [
        row.format(path=path, what=what[n % 2], split=("train", "test")[n % 4 == 0]) for n, path in enumerate(IMAGES)
    ]
    return "\n".join(filter(None, [heading, *lines]))


class TestFilesThatAreCalledLikeLabels:
    @pytest.mark.parametrize("file", ["metadata.csv", "labels.csv", "metadata.jsonl"])
    @pytest.mark.parametrize("column", ["photographer", "view", "camera"])
    def test_folders_count_more_than_a_column_that_is_not_called_like_a_class(self, file: str, column: str) -> None:
        lines = [json.dumps({"file_name": p, column: "pq"[n % 2]}) for n, p in enumerate(IMAGES)]
        text = rows(f"file_name,{column}") if file.endswith("csv") else "\n".join(lines)
        choice = chosen(IMAGES, {file: text})
        assert counts(choice) == ALL
        assert f"Not used: `{file}`: its column `{column}` was not taken; no heading says that it tells a class." in (
            choice.warnings
        )

    @pytest.mark.parametrize("heading", ["label", "species", "tags"])
    def test_a_column_that_is_called_so_counts_more(self, heading: str) -> None:
        assert set(counts(chosen(IMAGES, {"metadata.csv": rows(f"file_name,{heading}")}))) == {"p", "q"}

    @pytest.mark.parametrize("heading", ["type", "kind"])
    def test_a_weak_word_is_asked_about(self, heading: str) -> None:
        content = {"metadata.csv": rows(f"file_name,{heading}")}
        assert chosen(IMAGES, content).asks
        assert set(counts(chosen(IMAGES, content, layout="table"))) == {"p", "q"}

    @pytest.mark.parametrize("heading", ["type", "photographer"])
    def test_a_column_that_is_named_is_taken(self, heading: str) -> None:
        content = {"metadata.csv": rows(f"file_name,{heading}")}
        assert set(counts(chosen(IMAGES, content, labels_column=heading))) == {"p", "q"}

    def test_one_that_agrees_is_not_told(self) -> None:
        text = "\n".join(["file_name,fruit", *(f"{path},a {name}" for path, name in IMAGES.items())])
        choice = chosen(IMAGES, {"metadata.csv": text})
        assert counts(choice) == ALL
        assert list(choice.warnings) == []

    def test_without_class_folders_it_is_meant(self) -> None:
        images = {f"img/{path.partition('/')[2]}": name for path, name in IMAGES.items()}
        text = "\n".join(["file_name,fruit", *(f"{path},{name}" for path, name in images.items())])
        assert counts(chosen(images, {"metadata.csv": text})) == ALL

    @pytest.mark.parametrize(
        ("file", "heading", "row"),
        [
            ("metadata.csv", "file_name,split,photographer", "{path},{split},{what}"),
            ("metadata.csv", "file_name,split,photographer,view", "{path},{split},{what},{what}"),
            ("splits.csv", "file_name,split", "{path},{split}"),
        ],
    )
    def test_its_splits_count(self, file: str, heading: str, row: str) -> None:
        choice = chosen(IMAGES, {file: rows(heading, row)})
        assert counts(choice) == ALL
        assert choice.reading.splits == f"`{file}/test` and `{file}/train`"
        assert sum(p.split == "test" for p in choice.reading.placements.values()) == 6


class TestTextsAboutTheData:
    @pytest.mark.parametrize(
        "file",
        [
            "README.txt",
            "read_me.txt",
            "attribution.txt",
            "LICENCE.txt",
            "image_credits.txt",
            "notes.txt",
            "README_de.txt",
        ],
    )
    @pytest.mark.parametrize("row", ["{path} taken in {what} by Anna", "{path},{what}"])
    def test_tell_no_classes(self, file: str, row: str) -> None:
        choice = chosen(IMAGES, {file: rows("", row)})
        assert counts(choice) == ALL
        assert list(choice.warnings) == []

    def test_nor_does_a_csv(self) -> None:
        assert counts(chosen(IMAGES, {"image_credits.csv": rows("path,by")})) == ALL

    @pytest.mark.parametrize("file", ["notes.csv", "bank_notes.csv", "list.csv"])
    def test_a_heading_says_more_than_the_name(self, file: str) -> None:
        images = [f"img/{n}_a.jpg" for n in range(12)]
        text = "\n".join(["path,label", *(f"{path},{'pq'[n % 2]}" for n, path in enumerate(images))])
        assert counts(chosen(images, {file: text})) == {"p": 6, "q": 6}

    def test_the_rest_of_a_line_counts_less_than_folders(self) -> None:
        assert counts(chosen(IMAGES, {"list.txt": rows("", "{path} taken in {what} by Anna")})) == ALL

    def test_the_rest_of_a_line_is_a_class_where_there_are_no_folders(self) -> None:
        images = [f"img/{n}_a.jpg" for n in range(12)]
        text = "\n".join(f"{path} {('green', 'blue')[n % 2]} lemon" for n, path in enumerate(images))
        assert counts(chosen(images, {"list.txt": text})) == {"green lemon": 6, "blue lemon": 6}
