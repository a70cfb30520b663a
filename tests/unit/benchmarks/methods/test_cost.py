"""The cost's arithmetic, by hand."""

from benchmarks.common.cells import Line
from benchmarks.methods import cost


def repeat(number: int, *seconds: float, cpu: float | None = None) -> Line:
    runs = [
        {"run": job.name, "seconds": value, "cpu_seconds": cpu, "stage_seconds": {"teacher": value / 2}}
        for job, value in zip(cost.JOBS, seconds, strict=True)
    ]
    return {"repeat": number, "runs": runs}


LINES = [
    repeat(0, 100, 150, 90, 99, 110, 121, 300),
    repeat(1, 100, 140, 100, 100, 100, 100, 220),
    repeat(2, 100, 130, 100, 150, 100, 130, 210),
]


class TestRatios:
    def test_are_medians_of_each_repeats_own_ratio(self) -> None:
        rows = cost.ratios(LINES).splitlines()[2:]
        assert rows == [
            "| tdmr, warm | alone, warm | 1.10 (1.10, 1.00, 1.50) | – |",
            "| tdmr, cold | alone, cold | 1.40 (1.50, 1.40, 1.30) | – |",
            "| second tdmr, warm | second alone, warm | 1.10 (1.10, 1.00, 1.30) | – |",
            "| both in one tdmr job, cold | alone, cold + second alone, warm | 1.10 (1.43, 1.10, 1.05) | – |",
        ]

    def test_are_told_in_cpu_seconds_too_where_they_were_counted(self) -> None:
        lines = [LINES[0], repeat(1, 100, 140, 100, 100, 100, 100, 220, cpu=80)]
        assert cost.ratios(lines).splitlines()[2] == "| tdmr, warm | alone, warm | 1.05 (1.10, 1.00) | 1.00 (1.00) |"

    def test_are_left_open_before_the_first_repeat(self) -> None:
        assert cost.ratios([]).splitlines()[-1].endswith("| – |")

    def test_a_run_is_split_into_its_parts(self) -> None:
        (row,) = [row for row in cost.split(LINES).splitlines() if row.startswith("| tdmr, cold ")]
        assert row == "| tdmr, cold | 140.0 | – | 70.0 | – | – | – | – |"


class TestMemory:
    def test_shows_the_peaks_by_number_of_images(self) -> None:
        lines = [
            {
                "unlabelled_limit": images,
                "runs": [
                    {
                        "anonymous_mib": {"prepare": 400.0, "distill": 450.25},
                        "peak_anonymous_mib": 500.25,
                        "peak_rss_mib": 700.0 + images,
                    }
                ],
            }
            for images in (10, 40)
        ]
        assert cost.memory_table(lines).splitlines()[2:] == [
            "| 10 | 400.0 | – | 450.2 | – | – | 500.2 | 710.0 |",
            "| 40 | 400.0 | – | 450.2 | – | – | 500.2 | 740.0 |",
        ]
