"""One archive on its way, from real servers on loopback and from moto's S3."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import fsspec
import pytest

from app.domain.addresses import Address, Destinations
from app.domain.errors import (
    BucketRefused,
    BytesQuotaExceeded,
    DestinationRefused,
    SourceChanged,
    SourceForbidden,
    SourceNotAnArchive,
    SourceNotFound,
    SourceTooLarge,
    SourceTooSlow,
    SourceUnavailable,
)
from app.domain.sources import Buckets
from app.outbound import Outbound
from tests.archives import Archive, hangs_after, in_turn
from tests.receiving import Receiver, answers, receiving
from worker.downloads.bucket import BucketSource
from worker.downloads.download import Bounds, Download
from worker.downloads.part import Source
from worker.downloads.web import WebSource

CONTENT = b"PK\x03\x04" + random.Random(1).randbytes(300_000)
LOOPBACK = Destinations.parse("127.0.0.1")
FETCH = """
import sys
from pathlib import Path
from app.domain.addresses import Destinations
from app.outbound import Outbound
from worker.downloads.download import Bounds, Download
from worker.downloads.web import WebSource

url, folder = sys.argv[1:]
Download(Path(folder), WebSource(Outbound(Destinations.parse("127.0.0.1")), url, 20), Bounds(bytes=10**6)).run()
"""
BOUNDS = Bounds(bytes=10**6, seconds=60, idle_seconds=20, bytes_per_second=1, pauses=(0.0,) * 4)


class Killed(Exception):
    """Stands for whatever ends a worker between two pieces."""


@pytest.fixture
def server() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def web(server: Receiver, path: str = "/images.zip?token=s3cret", idle_seconds: float = 20) -> WebSource:
    return WebSource(Outbound(LOOPBACK), f"http://127.0.0.1:{server.port}{path}", idle_seconds)


def fetch(folder: Path, source: Source, bounds: Bounds = BOUNDS) -> bytes:
    fetched = Download(folder, source, bounds).run()
    content = fetched.path.read_bytes()
    assert (fetched.bytes, fetched.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    return content


class TestRun:
    def test_fetches_an_archive(self, server: Receiver, tmp_path: Path) -> None:
        server.behaviour = Archive(CONTENT)
        assert fetch(tmp_path, web(server)) == CONTENT
        assert server.received[0].path == "/images.zip?token=s3cret"

    def test_takes_one_whose_size_nobody_tells(self, server: Receiver, tmp_path: Path) -> None:
        server.behaviour = Archive(CONTENT, says_length=False)
        assert fetch(tmp_path, web(server)) == CONTENT

    def test_tells_its_size_as_soon_as_it_is_known(self, server: Receiver, tmp_path: Path) -> None:
        server.behaviour = Archive(CONTENT)

        def admit(size: int) -> None:
            assert size == len(CONTENT)
            raise BytesQuotaExceeded("no room")

        with pytest.raises(BytesQuotaExceeded):
            Download(tmp_path, web(server), BOUNDS, admit=admit).run()

    def test_goes_on_where_the_connection_broke(self, server: Receiver, tmp_path: Path) -> None:
        server.behaviour = archive = Archive(CONTENT, breaks=[100_000, 1, 50_000])
        assert fetch(tmp_path, web(server)) == CONTENT
        assert archive.asked == [None, "bytes=100000-", "bytes=100001-", "bytes=150001-"]
        assert server.received[1].headers["if-range"] == '"one"'

    def test_goes_on_by_last_modified(self, server: Receiver, tmp_path: Path) -> None:
        server.behaviour = archive = Archive(
            CONTENT, etag='W/"weak"', modified="Sun, 29 Nov 2026 10:00:00 GMT", breaks=[9]
        )
        assert fetch(tmp_path, web(server)) == CONTENT
        assert archive.asked == [None, "bytes=9-"]

    def test_goes_on_after_the_worker_has_died(self, server: Receiver, tmp_path: Path) -> None:
        server.behaviour = archive = Archive(CONTENT)
        pieces = iter(range(3))

        def die() -> None:
            if next(pieces, None) is None:
                raise Killed

        with pytest.raises(Killed):
            Download(tmp_path, web(server), BOUNDS, check=die).run()
        kept = (tmp_path / "archive").stat().st_size
        assert 0 < kept < len(CONTENT)
        assert fetch(tmp_path, web(server)) == CONTENT
        assert archive.asked == [None, f"bytes={kept}-"]

    def test_goes_on_after_its_process_was_killed(self, server: Receiver, tmp_path: Path) -> None:
        server.behaviour = archive = Archive(CONTENT)
        environment = {**os.environ, "FAULT_POINT": "download_piece:2"}
        command = [sys.executable, "-c", FETCH, f"http://127.0.0.1:{server.port}/images.zip", str(tmp_path)]
        assert subprocess.run(command, check=False, env=environment).returncode == -signal.SIGKILL
        kept = (tmp_path / "archive").stat().st_size
        assert 0 < kept < len(CONTENT)
        assert fetch(tmp_path, web(server)) == CONTENT
        assert archive.asked == [None, f"bytes={kept}-"]

    def test_asks_nothing_again_that_is_complete(self, server: Receiver, tmp_path: Path) -> None:
        server.behaviour = archive = Archive(CONTENT)
        assert fetch(tmp_path, web(server)) == fetch(tmp_path, web(server)) == CONTENT
        assert archive.asked == [None]

    @pytest.mark.parametrize("etag", [None, '"one"'])
    def test_begins_again_where_the_server_gives_no_parts(
        self, server: Receiver, tmp_path: Path, etag: str | None
    ) -> None:
        server.behaviour = Archive(CONTENT, etag=etag, ranges=False, breaks=[100_000, 200_000])
        assert fetch(tmp_path, web(server)) == CONTENT

    @pytest.mark.parametrize("ranges", [True, False])
    def test_begins_again_once_where_the_archive_was_changed(
        self, server: Receiver, tmp_path: Path, ranges: bool
    ) -> None:
        old, new = Archive(CONTENT, breaks=[100_000]), Archive(CONTENT[::-1], etag='"two"', ranges=ranges)
        server.behaviour = in_turn(old, new, new)
        assert fetch(tmp_path, web(server)) == CONTENT[::-1]

    def test_gives_up_on_one_that_is_changed_again_and_again(self, server: Receiver, tmp_path: Path) -> None:
        server.behaviour = in_turn(*(Archive(CONTENT, etag=f'"{number}"', breaks=[100_000]) for number in range(9)))
        with pytest.raises(SourceChanged):
            fetch(tmp_path, web(server))

    def test_does_not_put_together_parts_of_two_archives(self, server: Receiver, tmp_path: Path) -> None:
        """A server that ignores If-Range, as some caches do."""
        old = Archive(CONTENT, breaks=[100_000])
        other = CONTENT[:100_000] + CONTENT[100_000:][::-1]
        headers = {"ETag": '"two"', "Content-Range": f"bytes 100000-{len(other) - 1}/{len(other)}"}
        rest = answers(206, other[100_000:], **headers)
        server.behaviour = in_turn(old, rest, Archive(other, etag='"two"'))
        assert fetch(tmp_path, web(server)) == other

    @pytest.mark.parametrize("status", [429, 500, 503])
    def test_tries_again_what_may_pass(self, server: Receiver, tmp_path: Path, status: int) -> None:
        server.behaviour = in_turn(answers(status), answers(status, **{"Retry-After": "0"}), Archive(CONTENT))
        assert fetch(tmp_path, web(server)) == CONTENT

    def test_gives_up_where_it_does_not_pass(self, server: Receiver, tmp_path: Path) -> None:
        server.behaviour = answers(503)
        with pytest.raises(SourceUnavailable, match=r"status 503\. That was so 4 times in a row"):
            fetch(tmp_path, web(server))
        assert len(server.received) == 4


class TestRefusals:
    @pytest.mark.parametrize(
        ("status", "error"),
        [
            (401, SourceForbidden),
            (403, SourceForbidden),
            (404, SourceNotFound),
            (410, SourceNotFound),
            (400, SourceUnavailable),
            (204, SourceUnavailable),
        ],
    )
    def test_says_what_the_server_says(
        self, server: Receiver, tmp_path: Path, status: int, error: type[SourceUnavailable]
    ) -> None:
        server.behaviour = answers(status)
        with pytest.raises(error, match=str(status)) as refused:
            fetch(tmp_path, web(server))
        assert type(refused.value) is error
        assert "s3cret" not in f"{refused.value.detail} {refused.value.hint}"
        assert len(server.received) == 1

    @pytest.mark.parametrize(
        ("body", "name"),
        [
            (b"<!DOCTYPE html><html>" + b"sign in " * 1000, "an HTML page"),
            (b'{"message": "not found"}', "a JSON document"),
            (b"<?xml version='1.0'?><Error/>", "an XML document"),
            (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
            (b"", "an empty file"),
        ],
    )
    def test_calls_a_page_by_its_name(self, server: Receiver, tmp_path: Path, body: bytes, name: str) -> None:
        server.behaviour = Archive(body)
        with pytest.raises(SourceNotAnArchive, match=name):
            fetch(tmp_path, web(server))

    def test_leaves_100_gb_where_they_are(self, server: Receiver, tmp_path: Path) -> None:
        server.behaviour = answers(200, b"PK", **{"Content-Length": str(10**11)})
        with pytest.raises(SourceTooLarge, match="100,000,000,000"):
            fetch(tmp_path, web(server))

    def test_counts_what_nobody_has_announced(self, server: Receiver, tmp_path: Path) -> None:
        server.behaviour = Archive(CONTENT, says_length=False)
        with pytest.raises(SourceTooLarge):
            fetch(tmp_path, web(server), Bounds(bytes=100_000))
        assert (tmp_path / "archive").stat().st_size <= 100_000

    def test_leaves_one_that_stalls(self, server: Receiver, tmp_path: Path) -> None:
        server.behaviour = archive = hangs_after(CONTENT, 0)
        with pytest.raises(SourceTooSlow, match=r"Nothing was received for 0\.2 s"):
            fetch(tmp_path, web(server, idle_seconds=0.2))
        assert len(archive.asked) == 4

    def test_leaves_one_that_is_slow(self, server: Receiver, tmp_path: Path) -> None:
        server.behaviour = Archive(CONTENT, pause=0.1)
        bounds = Bounds(bytes=10**6, seconds=60, idle_seconds=0.5, bytes_per_second=10**6)
        with pytest.raises(SourceTooSlow, match="no less than 1,000,000 a second"):
            fetch(tmp_path, web(server), bounds)

    def test_leaves_one_that_takes_too_long(self, server: Receiver, tmp_path: Path) -> None:
        server.behaviour = Archive(CONTENT, pause=0.1)
        bounds = Bounds(bytes=10**6, seconds=1, bytes_per_second=1, pauses=(0.0,))
        with pytest.raises(SourceTooSlow, match="minutes, the limit"):
            fetch(tmp_path, web(server), bounds)


class TestDestinations:
    @pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "10.0.0.7", "169.254.169.254", "localhost"])
    def test_does_not_connect_to_what_is_not_public(self, server: Receiver, tmp_path: Path, host: str) -> None:
        source = WebSource(Outbound(Destinations()), f"http://{host}:{server.port}/a.zip", 20)
        with pytest.raises(DestinationRefused):
            fetch(tmp_path, source)
        assert server.received == []

    @pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "fe80::1", "::ffff:10.0.0.1"])
    def test_nor_to_a_name_that_leads_there(self, server: Receiver, tmp_path: Path, address: str) -> None:
        def resolve(host: str, port: int) -> list[Address]:
            return [ip_address(address)]

        source = WebSource(Outbound(Destinations(), resolve), f"http://images.example:{server.port}/a.zip", 20)
        with pytest.raises(DestinationRefused, match=r"images\.example \("):
            fetch(tmp_path, source)
        assert server.received == []

    @pytest.mark.parametrize(
        "target",
        ["http://169.254.169.254/latest/meta-data/", "http://127.0.0.2:{port}/a.zip", "http://[::1]:{port}/a.zip"],
    )
    def test_nor_to_where_a_redirect_leads(self, server: Receiver, tmp_path: Path, target: str) -> None:
        server.behaviour = answers(302, Location=target.format(port=server.port))
        source = WebSource(Outbound(Destinations.parse("127.0.0.1/32")), server.url, 20)
        with pytest.raises(DestinationRefused, match=r"redirected to another one: .* is not a public address"):
            fetch(tmp_path, source)
        assert [request.path for request in server.received] == ["/hooks"]

    def test_follows_a_few_redirects_and_hides_their_secrets(self, server: Receiver, tmp_path: Path) -> None:
        archive = Archive(CONTENT, breaks=[100_000])
        server.behaviour = lambda handler: (
            archive(handler)
            if handler.path.startswith("/there")
            else handler.reply(302, Location="/there/images.zip?signature=s3cret")
        )
        assert fetch(tmp_path, web(server)) == CONTENT
        assert [request.path.partition("?")[0] for request in server.received] == [
            "/images.zip",
            "/there/images.zip",
        ] * 2

    @pytest.mark.parametrize(
        "location", ["ftp://a.example/", "file:///etc/passwd", "s3://photos/a.zip", "http://a:s3cret@a.example/", ""]
    )
    def test_follows_them_to_web_addresses_only(self, server: Receiver, tmp_path: Path, location: str) -> None:
        server.behaviour = answers(302, **({"Location": location} if location else {"X-None": "1"}))
        with pytest.raises(SourceUnavailable) as refused:
            fetch(tmp_path, web(server))
        assert "s3cret" not in str(refused.value)

    def test_does_not_follow_them_for_ever(self, server: Receiver, tmp_path: Path) -> None:
        server.behaviour = lambda handler: handler.reply(302, Location=handler.path)
        with pytest.raises(SourceUnavailable, match="more than 5 times"):
            fetch(tmp_path, web(server))
        assert len(server.received) == 6

    def test_a_worker_that_is_told_to_stop_does_so_between_two_tries(self, server: Receiver, tmp_path: Path) -> None:
        server.behaviour = answers(503)
        stopping = threading.Event()

        def check() -> None:
            if stopping.is_set():
                raise Killed
            stopping.set()

        with pytest.raises(Killed):
            Download(tmp_path, web(server), Bounds(bytes=10**6, pauses=(60.0,) * 2), check=check).run()


@pytest.fixture
def bucket(s3: str) -> str:
    name = f"t{uuid.uuid4().hex}"
    fsspec.filesystem("s3").makedirs(f"s3://{name}")
    return name


class TestBuckets:
    def put(self, bucket: str, content: bytes) -> None:
        fsspec.filesystem("s3").pipe_file(f"s3://{bucket}/sets/images.zip", content)

    def source(self, bucket: str, key: str = "sets/images.zip") -> BucketSource:
        return BucketSource(Buckets.parse(f"{bucket}/sets"), f"s3://{bucket}/{key}")

    def test_fetches_an_object(self, bucket: str, tmp_path: Path) -> None:
        self.put(bucket, CONTENT)
        assert fetch(tmp_path, self.source(bucket)) == CONTENT

    def test_goes_on_after_the_worker_has_died(
        self, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("worker.downloads.bucket._PIECE_BYTES", 100_000)
        self.put(bucket, CONTENT)
        pieces = iter(range(2))

        def die() -> None:
            if next(pieces, None) is None:
                raise Killed

        with pytest.raises(Killed):
            Download(tmp_path, self.source(bucket), BOUNDS, check=die).run()
        assert (tmp_path / "archive").stat().st_size == 300_000
        assert fetch(tmp_path, self.source(bucket)) == CONTENT

    def test_begins_again_where_the_object_was_replaced(self, bucket: str, tmp_path: Path) -> None:
        (tmp_path / "archive").write_bytes(CONTENT[:1000])
        (tmp_path / "mark.json").write_text('{"etag": "\\"old\\"", "length": 5000}')
        self.put(bucket, CONTENT)
        assert fetch(tmp_path, self.source(bucket)) == CONTENT

    def test_says_that_there_is_none(self, bucket: str, tmp_path: Path) -> None:
        with pytest.raises(SourceNotFound):
            fetch(tmp_path, self.source(bucket, "sets/other.zip"))

    def test_leaves_a_large_one(self, bucket: str, tmp_path: Path) -> None:
        self.put(bucket, CONTENT)
        with pytest.raises(SourceTooLarge):
            fetch(tmp_path, self.source(bucket), Bounds(bytes=1000))

    def test_reads_none_that_is_not_open(self, bucket: str) -> None:
        with pytest.raises(BucketRefused):
            self.source(bucket, "others/images.zip")
