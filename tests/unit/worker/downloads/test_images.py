"""The images that a table names, on their way from real servers on loopback."""

import time
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from app.domain.address_tables import Address
from app.domain.addresses import Address as IpAddress
from app.domain.addresses import Destinations
from app.domain.errors import SourceTooLarge, SourceTooSlow
from app.domain.sources import Buckets
from app.outbound import Outbound
from tests.archives import Archive, hangs_after
from tests.image_servers import ImageServer, picture
from tests.receiving import Receiver, answers, receiving
from worker.downloads.bucket import BucketSource
from worker.downloads.download import Bounds
from worker.downloads.images import AT_ONCE, HOST_FAILURES, ImageBounds, Images
from worker.downloads.part import Source
from worker.downloads.web import WebSource

EACH = Bounds(bytes=10**6, seconds=60, idle_seconds=20, bytes_per_second=1, pauses=())
BOUNDS = ImageBounds(EACH, bytes=10**6, seconds=60)
OUTBOUND = Outbound(Destinations.parse("127.0.0.1"))


@pytest.fixture
def server() -> Iterator[Receiver]:
    with receiving(ImageServer()) as receiver:
        yield receiver


def address(url: str) -> Address:
    return Address(cell=url, path=url.rpartition("/")[2] or "address")


def addresses(server: Receiver, count: int, host: str = "127.0.0.1") -> list[Address]:
    return [address(f"http://{host}:{server.port}/images/{number}.png") for number in range(count)]


def fetch(
    folder: Path,
    asked: list[Address],
    *,
    outbound: Outbound = OUTBOUND,
    bounds: ImageBounds = BOUNDS,
    idle_seconds: float = 20,
) -> Images:
    def open_source(url: str) -> Source:
        if url.startswith("s3://"):
            return BucketSource(Buckets.parse("photos"), url)
        return WebSource(outbound, url, idle_seconds)

    images = Images(folder, open_source, bounds)
    images.run(asked)
    assert images.done == len(asked)
    return images


class TestRun:
    def test_fetches_several_at_a_time_and_never_many(self, server: Receiver, tmp_path: Path) -> None:
        server.behaviour = there = ImageServer(lacks=frozenset({7, 11}), hangs_at=frozenset())
        images = fetch(tmp_path, addresses(server, 40))
        assert images.lost == dict.fromkeys((7, 11), "nothing lies at its address")
        assert all(images.path(n).read_bytes() == picture(n) for n in range(40) if n not in images.lost)
        assert sorted(there.asked) == list(range(40))
        assert there.most_at_once <= AT_ONCE
        assert images.bytes == sum(len(picture(n)) for n in range(40) if n not in images.lost)
        assert list((tmp_path / "parts").iterdir()) == []

    def test_asks_for_nothing_again_that_has_come(self, server: Receiver, tmp_path: Path) -> None:
        server.behaviour = ImageServer(lacks=frozenset({3}))
        before = fetch(tmp_path, addresses(server, 6))
        server.behaviour = again = ImageServer()
        after = fetch(tmp_path, addresses(server, 8))
        assert sorted(again.asked) == [3, 6, 7]
        assert (before.lost, after.lost) == ({3: "nothing lies at its address"}, {})

    def test_goes_on_within_an_image(self, server: Receiver, tmp_path: Path) -> None:
        server.behaviour = large = Archive(picture(1) * 100, breaks=[5000])
        bounds = ImageBounds(Bounds(bytes=10**6, pauses=(0.0,)), bytes=10**6, seconds=60)
        images = fetch(tmp_path, addresses(server, 1), bounds=bounds)
        assert images.path(0).read_bytes() == large.content
        assert large.asked == [None, "bytes=5000-"]

    def test_ends_where_its_caller_does(self, server: Receiver, tmp_path: Path) -> None:
        class Stopped(Exception):
            pass

        def check() -> None:
            raise Stopped

        images = Images(tmp_path, lambda url: WebSource(OUTBOUND, url, 20), BOUNDS, check=check)
        with pytest.raises(Stopped):
            images.run(addresses(server, 500))
        assert len(server.received) < 500

    def test_leaves_a_server_that_sends_nothing(self, server: Receiver, tmp_path: Path) -> None:
        server.behaviour = answers(503)
        images = fetch(tmp_path, addresses(server, 200))
        assert set(images.lost.values()) == {"its server does not send it"}
        assert HOST_FAILURES <= len(server.received) < HOST_FAILURES + AT_ONCE

    def test_says_what_is_wrong_with_an_address(self, server: Receiver, tmp_path: Path) -> None:
        asked = [
            address("https://me:s3cret@a.example/1.png"),
            address("http://[::1"),
            address("s3://payroll/1.png"),
            address(f"http://127.0.0.1:{server.port}/images/1.png"),
        ]
        assert fetch(tmp_path, asked).lost == {
            0: "its address is not one that is fetched",
            1: "its address is not one that is fetched",
            2: "this service may not read its bucket",
        }


class TestBounds:
    def test_of_each(self, server: Receiver, tmp_path: Path) -> None:
        bounds = ImageBounds(Bounds(bytes=50, pauses=()), bytes=10**6, seconds=60)
        assert fetch(tmp_path, addresses(server, 1), bounds=bounds).lost == {0: "it is too large"}

    def test_of_all(self, server: Receiver, tmp_path: Path) -> None:
        with pytest.raises(SourceTooLarge, match="more than 500 bytes together"):
            fetch(tmp_path, addresses(server, 40), bounds=ImageBounds(EACH, bytes=500, seconds=60))

    def test_of_a_rate(self, server: Receiver, tmp_path: Path) -> None:
        server.behaviour = Archive(picture(1) * 1000, pause=0.1)
        slow = Bounds(bytes=10**6, idle_seconds=0.5, bytes_per_second=10**6, pauses=())
        bounds = ImageBounds(slow, bytes=10**6, seconds=60)
        assert fetch(tmp_path, addresses(server, 1), bounds=bounds).lost == {0: "its server is too slow"}

    def test_of_time(self, server: Receiver, tmp_path: Path) -> None:
        server.behaviour = hangs_after(picture(1), 10)
        began = time.monotonic()
        with pytest.raises(SourceTooSlow, match="had not come completely"):
            fetch(tmp_path, addresses(server, 4), bounds=ImageBounds(EACH, bytes=10**6, seconds=1))
        assert time.monotonic() - began < 30


class TestDestinations:
    REFUSED = "this service may not connect to its address"

    @pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "10.0.0.7", "169.254.169.254", "localhost"])
    def test_connects_to_none_that_is_not_public(self, server: Receiver, tmp_path: Path, host: str) -> None:
        images = fetch(tmp_path, addresses(server, 2, host), outbound=Outbound(Destinations()))
        assert images.lost == dict.fromkeys(range(2), self.REFUSED)
        assert server.received == []

    def test_nor_to_where_a_redirect_leads(self, server: Receiver, tmp_path: Path) -> None:
        there = {
            0: "http://169.254.169.254/latest/meta-data/",
            1: f"http://127.0.0.2:{server.port}/images/3.png",
            2: "file:///etc/passwd",
            3: "/images/4.png",
        }
        server.behaviour = asked = ImageServer(redirects=there)
        images = fetch(tmp_path, addresses(server, 4))
        assert images.lost == {0: self.REFUSED, 1: self.REFUSED, 2: "its server does not send it"}
        assert sorted(asked.asked) == [0, 1, 2, 3, 4]
        assert images.path(3).read_bytes() == picture(4)

    def test_nor_to_where_a_name_leads_a_moment_later(self, server: Receiver, tmp_path: Path) -> None:
        """Each request resolves the name once, and connects to what was judged."""
        answers_ = iter(["127.0.0.1", "169.254.169.254", "::ffff:10.0.0.1", "127.0.0.1"])

        def resolve(host: str, port: int) -> list[IpAddress]:
            return [ip_address(next(answers_))]

        outbound = Outbound(Destinations.parse("127.0.0.1"), resolve)
        lost = [
            fetch(
                tmp_path / str(number),
                [address(f"http://images.example:{server.port}/images/{number}.png")],
                outbound=outbound,
            ).lost
            for number in range(4)
        ]
        assert lost == [{}, {0: self.REFUSED}, {0: self.REFUSED}, {}]
        assert [request.headers["host"] for request in server.received] == [f"images.example:{server.port}"] * 2
