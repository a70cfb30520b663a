"""What a worker says of something that is away for a while."""

import logging

import pytest

from worker.outage import Outage, first_line


class TestOutage:
    def test_is_told_once_when_it_begins_and_once_when_it_ends(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        outage = Outage(logging.getLogger("worker.test"), "The broker", "no message is sent")

        outage.end()
        for _ in range(3):
            outage.begin(ConnectionRefusedError("refused\nand a long statement"))
        for _ in range(3):
            outage.end()

        assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
        assert caplog.messages[0] == "The broker is away, no message is sent: refused"

    def test_an_error_without_words_is_called_by_its_name(self) -> None:
        assert first_line(TimeoutError()) == "TimeoutError"
