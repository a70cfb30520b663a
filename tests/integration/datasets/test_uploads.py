"""Resumable uploads, bare archives, and the same archive twice, over HTTP."""

import base64
import hashlib
from datetime import timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest
from sqlalchemy import select, update

from app.db.ids import new_id
from app.db.models import Dataset, PartialRow, utcnow
from app.domain.dataset import DatasetReport
from app.services import uploads
from app.services.dataset_leases import accept_dataset, claim_dataset, reject_dataset
from app.services.datasets import drop_blobs
from app.storage.keys import prepared_key
from app.storage.partial import PartialUploads
from tests.integration.conftest import Service

TUS = {"Tus-Resumable": "1.0.0"}
PIECE = TUS | {"Content-Type": "application/offset+octet-stream"}
CONTENT = bytes(range(256)) * 40


def begin(service: Service, length: int = len(CONTENT), **headers: str) -> str:
    answer = service.http.post("/v1/uploads", headers=TUS | {"Upload-Length": str(length)} | headers)
    assert answer.status_code == 201, answer.text
    return answer.headers["Location"]


def send(service: Service, url: str, content: bytes, offset: int = 0) -> int:
    answer = service.http.patch(url, content=content, headers=PIECE | {"Upload-Offset": str(offset)})
    assert answer.status_code == 204, answer.text
    return int(answer.headers["Upload-Offset"])


def make(service: Service, url: str, **fields: str) -> dict[str, str]:
    answer = service.http.post("/v1/datasets", json={"upload_id": url.rpartition("/")[2]} | fields)
    assert answer.status_code == 202, answer.text
    body: dict[str, str] = answer.json()
    return body


def metadata(**pairs: str) -> str:
    return ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in pairs.items())


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def stored(service: Service) -> list[str]:
    return files(service.settings.root / "blobs")


class TestProtocol:
    def test_says_what_it_knows(self, service: Service) -> None:
        answer = service.http.options("/v1/uploads")
        assert (answer.status_code, answer.headers["Tus-Version"]) == (204, "1.0.0")
        assert answer.headers["Tus-Max-Size"] == str(service.settings.max_upload_bytes)
        assert "creation-with-upload" in answer.headers["Tus-Extension"].split(",")
        assert "sha1" in answer.headers["Tus-Checksum-Algorithm"].split(",")

    @pytest.mark.parametrize("version", [None, "0.2.2"])
    def test_speaks_one_version_only(self, service: Service, version: str | None) -> None:
        headers = {"Tus-Resumable": version} if version else {}
        for method, path in (("POST", "/v1/uploads"), ("PATCH", f"/v1/uploads/{new_id('upl')}")):
            answer = service.http.request(method, path, headers=headers)
            assert (answer.status_code, answer.headers["Tus-Version"]) == (412, "1.0.0")

    def test_says_its_version_in_every_answer(self, service: Service) -> None:
        url = begin(service)
        for method, path in (("HEAD", url), ("PATCH", url), ("DELETE", url), ("DELETE", url), ("PUT", url)):
            assert service.http.request(method, path, headers=TUS).headers["Tus-Resumable"] == "1.0.0"

    def test_takes_another_method_from_a_header(self, service: Service) -> None:
        headers = PIECE | {"Upload-Offset": "0", "X-HTTP-Method-Override": "PATCH"}
        answer = service.http.post(begin(service), content=CONTENT[:9], headers=headers)
        assert (answer.status_code, answer.headers["Upload-Offset"]) == (204, "9")

    def test_remembers_what_was_agreed(self, service: Service) -> None:
        said = metadata(filename="ספרות.zip") + ",is_draft"
        answer = service.http.head(begin(service, **{"Upload-Metadata": said}), headers=TUS)
        assert (answer.status_code, answer.content) == (200, b"")
        assert (answer.headers["Upload-Offset"], answer.headers["Upload-Length"]) == ("0", str(len(CONTENT)))
        assert (answer.headers["Upload-Metadata"], answer.headers["Cache-Control"]) == (said, "no-store")
        assert parsedate_to_datetime(answer.headers["Upload-Expires"]) > utcnow()

    @pytest.mark.parametrize("length", ["", "-1", "ten"])
    def test_needs_a_length(self, service: Service, length: str) -> None:
        answer = service.http.post("/v1/uploads", headers=TUS | {"Upload-Length": length})
        assert (answer.status_code, answer.json()["param"]) == (422, "Upload-Length")

    def test_refuses_a_length_over_the_limit(self, service: Service) -> None:
        answer = service.http.post("/v1/uploads", headers=TUS | {"Upload-Length": "100001"})
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")

    def test_refuses_metadata_that_is_no_base64(self, service: Service) -> None:
        headers = TUS | {"Upload-Length": "1", "Upload-Metadata": "filename §"}
        answer = service.http.post("/v1/uploads", headers={name: value.encode() for name, value in headers.items()})
        assert (answer.status_code, answer.json()["param"]) == (400, "Upload-Metadata")

    def test_refuses_a_piece_of_another_type(self, service: Service) -> None:
        headers = TUS | {"Upload-Offset": "0", "Content-Type": "application/zip"}
        assert service.http.patch(begin(service), content=b"0", headers=headers).status_code == 415

    def test_another_s_upload_is_unknown(self, service: Service) -> None:
        url = begin(service)
        with service.store.write() as session:
            session.execute(update(PartialRow).values(tenant="someone-else"))
        for path in (url, f"/v1/uploads/{new_id('upl')}", "/v1/uploads/upl_1", "/v1/uploads/..%2f..%2fa"):
            for method in ("HEAD", "PATCH", "DELETE"):
                headers = PIECE | {"Upload-Offset": "0"}
                assert service.http.request(method, path, headers=headers).status_code == 404, (method, path)
        assert files(service.settings.partial_uploads) == []


class TestResume:
    def test_goes_on_in_pieces(self, service: Service) -> None:
        url, offset = begin(service), 0
        while offset < len(CONTENT):
            offset = send(service, url, CONTENT[offset : offset + 3000], offset)
        assert make(service, url)["sha256"] == hashlib.sha256(CONTENT).hexdigest()

    def test_may_begin_with_the_creation(self, service: Service) -> None:
        headers = PIECE | {"Upload-Length": str(len(CONTENT))}
        answer = service.http.post("/v1/uploads", content=CONTENT[:1000], headers=headers)
        assert (answer.status_code, answer.headers["Upload-Offset"]) == (201, "1000")
        send(service, answer.headers["Location"], CONTENT[1000:], 1000)
        assert make(service, answer.headers["Location"])["bytes"] == len(CONTENT)

    def test_leaves_nothing_where_the_creation_fails(self, service: Service) -> None:
        headers = PIECE | {"Upload-Length": "10", "Upload-Checksum": "sha1 AAAA"}
        assert service.http.post("/v1/uploads", content=b"0123", headers=headers).status_code == 460
        assert files(service.settings.scratch) == []
        with service.store.read() as session:
            assert session.scalars(select(PartialRow)).all() == []

    def test_survives_a_restart(self, service: Service) -> None:
        url = begin(service)
        send(service, url, CONTENT[:5000])
        service.http.app.state.resources.partials = PartialUploads(service.settings.partial_uploads)  # type: ignore[attr-defined]
        send(service, url, CONTENT[5000:], 5000)
        assert make(service, url)["sha256"] == hashlib.sha256(CONTENT).hexdigest()

    def test_may_ask_again_to_end(self, service: Service) -> None:
        # the answer to the last piece was lost
        url = begin(service)
        send(service, url, CONTENT)
        assert send(service, url, b"", len(CONTENT)) == len(CONTENT)

    def test_has_one_writer(self, service: Service) -> None:
        url = begin(service)
        with PartialUploads(service.settings.partial_uploads).hold(url.rpartition("/")[2]):
            for method in ("PATCH", "DELETE"):
                answer = service.http.request(method, url, content=b"0", headers=PIECE | {"Upload-Offset": "0"})
                assert (answer.status_code, answer.json()["code"]) == (423, "upload_locked")
        assert send(service, url, b"0") == 1

    def test_may_be_given_up(self, service: Service) -> None:
        url = begin(service)
        send(service, url, CONTENT[:10])
        assert service.http.delete(url, headers=TUS).status_code == 204
        assert service.http.head(url, headers=TUS).status_code == 404
        assert files(service.settings.scratch) == []


class TestDataset:
    def test_has_the_name_that_was_given_last(self, service: Service) -> None:
        named = metadata(filename="C:\\sent\\digits.zip")
        for fields, name in (({}, "digits.zip"), ({"name": "mine"}, "mine")):
            url = begin(service, **{"Upload-Metadata": named})
            send(service, url, CONTENT)
            assert make(service, url, **fields)["name"] == name

    def test_waits_for_the_last_byte(self, service: Service) -> None:
        url = begin(service)
        send(service, url, CONTENT[:-1])
        answer = service.http.post("/v1/datasets", json={"upload_id": url.rpartition("/")[2]})
        assert (answer.status_code, answer.json()["code"]) == (409, "upload_incomplete")
        send(service, url, CONTENT[-1:], len(CONTENT) - 1)
        make(service, url)

    def test_is_made_once_however_often_it_is_asked_for(self, service: Service) -> None:
        url = begin(service)
        send(service, url, CONTENT)
        assert make(service, url)["id"] == make(service, url)["id"]
        assert files(service.settings.scratch) == []
        assert service.http.head(url, headers=TUS).headers["Upload-Offset"] == str(len(CONTENT))

    @pytest.mark.parametrize("body", ["{", '{"upload_id": 1}', "{}", '{"upload_id": "upl_1", "x": 1}', "[" * 99_999])
    def test_needs_an_upload_s_id(self, service: Service, body: str) -> None:
        answer = service.http.post("/v1/datasets", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code in {400, 413, 422}

    def test_of_an_unknown_upload_is_not_found(self, service: Service) -> None:
        answer = service.http.post("/v1/datasets", json={"upload_id": new_id("upl")})
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


class TestBare:
    @pytest.mark.parametrize(
        ("query", "disposition", "name"),
        [
            ("", None, "unnamed"),
            ("?name=mine", 'attachment; filename="a.zip"', "mine"),
            ("", 'attachment; filename="dir/a.zip"', "a.zip"),
        ],
    )
    def test_is_taken_as_it_is(self, service: Service, query: str, disposition: str | None, name: str) -> None:
        headers = {"Content-Type": "application/zip"} | ({"Content-Disposition": disposition} if disposition else {})
        answer = service.http.post(f"/v1/datasets{query}", content=CONTENT, headers=headers)
        body = answer.json()
        assert (answer.status_code, body["name"], body["bytes"]) == (202, name, len(CONTENT))
        assert body["sha256"] == hashlib.sha256(CONTENT).hexdigest()
        assert files(service.settings.scratch) == []


class TestSweep:
    def sweep(self, service: Service) -> None:
        uploads.sweep(service.store, PartialUploads(service.settings.partial_uploads))

    def test_removes_what_has_expired(self, service: Service) -> None:
        old, new = begin(service), begin(service)
        for url in (old, new):
            send(service, url, CONTENT[:10])
        with service.store.write() as session:
            expired = update(PartialRow).where(PartialRow.id == old.rpartition("/")[2])
            session.execute(expired.values(expires_at=utcnow() - timedelta(seconds=1)))
        assert service.http.head(old, headers=TUS).status_code == 404
        self.sweep(service)
        assert files(service.settings.partial_uploads) == [new.rpartition("/")[2]]
        assert service.http.head(new, headers=TUS).headers["Upload-Offset"] == "10"

    def test_removes_what_a_killed_process_has_left(self, service: Service) -> None:
        left = service.settings.partial_uploads / new_id("upl")
        left.parent.mkdir(parents=True, exist_ok=True)
        left.write_bytes(CONTENT)
        with PartialUploads(service.settings.partial_uploads).hold(new_id("upl")) as under_way:
            self.sweep(service)
            assert files(service.settings.partial_uploads) == [under_way.path.name]

    def test_is_put_off_by_every_piece(self, service: Service) -> None:
        url = begin(service)
        nearly = utcnow() + timedelta(seconds=300)
        with service.store.write() as session:
            session.execute(update(PartialRow).values(expires_at=nearly))
        send(service, url, CONTENT[:10])
        expires = parsedate_to_datetime(service.http.head(url, headers=TUS).headers["Upload-Expires"])
        assert expires > nearly


class TestSameTwice:
    def upload(self, service: Service, content: bytes = CONTENT) -> str:
        answer = service.http.post("/v1/datasets", content=content, headers={"Content-Type": "application/zip"})
        assert answer.status_code == 202
        dataset_id: str = answer.json()["id"]
        return dataset_id

    def imported(self, service: Service, dataset_id: str, digest: str = "d") -> str:
        """As a worker does it; gives the key that the data set then has."""
        own = prepared_key(dataset_id, 1)
        source = service.tmp_path / dataset_id
        source.write_bytes(b"prepared")
        service.blobs.put_file(own, source)
        with service.store.write() as session:
            claim = claim_dataset(session, dataset_id, "wk_1")
            assert claim is not None
            assert accept_dataset(session, claim, own, DatasetReport(images=1, digest=digest * 64))
        with service.store.read() as session:
            drop_blobs(session, service.blobs, {own, claim.upload_key})
        return own

    def test_is_stored_once_while_it_waits(self, service: Service) -> None:
        first, second = self.upload(service), self.upload(service)
        assert first != second
        assert stored(service) == [f"uploads/{first}"]
        self.upload(service, CONTENT + b"x")
        assert len(stored(service)) == 2

    def test_stays_until_nobody_needs_it(self, service: Service) -> None:
        first, second = self.upload(service), self.upload(service)
        assert service.http.delete(f"/v1/datasets/{first}").status_code == 204
        assert stored(service) == [f"uploads/{first}"]
        assert service.http.delete(f"/v1/datasets/{second}").status_code == 204
        assert stored(service) == []

    def test_is_imported_from_a_shared_archive(self, service: Service) -> None:
        first, second = self.upload(service), self.upload(service)
        with service.store.write() as session:
            claim = claim_dataset(session, second, "wk_1")
            assert claim is not None
            assert claim.upload_key == f"uploads/{first}"
            assert reject_dataset(session, claim, {"code": "dataset_rejected", "detail": "no"})
        with service.store.read() as session:
            drop_blobs(session, service.blobs, {claim.upload_key})
        assert stored(service) == [f"uploads/{first}"]

    def test_is_kept_once_when_it_is_ready(self, service: Service) -> None:
        first = self.upload(service)
        key = self.imported(service, first)
        second = self.upload(service)
        self.imported(service, second)
        assert stored(service) == [key]
        assert service.http.delete(f"/v1/datasets/{first}").status_code == 204
        assert stored(service) == [key]
        assert service.http.delete(f"/v1/datasets/{second}").status_code == 204
        assert stored(service) == []

    def test_is_kept_apart_where_the_import_found_something_else(self, service: Service) -> None:
        keys = [self.imported(service, self.upload(service), digest) for digest in "de"]
        assert stored(service) == sorted(keys)

    def test_is_kept_apart_for_each_tenant(self, service: Service) -> None:
        first = self.upload(service)
        with service.store.write() as session:
            session.execute(update(Dataset).values(tenant="someone-else"))
        second = self.upload(service)
        assert stored(service) == sorted([f"uploads/{first}", f"uploads/{second}"])
