"""The tables' arithmetic, by hand."""

import pytest

from benchmarks.common.table import by_seed, differences, gap_closed, over_sets, paired, spread


class TestArithmetic:
    def test_differences_are_those_of_common_seeds(self) -> None:
        assert paired({0: 0.5, 1: 0.75, 2: 0.1}, {1: 0.25, 0: 0.25}) == [0.25, 0.5]

    def test_a_mean_of_sets_needs_the_seed_in_all(self) -> None:
        assert over_sets([{0: 0.2, 1: 0.4}, {0: 0.6}]) == {0: pytest.approx(0.4)}

    def test_gap_closed_is_that_of_the_means(self) -> None:
        closed = gap_closed({0: 0.66, 1: 0.70}, {0: 0.40, 1: 0.44}, {0: 0.80, 1: 0.84})
        assert closed == pytest.approx(0.26 / 0.40)

    @pytest.mark.parametrize("probe", [{0: 0.3}, {1: 0.9}, {}])
    def test_no_gap_where_the_probe_is_not_above_scratch_or_not_there(self, probe: dict[int, float]) -> None:
        assert gap_closed({0: 0.5}, {0: 0.4}, probe) is None

    def test_figures_missing_in_a_line_are_left_out(self) -> None:
        lines = [{"seed": 0}, {"seed": 1, "probe_accuracy": None}, {"seed": 0, "probe_accuracy": 0.80}]
        assert by_seed(lines, "probe_accuracy") == {0: 0.80}

    def test_words(self) -> None:
        assert spread({0: 0.5, 1: 0.6}) == "55.0 % (50.0 – 60.0)"
        assert differences([0.03, -0.01]) == "+1.0 (+3.0, -1.0)"
        assert (spread({}), differences([])) == ("–", "–")
