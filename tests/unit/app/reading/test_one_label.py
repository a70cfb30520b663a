"""A label in brackets is one label; several are refused, with what stands there."""

import json
from collections.abc import Callable

import pytest

from app.reading.tables.one_label import unwrapped_cell
from tests.unit.app.reading.reading_helpers import FRUIT, chosen, counts, fruit_images, refused

IMAGES = fruit_images(each=4)


def quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"'


@pytest.mark.parametrize(
    ("cell", "label"),
    [
        ('["lemon"]', "lemon"),
        ("['lemon']", "lemon"),
        ("[lemon]", "lemon"),
        ("{lemon}", "lemon"),
        ("{'lemon'}", "lemon"),
        ("['great white shark']", "great white shark"),
        ('["it\'s"]', "it's"),
        ("[3]", "3"),
        ("[[3.0]]", "3"),
        ('{"id": 0, "name": "lemon"}', "lemon"),
        ("{'id': 0, 'name': 'lemon'}", "lemon"),
        ('[{"tagId": "t", "tagName": "lemon"}]', "lemon"),
        ('{"label": {"name": "lemon"}}', "lemon"),
        ('["lemon", "lemon"]', "lemon"),
        ("[]", ""),
        ("{}", ""),
        ("[null]", ""),
        ('["lemon", "lime"]', None),
        ("['lemon' 'lime']", None),
        ("[lemon, lime]", None),
        ("{lemon,lime}", None),
        ("[1 0 0]", None),
        ("[dog person]", None),
        ('{"a": 1}', None),
        ('{"lemon": 0.2, "lime": 0.8}', None),
        ("[" * 3_000 + "]" * 3_000, None),
        ("[" * 200_000 + "]" * 200_000, None),
        ("[__import__('os').getcwd()]", None),
    ],
)
def test_one_is_unwrapped(cell: str, label: str | None) -> None:
    assert unwrapped_cell(cell).label == label


@pytest.mark.parametrize("key", ["bbox", "coordinates"])
def test_boxes_are_told(key: str) -> None:
    assert unwrapped_cell(json.dumps([{"label": "lemon", key: {"x": 1}}])) == ("lemon", True)


class TestTables:
    @pytest.mark.parametrize("spell", ["['{}']", '["{}"]', '{{"id": 1, "name": "{}"}}'])
    def test_csv(self, spell: str) -> None:
        lines = ["path,label", *(f"{path},{quoted(spell.format(name))}" for path, name in IMAGES.items())]
        assert counts(chosen(IMAGES, {"labels.csv": "\n".join(lines)})) == dict.fromkeys(FRUIT, 4)

    @pytest.mark.parametrize(
        ("column", "told"),
        [
            (lambda name: {"label": {"id": 1, "name": name}}, False),
            (lambda name: {"tags": [{"tagId": "t", "tagName": name}], "regions": []}, False),
            (lambda name: {"annotations": [{"label": name, "coordinates": {"x": 1}}]}, True),
            (lambda name: {"objects": {"bbox": [[1, 2, 3, 4]], "categories": [name]}}, True),
        ],
    )
    @pytest.mark.parametrize("lines", [False, True])
    def test_json(self, column: Callable[[str], dict[str, object]], told: bool, lines: bool) -> None:
        rows = [{"image": path} | column(name) for path, name in IMAGES.items()]
        texts = {"data.jsonl": "\n".join(map(json.dumps, rows))} if lines else {"data.json": rows}
        choice = chosen(IMAGES, texts)
        assert counts(choice) == dict.fromkeys(FRUIT, 4)
        assert any("labels boxes or shapes" in warning for warning in choice.warnings) is told

    def test_several_are_refused_with_what_stands_there(self) -> None:
        lines = ["path,label", *(f"{path},\"['{name}', 'ripe']\"" for path, name in IMAGES.items())]
        told = refused(IMAGES, {"labels.csv": "\n".join(lines)})
        assert "gives several labels to one image (line 2 and 11 more), such as ['lemon', 'ripe']" in told

    def test_a_few_are_left_out(self) -> None:
        images = fruit_images(each=20)
        lines = ["path,label", *(f"{path},{name}" for path, name in images.items())]
        lines[1] = "img/lemon_0.jpg,\"['lemon', 'lime']\""
        choice = chosen(images, {"labels.csv": "\n".join(lines)})
        assert counts(choice) == {"lemon": 19, "lime": 20, "plum": 20}
        assert choice.reading.skipped["img/lemon_0.jpg"].kind == "has several labels"
        assert any(w.startswith("Images with several labels, left out: 1: 'img/lemon_0.jpg'") for w in choice.warnings)


class TestRowsThatAreNone:
    @pytest.mark.parametrize(
        "head",
        [
            "# exported 2024-01-01\n# by me\npath,label\n",
            "# exported, by me\npath,label\n",
            "\ufeff#by\r\n# me\r\npath,label\r\n",
            "# by me\n#path,label\n",
            "# by me\n# path,label\n",
            "# by me\n",
        ],
    )
    def test_comments_before_the_heading(self, head: str) -> None:
        text = head + "".join(f"{path},{name}\n" for path, name in IMAGES.items())
        assert counts(chosen(IMAGES, {"labels.csv": text})) == dict.fromkeys(FRUIT, 4)

    def test_files_that_are_called_so_are_none(self) -> None:
        images = {f"#{i}.jpg": FRUIT[i % 3] for i in range(12)}
        text = "".join(f"{path},{name}\n" for path, name in images.items())
        assert counts(chosen(images, {"data.csv": text})) == dict.fromkeys(FRUIT, 4)

    def test_comments_keep_the_numbers_of_lines(self) -> None:
        text = "# by me\npath,label\n" + "".join(f"{path},{name}\n" for path, name in IMAGES.items()) + "x.jpg,lime\n"
        assert any("line 15 'x.jpg'" in warning for warning in chosen(IMAGES, {"labels.csv": text}).warnings)

    @pytest.mark.parametrize("row", [",,12", ",lime,", ",Total,12"])
    def test_a_row_without_a_path_is_left_out_and_told(self, row: str) -> None:
        text = "path,label,n\n" + "".join(f"{path},{name},1\n" for path, name in IMAGES.items()) + f"{row}\n{row}\n"
        choice = chosen(IMAGES, {"labels.csv": text})
        assert counts(choice) == dict.fromkeys(FRUIT, 4)
        told = f"Rows without a path, left out: 2, the first in labels.csv, line 14: {row!r}."
        assert told in choice.warnings

    def test_a_table_without_any_path_is_refused_with_a_hint(self) -> None:
        assert "Give each row the path of its image" in refused(IMAGES, {"labels.csv": "path,label\n,lime\n,plum\n"})
