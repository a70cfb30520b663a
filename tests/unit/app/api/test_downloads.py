"""Files as answers: what RFC 9110 asks of conditions and ranges."""

from collections.abc import Iterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient

from app.api.downloads import Download, answer

CONTENT = bytes(range(100))
TAG = '"abc"'


def serve(content: bytes, etag: str = TAG) -> TestClient:
    def read(start: int, length: int) -> Iterator[bytes]:
        yield content[start : start + length]

    def endpoint(request: Request) -> Response:
        return answer(request, Download("s.onnx", len(content), etag, "x/y", lambda: None, read))

    return TestClient(Starlette(routes=[Route("/file", endpoint)]))


@pytest.fixture
def http() -> TestClient:
    return serve(CONTENT)


def part(answer: httpx.Response) -> tuple[int, str | None, bytes]:
    return answer.status_code, answer.headers.get("Content-Range"), answer.content


class TestRange:
    @pytest.mark.parametrize(
        ("asked", "first", "last"),
        [
            ("bytes=0-0", 0, 0),
            ("bytes=90-", 90, 99),
            ("bytes=-1", 99, 99),
            ("bytes=-1000", 0, 99),
            ("BYTES=5-1000", 5, 99),
        ],
    )
    def test_gives_that_part(self, http: TestClient, asked: str, first: int, last: int) -> None:
        got = http.get("/file", headers={"Range": asked})
        assert part(got) == (206, f"bytes {first}-{last}/100", CONTENT[first : last + 1])
        assert got.headers["Content-Length"] == str(last - first + 1)
        assert got.headers["ETag"] == TAG

    @pytest.mark.parametrize("asked", ["lines=0-1", "bytes=0-1,3-4", "bytes=4-3", "bytes", "bytes=x", "bytes =0-1"])
    def test_gives_everything_where_it_cannot_follow(self, http: TestClient, asked: str) -> None:
        assert part(http.get("/file", headers={"Range": asked})) == (200, None, CONTENT)

    @pytest.mark.parametrize("asked", ["bytes=100-", "bytes=100-200", "bytes=-0"])
    def test_outside_is_refused_with_the_size(self, http: TestClient, asked: str) -> None:
        got = http.get("/file", headers={"Range": asked})
        assert (got.status_code, got.headers["Content-Range"]) == (416, "bytes */100")
        assert got.json()["instance"] == "/file"

    def test_means_nothing_to_head(self, http: TestClient) -> None:
        for asked in ("bytes=0-1", "bytes=100-"):
            got = http.head("/file", headers={"Range": asked})
            assert (got.status_code, got.headers["Content-Length"], got.content) == (200, "100", b"")

    def test_of_an_empty_file(self) -> None:
        """Its last five bytes are all it has; its first one it does not have."""
        http = serve(b"")
        assert part(http.get("/file", headers={"Range": "bytes=-5"})) == (200, None, b"")
        got = http.get("/file", headers={"Range": "bytes=0-"})
        assert (got.status_code, got.headers["Content-Range"]) == (416, "bytes */0")
        assert http.get("/file").headers["Content-Length"] == "0"


class TestIfRange:
    @pytest.mark.parametrize(
        ("tag", "status"),
        [
            (TAG, 206),
            ('"other"', 200),
            (f"W/{TAG}", 200),  # two parts of files that are only alike do not make one
            ("Sat, 01 Jan 2022 00:00:00 GMT", 200),
            ("*", 200),
        ],
    )
    def test_gives_a_part_of_the_very_same_file_only(self, http: TestClient, tag: str, status: int) -> None:
        got = http.get("/file", headers={"Range": "bytes=90-", "If-Range": tag})
        assert (got.status_code, len(got.content)) == (status, 10 if status == 206 else 100)

    def test_never_takes_a_weak_tag_for_the_same_bytes(self) -> None:
        http = serve(CONTENT, f"W/{TAG}")
        assert http.get("/file", headers={"Range": "bytes=90-", "If-Range": f"W/{TAG}"}).status_code == 200

    def test_alone_means_nothing(self, http: TestClient) -> None:
        assert http.get("/file", headers={"If-Range": TAG}).status_code == 200

    def test_lets_a_range_of_another_file_pass_that_lies_outside(self, http: TestClient) -> None:
        got = http.get("/file", headers={"Range": "bytes=100-", "If-Range": '"other"'})
        assert got.status_code == 200


class TestIfNoneMatch:
    @pytest.mark.parametrize("condition", [TAG, f"W/{TAG}", f'"x", {TAG}', f'"x,y" ,W/{TAG}', "*"])
    def test_of_this_file_sends_nothing(self, http: TestClient, condition: str) -> None:
        for method in ("GET", "HEAD"):
            got = http.request(method, "/file", headers={"If-None-Match": condition, "Range": "bytes=0-1"})
            assert (got.status_code, got.content, got.headers["ETag"]) == (304, b"", TAG)

    def test_in_several_lines_is_one_list(self, http: TestClient) -> None:
        lines = [("If-None-Match", '"x"'), ("If-None-Match", TAG)]
        assert http.get("/file", headers=lines).status_code == 304

    @pytest.mark.parametrize("condition", ['"x"', "abc", '"x", "y"', '"*"', '"abc'])
    def test_of_others_sends_it(self, http: TestClient, condition: str) -> None:
        assert http.get("/file", headers={"If-None-Match": condition}).status_code == 200


class TestIfMatch:
    @pytest.mark.parametrize(("condition", "status"), [(TAG, 200), ("*", 200), (f"W/{TAG}", 412), ('"x"', 412)])
    def test_of_another_file_is_refused(self, http: TestClient, condition: str, status: int) -> None:
        for method in ("GET", "HEAD"):
            assert http.request(method, "/file", headers={"If-Match": condition}).status_code == status

    def test_comes_first(self, http: TestClient) -> None:
        both = {"If-Match": '"x"', "If-None-Match": TAG}
        assert http.get("/file", headers=both).json()["code"] == "precondition_failed"
