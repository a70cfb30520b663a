"""What is told, and how often it is tried."""

import itertools

import pytest

from app.domain.states import DATASET_TRANSITIONS, JOB_TRANSITIONS
from app.domain.webhooks import ALL, EventType, Subscription, is_wanted, retry_after


class TestEventTypes:
    def test_every_state_that_is_entered_is_one(self) -> None:
        entered = {f"job.{state}" for state in JOB_TRANSITIONS}
        entered |= {f"dataset.{state}" for state in itertools.chain.from_iterable(DATASET_TRANSITIONS.values())}
        told = entered - {"dataset.validating"}  # entered again by who answers a question, and knows
        assert {*EventType} == told | {"webhook.test"}

    def test_each_can_be_subscribed_to(self) -> None:
        assert {*Subscription} == {*EventType} - {"webhook.test"} | {"job.*", "dataset.*"}

    @pytest.mark.parametrize(
        ("event", "subscribed", "wanted"),
        [
            ("job.failed", ["job.*"], True),
            ("job.failed", ["dataset.*", "job.failed"], True),
            ("job.failed", ["dataset.*", "job.succeeded"], False),
            ("dataset.ready", ALL, True),
            ("dataset.ready", [], False),
        ],
    )
    def test_are_sent_to_who_wants_them(self, event: str, subscribed: list[str], wanted: bool) -> None:
        assert is_wanted(event, subscribed) is wanted


class TestSchedule:
    def test_is_the_documented_one(self) -> None:
        waits = [retry_after(attempts, 0) for attempts in range(1, 8)]
        assert [wait and wait.total_seconds() for wait in waits] == [5, 300, 1800, 7200, 18000, 36000, None]

    def test_jitter_puts_off_and_never_hurries(self) -> None:
        longest = [retry_after(attempts, 1) for attempts in range(1, 7)]
        assert [wait and wait.total_seconds() for wait in longest] == pytest.approx(
            [5.5, 330, 1980, 7920, 19800, 39600]
        )
