"""Cells: each runs once, whoever asks, and a changed setting makes another cell."""

import json
import multiprocessing
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.common.cells import Cell, Line, find, read, run_cells
from benchmarks.common.setting import Setting


def cell(method: str = "scratch", seed: int = 0, image_steps: int = 64, **changes: Any) -> Cell:
    spec = Setting(image_steps=image_steps).spec(method, seed, changes)
    return Cell(facts={"data": "cutlery", "seed": seed}, spec=spec, label=f"{method} {seed}")


def line_of(cell: Cell) -> Line:
    return {**cell.facts, "student_accuracy": 0.5, "seconds": 1.0, "spec": cell.spec}


def run_slowly(cell: Cell, stop: threading.Event) -> Line:
    """A cell that takes long enough for another process to come to it."""
    time.sleep(0.2)
    return line_of(cell)


def benchmark(results: Path) -> None:
    run_cells([cell(seed=seed) for seed in range(6)], results, run_slowly)


class TestRunCells:
    def test_runs_what_is_missing_in_order(self, tmp_path: Path) -> None:
        results, ran = tmp_path / "results.jsonl", []

        def run(cell: Cell, stop: threading.Event) -> Line:
            ran.append(cell.label)
            return line_of(cell)

        assert run_cells([cell(seed=1)], results, run) == []
        assert run_cells([cell(seed=seed) for seed in range(3)], results, run) == []
        assert ran == ["scratch 1", "scratch 0", "scratch 2"]
        assert [line["seed"] for line in read(results)] == [1, 0, 2]

    @pytest.mark.slow
    def test_two_processes_run_no_cell_twice(self, tmp_path: Path) -> None:
        results = tmp_path / "results.jsonl"
        context = multiprocessing.get_context("spawn")
        both = [context.Process(target=benchmark, args=(results,)) for _ in range(2)]
        for process in both:
            process.start()
        for process in both:
            process.join()
        assert sorted(line["seed"] for line in read(results)) == list(range(6))

    def test_two_jobs_run_no_cell_twice(self, tmp_path: Path) -> None:
        results = tmp_path / "results.jsonl"
        run_cells([cell(seed=0), cell(seed=0), cell(seed=1)], results, run_slowly, jobs=2)
        assert sorted(line["seed"] for line in read(results)) == [0, 1]

    def test_goes_on_after_a_failure_and_tells_it(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        results = tmp_path / "results.jsonl"

        def run(cell: Cell, stop: threading.Event) -> Line:
            if cell.facts["seed"] == 0:
                raise RuntimeError("out of paper\nfirst tray")
            return line_of(cell)

        assert run_cells([cell(seed=seed) for seed in range(3)], results, run) == ["scratch 0: out of paper"]
        assert [line["seed"] for line in read(results)] == [1, 2]
        assert "[1 of 3] scratch 0: FAILED, out of paper" in capsys.readouterr().out


class TestCell:
    def test_another_setting_is_another_cell(self) -> None:
        line = line_of(cell(image_steps=64))
        assert find(cell(image_steps=64), [line]) is line
        assert find(cell(image_steps=128), [line]) is None
        assert find(cell(seed=1), [line]) is None
        assert find(cell("kd"), [line]) is None

    def test_a_changed_default_is_another_cell(self) -> None:
        line = json.loads(json.dumps(line_of(cell("tdmr"))))
        line["spec"]["distill"]["align_weight"] = 0.123  # what it was when the line was written
        assert find(cell("tdmr"), [line]) is None

    def test_an_option_newer_than_the_line_changes_nothing(self) -> None:
        cell_, line = cell("tdmr"), line_of(cell("tdmr"))
        assert "align_weight" not in line["spec"]["distill"]
        assert find(cell_, [line]) is line

    def test_options_that_the_method_does_not_read_tell_nothing_apart(self) -> None:
        align = {"distill.align_weight": 0.25}
        assert find(cell("kd", **align), [line_of(cell("kd", **{"distill.align_weight": 0.5}))]) is not None
        assert find(cell("tdmr", **align), [line_of(cell("tdmr", **{"distill.align_weight": 0.5}))]) is None

    def test_the_latest_line_counts(self) -> None:
        old, new = line_of(cell()), line_of(cell())
        assert find(cell(), [old, new]) is new
