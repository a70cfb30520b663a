"""Conditional and ranged requests."""

import pytest

from app.api.preconditions import ByteRange, RangeNotSatisfiable, matches, parse_range


class TestMatches:
    @pytest.mark.parametrize("condition", ['"a"', 'W/"a"', '"b", "a"', "*"])
    def test_finds_the_tag(self, condition: str) -> None:
        assert matches(condition, '"a"')
        assert matches(condition, 'W/"a"')

    @pytest.mark.parametrize("condition", [None, "", '"b"', "a"])
    def test_finds_no_other(self, condition: str | None) -> None:
        assert not matches(condition, '"a"')


class TestParseRange:
    @pytest.mark.parametrize(
        ("header", "expected"),
        [
            ("bytes=0-0", (0, 0)),
            ("bytes=9-", (9, 9)),
            ("bytes=-3", (7, 9)),
            ("bytes=-99", (0, 9)),
            ("bytes=3-99", (3, 9)),
            ("Bytes= 3-4", (3, 4)),
        ],
    )
    def test_reads_one_range(self, header: str, expected: tuple[int, int]) -> None:
        assert parse_range(header, 10) == ByteRange(*expected)

    @pytest.mark.parametrize(
        "header",
        [
            None,
            "",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=5-3",
            "bytes=0-1,3-4",
            "lines=1-2",
            "bytes=²-",
            "bytes=" + "9" * 5000 + "-",
        ],
    )
    def test_sends_everything_where_it_cannot_follow(self, header: str | None) -> None:
        assert parse_range(header, 10) is None

    @pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-11", "bytes=-0", "bytes=" + ",".join(["0-1"] * 9)])
    def test_refuses_what_lies_outside(self, header: str) -> None:
        with pytest.raises(RangeNotSatisfiable):
            parse_range(header, 10)

    def test_an_empty_file_has_no_range(self) -> None:
        with pytest.raises(RangeNotSatisfiable):
            parse_range("bytes=0-", 0)
