"""What a user reads of a failure."""

import errno
import signal

from app.domain.dataset import ImportResult
from app.domain.errors import WeightsUnavailable
from app.domain.progress import FailureLine
from worker import problems


class TestProblems:
    def test_a_failure_line_gets_the_title_of_its_code(self) -> None:
        told = problems.of_line(FailureLine(code="non_finite_loss", detail="The loss is NaN.", hint="Lower it."))

        assert told["title"] == "The loss became NaN or infinite"

    def test_an_unknown_code_still_has_a_title(self) -> None:
        assert problems.of_line(FailureLine(code="something_new", detail="…"))["title"] == "Training failed"

    def test_memory_is_named_where_it_is_known(self) -> None:
        told = problems.of_memory_used_up()

        assert told["code"] == "out_of_memory"
        assert "batch" in told["hint"]

    def test_a_silent_end_is_told_by_its_signal_or_its_status(self) -> None:
        assert "SIGKILL" in problems.of_silent_exit(-signal.SIGKILL)
        assert "status 3" in problems.of_silent_exit(3)

    def test_a_full_disk_is_named(self) -> None:
        assert problems.of_exception(OSError(errno.ENOSPC, "no", "/secret"))["code"] == "disk_full"

    def test_an_error_of_ours_tells_nothing_of_the_machine(self) -> None:
        for error in (OSError(errno.EIO, "io", "/secret"), RuntimeError("/secret")):
            assert "secret" not in str(problems.of_exception(error))

    def test_an_error_meant_for_the_user_is_passed_on(self) -> None:
        told = problems.of_exception(WeightsUnavailable("They do not match.", hint="Fetch them again."))

        assert (told["code"], told["detail"], told["hint"]) == (
            "weights_unavailable",
            "They do not match.",
            "Fetch them again.",
        )

    def test_a_verdict_is_the_import_s_own(self) -> None:
        told = problems.of_verdict(ImportResult(code="archive_encrypted", detail="It is encrypted.", hint="Decrypt."))

        assert (told["code"], told["detail"]) == ("archive_encrypted", "It is encrypted.")

    def test_counts_oom_kills_or_says_none(self) -> None:
        assert problems.count_oom_kills() >= 0
