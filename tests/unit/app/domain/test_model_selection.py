"""Which file fits, and what is told if none does."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.domain.model_selection import Candidate, Constraints, choose, mark_front
from app.domain.spec import TrainingSpec


def candidate(file: str, accuracy: float, latency_ms: float | None, size: int = 1_000_000) -> Candidate:
    return Candidate(student=file.partition("/")[0], file=file, accuracy=accuracy, latency_ms=latency_ms, bytes=size)


SMALL = candidate("small/student.onnx", 0.90, 2.0, 1_000_000)
SMALL_TS = candidate("small/student.ts", 0.90, 3.0, 1_200_000)
LARGE = candidate("large/student.onnx", 0.95, 20.0, 40_000_000)
ALL = (SMALL_TS, LARGE, SMALL)

candidates = st.lists(
    st.builds(
        candidate,
        st.text("abc", min_size=1, max_size=3),
        st.sampled_from([0.0, 0.5, 0.9, 0.95, 1.0]),
        st.sampled_from([None, 1.0, 2.0, 3.0, 50.0]),
        st.sampled_from([1, 10, 100]),
    ),
    max_size=12,
)
constraints = st.builds(
    Constraints,
    max_latency_ms=st.sampled_from([None, 0.5, 2.0, 60.0]),
    max_bytes=st.sampled_from([None, 5, 50, 500]),
    min_accuracy=st.sampled_from([None, 0.0, 0.7, 1.0]),
)


def fits(candidate: Candidate, wanted: Constraints) -> bool:
    latency, size, accuracy = wanted.max_latency_ms, wanted.max_bytes, wanted.min_accuracy
    return (
        (latency is None or (candidate.latency_ms is not None and candidate.latency_ms <= latency))
        and (size is None or candidate.bytes <= size)
        and (accuracy is None or candidate.accuracy >= accuracy)
    )


class TestChoose:
    def test_takes_the_most_accurate_that_fits_and_the_faster_of_equals(self) -> None:
        chosen = choose(ALL, Constraints(max_latency_ms=10))
        assert chosen is not None
        assert (chosen.met, chosen.file, chosen.student) == (True, "small/student.onnx", "small")
        assert chosen.summary == (
            "small/student.onnx is chosen: accuracy 90.0 %, 2 ms for one image, 1,000,000 bytes. "
            "It is the most accurate of 2 to fit among 3 files."
        )

    def test_without_any_limit_takes_the_most_accurate(self) -> None:
        chosen = choose(ALL, Constraints())
        assert chosen is not None
        assert (chosen.met, chosen.file, chosen.misses) == (True, "large/student.onnx", ())

    def test_says_which_comes_closest_and_by_how_much_it_misses(self) -> None:
        chosen = choose(ALL, Constraints(max_latency_ms=1.6, max_bytes=800_000, min_accuracy=0.94))
        assert chosen is not None
        assert (chosen.met, chosen.file) == (False, "small/student.onnx")
        assert [(miss.constraint, miss.wanted, miss.got) for miss in chosen.misses] == [
            ("max_latency_ms", 1.6, 2.0),
            ("max_bytes", 800_000, 1_000_000),
            ("min_accuracy", 0.94, 0.90),
        ]
        assert [miss.by for miss in chosen.misses] == pytest.approx([0.4, 200_000, 0.04])
        assert chosen.summary == (
            "No file fits all constraints; small/student.onnx comes closest: one image takes 2 ms, 0.4 ms (25 %) more "
            "than 1.6 ms; it has 1,000,000 bytes, 200,000 (25 %) more than 800,000; its accuracy is 90.0 %, "
            "4 points less than 94 %."
        )

    def test_what_was_not_timed_fits_no_latency(self) -> None:
        chosen = choose([candidate("a/student.onnx", 0.9, None)], Constraints(max_latency_ms=10))
        assert chosen is not None
        assert (chosen.met, chosen.misses[0].got, chosen.misses[0].by) == (False, None, None)
        assert "could not be measured" in chosen.summary

    def test_of_nothing_is_nothing(self) -> None:
        assert choose([], Constraints()) is None

    @given(candidates, constraints)
    def test_is_met_exactly_if_something_fits_and_then_by_the_best(
        self, found: list[Candidate], wanted: Constraints
    ) -> None:
        chosen = choose(found, wanted)
        if not found:
            assert chosen is None
            return
        assert chosen is not None
        fitting = [each for each in found if fits(each, wanted)]
        assert chosen.met == bool(fitting) == (not chosen.misses)
        if fitting:
            assert chosen.accuracy == max(each.accuracy for each in fitting)
        else:
            assert all(miss.by is None or miss.by > 0 for miss in chosen.misses)


class TestFront:
    @given(candidates)
    def test_is_whatever_nothing_beats(self, found: list[Candidate]) -> None:
        marked = mark_front(found)
        assert sorted(each.file for each in marked) == sorted(each.file for each in found)
        timed = [(each.accuracy, each.latency_ms) for each in found if each.latency_ms is not None]
        for each in marked:
            if each.latency_ms is None:
                assert not each.pareto
                continue
            here = (each.accuracy, each.latency_ms)
            beaten = any(a >= here[0] and ms <= here[1] and (a, ms) != here for a, ms in timed)
            assert each.pareto == (not beaten)

    def test_keeps_both_the_accurate_and_the_fast(self) -> None:
        assert [(each.file, each.pareto) for each in mark_front(ALL)] == [
            ("large/student.onnx", True),
            ("small/student.onnx", True),
            ("small/student.ts", False),
        ]


class TestConstraintsOfASpec:
    def spec(self, **changes: Any) -> TrainingSpec:
        return TrainingSpec.model_validate({"student": "test_vit", "method": "scratch"} | changes)

    @pytest.mark.parametrize(
        "wanted",
        [
            {"max_latency_ms": 0},
            {"max_latency_ms": "10"},
            {"max_bytes": 1.5},
            {"max_bytes": 0},
            {"min_accuracy": 95},
            {"min_accuracy": -0.1},
            {"max_latency": 10},
        ],
    )
    def test_refuses_what_means_nothing(self, wanted: dict[str, Any]) -> None:
        with pytest.raises(ValidationError, match="constraints"):
            self.spec(constraints=wanted)

    def test_refuses_to_judge_a_latency_that_is_not_measured(self) -> None:
        with pytest.raises(ValidationError, match=r"needs export\.measure"):
            self.spec(constraints={"max_latency_ms": 10}, export={"measure": False})
        assert self.spec(constraints={"max_bytes": 10}, export={"measure": False}).constraints is not None
