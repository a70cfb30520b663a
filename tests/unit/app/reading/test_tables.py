"""Tables as people save them."""

import pytest

from tests.unit.app.reading.reading_helpers import FRUIT, chosen, counts, fruit_images, refused, splits

IMAGES = fruit_images()


def rows(*columns: str, spell: str = "{path}", **more: str) -> list[list[str]]:
    """One row an image; `columns` out of path, label and keys of `more`."""
    made = []
    for n, (path, name) in enumerate(IMAGES.items()):
        values = {
            "path": spell.format(path=path, name=path.rpartition("/")[2], stem=path.rpartition("/")[2][:-4]),
            "label": name,
        }
        values |= {key: value.format(n=n) for key, value in more.items()}
        made.append([values[c] for c in columns])
    return made


def text(lines: list[list[str]], delimiter: str = ",", end: str = "\n") -> str:
    return end.join(delimiter.join(line) for line in lines) + end


ALL = dict.fromkeys(FRUIT, 3)
README = """---
dataset_info:
  features:
  - name: label
    dtype:
      class_label:
        names:
          '0': lemon
          '1': lime
          '2': plum
---
"""


class TestDialects:
    @pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
    @pytest.mark.parametrize("end", ["\n", "\r\n"])
    def test_all_are_read(self, delimiter: str, encoding: str, end: str) -> None:
        content = text([["path", "label"], *rows("path", "label")], delimiter, end).encode(encoding)
        assert counts(chosen(IMAGES, {"whatever.csv": content})) == ALL

    def test_excels_first_line(self) -> None:
        assert (
            counts(chosen(IMAGES, {"a.csv": "sep=;\r\n" + text([["path", "label"], *rows("path", "label")], ";")}))
            == ALL
        )

    @pytest.mark.parametrize(
        ("encoding", "names"),
        [
            ("cp1252", ("crème brûlée", "pâté en croûte")),
            ("gb18030", ("新鲜的苹果和柠檬", "成熟的香蕉和葡萄")),
            ("cp932", ("りんごとレモン", "みかんとバナナです")),
            ("cp1251", ("зелёное яблоко", "спелая груша")),
        ],
    )
    def test_other_encodings_are_guessed_and_told_or_named(self, encoding: str, names: tuple[str, str]) -> None:
        images = [f"{i}.jpg" for i in range(12)]
        content = ("path,label\n" + "".join(f"{path},{names[i % 2]}\n" for i, path in enumerate(images))).encode(
            encoding
        )
        guessed = chosen(images, {"labels.csv": content})
        assert any("is not UTF-8" in warning for warning in guessed.warnings)
        assert set(counts(guessed)) == set(names)
        assert set(counts(chosen(images, {"labels.csv": content}, encoding=encoding))) == set(names)

    def test_without_a_heading(self) -> None:
        choice = chosen(IMAGES, {"data.csv": text(rows("path", "label"))})
        assert counts(choice) == ALL
        assert "column 2" in choice.reading.source

    def test_a_path_and_a_label_with_a_space_between(self) -> None:
        choice = chosen(IMAGES, {"list.txt": text(rows("path", "label"), " ")})
        assert counts(choice) == ALL

    @pytest.mark.parametrize("column", ["path", "Filename", "image_id", "Image Name", "file_name", "fname"])
    @pytest.mark.parametrize("label", ["label", "Class", "choice", "breed", "diagnosis", "category_name", "species"])
    def test_headings(self, column: str, label: str) -> None:
        assert counts(chosen(IMAGES, {"t.csv": text([[column, label], *rows("path", "label")])})) == ALL

    def test_an_index_and_further_columns_are_ignored(self) -> None:
        lines = [
            ["", "path", "age", "label", "", ""],
            *rows("n", "path", "age", "label", "e", "e", n="{n}", age="7", e=""),
        ]
        choice = chosen(IMAGES, {"t.csv": text(lines)})
        assert counts(choice) == ALL
        assert any("not used: `age`" in told for told in choice.reading.evidence)

    def test_one_hot_columns(self) -> None:
        lines = [["filename", *(f" {name}" for name in FRUIT)]]
        lines += [[path, *(f" {int(name == other)}" for other in FRUIT)] for path, name in IMAGES.items()]
        assert counts(chosen(IMAGES, {"_classes.csv": text(lines)})) == ALL

    def test_several_ones_in_a_row_are_refused(self) -> None:
        lines = [["filename", *FRUIT], *([path, "1", "1", "0"] for path in IMAGES)]
        assert "several labels to one image" in refused(IMAGES, {"_classes.csv": text(lines)})


class TestMatching:
    @pytest.mark.parametrize(
        "spell",
        [
            "/home/me/data/{path}",
            "C:\\Users\\me\\{path}",
            "https://host.example/bucket/{path}?x=1",
            "./{path}",
            "{name}",
            "{stem}",
            "other/folder/{name}",
            "/data/upload/1/f1e54a8b-{name}",
        ],
    )
    def test_a_file_is_found_however_it_is_called(self, spell: str) -> None:
        assert counts(chosen(IMAGES, {"t.csv": text([["image", "label"], *rows("path", "label", spell=spell)])})) == ALL

    def test_in_another_case_and_another_form_of_accents(self) -> None:
        images = ["img/É1.JPG", "img/É2.JPG", "img/b.JPG", "img/c.JPG"]
        table = "path,label\nimg/e\u0301" + "1.jpg,x\nimg/é2.jpg,x\nimg/B.jpg,y\nimg/c.jpg,y\n"
        assert counts(chosen(images, {"labels.csv": table})) == {"x": 2, "y": 2}

    def test_the_prefix_of_a_labelling_tool_on_the_files(self) -> None:
        images = {f"upload/1/f1e54a8b-{name}_{i}.jpg": name for name in FRUIT for i in range(3)}
        table = "image,choice\n" + "".join(f"{path.rpartition('-')[2]},{name}\n" for path, name in images.items())
        assert counts(chosen(images, {"project.csv": table})) == ALL

    def test_numbers_without_their_noughts(self) -> None:
        images = [f"train/{i:05d}.jpg" for i in range(1, 9)]
        table = "id,label\n" + "".join(f"{i},{'a' if i % 2 else 'b'}\n" for i in range(1, 9))
        assert counts(chosen(images, {"train.csv": table})) == {"a": 4, "b": 4}

    def test_another_folders_file_of_the_same_name_is_not_taken(self) -> None:
        images = ["cat/1.jpg", "cat/2.jpg", "dog/1.jpg", "dog/2.jpg", "dog/7.jpg"]
        table = "path,label\ncat/1.jpg,cat\ncat/2.jpg,cat\ndog/1.jpg,dog\ndog/2.jpg,dog\ncat/7.jpg,cat\n"
        choice = chosen(images, {"labels.csv": table})
        assert "dog/7.jpg" not in choice.reading.placements
        assert any("'cat/7.jpg'" in warning for warning in choice.warnings)

    def test_a_table_may_name_many_more_files_than_were_packed(self) -> None:
        table = "image,label\n" + "".join(f"gone_{i}.jpg,lemon\n" for i in range(50))
        table += "".join(f"{path},{name}\n" for path, name in IMAGES.items())
        choice = chosen(IMAGES, {"train.csv": table})
        assert counts(choice) == ALL
        assert any("left out: 50 of 59" in warning for warning in choice.warnings)

    def test_a_name_that_several_files_have_is_not_guessed(self) -> None:
        images = ["a/1.jpg", "b/1.jpg", "a/2.jpg", "b/3.jpg", "a/4.jpg"]
        choice = chosen(images, {"t.csv": "file,label\n1.jpg,x\n2.jpg,x\n3.jpg,y\n4.jpg,y\n"}, layout="table")
        assert counts(choice) == {"x": 1, "y": 2}
        assert any("line 2 '1.jpg'" in warning for warning in choice.warnings)


class TestLabels:
    def test_equal_repeats_are_ignored_and_two_labels_are_left_out(self) -> None:
        first = next(iter(IMAGES))
        lines = [["path", "label"], *rows("path", "label")]
        assert counts(chosen(IMAGES, {"t.csv": text([*lines, [first, "lemon"]])})) == ALL
        images = fruit_images(each=10)
        table = "path,label\n" + "".join(f"{path},{name}\n" for path, name in images.items()) + f"{first},plum\n"
        choice = chosen(images, {"labels.csv": table})
        assert counts(choice)["lemon"] == 9
        assert any("Images with two labels, left out: 1" in warning for warning in choice.warnings)

    def test_blank_ones_are_unlabelled(self) -> None:
        lines = [["path", "label"], *rows("path", "label")]
        lines[1][1] = ""
        choice = chosen(IMAGES, {"labels.csv": text(lines)})
        assert counts(choice) == ALL | {"lemon": 2}
        assert any("Rows without a label: 1" in warning for warning in choice.warnings)

    def test_the_column_that_is_named_is_taken(self) -> None:
        lines = [["path", "label", "ripe"], *rows("path", "label", "ripe", ripe="{n}")]
        for n, line in enumerate(lines[1:]):
            line[2] = "yes" if n % 2 else "no"
        assert counts(chosen(IMAGES, {"t.csv": text(lines)})) == ALL
        assert set(counts(chosen(IMAGES, {"t.csv": text(lines)}, labels_column="Ripe"))) == {"yes", "no"}
        assert "has no column 'colour'; it has `path`, `label` and `ripe`" in refused(
            IMAGES, {"t.csv": text(lines)}, labels_column="colour"
        )

    def test_several_columns_that_may_be_the_class_are_asked_about(self) -> None:
        lines = [["path", "colour", "size"], *rows("path", "label", "size", size="{n}")]
        for n, line in enumerate(lines[1:]):
            line[2] = "small" if n % 2 else "large"
        choice = chosen(IMAGES, {"t.csv": text(lines)})
        assert choice.asks
        assert {r.id for r in (choice.reading, *choice.others)} == {"table:t.csv:colour", "table:t.csv:size"}

    def test_a_name_says_more_than_a_number(self) -> None:
        lines = [["path", "class_id", "class_name"], *([p, str(FRUIT.index(c)), c] for p, c in IMAGES.items())]
        assert counts(chosen(IMAGES, {"t.csv": text(lines)})) == ALL

    @pytest.mark.parametrize(
        ("file", "content"),
        [
            ("classes.txt", "lemon\nlime\nplum\n"),
            ("map.json", {"0": "lemon", "1": "lime", "2": "plum"}),
            ("map.json", {"lemon": 0, "lime": 1, "plum": 2}),
            ("config.json", {"id2label": {"0": "lemon", "1": "lime", "2": "plum"}}),
            ("names.csv", "id,name\n0,lemon\n1,lime\n2,plum\n"),
            ("data.yaml", "names: [lemon, lime, plum]\nnc: 3\n"),
            ("dataset_info.json", {"features": {"label": {"names": list(FRUIT), "_type": "ClassLabel"}}}),
            (
                "README.md",
                README,
            ),
        ],
    )
    def test_numbers_get_their_names(self, file: str, content: object) -> None:
        table = "image,label\n" + "".join(f"{path},{FRUIT.index(name)}\n" for path, name in IMAGES.items())
        choice = chosen(IMAGES, {"train.csv": table, file: content})
        assert counts(choice) == ALL
        assert list(choice.warnings) == []


class TestKinds:
    """What well-known data sets have."""

    def test_google_automl_has_the_split_first_and_no_heading(self) -> None:
        lines = [
            ["TEST" if path.endswith("2.jpg") else "TRAINING", f"gs://b/{path}", name] for path, name in IMAGES.items()
        ]
        choice = chosen(IMAGES, {"import.csv": text(lines)})
        assert counts(choice) == ALL
        assert splits(choice)["img/lime_2.jpg"] == "test"

    def test_mxnet_has_a_number_a_label_and_a_path(self) -> None:
        lines = [[str(n), str(FRUIT.index(name)), path] for n, (path, name) in enumerate(IMAGES.items())]
        choice = chosen(IMAGES, {"train.lst": text(lines, "\t"), "classes.txt": "lemon\nlime\nplum\n"})
        assert counts(choice) == ALL

    def test_oxford_pets_has_several_numbers_a_line(self) -> None:
        lines = [f"{path[4:-4]} {FRUIT.index(name) + 1} {1 + (name == 'plum')}" for path, name in IMAGES.items()]
        lists = {"list.txt": ["# Image CLASS-ID SPECIES", *lines], "trainval.txt": lines[::2], "test.txt": lines[1::2]}
        choice = chosen(IMAGES, {f"annotations/{file}": "\n".join(every) for file, every in lists.items()})
        assert counts(choice) == dict.fromkeys(FRUIT, 3)
        assert {path for path, split in splits(choice).items() if split == "test"} == set([*IMAGES][1::2])
        assert choice.reading.source.endswith("named by the names of the files")
        assert "1 is `lemon`" in choice.reading.evidence[-1]

    def test_several_numbers_a_line_are_asked_about(self) -> None:
        images = {f"img/{n}.jpg": name for n, name in enumerate(IMAGES.values())}
        lines = [f"{path[4:-4]} {FRUIT.index(name) + 1} {1 + (name == 'plum')}" for path, name in images.items()]
        choice = chosen(images, {"annotations/list.txt": "\n".join(lines)})
        assert choice.asks
        assert {len(r.classes) for r in (choice.reading, *choice.others)} == {2, 3}

    def test_numbers_are_not_named_by_files_that_say_otherwise(self) -> None:
        table = "path,label\n" + "".join(f"{p},{n % 2}\n" for n, p in enumerate(IMAGES))
        assert counts(chosen(IMAGES, {"labels.csv": table})) == {"0": 5, "1": 4}

    def test_ham10000_has_parts_of_images(self) -> None:
        images = [f"HAM_images_part_{1 + i % 2}/ISIC_{i:04d}.jpg" for i in range(8)]
        rows = [f"HAM_{i},ISIC_{i:04d},{'nv' if i < 4 else 'mel'},{40 + i}.0,male\n" for i in range(8)]
        choice = chosen(images, {"HAM_metadata.csv": "lesion_id,image_id,dx,age,sex\n" + "".join(rows)})
        assert counts(choice) == {"nv": 4, "mel": 4}

    def test_chest_x_rays_have_several_findings(self) -> None:
        findings = ["Mass", "Effusion", "Mass|Effusion"]
        table = "Image Index,Finding Labels\n" + "".join(f"{p},{findings[n % 3]}\n" for n, p in enumerate(IMAGES))
        assert "several labels to one image, such as 'Mass|Effusion'" in refused(IMAGES, {"Data_Entry.csv": table})

    def test_a_comma_in_a_label_is_none_of_that(self) -> None:
        table = "path,label\n" + "".join(f'{p},"{c}, ripe"\n' for p, c in IMAGES.items())
        assert set(counts(chosen(IMAGES, {"labels.csv": table}))) == {"lemon, ripe", "lime, ripe", "plum, ripe"}

    def test_a_spreadsheet_is_called_by_its_name(self) -> None:
        assert "'labels.xlsx' is a spreadsheet" in refused(IMAGES, others={"labels.xlsx": "a spreadsheet"})


class TestSplits:
    def test_of_a_column(self) -> None:
        lines = [["path", "label", "subset"], *rows("path", "label", "s", s="Training")]
        lines[-1][2] = "Testing"
        assert splits(chosen(IMAGES, {"t.csv": text(lines)}))["img/plum_2.jpg"] == "test"

    def test_of_a_flag(self) -> None:
        lines = [["fname", "label", "is_valid"], *rows("path", "label", "s", s="False")]
        lines[-1][2] = "True"
        assert splits(chosen(IMAGES, {"t.csv": text(lines)}))["img/plum_2.jpg"] == "val"

    def test_of_the_names_of_tables(self) -> None:
        lines = rows("path", "label")
        files = {
            "train.csv": text([["path", "label"], *lines[:1], *lines[3:5], *lines[6:8]]),
            "test.csv": text([["path", "label"], lines[1], lines[2], lines[5], lines[8]]),
        }
        choice = chosen(IMAGES, files)
        assert counts(choice) == ALL
        assert splits(choice)["img/plum_2.jpg"] == "test"


class TestBesideFolders:
    IMAGES = tuple(f"{folder}/{i}.jpg" for folder in ("red", "green") for i in range(4))

    def table(self, same: bool) -> str:
        names = {"red": "red", "green": "green"}
        return "path,label\n" + "".join(
            f"{path},{names[path.partition('/')[0]] if same else 'odd' if int(path[-5]) % 2 else 'even'}\n"
            for path in self.IMAGES
        )

    def test_that_agree_nothing_is_asked(self) -> None:
        assert counts(chosen(self.IMAGES, {"list.csv": self.table(same=True)})) == {"red": 4, "green": 4}

    def test_that_differ_one_is_asked(self) -> None:
        choice = chosen(self.IMAGES, {"list.csv": self.table(same=False)})
        assert {r.id for r in (choice.reading, *choice.others)} == {"table:list.csv", "folders:1"}
        assert choice.asks

    def test_a_labels_csv_counts_more_and_it_is_said(self) -> None:
        choice = chosen(self.IMAGES, {"labels.csv": self.table(same=False)})
        assert counts(choice) == {"odd": 4, "even": 4}
        assert any("could also be read as 2 classes from the top folders" in warning for warning in choice.warnings)

    def test_one_about_something_else_is_named_as_unused(self) -> None:
        choice = chosen(self.IMAGES, {"prices.csv": "fruit,price\nlemon,3\nlime,4\n"})
        assert counts(choice) == {"red": 4, "green": 4}
        assert choice.ignored == ["`prices.csv`: it names no images of the archive."]

    @pytest.mark.parametrize(
        ("row", "words"),
        [
            ("{path},{n}", "it names images, but no column tells a class"),
            ("{path},{parity}", "it gives other classes"),
        ],
    )
    def test_one_about_the_images_that_is_not_used_is_loud(self, row: str, words: str) -> None:
        rows = [row.format(path=p, n=f"{n}.25", parity="ab"[n % 2]) for n, p in enumerate(self.IMAGES)]
        choice = chosen(self.IMAGES, {"extra.csv": "file,score,note\n" + "".join(f"{row},seen\n" for row in rows)})
        assert counts(choice) == {"red": 4, "green": 4}
        assert any(words in warning for warning in choice.warnings), (choice.warnings, choice.ignored)

    def test_a_sample_of_what_to_hand_in_is_none(self) -> None:
        choice = chosen(self.IMAGES, {"sample_submission.csv": self.table(same=False)})
        assert counts(choice) == {"red": 4, "green": 4}
