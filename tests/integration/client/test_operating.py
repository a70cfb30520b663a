"""What surrounds jobs, through the client and the command: estimates, comparisons, previews, webhooks, keys, audit."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from pydantic import SecretStr

from tdmr import Tdmr, problems
from tdmr.cli.root import tdmr
from tests.integration.client.conftest import Front
from tests.integration.conftest import Service
from tests.integration.guarding import OPERATOR_KEY
from tests.integration.jobs.test_compare import answers, ended
from tests.integration.jobs.test_time import measured as _measured
from tests.receiving import Receiver, receiving
from tests.receiving import answers as replies
from worker.webhooks import WebhookSender

measured = _measured
OPEN = {"outbound_allow": "127.0.0.0/8"}


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    """One kind is enough: the client sees neither."""
    return f"sqlite:///{tmp_path / 'store' / 'tdmr.db'}"


@pytest.fixture
def address(front: Front, surroundings: None, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("TDMR_BASE_URL", front.url)
    return front.url


def run(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(tdmr, arguments)
    assert result.exit_code == code, (result.output, result.exception)
    return result


class TestEstimate:
    def test_is_that_of_the_job_which_is_created_then(self, measured: Service, client: Tdmr) -> None:
        options = {"teacher": "resnet18.a1_in1k", "student": "mobilenetv3_small_050", "distill": {"image_steps": 5000}}
        dataset = client.datasets.get(measured.ready_dataset())

        estimated = client.jobs.estimate(dataset=dataset, **options)

        assert client.jobs.list().first() is None
        assert estimated.seconds is not None and estimated.measured
        job = client.jobs.create(dataset=dataset, **options)  # type: ignore[arg-type]
        assert job.estimated_seconds == pytest.approx(estimated.seconds.expected, abs=0.1)  # a job's is rounded

    def test_is_printed_and_refused_as_a_job_is(self, measured: Service, address: str) -> None:
        job = ["--dataset", measured.ready_dataset(), "--teacher", "resnet18.a1_in1k"]
        said = run("jobs", "estimate", *job, "--student", "mobilenetv3_small_050").stdout
        assert "time           " in said and "  distill      " in said and " – " in said
        assert "unknown_student" in run("jobs", "estimate", *job, "--student", "nothing", code=3).stderr

    def test_is_told_when_a_job_is_created(self, measured: Service, address: str) -> None:
        job = ["--dataset", measured.ready_dataset(), "--teacher", "resnet18.a1_in1k"]
        assert "It takes about " in run("jobs", "create", *job, "--student", "mobilenetv3_small_050").stderr


class TestCompare:
    def test_tells_the_difference_on_the_same_images(self, service: Service, address: str) -> None:
        dataset_id = service.ready_dataset()
        sixty, ninety = "1" * 60 + "0" * 40, "1" * 90 + "0" * 10
        first, second = (ended(service, right, answers(right), dataset_id=dataset_id) for right in (sixty, ninety))
        with Tdmr() as client:
            [difference] = client.jobs.compare([client.jobs.get(first), second]).differences
        assert difference.difference == pytest.approx(0.3)
        assert "+30.0 points" in run("jobs", "compare", first, second).stdout


class TestPreview:
    def test_is_asked_for_by_name(self, service: Service, client: Tdmr) -> None:
        with pytest.raises(problems.PreviewNotReady):
            client.jobs.predict(service.submit(), b"image", preview=True)
        with pytest.raises(problems.JobNotSucceeded):
            client.jobs.predict(service.submit(), b"image")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def sending(service: Service, front: Front) -> Iterator[None]:
    """Loopback is allowed to receive, and what is in the outbox is sent."""
    front.changes |= OPEN
    front.close()
    front.open()
    stopping = threading.Event()
    sender = WebhookSender(service.settings.model_copy(update=OPEN), service.store, stopping)
    sender.start()
    yield
    stopping.set()
    sender.wait(10)


class TestWebhooks:
    def test_are_made_tried_changed_and_deleted(
        self, front: Front, sending: None, receiver: Receiver, surroundings: None
    ) -> None:
        with Tdmr(front.url) as client:
            made = client.webhooks.create(receiver.url, event_types=["job.succeeded"])
            assert made.secret.startswith("whsec_")
            with pytest.raises(problems.WebhookExists):
                client.webhooks.create(receiver.url)
            assert [one.id for one in client.webhooks.list()] == [made.id]
            assert client.webhooks.update(made, enabled=False, description="chat").enabled is False
            assert client.webhooks.get(made).description == "chat"
            assert client.webhooks.rotate_secret(made.id).secret != made.secret
            delivery = client.webhooks.test(made)
            assert client.webhooks.delivery(made, delivery).event_type == "webhook.test"
            client.webhooks.delete(made)
            with pytest.raises(problems.NotFound):
                client.webhooks.get(made.id)

    def test_say_on_the_command_line_what_the_receiver_answered(
        self, address: str, sending: None, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = json.loads(run("webhooks", "create", receiver.url, "--event", "job.*", "--json").stdout)["id"]
        assert run("webhooks", "test", made).stdout.endswith("delivered\n")
        receiver.behaviour = replies(500)
        assert "answered 500" in run("webhooks", "test", made, code=5).stdout
        [failed] = json.loads(run("webhooks", "deliveries", made, "--state", "failed", "--json").stdout)
        receiver.behaviour = replies(204)
        assert "delivered" in run("webhooks", "redeliver", made, failed["id"]).stdout
        assert run("webhooks", "list").stdout.split("\t")[:4] == [made, receiver.url, "job.*", "ready"]
        assert len(receiver.received) == 3
        run("webhooks", "rm", made, "--yes")


class TestAccess:
    def test_keys_are_made_and_revoked_and_the_audit_knows(self, service: Service, front: Front) -> None:
        front.changes |= {"api_key": SecretStr(OPERATOR_KEY)}
        front.close()
        front.open()
        with Tdmr(front.url, OPERATOR_KEY) as operator:
            made = operator.keys.create("laptop", scopes=["read"], expires_in_days=30, tenant="ann")
            with Tdmr(front.url, made.key) as reader:
                assert reader.jobs.list().to_list() == []
                with pytest.raises(problems.Forbidden):
                    reader.webhooks.create("https://hooks.example/")
            assert [one.id for one in operator.keys.list(tenant="ann")] == [made.id]
            assert operator.keys.get(made.id, tenant="ann").scopes == ["read"]
            operator.keys.revoke(made.id, tenant="ann")
            entries = operator.audit.list(object_id=made.id, tenant="ann").to_list()
            assert [one.action for one in entries] == ["revoke_key", "create_key"]
