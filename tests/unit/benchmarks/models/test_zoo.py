"""The sweep: real small networks through its own process, a process that dies, and what is made of the lines."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.common.cells import read
from benchmarks.models.zoo_report import PARTS, WITHOUT_STUDENT, refusals, table
from worker.training.models.compatibility import REFUSALS, Refusal, read_refusals, write_refusals

ROOT = Path(__file__).resolve().parents[4]
RESULTS = ROOT / "benchmarks" / "results" / "zoo.jsonl"

DIES = """
import os, signal, sys
from benchmarks.models import zoo

class Dying(zoo.Trial):
    def run(self, parts):
        for part in parts:
            self.tell("begin", part)
            if part == "student":
                os.kill(os.getpid(), signal.SIGSEGV)
            if part == "pt2":
                while True: pass
            self.tell(part, True)

zoo.Trial = Dying
zoo.sweep(["test_vit"], zoo.Path(sys.argv[1]), zoo.Limits(cpu_seconds=1))
zoo.Trial = Dying.__base__
zoo.sweep(["test_resnet"], zoo.Path(sys.argv[1]), zoo.Limits())
"""


def line(architecture: str, module: str = "m", **outcomes: Any) -> dict[str, Any]:
    return {"architecture": architecture, "module": module, **dict.fromkeys(PARTS, True), "student_side": 96} | outcomes


LINES = [
    line("a", "first", onnx="out of date"),
    line("a", "first"),
    line("b", "second", torchscript="cannot be traced", int8="limit: not done after 120 s of processor time"),
    line("c", "second", student="no gradient", **dict.fromkeys(PARTS[2:], WITHOUT_STUDENT)),
    line("d", "third", student_side=224, refused_sides={"96": "too small", "160": "too small"}),
]


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The lines of one sweep: of a network that breaks its process, and of a real one."""
    results = tmp_path_factory.mktemp("zoo") / "zoo.jsonl"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", DIES, str(results)]
    done = subprocess.run(command, check=False, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {line["architecture"]: line for line in read(results)}


@pytest.mark.slow
class TestSweep:
    def test_a_small_network_does_all_and_says_how_well(self, swept: dict[str, dict[str, Any]]) -> None:
        found = swept["test_resnet"]
        assert list(found)[:8] == ["architecture", "module", *PARTS]
        assert found["module"] == "resnet"
        assert {part: found[part] for part in PARTS} == dict.fromkeys(PARTS, True)
        assert (found["student_side"], found["taps"]) == (96, "4 by intermediates")
        assert "agrees with the trained student" in found["onnx_says"]
        assert {"timm", "torch", "seconds"} <= found.keys()

    def test_a_death_is_the_reason_of_its_part_alone(self, swept: dict[str, dict[str, Any]]) -> None:
        found = swept["test_vit"]
        assert found["student"] == "the process died of SIGSEGV"
        assert found["pt2"] == "limit: not done after 1 s of processor time"
        assert all(found[part] is True for part in ("teacher", "onnx", "torchscript", "int8"))


class TestReport:
    def test_counts_by_module_and_names_each_failure_once(self) -> None:
        text = table(LINES)
        rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in text.splitlines() if row[:1] == "|"]
        assert ["second", "2/2", "1/2", "1/2", "0/2", "1/2", "0/2"] in rows
        assert ["first", *["1/1"] * 6] in rows
        assert rows[2][1:] == ["4/4", "3/4", "3/4", "2/4", "3/4", "2/4"]
        assert rows[3][1:4] == ["3/3 (100%)", "2/3 (67%)", "2/3 (67%)"]
        assert text.splitlines()[-3:] == [
            "- `b` (second), torchscript: cannot be traced",
            "- `b` (second), int8: limit: not done after 120 s of processor time",
            "- `c` (second), student: no gradient",
        ]

    def test_refuses_what_is_impossible_and_not_what_was_too_slow(self, tmp_path: Path) -> None:
        found = refusals(LINES)
        assert found == {
            "b": Refusal(formats={"torchscript": "cannot be traced"}),
            "c": Refusal(student="no gradient"),
            "d": Refusal(sizes=(96, 160), takes=224),
        }
        write_refusals(found, tmp_path / "compatibility.json")
        assert read_refusals(tmp_path / "compatibility.json") == found
        assert len(json.loads((tmp_path / "compatibility.json").read_text())["c"]) == 1


class TestTheFiles:
    def test_what_the_catalogue_refuses_is_what_the_sweep_found(self) -> None:
        assert read_refusals() == refusals(read(RESULTS)), "run python -m benchmarks.models.zoo --refusals"
        assert REFUSALS.is_file()

    def test_each_line_says_true_or_a_reason(self) -> None:
        for found in read(RESULTS):
            assert all(found[part] is True or (isinstance(found[part], str) and found[part]) for part in PARTS)
