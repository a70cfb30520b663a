"""Which columns of a table are the class, the classes and the split, and what is said where that is doubtful."""

from collections import Counter
from collections.abc import Sequence

import pytest

from tests.unit.app.reading.reading_helpers import FRUIT, chosen, counts, fruit_images, refused, splits

IMAGES = fruit_images(each=8)
ALL = dict.fromkeys(FRUIT, 8)


def table(heading: str, cells: Sequence[Sequence[object]], delimiter: str = ",") -> str:
    """A row an image: its path and what `cells` has for it, in turn."""
    lines = [heading] if heading else []
    for number, path in enumerate(IMAGES):
        lines.append(delimiter.join([path, *(str(column[number % len(column)]) for column in cells)]))
    return "\n".join(lines) + "\n"


CLASS = tuple(IMAGES.values())
NUMBER = tuple(FRUIT.index(name) for name in CLASS)
ONE_HOT = tuple(tuple(int(name == other) for name in CLASS) for other in FRUIT)


def told(choice: object, words: str) -> bool:
    return any(words in warning for warning in getattr(choice, "warnings", ()))


class TestJoinedLabels:
    @pytest.mark.parametrize("between", [" ", "+", " & ", "/", " and ", "|", ";"])
    def test_several_that_are_made_of_others_are_refused(self, between: str) -> None:
        made = [f"{one}{between}{other}" for one, other in (("car", "person"), ("car", "chair"), ("chair", "person"))]
        content = {"t.csv": table("path,label", [["car", "person", "chair", *made]])}
        assert "several labels to one image, such as" in refused(IMAGES, content)

    @pytest.mark.parametrize("between", [" ", "+", " & ", "/", " and ", "|", ";"])
    @pytest.mark.parametrize("heading", ["tags", "Labels", "categories"])
    def test_one_that_is_made_of_others_is_refused_below_a_plural(self, between: str, heading: str) -> None:
        labels = ["car", "person", f"car{between}person", "chair"]
        assert "several labels to one image, such as" in refused(IMAGES, {"t.csv": table(f"path,{heading}", [labels])})

    @pytest.mark.parametrize(
        "labels",
        [
            ("black & white", "black", "white"),
            ("A/B", "A", "B"),
            ("hot dog", "hot", "dog", "cat"),
            ("R&D", "R", "D"),
            ("fish and chips", "fish", "chips"),
            ('"tomato, green"', "tomato", '"pepper, green"', "pepper"),
            ("Mass|Effusion", "Mass", "Effusion"),
        ],
    )
    def test_one_that_is_made_of_others_is_told(self, labels: Sequence[str]) -> None:
        choice = chosen(IMAGES, {"t.csv": table("path,label", [labels])})
        assert set(counts(choice)) == {label.strip('"') for label in labels}
        assert told(choice, f"Labels such as `{labels[0].strip(chr(34))}` may be several labels")

    @pytest.mark.parametrize("heading", ["tags", "labels", "Finding Labels"])
    def test_shared_parts_below_a_plural_are_told(self, heading: str) -> None:
        labels = ["clear primary", "clear", "haze primary", "haze primary water"]
        choice = chosen(IMAGES, {"t.csv": table(f"path,{heading}", [labels])})
        assert told(choice, "may be several labels with spaces between them: `primary` stands in 3 of them")

    @pytest.mark.parametrize("labels", [("cat+dog", "dog", "horse"), ("rust & scab", "rust", "fine")])
    def test_a_part_that_is_a_label_is_told(self, labels: Sequence[str]) -> None:
        assert told(chosen(IMAGES, {"t.csv": table("path,label", [labels])}), "may be several labels")

    @pytest.mark.parametrize(
        "labels",
        [
            ("apple pie", "pumpkin pie", "apple"),
            ("fruit/lemon", "fruit/lime"),
            ("black and tan", "rock & roll", "C++"),
            ("C", "C++", "C#"),
            ("A", "A+", "A++"),
            ("new york", "york", "new jersey"),
        ],
    )
    def test_names_of_several_words_are_names(self, labels: Sequence[str]) -> None:
        choice = chosen(IMAGES, {"t.csv": table("path,label", [labels])})
        assert set(counts(choice)) == set(labels)
        assert not told(choice, "several")

    @pytest.mark.parametrize("first", ["", "TRAIN,"])
    def test_rows_as_long_as_they_have_labels(self, first: str) -> None:
        lines = [f"{first}{path},{name}{',ripe' if n % 2 else ''}" for n, (path, name) in enumerate(IMAGES.items())]
        assert "several labels to one image (line 2" in refused(IMAGES, {"t.csv": "\n".join(lines)})

    def test_numbers_behind_a_label_are_none(self) -> None:
        lines = [f"{path},{name}{',0.5,0.25' if n % 2 else ''}" for n, (path, name) in enumerate(IMAGES.items())]
        assert counts(chosen(IMAGES, {"t.csv": "\n".join(lines)})) == ALL


class TestSeveralClassColumns:
    @pytest.mark.parametrize("headings", [("label", "class"), ("diagnosis", "target"), ("genus", "binomial")])
    def test_two_that_are_called_so_and_disagree_are_asked_about(self, headings: Sequence[str]) -> None:
        choice = chosen(IMAGES, {"t.csv": table(f"path,{','.join(headings)}", [["x", "y"], CLASS])})
        assert choice.asks
        assert {r.id for r in (choice.reading, *choice.others)} == {f"table:t.csv:{heading}" for heading in headings}

    @pytest.mark.parametrize("headings", [("label", "class"), ("label", "label_str"), ("target", "category")])
    def test_of_two_that_agree_the_name_is_taken(self, headings: Sequence[str]) -> None:
        choice = chosen(IMAGES, {"t.csv": table(f"path,{','.join(headings)}", [NUMBER, CLASS])})
        assert counts(choice) == ALL
        assert list(choice.warnings) == []

    @pytest.mark.parametrize(
        ("taken", "other"),
        [("category", "subcategory"), ("dx", "localization"), ("label", "species"), ("class", "genus")],
    )
    def test_a_likelier_one_is_taken_and_the_others_are_told(self, taken: str, other: str) -> None:
        choice = chosen(IMAGES, {"t.csv": table(f"path,{other},{taken}", [["x", "y"], CLASS])})
        assert counts(choice) == ALL
        assert told(choice, f"The column `{taken}` was taken for the class; `{other}` would give other classes.")
        assert told(choice, "`labels_column`")

    @pytest.mark.parametrize("other", ["patient_id", "age", "photographer"])
    def test_a_column_label_leaves_no_doubt(self, other: str) -> None:
        choice = chosen(IMAGES, {"t.csv": table(f"path,{other},label", [["1", "2"], CLASS])})
        assert list(choice.warnings) == []

    @pytest.mark.parametrize("heading", ["label", "class_name", "category", "species", "breed", "diagnosis", "target"])
    @pytest.mark.parametrize("other", ["type", "Level", "grade", "variety", "kind", "sex", "Photographer", "site"])
    def test_weak_words_and_metadata_are_no_rivals(self, heading: str, other: str) -> None:
        choice = chosen(IMAGES, {"t.csv": table(f"path,{other},{heading}", [["p", "q"], CLASS])})
        assert counts(choice) == ALL
        assert list(choice.warnings) == []

    @pytest.mark.parametrize("others", ["type,kind", "level,grade"])
    def test_weak_words_are_rivals_of_each_other(self, others: str) -> None:
        assert chosen(IMAGES, {"t.csv": table(f"path,{others}", [["p", "q"], CLASS])}).asks

    @pytest.mark.parametrize("heading", ["label", "species"])
    def test_a_y_beside_an_x_is_a_place(self, heading: str) -> None:
        choice = chosen(IMAGES, {"t.csv": table(f"path,{heading},x,y", [CLASS, [0, 20, 40], [0, 0, 20, 20]])})
        assert counts(choice) == ALL
        assert list(choice.warnings) == []

    def test_a_y_alone_is_a_class(self) -> None:
        assert counts(chosen(IMAGES, {"t.csv": table("path,size,y", [["p", "q"], CLASS])})) == ALL

    @pytest.mark.parametrize("constant", ["class", "category"])
    def test_one_that_is_always_the_same_is_not_taken(self, constant: str) -> None:
        choice = chosen(IMAGES, {"t.csv": table(f"path,{constant},species", [["fruit"], CLASS])})
        assert counts(choice) == ALL

    def test_of_two_that_disagree_one_can_be_named(self) -> None:
        content = {"t.csv": table("path,label,class", [["x", "y"], CLASS])}
        assert counts(chosen(IMAGES, content, labels_column="class")) == ALL

    @pytest.mark.parametrize("heading", ["", "path,text"])
    def test_captions_are_no_classes(self, heading: str) -> None:
        captions = [f"a picture of {n}" for n in range(24)]
        images = [f"{name}/{n}.jpg" for name in ("red", "green") for n in range(12)]
        lines = [heading, *(f"{path},{text}" for path, text in zip(images, captions, strict=True))]
        choice = chosen(images, {"metadata.csv": "\n".join(filter(None, lines))})
        assert counts(choice) == {"red": 12, "green": 12}
        assert told(choice, "it names images, but no column tells a class")

    def test_columns_without_a_heading_are_told_by_their_number(self) -> None:
        choice = chosen(IMAGES, {"t.csv": table("", [CLASS, ["seen"]])})
        assert counts(choice) == ALL
        assert any("not used: `column 3`" in line for line in choice.reading.evidence)


class TestOneHot:
    @pytest.mark.parametrize("file", ["t.csv", "_classes.csv"])
    def test_a_column_for_each_class(self, file: str) -> None:
        assert counts(chosen(IMAGES, {file: table("path,lemon,lime,plum", ONE_HOT)})) == ALL

    @pytest.mark.parametrize("delimiter", [",", " ", "\t"])
    def test_without_a_heading_the_places_are_the_classes(self, delimiter: str) -> None:
        content = {"list.txt": table("", ONE_HOT, delimiter), "classes.txt": "lemon\nlime\nplum\n"}
        assert counts(chosen(IMAGES, content)) == ALL

    def test_a_flag_beside_them_is_none_of_them(self) -> None:
        choice = chosen(IMAGES, {"t.csv": table("path,lemon,lime,plum,verified", [*ONE_HOT, [1, 0, 0, 0, 0]])})
        assert counts(choice) == ALL
        assert told(choice, "`verified` is none")

    def test_flags_that_most_rows_do_not_have_are_asked_about(self) -> None:
        choice = chosen(IMAGES, {"t.csv": table("path,defect,dark", [[1, 0, 0, 0], [0, 0, 1, 0, 0, 0, 0, 0]])})
        assert choice.asks
        ids = {r.id.rpartition(":")[2] for r in (choice.reading, *choice.others)}
        assert ids == {"one-hot", "defect", "dark"}

    def test_two_flags_that_a_row_may_have_both_are_two_questions(self) -> None:
        choice = chosen(IMAGES, {"t.csv": table("path,smiling,glasses", [[1, 0], [1, 1, 0]])})
        assert choice.asks
        assert {len(r.classes) for r in (choice.reading, *choice.others)} == {2}

    def test_a_column_that_is_always_nought_makes_no_other_one_hot(self) -> None:
        choice = chosen(IMAGES, {"t.csv": table("path,pneumonia,blurred", [[1, 0], [0]])})
        assert counts(choice) == {"0": 12, "1": 12}

    def test_several_in_a_row_are_several_labels(self) -> None:
        content = {"t.csv": table("path,mass,effusion,nodule", [[1, 0], [1, 1, 0], [0, 1, 1, 1]])}
        assert "several labels to one image" in refused(IMAGES, content)


class TestSplitColumns:
    WORDS = ("train", "train", "val", "test")

    @pytest.mark.parametrize("heading", ["split", "data_type", "train_test", "kfold", "which"])
    @pytest.mark.parametrize("values", [WORDS, tuple(map(str.upper, WORDS)), ("Training", "dev", "eval", "holdout")])
    def test_words_for_splits_are_splits_whatever_the_heading(self, heading: str, values: Sequence[str]) -> None:
        choice = chosen(IMAGES, {"t.csv": table(f"path,label,{heading}", [CLASS, values])})
        assert counts(choice) == ALL
        assert set(splits(choice).values()) == {"train", "val", "test"}

    @pytest.mark.parametrize(
        "values", [("tr", "tr", "va", "te"), ("T", "T", "V", "E"), ("TRAIN", "TEST", "UNASSIGNED")]
    )
    def test_short_ones_are_understood_and_told(self, values: Sequence[str]) -> None:
        choice = chosen(IMAGES, {"t.csv": table("path,label,set", [CLASS, values])})
        assert {splits(choice)[path] for path in list(IMAGES)[1::12]} <= {"train", "test"}
        assert choice.reading.splits == "the column `set`"
        assert any("these were understood" in line for line in choice.reading.evidence)

    @pytest.mark.parametrize("labels_column", [None, "label"])
    def test_numbers_of_celeba(self, labels_column: str | None) -> None:
        content = {
            "attributes.csv": table("path,label,blurred", [CLASS, [1, 0]]),
            "list_eval_partition.csv": table("path,partition", [("0", "0", "1", "2")]),
        }
        choice = chosen(IMAGES, content, labels_column=labels_column)
        assert counts(choice) == ALL
        assert Counter(splits(choice).values()) == {"train": 12, "val": 6, "test": 6}
        assert not told(choice, "partition")

    def test_automl_may_leave_them_to_the_trainer(self) -> None:
        words = ("TRAIN", "VALIDATION", "TEST", "UNASSIGNED")
        lines = [f"{words[n % 4]},gs://b/{path},{name}" for n, (path, name) in enumerate(IMAGES.items())]
        choice = chosen(IMAGES, {"import.csv": "\n".join(lines)})
        assert counts(choice) == ALL
        assert [list(splits(choice).values()).count(split) for split in ("train", "val", "test")] == [12, 6, 6]

    @pytest.mark.parametrize("heading", ["split", "set", "fold", "kfold"])
    @pytest.mark.parametrize("values", [("0", "0", "1", "2"), ("A", "B")])
    def test_what_is_not_understood_is_told(self, heading: str, values: Sequence[str]) -> None:
        choice = chosen(IMAGES, {"t.csv": table(f"path,label,{heading}", [CLASS, values])})
        assert counts(choice) == ALL
        assert told(choice, f"The column `{heading}` of t.csv is called like a split")

    @pytest.mark.parametrize("labels_column", [None, "label"])
    @pytest.mark.parametrize(
        "files",
        [
            {"part.csv": table("path,split", [WORDS])},
            {f"{split}.txt": "\n".join([*IMAGES][start::3]) for start, split in enumerate(("train", "val", "test"))},
        ],
    )
    def test_of_other_files_count_where_the_class_is_named(
        self, files: dict[str, str], labels_column: str | None
    ) -> None:
        content = {"labels.csv": table("path,label", [CLASS]), **files}
        choice = chosen(IMAGES, content, labels_column=labels_column)
        assert counts(choice) == ALL
        assert set(splits(choice).values()) == {"train", "val", "test"}
        assert not told(choice, "Not used")

    @pytest.mark.parametrize("values", [("tr", "te", "va"), ("T", "V", "E")])
    def test_short_ones_elsewhere_are_classes(self, values: Sequence[str]) -> None:
        assert set(counts(chosen(IMAGES, {"t.csv": table("path,label", [values])}))) == set(values)


class TestSpaces:
    @pytest.mark.parametrize("names", [("green lemon", "blue plum"), ("green lemon", "plum", "very ripe lime")])
    def test_the_rest_of_a_line_is_the_label(self, names: Sequence[str]) -> None:
        choice = chosen(IMAGES, {"list.txt": table("", [names], " ")})
        assert set(counts(choice)) == set(names)
        assert told(choice, "the rest of a line after its path was taken as one label")

    def test_a_split_after_the_label_is_one(self) -> None:
        choice = chosen(IMAGES, {"list.txt": table("", [CLASS, ["train", "test"]], " ")})
        assert counts(choice) == ALL
        assert set(splits(choice).values()) == {"train", "test"}

    @pytest.mark.parametrize("delimiter", [",", ";"])
    def test_before_a_quote(self, delimiter: str) -> None:
        lines = [f'"path"{delimiter} "label"', *(f'"{path}"{delimiter} "{c}"' for path, c in IMAGES.items())]
        assert counts(chosen(IMAGES, {"t.csv": "\n".join(lines)})) == ALL

    def test_in_a_cell_a_quote_is_a_quote(self) -> None:
        names = ('the "Gala" apple', '12" disc')
        assert set(counts(chosen(IMAGES, {"t.csv": table("path,label", [names])}))) == set(names)

    def test_im2rec_writes_fractions(self) -> None:
        lines = [f"{n}\t{FRUIT.index(name)}.000000\t{path}" for n, (path, name) in enumerate(IMAGES.items())]
        assert counts(chosen(IMAGES, {"train.lst": "\n".join(lines)})) == dict.fromkeys(FRUIT, 8)


class TestSortedTables:
    """The first rows of a long table may all be of one class and one split."""

    IMAGES = tuple(f"img/{n:04d}.jpg" for n in range(1_200))

    def lines(self, *columns: Sequence[object]) -> str:
        return "".join(
            ",".join([path, *(str(column[n * len(column) // 1_200]) for column in columns)]) + "\n"
            for n, path in enumerate(self.IMAGES)
        )

    def test_a_class(self) -> None:
        kinds = [("x", "y")[n % 2] for n in range(1_200)]
        choice = chosen(self.IMAGES, {"t.csv": "path,label,type\n" + self.lines(FRUIT, kinds)})
        assert counts(choice) == dict.fromkeys(FRUIT, 400)

    def test_a_class_below_a_heading_that_does_not_say_so(self) -> None:
        kinds = [("x", "y")[n % 2] for n in range(1_200)]
        choice = chosen(self.IMAGES, {"t.csv": "path,fruit,ripe\n" + self.lines(FRUIT, kinds)})
        assert {r.id for r in (choice.reading, *choice.others)} == {"table:t.csv:fruit", "table:t.csv:ripe"}

    def test_a_split(self) -> None:
        words = ["train", "train", "train", "test"]
        choice = chosen(self.IMAGES, {"t.csv": "path,label,which\n" + self.lines([*FRUIT, *FRUIT], words)})
        assert counts(choice) == dict.fromkeys(FRUIT, 400)
        assert set(splits(choice).values()) == {"train", "test"}

    def test_one_hot(self) -> None:
        columns = [[int(name == other) for name in FRUIT] for other in FRUIT]
        choice = chosen(self.IMAGES, {"t.csv": "path,lemon,lime,plum\n" + self.lines(*columns)})
        assert counts(choice) == dict.fromkeys(FRUIT, 400)
