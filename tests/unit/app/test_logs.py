"""Log lines that a machine can read."""

import json
import logging
import sys

from app.logs import JsonLines
from app.request_id import reset_request_id, set_request_id


def formatted(message: str, **fields: object) -> dict[str, object]:
    record = logging.LogRecord("app.x", logging.WARNING, "", 1, message, (), None)
    vars(record).update(fields)
    text = JsonLines().format(record)
    assert "\n" not in text
    line: dict[str, object] = json.loads(text)
    return line


class TestJsonLines:
    def test_carry_the_request_and_what_was_added(self) -> None:
        token = set_request_id("req_1")
        line = formatted("two\nlines", path="/v1/jobs")
        reset_request_id(token)
        assert (line["level"], line["logger"], line["message"]) == ("warning", "app.x", "two\nlines")
        assert (line["request_id"], line["path"]) == ("req_1", "/v1/jobs")

    def test_keep_a_traceback_on_its_line(self) -> None:
        try:
            raise ValueError("broken")
        except ValueError:
            line = formatted("oh", exc_info=sys.exc_info())
        assert "ValueError: broken" in str(line["exception"])

    def test_name_no_request_outside_of_one(self) -> None:
        assert "request_id" not in formatted("quiet")
