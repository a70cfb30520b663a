"""Against published numbers, numbers worked out by hand, and draws from known truths."""

import numpy as np
import pytest

from app.domain.intervals import mcnemar, newcombe, wilson


class TestWilson:
    def test_agrees_with_the_textbook(self) -> None:
        # 81 of 263, Newcombe (1998), table I
        assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)

    def test_has_a_width_where_everything_is_right(self) -> None:
        low, high = wilson(20, 20)
        assert high == 1.0
        assert low == pytest.approx(0.8389, abs=1e-4)
        assert wilson(0, 20) == pytest.approx((0.0, 1 - low))


class TestNewcombe:
    def test_agrees_with_published_numbers(self) -> None:
        # Newcombe's example of 36, 12, 2 and 0
        assert newcombe(36, 12, 2, 0) == pytest.approx((0.0569, 0.3404), abs=1e-4)

    def test_turns_its_sign_with_the_order(self) -> None:
        low, high = newcombe(30, 12, 5, 9)
        assert newcombe(30, 5, 12, 9) == pytest.approx((-high, -low))

    def test_is_narrower_than_two_intervals_of_their_own_where_both_know_the_same_images(self) -> None:
        low, high = newcombe(250, 20, 5, 97)
        (first_low, first_high), (second_low, second_high) = wilson(270, 372), wilson(255, 372)
        assert first_low < second_high  # these two overlap, and would not tell
        assert low > 0
        assert high - low < 0.5 * (first_high - second_low - (first_low - second_high))

    def test_has_a_width_where_both_always_agree(self) -> None:
        low, high = newcombe(30, 0, 0, 0)
        assert low < 0 < high
        assert low == pytest.approx(-high)

    @pytest.mark.parametrize("truth", [(0.7, 0.15, 0.05, 0.1), (0.3, 0.2, 0.2, 0.3), (0.9, 0.02, 0.06, 0.02)])
    def test_holds_the_truth_in_95_of_100_draws(self, truth: tuple[float, ...]) -> None:
        draws = np.random.default_rng(0).multinomial(120, truth, size=1500)
        held = [low <= truth[1] - truth[2] <= high for low, high in (newcombe(*map(int, draw)) for draw in draws)]
        assert 0.935 <= np.mean(held) <= 0.985


class TestMcnemar:
    def test_is_the_binomial_tail_on_both_sides(self) -> None:
        assert mcnemar(1, 7) == pytest.approx(2 * (1 + 8) / 2**8)
        assert mcnemar(7, 1) == mcnemar(1, 7)

    def test_is_one_where_nobody_is_ahead(self) -> None:
        assert mcnemar(0, 0) == mcnemar(6, 6) == 1.0

    def test_stays_a_number_with_many_images(self) -> None:
        assert 0 < mcnemar(9_000, 10_000) < 1e-10
        assert mcnemar(0, 40_000) == 0.0
