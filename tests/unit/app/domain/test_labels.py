from collections.abc import Collection, Mapping

import pytest

from app.domain.dataset import Reason, Split
from app.domain.errors import DatasetRejected
from app.reading.choose import Choice, choose
from app.reading.context import Context
from app.reading.layout import assign
from app.reading.listing import Listing
from tests.unit.app.domain.test_layout import placed


def chosen(paths: Collection[str], texts: Mapping[str, str]) -> Choice:
    return choose(Context(Listing(tuple(paths), {file: text.encode() for file, text in texts.items()})))


class TestLabels:
    PATHS = ("img/1.jpg", "img/2.jpg", "img/3.jpg")

    def test_names_classes_whatever_the_folders_say(self) -> None:
        layout = assign(self.PATHS, {"labels.csv": "path,label\nimg/1.jpg,cat\nimg/2.jpg,dog\n./img/3.jpg,cat\n"})
        assert placed(layout) == {
            "img/1.jpg": ("train", "cat"), "img/2.jpg": ("train", "dog"), "img/3.jpg": ("train", "cat"),
        }  # fmt: skip

    def test_accepts_a_byte_order_mark_quotes_blank_lines_and_windows_line_ends(self) -> None:
        layout = assign(
            self.PATHS, {"labels.csv": '\ufeffPath,Label\r\n"img/1.jpg","cat, big"\r\n\r\nimg\\2.jpg,dog\r\n'}
        )
        assert layout.classes == ("cat, big", "dog")
        assert layout.skipped == {"img/3.jpg": Reason("is not named in labels.csv")}

    def test_may_give_splits(self) -> None:
        text = "label,path,split\ncat,img/1.jpg,train\ndog,img/2.jpg,Train\n,img/3.jpg,unlabeled\n"
        assert placed(assign(self.PATHS, {"labels.csv": text}))["img/3.jpg"] == ("unlabelled", None)

    def test_paths_start_at_its_own_folder(self) -> None:
        layout = assign(
            [f"w/{path}" for path in self.PATHS], {"w/labels.csv": "path,label\nimg/1.jpg,a\nimg/2.jpg,b\n"}
        )
        assert placed(layout) == {"w/img/1.jpg": ("train", "a"), "w/img/2.jpg": ("train", "b")}

    def test_finds_a_name_whose_accents_are_encoded_otherwise(self) -> None:
        layout = assign(["e\u0301.jpg", "b.jpg"], {"labels.csv": "path,label\n\u00e9.jpg,cat\nb.jpg,dog\n"})
        assert placed(layout)["e\u0301.jpg"] == ("train", "cat")

    def test_images_under_unlabeled_need_no_line(self) -> None:
        layout = assign(
            [*self.PATHS, "unlabeled/x.jpg"], {"labels.csv": "path,label\nimg/1.jpg,a\nimg/2.jpg,b\nimg/3.jpg,b\n"}
        )
        assert placed(layout)["unlabeled/x.jpg"] == ("unlabelled", None)

    def test_rows_without_a_file_are_all_told_at_once(self) -> None:
        text = "path,label\nimg/1.jpg,cat\nimg/9.jpg,dog\nimg/8.jpg,dog\nimg/2.jpg,dog\nimg/3.jpg,dog\n"
        choice = chosen(self.PATHS, {"labels.csv": text})
        (told,) = choice.warnings
        assert "left out: 2 of 5: line 3 'img/9.jpg' (nearest:" in told
        assert "line 4 'img/8.jpg'" in told
        assert choice.reading.counts == {"cat": 1, "dog": 2}

    def test_most_of_whose_rows_have_no_file_are_refused(self) -> None:
        text = "path,label\nimg/1.jpg,cat\nimg/9.jpg,dog\nimg/8.jpg,dog\n"
        with pytest.raises(DatasetRejected, match=r"2 of 3 rows .* line 3 'img/9\.jpg'.*; line 4 'img/8\.jpg'"):
            assign(self.PATHS, {"labels.csv": text})

    @pytest.mark.parametrize(
        ("file", "heading", "line"),
        [
            ("labels.csv", "path,label\n", "img/{}.jpg,{}\n"),
            ("labels.csv", "path,label\n", "\n"),
            ("metadata.jsonl", "", '{{"file_name": "img/{}.jpg", "label": {}}}\n'),
            ("metadata.jsonl", "", "\r"),
        ],
    )
    def test_have_as_many_lines_as_an_archive_has_entries(self, file: str, heading: str, line: str) -> None:
        lines = [line.format(number, number % 2) for number in (1, 2, 3)]
        two = "".join((heading, *lines[:2]))
        if "img" in line:
            assert len(assign(self.PATHS, {file: two}, max_lines=2).placements) == 2
        with pytest.raises(DatasetRejected, match=f"{file} has more than {2 + bool(heading)} lines"):
            assign(self.PATHS, {file: two + lines[2]}, max_lines=2)

    def test_splits_that_some_lack_are_told_by_the_first_line_without(self) -> None:
        text = "path,label,split\nimg/1.jpg,a,\nimg/2.jpg,b,\nimg/3.jpg,b,test\n"
        with pytest.raises(DatasetRejected, match="line 2 has an empty split"):
            assign(self.PATHS, {"labels.csv": text})

    def test_may_name_an_unreadable_image(self) -> None:
        text = "path,label\nimg/1.jpg,cat\nimg/2.jpg,dog\nbroken.jpg,dog\n"
        assert "broken.jpg" not in assign(self.PATHS, {"labels.csv": text}, unreadable=["broken.jpg"]).placements

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("", "is empty"),
            ("path,label\n", "names no image"),
            ("path,label,label\nimg/1.jpg,cat,cat\n", "first line"),
            ("path,label\n,cat\n", "line 2 has an empty path"),
            ("path,label\nimg/1.jpg,cat\nimg/9.jpg,dog\n", "line 3 names 'img/9.jpg', which is not there"),
            ("path,label\n../../etc/passwd,dog\n", "which is not there"),
            ("path,label\nimg/1.jpg,cat\nimg/1.jpg,dog\n", "line 3 names 'img/1.jpg' again, as 'dog' after 'cat'"),
            ("path,label\nimg/1.jpg,a,b\n", "line 2 has 3 columns"),
            ("path,label,split\nimg/1.jpg,a,train\nimg/2.jpg,b,trian\n", "line 3 names an unknown split 'trian'"),
            ("path,label,split\nimg/1.jpg,a,train\nimg/2.jpg,b,\n", "line 3 has an empty split"),
            ("path,label\nimg/1.jpg,a\x07b\n", "line 2 has a label that is too long or not printable"),
            (f"path,label\nimg/1.jpg,{'a' * 256}\n", "line 2 has a label that is too long"),
            ('path,label\nimg/1.jpg,"cat\n', "line 2 cannot be read"),
            ("path,label\nimg/1.jpg,cat\nimg/2.jpg,cat\n", "only one class"),
        ],
    )
    def test_refuses_with_the_line(self, text: str, words: str) -> None:
        with pytest.raises(DatasetRejected) as caught:
            assign(self.PATHS, {"labels.csv": text})
        assert words in caught.value.detail

    def test_one_for_each_split(self) -> None:
        files = {f"{split}/labels.csv": "path,label\n1.jpg,a\n2.jpg,b\n" for split in ("train", "test")}
        layout = assign([f"{split}/{i}.jpg" for split in ("train", "test") for i in (1, 2)], files)
        assert placed(layout)["test/2.jpg"] == ("test", "b")


class TestForeignLabels:
    """What other tools write."""

    PATHS = ("img/1.jpg", "img/2.jpg", "img/3.jpg")

    def test_reads_hugging_faces_metadata_jsonl(self) -> None:
        text = "\ufeff" + "".join(
            f'{{"file_name": "{path}", "label": {label}, "text": "a {i}"}}\n\n'
            for i, (path, label) in enumerate(zip(self.PATHS, ('"cat"', '"dog"', '"cat"'), strict=True))
        )
        layout = assign(self.PATHS, {"metadata.jsonl": text})
        assert placed(layout)["img/2.jpg"] == ("train", "dog")
        assert layout.classes == ("cat", "dog")

    def test_takes_whole_numbers_for_names(self) -> None:
        text = "".join(f'{{"file_name": "img/{i}.jpg", "label": {i + 8}}}\n' for i in (1, 2, 3))
        assert assign(self.PATHS, {"metadata.jsonl": text}).classes == ("9", "10", "11")

    @pytest.mark.parametrize("header", ["file_name,label", "image,class", "filepath,category", "id,FileName,x,Label"])
    def test_reads_a_table_whose_columns_are_called_otherwise(self, header: str) -> None:
        cells = {"file_name": "{}", "image": "{}", "filepath": "{}", "FileName": "{}"}
        rows = [
            ",".join(
                cells.get(column, "x" if column in ("id", "x") else label).format(path) for column in header.split(",")
            )
            for path, label in zip(self.PATHS, ("cat", "dog", "cat"), strict=True)
        ]
        layout = assign(self.PATHS, {"manifest.csv": "\n".join([header, *rows])})
        assert placed(layout)["img/2.jpg"] == ("train", "dog")

    def test_each_split_may_have_its_own(self) -> None:
        files = {
            f"{split}/metadata.csv": f"file_name,label\n1.jpg,a\n2.jpg,{'b' if split == 'train' else 'a'}\n"
            for split in ("train", "test")
        }
        paths = [f"{split}/{i}.jpg" for split in ("train", "test") for i in (1, 2)]
        assert placed(assign(paths, files))["test/2.jpg"] == ("test", "a")

    def test_a_folder_called_like_a_split_beside_others_is_none(self) -> None:
        text = "file_name,label\ntrain/1.jpg,vehicle\nbus/1.jpg,vehicle\ncat/1.jpg,animal\n"
        layout = assign(["train/1.jpg", "bus/1.jpg", "cat/1.jpg"], {"metadata.csv": text})
        assert {placement.split for placement in layout.placements.values()} == {Split.TRAIN}

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("", "names no image"),
            ("nonsense\n", "line 1 is not JSON"),
            ("[" * 100_000, "line 1 is not JSON"),
            ("[1]\n", "line 1 is not a JSON object"),
            ('{"file_name": "img/1.jpg", "label": ["a", "b"]}\n', "gives several labels to one image (line 1"),
            ('{"file_name": "img/1.jpg", "label": {"a": 1}}\n', "gives several labels to one image (line 1"),
            ('{"file_name": "img/1.jpg", "label": "\\ud800"}\n', "not printable"),
            ('{"file_name": "../../etc/passwd", "label": "cat"}\n', "which is not there"),
        ],
    )
    def test_refuses_with_the_line(self, text: str, words: str) -> None:
        with pytest.raises(DatasetRejected) as caught:
            assign(self.PATHS, {"metadata.jsonl": text})
        assert words in caught.value.detail
        assert "metadata.jsonl" in caught.value.detail
