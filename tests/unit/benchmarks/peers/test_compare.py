"""The table beside our rows, which runs are told apart, and that AGPL code stays outside."""

import argparse
import ast
import json
from pathlib import Path

import pytest

from benchmarks.common import setting
from benchmarks.common.cells import Line, find
from benchmarks.peers import compare


def line(data: str, row: str, student: float, cpu_seconds: float | None = None, seed: int = 0) -> Line:
    return {
        "data": data,
        "row": row,
        "seed": seed,
        "student_accuracy": student,
        "seconds": 400.0,
        "cpu_seconds": cpu_seconds,
    }


LINES = [
    line("clothing", "lightly", 0.78, 900.0),
    line("clothing", "finetune", 0.75),
    line("clothing", "tdmr", 0.84),
    line("trashnet", "lightly", 0.70, 700.0),
    line("trashnet", "tdmr", 0.74),
]


def rows(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in text.splitlines()]


class TestTable:
    def test_a_data_set_begins_with_our_rows(self) -> None:
        assert rows(compare.table(LINES))[2:5] == [
            ["clothing", "`tdmr`", "84.0 %", "–", "400", "–", "1"],
            ["clothing", "`finetune`", "75.0 %", "+9.0", "400", "–", "1"],
            ["clothing", "`lightly`", "78.0 %", "+6.0", "400", "900", "1"],
        ]

    def test_a_mean_is_over_the_sets_that_have_the_row_and_ours(self) -> None:
        means = [row for row in rows(compare.table(LINES)) if row[0].startswith("mean")]
        assert means == [
            ["mean of 2", "`tdmr`", "79.0 %", "–", "–", "–", "1"],
            ["mean of 2", "`lightly`", "74.0 %", "+5.0", "–", "–", "1"],
        ]

    def test_a_row_without_ours_beside_it_has_no_difference(self) -> None:
        assert rows(compare.table([line("grocery", "lightly", 0.6)]))[2][3] == "–"


class TestPlan:
    @pytest.fixture
    def arguments(self) -> argparse.Namespace:
        parser = argparse.ArgumentParser()
        setting.add_options(parser, Path("peers.jsonl"))
        parser.set_defaults(sets=["clothing"], rows=list(compare.ROWS), seeds=[0])
        return parser.parse_args([])

    def test_a_recorded_cell_is_found_again_and_no_other(self, arguments: argparse.Namespace) -> None:
        first, *others = compare.plan(arguments)
        recorded = json.loads(json.dumps({**first.facts, "spec": first.spec}))
        assert find(first, [recorded]) == recorded
        assert others
        assert not any(find(other, [recorded]) for other in others)

    def test_a_plain_fine_tuning_is_not_taken_for_one_of_a_distilled_student(
        self, arguments: argparse.Namespace
    ) -> None:
        (finetune,) = (cell for cell in compare.our_plan(arguments) if cell.spec["method"] == "finetune")
        for cell in compare.plan(arguments):
            assert find(cell, [{**finetune.facts, "row": "finetune", "spec": finetune.spec}]) is None


class TestLicence:
    def test_only_the_script_of_the_other_environment_imports_lightly_train(self) -> None:
        root = Path(compare.__file__).parents[2]
        script = Path(compare.__file__).with_name("lightly_student.py")
        sources = [path for folder in ("app", "worker", "client/src", "benchmarks") for path in _sources(root / folder)]
        assert [path for path in sources if "lightly_train" in _imported(path)] == [script]
        assert not _imported(script) & {"app", "worker", "benchmarks", "tdmr"}


def _sources(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def _imported(path: Path) -> set[str]:
    """The top-level names that a file imports anywhere."""
    nodes = list(ast.walk(ast.parse(path.read_bytes())))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module]
    return {name.partition(".")[0] for name in names}
