"""The table from errors to HTTP."""

from collections.abc import Iterator

import pytest

from app.api.errors import STATUS, status_of
from app.domain.errors import DatasetRejected, ImportFailed, TdmrError, TrainingFailed

# Never raised in a request: stored as the `error` of a data set or a job.
STORED = (DatasetRejected, ImportFailed, TrainingFailed)


def subclasses(error: type[TdmrError]) -> Iterator[type[TdmrError]]:
    for child in error.__subclasses__():
        if child.__module__ == "app.domain.errors":
            yield child
            yield from subclasses(child)


class TestStatus:
    @pytest.mark.parametrize("error", [e for e in subclasses(TdmrError) if not issubclass(e, STORED)])
    def test_every_error_that_can_reach_http_has_one(self, error: type[TdmrError]) -> None:
        assert 400 <= status_of(error) < 600

    @pytest.mark.parametrize("error", STORED)
    def test_what_is_stored_has_none(self, error: type[TdmrError]) -> None:
        with pytest.raises(LookupError):
            status_of(error)

    def test_the_table_names_no_error_in_vain(self) -> None:
        assert set(STATUS) <= set(subclasses(TdmrError))

    def test_codes_tell_errors_apart(self) -> None:
        codes = [error.code for error in subclasses(TdmrError)]
        assert len(codes) == len(set(codes))
