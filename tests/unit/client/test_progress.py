import io

from tdmr.progress import Lines


def lines_of(seconds: float) -> list[str]:
    out = io.StringIO()
    shown = Lines(out, seconds)
    for percent in range(101):
        shown.show("Downloading a", percent / 100)
    shown.show("Downloading b", 1.0, "4 kB")
    return out.getvalue().splitlines()


class TestLines:
    def test_what_is_quick_has_a_line_when_it_begins_and_one_when_it_is_done(self) -> None:
        assert lines_of(60.0) == ["Downloading a   0%", "Downloading a 100%", "Downloading b 100%  4 kB"]

    def test_what_takes_long_has_one_at_each_tenth(self) -> None:
        assert [line.split()[-1] for line in lines_of(0.0)[:-1]] == [f"{10 * tenth}%" for tenth in range(11)]
