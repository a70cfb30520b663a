"""Files that look like labels and tell no class are named, with why: in the rejection, or loudly beside a reading."""

import pytest

from tests.unit.app.reading.reading_helpers import chosen, fruit_images, refused

IMAGES = fruit_images()


def lines(form: str) -> str:
    return "".join(form.format(path=path, name=name) for path, name in IMAGES.items())


NOT_READ = [
    ("labels.yaml", lines("{path}: {name}\n")),
    ("labels.md", "| path | label |\n|---|---|\n" + lines("| {path} | {name} |\n")),
    ("data.csv", "'path','label'\n" + lines("'{path}','{name}'\n")),
    ("attributes.txt", "9\nmale young\n" + lines("{path}  1 -1\n")),
    (
        "captions.json",
        {
            "images": [{"id": i, "file_name": path} for i, path in enumerate(IMAGES)],
            "annotations": [{"id": i, "image_id": i, "caption": "a nice thing"} for i, _ in enumerate(IMAGES)],
        },
    ),
]


class TestNotUnderstood:
    @pytest.mark.parametrize(("file", "content"), NOT_READ)
    def test_is_named_in_the_rejection(self, file: str, content: object) -> None:
        told = refused(IMAGES, {file: content})
        assert told.startswith("The data set has only one class, 'img'")
        assert (
            f"Not used: `{file}`: it names 9 images, but nothing in it that is understood here tells a class." in told
        )

    @pytest.mark.parametrize(("file", "content"), NOT_READ)
    def test_is_loud_beside_class_folders(self, file: str, content: object) -> None:
        foldered = [f"{name}/{path.rpartition('/')[2]}" for path, name in IMAGES.items()]
        choice = chosen(foldered, {file: content})
        assert choice.reading.id.startswith("folders")
        assert any(told.startswith(f"Not used: `{file}`: it names 9 images") for told in choice.warnings)

    @pytest.mark.parametrize("name", ["labels/{}.txt", "ann/{}.jpg.json", "img/{}.json"])
    def test_a_file_for_each_image_is_named_once(self, name: str) -> None:
        files = {name.format(path[4:-4]): {"version": 7} for path in IMAGES}
        told = refused(IMAGES, files)
        assert f"`{min(files)}` and 8 more files: they are called like images" in told
        assert told.count("Not used") == 1

    @pytest.mark.parametrize(
        ("file", "content", "why"),
        [
            ("labels.csv", "path,label\n" + lines("{path},\n"), "it names 9 images, and gives none of them a class."),
            ("t.csv", "nr,label\n1,a\n2,b\n", "it names no images of the archive."),
            (
                "t.csv",
                "id,p1,p2,p3\n" + lines("{path},0.11,0.72,0.17\n"),
                "it names images, but no column tells a class.",
            ),
        ],
    )
    def test_the_reason_is_told(self, file: str, content: str, why: str) -> None:
        told = refused(IMAGES, {file: content})
        assert f"Not used: `{file}`: " in told
        assert why in told

    def test_a_table_without_a_suffix(self) -> None:
        told = refused(IMAGES, others={"labels": "text", "LICENSE": "text"})
        assert "Not used: `labels`: its name is not that of a table; call it `labels.csv` if it is one." in told
        assert "LICENSE" not in told

    @pytest.mark.parametrize("text", ["See img/lemon_0.jpg for an example.", "MIT", "lemon 9\nlime 9\n"])
    def test_what_names_no_images_is_no_table_of_them(self, text: str) -> None:
        assert not chosen(IMAGES, {"README.md": text}).ignored
        foldered = [f"{name}/{path.rpartition('/')[2]}" for path, name in IMAGES.items()]
        assert not any("README" in told for told in chosen(foldered, {"README.md": text}).warnings)

    def test_short_names_are_no_words(self) -> None:
        images = [f"{name}/{i}.jpg" for name in ("a", "b") for i in range(9)]
        assert not chosen(images, {"notes.md": " ".join(map(str, range(9)))}).ignored

    def test_most_are_counted(self) -> None:
        told = refused(IMAGES, {f"{i}.csv": "nr,label\n1,a\n" for i in range(5)})
        assert told.count("Not used") == 3
        assert "And 2 more files." in told


class TestBoxes:
    def test_images_without_objects_are_yolo_too(self) -> None:
        images = [f"images/{i:04d}.jpg" for i in range(12)]
        labels = {f"labels/{i:04d}.txt": "" if i % 4 else "0 0.5 0.5 0.2 0.2\n" for i in range(12)}
        assert "This is YOLO with boxes" in refused(images, labels)

    @pytest.mark.parametrize("box", ["{} 0.5 0.5 1 1\n", "0 0.5 0.5 1 1\n"])
    def test_beside_images_in_class_folders_are_told_once(self, box: str) -> None:
        images = [f"{name}/{name}_{i}.jpg" for name in ("lemon", "lime") for i in range(6)]
        choice = chosen(images, {f"{path[:-4]}.txt": box.format(n // 6) for n, path in enumerate(images)})
        assert choice.reading.id.startswith("folders")
        assert [told[:38] for told in choice.warnings] == ["Not used: This is YOLO with boxes: 12 "]
        assert choice.ignored == [
            "`lemon/lemon_0.txt`, like 11 more files: it holds classes and boxes, as YOLO has them."
        ]


@pytest.mark.parametrize(("count", "lines"), [(2, 2), (6, 1)])
def test_of_many_files_the_same_is_said_once(count: int, lines: int) -> None:
    images = [f"{name}/{name}_{i}.jpg" for name in ("lemon", "lime") for i in range(6)]
    body = "".join(f"{path} 0.25 0.5 0.75 1.5\n" for path in images)
    told = [w for w in chosen(images, {f"n/{i}.txt": body for i in range(count)}).warnings if "`n/" in w]
    assert len(told) == lines
    assert all(one.endswith("no column tells a class.") for one in told)
    assert any("like 5 more files" in one for one in told) is (lines == 1)
