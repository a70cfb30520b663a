"""Which file names classes that are numbers: a wrong name is worse than none."""

import pytest

from tests.unit.app.reading.reading_helpers import FRUIT, chosen, counts

FOLDERS = {f"{number}/{image}.jpg": str(number) for number in range(3) for image in range(4)}
NAMED = dict.fromkeys(FRUIT, 4)
NUMBERED = {"0": 4, "1": 4, "2": 4}


def of_rows(*rows: str) -> str:
    return "\n".join(rows) + "\n"


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("classes.txt", of_rows("class_name", *FRUIT)),
        ("classes.txt", of_rows("0 lemon", "1 lime", "2 plum")),
        ("labels_map.txt", "{0: 'lemon', 1: 'lime',\n 2: 'plum'}"),
        ("class_dict.csv", of_rows("class_index,class,height", "0,lemon,224", "1,lime,224", "2,plum,224")),
        ("mapping.txt", of_rows("0: lemon", "1: lime", "2: plum")),
        ("ClassNames.txt", of_rows(*FRUIT)),
        ("label_map.pbtxt", "item { id: 0 name: 'lemon' } item { id: 1 name: 'lime' } item { id: 2 name: 'plum' }"),
    ],
)
def test_a_file_that_is_called_so_names_them(file: str, content: str) -> None:
    choice = chosen(FOLDERS, {file: content, "a_log.csv": "epoch,loss\n0,0.9\n1,0.8\n2,0.7\n"})
    assert counts(choice) == NAMED
    assert choice.reading.source.endswith(f"named by `{file}`")


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("results.csv", of_rows("epoch,loss", "0,0.51", "1,0.42", "2,0.33")),
        ("label_history.csv", of_rows("epoch,loss", "0,0.51", "1,0.42", "2,0.33")),
        ("shops.csv", of_rows("id,price,city", "0,3,Bonn", "1,5,Kiel", "2,4,Jena")),
        ("photographer_names.txt", of_rows("Anna", "Bob", "Carla")),
        ("log.txt", of_rows("0 started", "1 epoch one", "2 done")),
        ("todo.txt", of_rows("0. take pictures", "1. upload", "2. train")),
        ("authors.json", '["Anna", "Bob", "Carla"]'),
        ("labels.txt", of_rows("2026-01-01", "2026-01-02", "2026-01-03")),
        ("sample_submission.csv", of_rows("id,label", "0,lemon", "1,lime", "2,plum")),
    ],
)
def test_a_file_about_something_else_does_not(file: str, content: str) -> None:
    choice = chosen(FOLDERS, {file: content})
    assert counts(choice) == NUMBERED
    assert any("bare numbers" in told for told in choice.warnings)


@pytest.mark.parametrize("heading", ["id,label", ",image,label", "image_id,diagnosis"])
@pytest.mark.parametrize("first", [0, 1])
def test_the_table_of_the_labels_is_no_list_of_names(heading: str, first: int) -> None:
    """With as many images as classes its numbers fit, and would exchange the labels."""
    labels = {f"images/{number + first}.jpg": (number + 1) % 3 for number in range(3)}
    number = heading.startswith(",")
    rows = [
        f"{n},{path},{label}" if number else f"{n + first},{label}" for n, (path, label) in enumerate(labels.items())
    ]
    images = labels | {f"images/{n}.jpg": n % 3 for n in range(10, 22)}
    rows += [f"{n},images/{n}.jpg,{n % 3}" if number else f"{n},{n % 3}" for n in range(10, 22)]
    choice = chosen(dict.fromkeys(images, ""), {"train.csv": of_rows(heading, *rows)})
    assert {path: placement.label for path, placement in choice.reading.placements.items()} == {
        path: str(label) for path, label in images.items()
    }


def test_a_list_that_may_be_counted_in_two_ways_names_nothing() -> None:
    folders = {f"{number}/{image}.jpg": "" for number in (1, 2, 3) for image in range(4)}
    choice = chosen(folders, {"classes.txt": of_rows(*FRUIT, "kiwi")})
    assert counts(choice) == {"1": 4, "2": 4, "3": 4}
    (told,) = (told for told in choice.warnings if "keep their numbers" in told)
    assert "`lime`, `plum` and `kiwi` or `lemon`, `lime` and `plum`" in told

    choice = chosen(folders, {"classes.txt": of_rows("background", *FRUIT)})
    assert counts(choice) == NAMED  # a background has no images of its own


def test_two_files_that_differ_name_nothing() -> None:
    choice = chosen(FOLDERS, {"classes.txt": of_rows(*FRUIT), "labels.txt": of_rows("kiwi", "fig", "pear")})
    assert counts(choice) == NUMBERED
    assert any("`classes.txt` calls the first ones" in told and "`labels.txt`" in told for told in choice.warnings)


@pytest.mark.parametrize(
    "rows",
    [
        (",class_id,name", "0,2,plum", "1,0,lemon", "2,1,lime"),
        ("index,label,label_name", "0,2,plum", "1,0,lemon", "2,1,lime"),
        ("class_name,order,class_id", "plum,0,2", "lemon,1,0", "lime,2,1"),
        (",class_id,name", "0,0,lemon", "1,1,lime", "2,2,plum"),
    ],
)
def test_of_several_numbers_the_one_counts_that_says_so(rows: tuple[str, ...]) -> None:
    choice = chosen(FOLDERS, {"classes.csv": of_rows(*rows)})
    assert counts(choice) == NAMED
    named = {path.split("/")[0]: placement.label for path, placement in choice.reading.placements.items()}
    assert named == dict(zip("012", FRUIT, strict=True))


def test_where_no_number_says_so_none_is_taken() -> None:
    assert counts(chosen(FOLDERS, {"classes.csv": of_rows("a,b,c", "0,2,plum", "1,0,lemon", "2,1,lime")})) == NUMBERED


def test_a_list_that_says_not_of_what_is_asked_about() -> None:
    choice = chosen(FOLDERS, {"names.txt": of_rows("Anna Meier", "Bob Kraus", "Carla Wolf")})
    assert any("0 is `Anna Meier`" in told and "Is that meant?" in told for told in choice.warnings)
