"""The tables and the drawing of the ladder and the ablations, by hand."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from app.domain.spec import TrainingSpec
from benchmarks.common.cells import Line
from benchmarks.common.setting import Setting
from benchmarks.methods import ablations, ladder, patience, teachers
from benchmarks.methods.patience import stops_at
from benchmarks.methods.plot import draw


def line(data: str, method: str, seed: int, student: float | None, probe: float | None = None) -> Line:
    return {
        "data": data,
        "method": method,
        "labels_per_class": 20,
        "seed": seed,
        "student_accuracy": student,
        "probe_accuracy": probe,
        "teacher_accuracy": 0.9 if method == "tdmr" else None,
        "seconds": 10.0 * (seed + 1),
    }


LINES = [
    line("clothing", "scratch", 0, 0.40),
    line("clothing", "scratch", 1, 0.44),
    line("clothing", "kd", 0, 0.60, 0.80),
    line("clothing", "kd", 1, 0.62, 0.84),
    line("clothing", "tdmr", 0, 0.66, 0.80),
    line("clothing", "tdmr", 1, 0.70, 0.84),
    line("grocery", "scratch", 0, 0.20),
    line("grocery", "kd", 0, 0.50, 0.60),
    line("grocery", "tdmr", 0, 0.40, 0.60),
]


def row(text: str, *cells: str) -> list[str]:
    """The one row that begins with these cells."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
    (found,) = [row for row in rows if row[: len(cells)] == list(cells)]
    return found


class TestLadderTable:
    def test_a_data_set(self) -> None:
        assert row(ladder.table(LINES), "clothing", "`tdmr`") == [
            *("clothing", "`tdmr`", "68.0 % (66.0 – 70.0)"),
            *("+26.0 (+26.0, +26.0)", "+7.0 (+6.0, +8.0)", "–"),
            *("0.65", "90.0 % (90.0 – 90.0)", "15", "2"),
        ]

    def test_the_mean_of_the_sets_is_over_seeds_that_all_sets_have(self) -> None:
        found = row(ladder.table(LINES), "mean of 2", "`tdmr`")
        assert found[2:5] == ["53.0 %", "+23.0", "-2.0"]
        assert found[6] == f"{(0.53 - 0.30) / (0.70 - 0.30):.2f}"
        assert found[-1] == "1"

    def test_scratch_is_compared_with_nothing_of_its_own(self) -> None:
        found = row(ladder.table(LINES), "grocery", "`scratch`")
        assert found[3] == found[6] == found[7] == "–"


class TestAblationsTable:
    def test_a_row_is_compared_with_its_own_reference(self) -> None:
        found = {
            "tdmr": [line("clothing", "tdmr", 0, 0.7)],
            "scratch": [line("clothing", "scratch", 0, 0.4)],
            "alignment and relation, static": [line("clothing", "tdmr", 0, 0.72)],
            "control: shuffled labels": [line("clothing", "tdmr", 0, 0.12)],
            "scratch, shuffled labels": [line("clothing", "scratch", 0, 0.1)],
        }
        text = ablations.table(found)
        assert row(text, "tdmr")[3] == "+30.0"
        assert row(text, "alignment and relation, static")[3] == "+2.0"
        assert row(text, "control: shuffled labels")[2:4] == ["scratch, shuffled labels", "+2.0"]

    @pytest.mark.parametrize("name", ablations.ROWS)
    def test_every_row_changes_what_the_spec_knows(self, name: str) -> None:
        row = ablations.ROWS[name]
        TrainingSpec.model_validate(Setting().spec(row.method, 0, row.changes))

    def test_every_reference_is_a_row(self) -> None:
        assert {row.against for row in ablations.ROWS.values()} <= ablations.ROWS.keys()


class TestPlot:
    def test_writes_the_same_drawing_twice_with_a_dot_for_each_run(self, tmp_path: Path) -> None:
        for name in ("a.svg", "b.svg"):
            draw([ladder.panels(LINES)], tmp_path / name)
        assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
        root = ET.parse(tmp_path / "a.svg").getroot()
        text = "".join(root.itertext())
        assert all(word in text for word in ("clothing", "grocery", "tdmr", "scratch", "68.0", "linear probe"))


class TestPatience:
    @pytest.mark.parametrize(
        ("errors", "patience", "stops"),
        [
            ([3.0, 2.0, 1.0], 1, 2),
            ([3.0, 2.0, 2.5, 1.0], 1, 2),
            ([3.0, 2.0, 2.5, 1.0], 2, 3),
            ([1.0, 2.0, 2.0, 2.0], 3, 3),
            ([1.0, 1.0, 1.0], 2, 2),
        ],
    )
    def test_stops_once_the_lowest_error_is_so_old(self, errors: list[float], patience: int, stops: int) -> None:
        assert stops_at(errors, patience) == stops

    def test_tells_what_was_used_and_what_was_lost(self) -> None:
        judged = [[step, error, right] for step, error, right in ((10, 1.0, 0.5), (20, 2.0, 0.6), (30, 0.5, 0.8))]
        given = [{"data": "clothing", "seed": 0, "judged": judged, "student_accuracy": 0.7}]
        found = row(patience.table(given), "clothing")
        assert found[2:5] == ["70.0", "80.0", "67%: -20.0"]
        assert found[5] == "100%: +0.0"


class TestTeachersTable:
    def test_tells_what_is_gained_above_the_better_one(self) -> None:
        given = {
            "data": "clothing",
            "seed": 0,
            "teachers": ["a", "b"],
            "accuracy": {"a": 0.7, "b": 0.8, "together": 0.79, "all": 0.82, "equal": 0.81},
            "accuracy_of_few": {"10": 0.8, "50": 0.815},
            "ce": {"a": 0.9, "b": 0.8, "together": 0.8, "all": 0.7, "equal": 0.75},
            "shares": {"a": 0.0, "b": 0.4, "together": 0.6},
        }
        assert row(teachers.table([given]), "clothing")[1:] == [
            *("`a` + `b`", "0", "70.0 · 80.0", "79.0 (-1.0)", "82.0 (+2.0)"),
            *("80.0 (+0.0)", "81.5 (+1.5)", "81.0 (+1.0)", "0.800 → 0.700", "0 · 40 · 60"),
        ]
