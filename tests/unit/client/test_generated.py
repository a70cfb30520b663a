"""What of the client is generated is as it would be generated now: it cannot drift from the service."""

import inspect
from pathlib import Path
from typing import Any

import pytest

from client.tools import generate
from tdmr import AsyncTdmr, Tdmr, models
from tdmr._sync.jobs import Jobs


@pytest.fixture(scope="module")
def openapi() -> dict[str, Any]:
    return generate.document()


class TestGenerated:
    def test_files_are_those_of_the_service_s_document(self, openapi: dict[str, Any]) -> None:
        pytest.importorskip("ruff", reason="no ruff, which formats what is generated")
        files = generate.generated(openapi)
        assert {"models.py", "problems.py", "job.schema.json", "jobs.py", "client.py"} <= {path.name for path in files}
        stale = [path.name for path, text in files.items() if path.read_text() != text]
        assert not stale, "run `make client`"

    def test_nothing_lies_beside_them(self, openapi: dict[str, Any]) -> None:
        written = {path.name for path in (generate.PACKAGE / "_sync").glob("*.py")}
        assert written == {path.name for path in (generate.PACKAGE / "_async").glob("*.py")}


class TestModels:
    def test_describe_each_schema_field_by_field(self, openapi: dict[str, Any]) -> None:
        schemas = openapi["components"]["schemas"]
        for name in ("Job", "JobCreate", "Dataset", "Evaluation", "Prediction"):
            fields = getattr(models, name).model_fields.items()
            assert {field.alias or key for key, field in fields} == set(schemas[name]["properties"])
        assert models.DistillConfig.model_fields["image_steps"].annotation is int

    def test_jobs_create_takes_every_field_of_a_job(self) -> None:
        taken = set(inspect.signature(Jobs.create).parameters)
        assert set(models.JobCreate.model_fields) - {"dataset_id"} <= taken

    def test_keep_what_they_do_not_know(self) -> None:
        artifact = models.Artifact.model_validate(
            {"name": "a", "bytes": 1, "sha256": "0", "media_type": "text/plain", "newer": 7}
        )
        assert artifact.model_dump()["newer"] == 7


def test_the_twins_have_the_same_methods() -> None:
    for name, member in vars(AsyncTdmr).items():
        assert hasattr(Tdmr, name.replace("__a", "__")), member


def test_the_package_says_that_it_is_typed() -> None:
    assert (Path(generate.PACKAGE) / "py.typed").is_file()
