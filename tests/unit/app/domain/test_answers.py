"""The file of answers: what is written is what is read, and what is none is refused."""

import io

import pytest

from app.domain.answers import COLUMNS, AnsweredImage, NoAnswers, Said, read_answers, write_answers

ROWS = [
    AnsweredImage("a" * 64, 'x/"odd", name.png', "test", "dress, long", Said("=shirt", 0.5), None, Said("a\nb", 1.0)),
    AnsweredImage("b" * 64, "ü/1.png", "test", "coat", None, Said("coat", 1.23e-05), Said("coat", 0.25)),
]


def written() -> str:
    file = io.StringIO(newline="")
    write_answers(file, ROWS)
    return file.getvalue()


class TestAnswers:
    def test_are_read_as_they_were_written(self) -> None:
        assert list(read_answers(io.StringIO(written(), newline=""))) == ROWS

    def test_of_a_later_version_may_have_more_columns(self) -> None:
        header, *lines = written().splitlines(keepends=True)
        later = "new," + header + "".join("1," + line if len(line) > 60 else line for line in lines)
        assert list(read_answers(io.StringIO(later, newline=""))) == ROWS

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "image,path\n1,2\n",
            ",".join(COLUMNS) + "\na,b,test\n",
            ",".join(COLUMNS) + "\na,b,test,cat,cat,very\n",
            ",".join(COLUMNS) + "\na,b,test,cat,cat,nan,,,,\n",
            ",".join(COLUMNS) + '\n"a\n',
        ],
    )
    def test_refuse_what_is_none(self, text: str) -> None:
        with pytest.raises(NoAnswers):
            list(read_answers(io.StringIO(text, newline="")))
