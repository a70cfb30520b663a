"""Log lines that a machine can read."""

import json
import logging
import os
import subprocess
import sys
import threading
from contextvars import copy_context

from app import log_context
from app.log_context import add, bound, current_request_id, environment
from app.logs import JsonLines


def formatted(message: str, **fields: object) -> dict[str, object]:
    record = logging.LogRecord("app.x", logging.WARNING, "", 1, message, (), None)
    vars(record).update(fields)
    text = JsonLines().format(record)
    assert "\n" not in text
    line: dict[str, object] = json.loads(text)
    return line


class TestJsonLines:
    def test_carry_the_request_and_what_was_added(self) -> None:
        with bound(request_id="req_1"):
            line = formatted("two\nlines", path="/v1/jobs")
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


class TestContext:
    def test_inner_blocks_add_to_outer_ones_and_end(self) -> None:
        with bound(job_id="job_1", epoch=1):
            with bound(epoch=2, request_id=None):
                assert log_context.current() == {"job_id": "job_1", "epoch": 2}
            assert log_context.current() == {"job_id": "job_1", "epoch": 1}
        assert log_context.current() == {}
        assert current_request_id() is None

    def test_what_is_found_out_inside_lasts_as_long_as_the_block(self) -> None:
        add(job_id="job_0")
        with bound(request_id="req_1"):
            thread = threading.Thread(target=copy_context().run, args=(lambda: add(job_id="job_1"),))
            thread.start()
            thread.join()
            assert formatted("x")["job_id"] == "job_1"
        assert "job_id" not in formatted("x")

    def test_goes_on_in_a_child_process_and_all_its_threads(self) -> None:
        script = (
            "import logging, threading; from app.logs import configure_logging; configure_logging('info');"
            "thread = threading.Thread(target=logging.getLogger('worker.x').info, args=('hello',));"
            "thread.start(); thread.join()"
        )
        with bound(job_id="job_1", epoch=3):
            done = subprocess.run(
                [sys.executable, "-c", script], env={**os.environ, **environment()}, capture_output=True, check=True
            )
        line = json.loads(done.stderr)
        assert (line["message"], line["job_id"], line["epoch"]) == ("hello", "job_1", 3)
