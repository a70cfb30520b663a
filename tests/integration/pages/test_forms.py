"""What the buttons and forms of pages do."""

import re

import pytest

from tests.integration.conftest import Service
from tests.integration.guarding import key_of
from tests.integration.pages.browsing import get, post


class TestForms:
    def test_a_button_does_what_the_api_does(self, service: Service) -> None:
        job_id = service.submit()
        for action, state in (("pause", "paused"), ("resume", "queued"), ("cancel", "cancelled")):
            answer = post(service.http, f"/forms/jobs/{job_id}", action=action)
            assert (answer.status_code, answer.headers["Location"]) == (303, f"/jobs/{job_id}")
            assert service.http.get(f"/v1/jobs/{job_id}").json()["state"] == state
        again = post(service.http, f"/forms/jobs/{job_id}", action="retry").headers["Location"]
        assert again != f"/jobs/{job_id}"
        assert post(service.http, f"/forms/jobs/{job_id}", action="pause").status_code == 409
        assert post(service.http, f"/forms/jobs/{job_id}", action="explode").status_code == 422
        assert post(service.http, f"/forms/jobs/{job_id}", action="delete").headers["Location"] == "/jobs"

    def test_the_digits_become_a_data_set(self, service: Service) -> None:
        answer = post(service.http, "/forms/datasets/demo")
        assert answer.status_code == 303
        shown = service.http.get("/v1" + answer.headers["Location"]).json()
        assert (shown["name"], shown["state"]) == ("handwritten-digits.zip", "validating")

    def test_an_address_becomes_a_data_set_and_its_secrets_are_not_shown(self, service: Service) -> None:
        answer = post(service.http, "/forms/datasets/address", source_url=" https://a.example/pets.zip?token=s3cret ")
        assert answer.status_code == 303, answer.text
        shown = get(service.http, answer.headers["Location"]).text
        assert "being fetched" in shown and "https://a.example/pets.zip" in shown and "s3cret" not in shown

    @pytest.mark.parametrize("url", ["http://127.0.0.1/a.zip?s3cret", "https://a:s3cret@a.example/", "s3://a-b/s3cret"])
    def test_an_address_that_may_not_be_fetched_is_refused(self, service: Service, url: str) -> None:
        answer = post(service.http, "/forms/datasets/address", source_url=url)
        assert answer.status_code == 422 and "s3cret" not in answer.text

    def test_a_new_job_has_what_was_chosen_and_nothing_else(self, service: Service) -> None:
        dataset_id = service.ready_dataset()
        fields = {"dataset_id": dataset_id, "teacher": "resnet18.a1_in1k", "students": "resnet50", "method": "tdmr"}
        changed = {"distill.image_steps": "1000", "distill.temperature": "2.0", "max_latency_ms": "7.5"}
        answer = post(service.http, "/forms/jobs", **fields, **changed, balance="none", label="first")
        assert answer.status_code == 303, answer.text
        spec = service.http.get("/v1" + answer.headers["Location"]).json()["spec"]
        assert spec["student"] == "resnet50" and spec["distill"]["image_steps"] == 1000
        assert spec["constraints"]["max_latency_ms"] == 7.5 and spec["metadata"] == {"name": "first"}

    def test_a_new_job_may_have_several_teachers(self, service: Service) -> None:
        names = ["resnet18.a1_in1k", "vit_tiny_patch16_224.augreg_in21k"]
        fields = {"dataset_id": service.ready_dataset(), "teacher": names[0], "students": "resnet50"}
        answer = post(service.http, "/forms/jobs", **fields, more_teachers=f" {names[1]}, {names[0]} ")
        assert answer.status_code == 303, answer.text
        job = service.http.get("/v1" + answer.headers["Location"]).json()
        assert (job["spec"]["teacher"], job["spec"]["teachers"]) == (None, names)
        again = get(service.http, f"/jobs/new?like={job['id']}").text
        assert f'name="more_teachers" value="{names[1]}"' in again
        assert " + ".join(names) in get(service.http, answer.headers["Location"]).text.replace("<wbr>", "")

    def test_a_new_job_that_is_refused_is_shown_again(self, service: Service) -> None:
        fields = {"dataset_id": service.ready_dataset(), "teacher": "resnet18.a1_in1k", "students": "resnet51"}
        answer = post(service.http, "/forms/jobs", **fields)
        assert answer.status_code == 422 and "No worker offers" in answer.text and "Start training" in answer.text
        wrong = post(service.http, "/forms/jobs", **fields | {"distill.temperature": "warm"})
        assert wrong.status_code == 422 and "is no number" in wrong.text

    def test_a_key_is_shown_once(self, service: Service) -> None:
        answer = post(service.http, "/forms/keys", name="ci", scopes="read")
        assert re.search(r"tdmr_[\w-]{40,}", answer.text) and answer.headers["Cache-Control"] == "no-store"
        listed = get(service.http, "/keys").text
        assert "ci" in listed and not re.search(r"tdmr_[\w-]{40,}", listed)
        key_id = service.http.get("/v1/keys").json()["data"][0]["id"]
        assert post(service.http, f"/forms/keys/{key_id}/revoke").status_code == 303
        assert service.http.get("/v1/keys").json()["data"] == []

    def test_a_webhook_is_made_tried_and_deleted(self, service: Service) -> None:
        made = post(service.http, "/forms/webhooks", url="https://example.com/hook", event_types="job.*")
        secret = re.search(r"whsec_[\w+/=-]+", made.text)
        assert made.status_code == 200 and secret is not None and made.headers["Cache-Control"] == "no-store"
        [webhook] = service.http.get("/v1/webhooks").json()["data"]
        address, form = f"/webhooks/{webhook['id']}", f"/forms/webhooks/{webhook['id']}"
        assert secret[0] not in get(service.http, address).text
        assert post(service.http, form, action="test").headers["Location"] == address
        assert "webhook.test" in get(service.http, address).text
        [delivery] = service.http.get(f"/v1{address}/deliveries").json()["data"]
        assert post(service.http, form, action="redeliver", delivery_id=delivery["id"]).status_code == 303
        assert post(service.http, form, action="disable").status_code == 303
        assert "disabled" in get(service.http, "/webhooks").text
        assert post(service.http, form, action="explode").status_code == 422
        assert post(service.http, form, action="delete").headers["Location"] == "/webhooks"
        assert get(service.http, address).status_code == 404

    def test_quotas_of_a_tenant(self, service: Service) -> None:
        key_of(service, "acme")
        assert post(service.http, "/forms/tenants/acme/quotas", max_queued="7").status_code == 303
        assert 'value="7"' in get(service.http, "/tenants").text
        assert post(service.http, "/forms/tenants/nobody/quotas", max_queued="7").status_code == 422
