"""What the catalogue knows to be impossible is refused when a job is created."""

import pytest

from app.domain.catalog import Catalog, StudentCard, TeacherCard
from app.services import catalog
from tests.integration.conftest import CATALOG, Service

KNOWN = Catalog(
    teachers=(
        *CATALOG.teachers,
        TeacherCard(
            name="resnet99.in1k",
            architecture="resnet99",
            family="resnet",
            parameters=12_000_000,
            input_size=224,
            refused="its stages say nothing",
        ),
    ),
    students=(
        *CATALOG.students,
        StudentCard(name="resnet98", family="resnet", parameters=1, refused="training changes nothing"),
        StudentCard(
            name="picky",
            family="odd",
            parameters=1,
            refused_formats={"onnx": "no such operation"},
            refused_sizes=(96, 160),
            takes_size=224,
        ),
        StudentCard(name="unwritable", family="odd", parameters=1, refused_formats={"torchscript": "cannot be traced"}),
    ),
)


@pytest.fixture
def knowing(service: Service) -> Service:
    with service.store.write() as session:
        catalog.register(session, "host-a", "training", "cpu", KNOWN)
    return service


def refusal(service: Service, **changes: object) -> dict[str, str]:
    answer = service.http.post("/v1/jobs", json=service.spec(**changes))
    body: dict[str, str] = answer.json()
    assert (answer.status_code, body["code"]) == (422, "model_refused"), answer.text
    return body


class TestRefusals:
    def test_a_teacher_with_the_reason_and_others_of_its_family(self, knowing: Service) -> None:
        body = refusal(knowing, teacher="resnet99.in1k")
        assert body["param"] == "teacher"
        assert "its stages say nothing" in body["detail"]
        assert "resnet18.a1_in1k" in body["hint"]
        assert "resnet99" not in body["hint"]

    def test_a_teacher_that_the_method_does_not_use_is_none(self, knowing: Service) -> None:
        answer = knowing.http.post("/v1/jobs", json=knowing.spec(teacher="resnet99.in1k", method="scratch"))
        assert answer.status_code == 202, answer.text

    def test_a_student_among_several(self, knowing: Service) -> None:
        body = refusal(knowing, student=None, students=["mobilenetv3_small_050", "resnet98"])
        assert body["param"] == "students"
        assert "'resnet98' cannot be trained: training changes nothing." in body["detail"]
        assert "resnet50" in body["hint"]

    def test_a_size_with_one_that_is_taken(self, knowing: Service) -> None:
        body = refusal(knowing, student="picky")  # image_size is 160 unless a job says otherwise
        assert (body["param"], "160 px" in body["detail"], "224" in body["hint"]) == ("image_size", True, True)

    def test_a_format_alone_with_those_that_work(self, knowing: Service) -> None:
        body = refusal(knowing, student="picky", image_size=224, export={"formats": ["torchscript", "onnx"]})
        assert body["param"] == "export.formats"
        assert "'picky' cannot be exported as 'onnx': no such operation." in body["detail"]
        assert "'torchscript'" in body["hint"]
        assert "'onnx'" not in body["hint"]
        spec = knowing.spec(student="picky", image_size=224, export={"formats": ["torchscript"]})
        assert knowing.http.post("/v1/jobs", json=spec).status_code == 202

    def test_a_default_format_too(self, knowing: Service) -> None:
        body = refusal(knowing, student="unwritable")
        assert (body["param"], "'onnx'" in body["hint"]) == ("export.formats", True)

    def test_is_shown_beside_what_is_offered(self, knowing: Service) -> None:
        (card,) = knowing.http.get("/v1/students", params={"q": "picky"}).json()["data"]
        assert card["refused_formats"] == {"onnx": "no such operation"}
        assert (card["refused_sizes"], card["takes_size"], card["refused"]) == ([96, 160], 224, None)
