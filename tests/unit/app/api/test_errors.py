"""The catalogue of problems."""

import pytest

from app.domain.errors import CATALOGUE, DatasetRejected, ImportFailed, TdmrError, TrainingFailed
from app.main import create_app
from app.settings import Settings

# Never raised in a request: stored as the `error` of a data set or a job.
STORED = (DatasetRejected, ImportFailed, TrainingFailed)


class TestCatalogue:
    @pytest.mark.parametrize("error", [e for e in CATALOGUE.values() if not issubclass(e, STORED)])
    def test_every_error_that_can_reach_http_is_documented(self, error: type[TdmrError]) -> None:
        assert error.status is not None and 400 <= error.status < 600
        assert error.example and error.description()

    @pytest.mark.parametrize("error", STORED)
    def test_what_is_stored_has_no_status(self, error: type[TdmrError]) -> None:
        assert error.status is None

    def test_a_code_has_one_title_and_a_title_one_code(self) -> None:
        titles = [error.title for error in CATALOGUE.values()]
        assert len(titles) == len(set(titles)) == len(CATALOGUE)
        assert all(error.code == code for code, error in CATALOGUE.items())

    def test_no_two_errors_share_a_code(self) -> None:
        with pytest.raises(AssertionError, match="of its own"):

            class Again(TdmrError, code="not_found", title="Not found again"):
                pass

    def test_the_document_lists_every_code(self) -> None:
        schemas = create_app(Settings()).openapi()["components"]["schemas"]
        assert schemas["ProblemCode"]["enum"] == sorted(CATALOGUE)
