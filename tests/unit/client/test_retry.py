"""When a request is repeated, and after how long."""

import email.utils
import time

import httpx2
import pytest

from tdmr._retry import Patience, backoff, retry_after, wait_after_answer, wait_after_error

REFUSED, CUT = httpx2.ConnectError("refused"), httpx2.ReadError("cut")


def answer(status: int, **headers: str) -> httpx2.Response:
    return httpx2.Response(status, headers={name.replace("_", "-"): value for name, value in headers.items()})


class TestErrors:
    def test_before_anything_was_sent_allow_any_request_again(self) -> None:
        assert wait_after_error(REFUSED, 0, repeatable=False) is not None

    def test_after_that_only_one_that_does_no_harm(self) -> None:
        assert wait_after_error(CUT, 0, repeatable=False) is None
        assert wait_after_error(CUT, 0, repeatable=True) is not None


class TestAnswers:
    @pytest.mark.parametrize("status", [429, 503])
    def test_by_which_nothing_was_done_allow_any_request_again(self, status: int) -> None:
        assert wait_after_answer(answer(status), None, 0, repeatable=False) is not None

    @pytest.mark.parametrize("status", [500, 502, 504])
    def test_that_leave_it_open_only_one_that_does_no_harm(self, status: int) -> None:
        assert wait_after_answer(answer(status), None, 0, repeatable=False) is None
        assert wait_after_answer(answer(status), None, 0, repeatable=True) is not None

    @pytest.mark.parametrize("status", [400, 401, 404, 409, 413, 422, 507])
    def test_that_will_not_change_allow_none(self, status: int) -> None:
        assert wait_after_answer(answer(status), None, 0, repeatable=True) is None

    def test_of_a_quota_are_not_waited_for(self) -> None:
        assert wait_after_answer(answer(429, Retry_After="60"), "queue_quota_exceeded", 0, repeatable=True) is None

    def test_are_honoured_as_long_as_they_ask_and_a_little_longer(self) -> None:
        wait = wait_after_answer(answer(429, Retry_After="30"), "rate_limited", 0, repeatable=False)
        assert wait is not None and 30 <= wait <= 33

    def test_that_ask_for_more_than_two_minutes_are_errors(self) -> None:
        assert wait_after_answer(answer(503, Retry_After="3600"), None, 0, repeatable=True) is None

    def test_may_name_a_date(self) -> None:
        date = email.utils.formatdate(time.time() + 20, usegmt=True)
        assert 15 < (retry_after(answer(503, Retry_After=date)) or 0) <= 20
        assert retry_after(answer(503, Retry_After="soon")) is None


def test_waits_grow_up_to_a_bound_and_are_never_the_same_for_all() -> None:
    assert 0.25 <= backoff(0) <= 0.5 and 10 <= backoff(99) <= 20
    assert len({backoff(3) for _ in range(20)}) > 10


def test_patience_ends_when_nothing_has_moved_for_long() -> None:
    assert Patience(0).wait() is None
    assert Patience(60).wait() is not None
    assert Patience(60).wait(asked=100) is None
