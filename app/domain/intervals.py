"""How far a share of a few hundred images can be trusted. All intervals are at 95 %."""

import math

from app.domain.evaluation import Interval

Z95 = 1.959963984540054


def wilson(correct: int, total: int) -> Interval:
    """Wilson's score interval (1927): unlike the normal one it stays in 0..1 and has a width at 100 %."""
    share, z2 = correct / total, Z95**2
    centre = share + z2 / (2 * total)
    half = Z95 * math.sqrt(share * (1 - share) / total + z2 / (4 * total**2))
    low, high = (centre - half) / (1 + z2 / total), (centre + half) / (1 + z2 / total)
    # at 0 and at 100 % the ends meet 0 and 1 exactly, but for rounding
    return (0.0 if correct == 0 else low, 1.0 if correct == total else high)


def newcombe(both: int, first: int, second: int, neither: int) -> Interval:
    """For the difference of two shares of the same images (Newcombe 1998, Statist. Med. 17, 2635, method 10).

    Wilson's intervals of the two are put together with the correlation of the right answers, which is corrected for
    continuity where it is positive. It stays in −1..1 and has a width where the two always agree.

    Args:
        both, first, second, neither: images on which both are right, the first alone, the second alone, none.
    """
    total = both + first + second + neither
    p, q = (both + first) / total, (both + second) / total
    (p_low, p_high), (q_low, q_high) = wilson(both + first, total), wilson(both + second, total)
    margins = (both + first) * (second + neither) * (both + second) * (first + neither)
    covariance = float(both * neither - first * second)
    if covariance > 0:
        covariance = max(covariance - total / 2, 0)
    phi = covariance / math.sqrt(margins) if margins else 0.0
    below = (p - p_low) ** 2 - 2 * phi * (p - p_low) * (q_high - q) + (q_high - q) ** 2
    above = (p_high - p) ** 2 - 2 * phi * (p_high - p) * (q - q_low) + (q - q_low) ** 2
    return (p - q - math.sqrt(max(below, 0.0)), p - q + math.sqrt(max(above, 0.0)))


def mcnemar(first: int, second: int) -> float:
    """The exact two-sided p: among the images on which one alone is right, each of two equals has half on average."""
    count, fewer = first + second, min(first, second)
    if first == second:
        return 1.0
    logarithms = (
        math.lgamma(count + 1) - math.lgamma(k + 1) - math.lgamma(count - k + 1) - count * math.log(2)
        for k in range(fewer + 1)
    )
    return min(1.0, 2 * math.fsum(map(math.exp, logarithms)))
