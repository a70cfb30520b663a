"""Rows 8 to 17 and 77 of the bad inputs: uploads. Rows 20 and 21, ranges of a download, are in tests/integration."""

import base64
import hashlib
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from http.client import HTTPResponse
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from app.settings import Settings
from tests.integration.conftest import Service
from tests.integration.guarding import OPERATOR, OPERATOR_KEY
from tests.support import exchange, files_below, served

TUS = {"Tus-Resumable": "1.0.0"}
PIECE = TUS | {"Content-Type": "application/offset+octet-stream"}
FORM = "multipart/form-data; boundary=b"
FORM_HEAD = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
LIMIT = 100_000
"""Of the fixture `service`."""


@pytest.fixture
def live(settings: Settings) -> Iterator[tuple[str, int]]:
    with served(settings.model_copy(update={"max_upload_bytes": LIMIT})) as address:
        yield address


@pytest.fixture
def impatient(settings: Settings) -> Iterator[tuple[str, int]]:
    """Waits for no client that sends less than 2,000 bytes in 0.2 s."""
    changes = {"upload_idle_seconds": 0.2, "upload_min_bytes_per_second": 10_000.0}
    with served(settings.model_copy(update=changes)) as address:
        yield address


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two mebibytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], check=False)
    if mounted.returncode:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def begin(service: Service, length: int) -> str:
    answer = service.http.post("/v1/uploads", headers=TUS | {"Upload-Length": str(length)})
    assert answer.status_code == 201, answer.text
    return answer.headers["Location"]


def offset_of(service: Service, url: str) -> int:
    return int(service.http.head(url, headers=TUS).headers["Upload-Offset"])


def left(settings: Settings) -> list[str]:
    return [path.name for path in files_below(settings.scratch)]


def head(method: str, path: str, **headers: str) -> bytes:
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: 127.0.0.1",
        *(f"{name.replace('_', '-')}: {headers[name]}" for name in headers),
    ]
    return "\r\n".join([*lines, "", ""]).encode()


@pytest.mark.parametrize("path", ["/v1/datasets", "/v1/uploads", "/v1/jobs"])
def test_bad_input_row08_a_content_length_over_the_limit(live: tuple[str, int], settings: Settings, path: str) -> None:
    # not a byte of the body is sent, so none is read
    answer = exchange(live, head("POST", path, Content_Length="1000000000000", Content_Type="application/zip"))
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'"code":"too_large"' in answer
    assert left(settings) == []


@pytest.mark.parametrize("kind", ["form", "bare"])
@pytest.mark.parametrize("size", [LIMIT + 1, 3 * LIMIT])
def test_bad_input_row09_a_chunked_body_over_the_limit(service: Service, kind: str, size: int) -> None:
    def chunks() -> Iterator[bytes]:
        if kind == "form":
            yield FORM_HEAD
        yield bytes(size)
        if kind == "form":
            yield b"\r\n--b--\r\n"

    headers = {"Content-Type": FORM if kind == "form" else "application/zip"}
    answer = service.http.post("/v1/datasets", content=chunks(), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert left(service.settings) == []
    assert service.http.get("/v1/datasets").json()["data"] == []


@pytest.mark.parametrize("chunked", [False, True])
def test_bad_input_row09_more_than_the_upload_was_to_have(service: Service, chunked: bool) -> None:
    url = begin(service, 10)
    content = iter([b"0123", b"4567890"]) if chunked else b"01234567890"
    answer = service.http.patch(url, content=content, headers=PIECE | {"Upload-Offset": "0"})
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert offset_of(service, url) == 0


@pytest.mark.parametrize("length", ["abc", "-1", "1e3", "0x10", "1, 2"])
def test_bad_input_row10_a_content_length_that_is_none(live: tuple[str, int], length: str) -> None:
    assert exchange(live, head("POST", "/v1/datasets", Content_Length=length)).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("asked", ["0", "2", "4", "9223372036854775807"])
def test_bad_input_row11_a_wrong_offset(service: Service, asked: str) -> None:
    url = begin(service, 10)
    assert service.http.patch(url, content=b"012", headers=PIECE | {"Upload-Offset": "0"}).status_code == 204
    answer = service.http.patch(url, content=b"3", headers=PIECE | {"Upload-Offset": asked})
    assert (answer.status_code, answer.json()["code"]) == (409, "offset_mismatch")
    assert answer.headers["Upload-Offset"] == "3"


@pytest.mark.parametrize("asked", ["-1", "1.5", "", "9223372036854775808"])
def test_bad_input_row11_an_offset_that_is_none(service: Service, asked: str) -> None:
    answer = service.http.patch(begin(service, 10), content=b"0", headers=PIECE | {"Upload-Offset": asked})
    assert (answer.status_code, answer.json()["param"]) == (422, "Upload-Offset")


def test_bad_input_row12_a_checksum_that_does_not_match(service: Service) -> None:
    url, content = begin(service, 8), b"01234567"
    first = PIECE | {"Upload-Offset": "0"}
    assert service.http.patch(url, content=content[:3], headers=first).status_code == 204

    checksum = base64.b64encode(hashlib.sha1(content[3:]).digest()).decode()
    piece = PIECE | {"Upload-Offset": "3", "Upload-Checksum": f"sha1 {checksum}"}
    answer = service.http.patch(url, content=b"wrong", headers=piece)
    assert (answer.status_code, answer.json()["code"]) == (460, "checksum_mismatch")
    assert offset_of(service, url) == 3

    assert service.http.patch(url, content=content[3:], headers=piece).headers["Upload-Offset"] == "8"
    made = service.http.post("/v1/datasets", json={"upload_id": url.rpartition("/")[2]})
    assert made.json()["sha256"] == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("checksum", ["crc7 AAAA", "sha1", "sha1 ???", "AAAA"])
def test_bad_input_row12_a_checksum_that_cannot_be_read(service: Service, checksum: str) -> None:
    piece = PIECE | {"Upload-Offset": "0", "Upload-Checksum": checksum}
    answer = service.http.patch(begin(service, 10), content=b"0", headers=piece)
    assert answer.status_code in {400, 460}


def test_bad_input_row13_more_after_the_end(service: Service) -> None:
    url = begin(service, 3)
    assert service.http.patch(url, content=b"012", headers=PIECE | {"Upload-Offset": "0"}).status_code == 204
    answers = [service.http.patch(url, content=b"3", headers=PIECE | {"Upload-Offset": "3"})]
    upload_id = url.rpartition("/")[2]
    assert service.http.post("/v1/datasets", json={"upload_id": upload_id}).status_code == 202
    answers.append(service.http.patch(url, content=b"3", headers=PIECE | {"Upload-Offset": "3"}))
    for answer in answers:
        assert (answer.status_code, answer.json()["code"]) == (409, "upload_complete")
    assert offset_of(service, url) == 3


@pytest.mark.parametrize(
    "start",
    [
        b'--b\r\nContent-Disposition: form-data; name="f"\r\n\r\n\r\n' * 10_000,
        FORM_HEAD + b'0\r\n--b\r\nContent-Disposition: form-data; name="file"; filename="b"\r\n\r\n' * 10_000,
        b"--b\r\nX-Long: " + b"x" * 2**20,
        b"--b\r\n" + b"x" * 2**20,
    ],
    ids=["ten thousand parts", "ten thousand files", "giant header", "giant header name"],
)
def test_bad_input_row14_a_form_that_wants_to_keep_us_busy(settings: Settings, start: bytes) -> None:
    # no more than the start is sent: the answer costs a look at that, whatever is said to follow
    body = start.ljust(2**20, b"-")
    with served(settings) as address:
        answer = exchange(address, head("POST", "/v1/datasets", Content_Type=FORM, Content_Length="10000000000"), body)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b'"code":"malformed_request"' in answer
    assert left(settings) == []


def test_bad_input_row15_an_upload_too_slow(impatient: tuple[str, int], settings: Settings) -> None:
    form = head("POST", "/v1/datasets", Content_Type=FORM, Content_Length="1000")
    bare = head("POST", "/v1/datasets", Content_Type="application/zip", Content_Length="1000")
    for start in (form + FORM_HEAD + b"some", bare + b"some", bare):
        answer = exchange(impatient, start)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b'"code":"upload_too_slow"' in answer
        assert b"connection: close" in answer.lower()
    assert left(settings) == []


def test_bad_input_row15_a_resumable_upload_too_slow_keeps_what_came(
    impatient: tuple[str, int], settings: Settings
) -> None:
    created = exchange(
        impatient, head("POST", "/v1/uploads", Tus_Resumable="1.0.0", Upload_Length="9", Connection="close")
    )
    path = created.partition(b"location: ")[2].partition(b"\r\n")[0].decode()
    piece = {"Content_Type": PIECE["Content-Type"], "Tus_Resumable": "1.0.0", "Content_Length": "9"}
    assert exchange(impatient, head("PATCH", path, Upload_Offset="0", **piece) + b"0123").startswith(b"HTTP/1.1 408 ")
    asked = exchange(impatient, head("HEAD", path, Tus_Resumable="1.0.0", Connection="close"))
    assert b"upload-offset: 4\r\n" in asked


@pytest.mark.parametrize("kind", ["form", "bare", "resumable"])
def test_bad_input_row17_the_disk_is_full(settings: Settings, small_disk: Path, kind: str) -> None:
    (settings.scratch).mkdir(parents=True)
    (settings.scratch / "uploads").symlink_to(small_disk)
    body = bytes(5 * 2**20)
    with served(settings) as (host, port), httpx.Client(base_url=f"http://{host}:{port}", timeout=60) as http:
        if kind == "form":
            answer = http.post("/v1/datasets", files={"file": ("a.zip", body)})
        elif kind == "bare":
            answer = http.post("/v1/datasets", content=body, headers={"Content-Type": "application/zip"})
        else:
            url = http.post("/v1/uploads", headers=TUS | {"Upload-Length": str(len(body))}).headers["Location"]
            answer = http.patch(url, content=body, headers=PIECE | {"Upload-Offset": "0"})
            offset = int(http.head(url, headers=TUS).headers["Upload-Offset"])
            assert 0 < offset <= 2 * 2**20  # and there it goes on once there is space
            assert http.delete(url, headers=TUS).status_code == 204
        assert (answer.status_code, answer.json()["code"]) == (507, "disk_full")
        assert list(small_disk.iterdir()) == []


def test_bad_input_row77_a_key_revoked_while_its_upload_comes(settings: Settings) -> None:
    guarded = settings.model_copy(update={"api_key": SecretStr(OPERATOR_KEY)})
    archive = b"PK" + b"x" * 1000
    with served(guarded) as (host, port), httpx.Client(base_url=f"http://{host}:{port}", timeout=60) as http:
        made = http.post("/v1/keys", headers=OPERATOR, json={"name": "ci"})
        bearer = {"Authorization": f"Bearer {made.json()['key']}"}
        created = http.post("/v1/uploads", headers=bearer | TUS | {"Upload-Length": str(len(archive))})
        length = {"Content_Length": str(len(archive))}
        whole = head("POST", "/v1/datasets", Content_Type="application/zip", **length, **bearer)
        patch = {"Content_Type": PIECE["Content-Type"], "Tus_Resumable": "1.0.0", "Upload_Offset": "0"}
        piece = head("PATCH", created.headers["Location"], **patch, **length, **bearer)
        with ExitStack() as stack:
            connections = [stack.enter_context(socket.create_connection((host, port), 60)) for _ in range(2)]
            for connection, start in zip(connections, (whole, piece), strict=True):
                connection.sendall(start + archive[:500])
            while len(left(settings)) < 2:  # the requests have begun, with a key that was valid then
                time.sleep(0.05)
            assert http.delete(made.headers["Location"], headers=OPERATOR).status_code == 204
            while http.get("/v1/jobs", headers=bearer).status_code == 200:
                time.sleep(0.2)
            for connection in connections:
                connection.sendall(archive[500:])
                answer = HTTPResponse(connection)
                answer.begin()
                assert answer.status == 401 and b"no longer valid" in answer.read()
        assert http.get("/v1/datasets", headers=OPERATOR).json()["data"] == []
        assert [entry["action"] for entry in http.get("/v1/audit", headers=OPERATOR).json()["data"]][:1] == [
            "revoke_key"
        ]
    assert list(files_below(settings.root / "blobs")) == []


@pytest.mark.parametrize("boundary", ["b" * 257, "b" * 10_000])
def test_bad_input_row07_a_boundary_that_is_none(service: Service, boundary: str) -> None:
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    body = FORM_HEAD.replace(b"--b", b"--" + boundary.encode())
    answer = service.http.post("/v1/datasets", content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_request")
    assert not any(files_below(service.settings.root / "blobs"))
