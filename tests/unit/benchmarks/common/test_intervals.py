"""Intervals over images and seeds: against what statistics says of simple cases."""

from typing import Any

import numpy as np
import pytest

from benchmarks.common.intervals import difference, interval, right_by_seed, unpacked
from benchmarks.common.training import packed


def line(seed: int, student: list[bool], probe: list[bool] | None = None) -> dict[str, Any]:
    right = {"student": packed(student)} | ({} if probe is None else {"probe": packed(probe)})
    return {"seed": seed, "student_accuracy": float(np.mean(student)), "right": right}


class TestPacking:
    @pytest.mark.parametrize("bits", [[True], [False], [False, False, True, True, False], [True] * 9])
    def test_gives_back_what_it_was_given(self, bits: list[bool]) -> None:
        assert unpacked(packed(bits)).tolist() == bits

    def test_leaves_lines_without_answers_out(self) -> None:
        assert right_by_seed([{"seed": 0}, line(1, [True, False])]).keys() == {1}


class TestInterval:
    def test_with_one_seed_is_that_of_the_mean_over_images(self) -> None:
        draws = np.random.default_rng(1)
        ours, others = draws.random(400) < 0.8, draws.random(400) < 0.7
        values = ours.astype(float) - others
        half = 1.96 * values.std() / 20
        found = interval([({0: ours}, {0: others})])
        assert found == pytest.approx((values.mean() - half, values.mean() + half), abs=0.006)

    def test_what_both_have_wrong_does_not_widen_it(self) -> None:
        both = np.random.default_rng(1).random(400) < 0.5
        assert interval([({0: both}, {0: both})]) == (0.0, 0.0)

    def test_is_wider_where_seeds_disagree(self) -> None:
        good, bad = np.arange(400) % 10 < 8, np.arange(400) % 10 < 5
        base = np.arange(400) % 10 < 6
        steady = interval([({0: good, 1: good}, {0: base, 1: base})])
        unsteady = interval([({0: good, 1: bad}, {0: base, 1: base})])
        assert steady is not None and unsteady is not None
        assert steady[0] > 0 > unsteady[0]

    def test_takes_only_seeds_that_both_have(self) -> None:
        good, bad = np.ones(50, bool), np.zeros(50, bool)
        assert interval([({0: good, 1: bad}, {0: bad})]) == pytest.approx((1.0, 1.0))
        assert interval([({1: good}, {0: bad})]) is None

    def test_weighs_each_set_the_same(self) -> None:
        large, small = np.ones(1000, bool), np.ones(10, bool)
        assert interval([({0: large}, {0: ~large}), ({0: ~small}, {0: small})]) == pytest.approx((0.0, 0.0))


class TestDifference:
    def test_is_the_mean_over_sets_with_its_interval(self) -> None:
        first = ([line(0, [True] * 8)], [line(0, [False] * 8)])
        second = ([line(0, [True] * 4)], [line(0, [True] * 4)])
        assert difference([first, second]) == "+50.0 [+50.0, +50.0]"

    def test_compares_a_cell_with_its_own_probe(self) -> None:
        cell = line(0, [True, True], [False, False]) | {"probe_accuracy": 0.0}
        assert difference([([cell], [cell])], ("student", "probe")) == "+100.0 [+100.0, +100.0]"

    def test_has_each_seed_of_lines_without_answers(self) -> None:
        old = [{"seed": seed, "student_accuracy": 0.5 + seed / 10} for seed in (0, 1)]
        none = [{"seed": seed, "student_accuracy": 0.5} for seed in (0, 1)]
        assert difference([(old, none)]) == "+5.0 (+0.0, +10.0)"

    def test_has_no_interval_of_some_of_the_seeds_alone(self) -> None:
        old = {"seed": 1, "student_accuracy": 1.0}
        assert difference([([line(0, [True]), old], [line(0, [False]), old])]) == "+50.0 (+100.0, +0.0)"

    def test_is_nothing_without_a_common_seed(self) -> None:
        assert difference([([line(0, [True])], [line(1, [True])])]) == "–"
