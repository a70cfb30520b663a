"""Who gets in, and who gives way."""

import logging

import pytest

from app.server import door as door_module
from app.server.door import Door


class Visitor:
    def __init__(self, address: str) -> None:
        self.address = address
        self.gave_way = False

    def give_way(self) -> None:
        self.gave_way = True


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door_module, "PATIENCE_SECONDS", 0.0)


def door(most: int = 3, most_per_address: int = 2) -> Door:
    return Door(most, most_per_address, {"10.0.0.1"}.__contains__)


class TestDoor:
    def test_the_one_that_waits_longest_gives_way(self) -> None:
        full, visitors = door(), [Visitor(f"192.0.2.{number}") for number in range(4)]
        for visitor in visitors[:3]:
            assert full.enter(visitor)
        full.work(visitors[0])
        assert full.enter(visitors[3])
        assert [visitor.gave_way for visitor in visitors] == [False, True, False, False]

    def test_nobody_gives_way_whose_request_is_under_way(self) -> None:
        full, visitors = door(), [Visitor(f"192.0.2.{number}") for number in range(3)]
        for visitor in visitors:
            full.enter(visitor)
            full.work(visitor)
        late = Visitor("192.0.2.9")
        assert not full.enter(late)
        full.leave(late)
        full.leave(visitors[0])
        assert full.enter(late)

    def test_an_address_makes_room_among_its_own(self) -> None:
        ours, theirs = Visitor("192.0.2.1"), [Visitor("192.0.2.2") for _ in range(3)]
        some = door(most=9)
        assert all(some.enter(visitor) for visitor in (ours, *theirs))
        assert [visitor.gave_way for visitor in (ours, *theirs)] == [False, True, False, False]

    @pytest.mark.parametrize("address", ["2001:db8:0:1::%d", "::ffff:192.0.2.1"])
    def test_a_network_of_ipv6_is_one_address(self, address: str) -> None:
        some = door(most=9)
        first, *others = [Visitor(address % n if "%" in address else address) for n in range(3)]
        for visitor in (first, *others):
            some.enter(visitor)
        assert first.gave_way
        assert some.enter(Visitor("192.0.2.7")) and some.enter(Visitor("2001:db8:0:2::1"))

    def test_a_proxy_speaks_for_many(self) -> None:
        some = door(most=9)
        visitors = [Visitor("10.0.0.1") for _ in range(8)]
        assert all(some.enter(visitor) for visitor in visitors)
        assert not any(visitor.gave_way for visitor in visitors)

    def test_it_tells_once_a_minute_and_counts_the_rest(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        some = door()
        caplog.set_level(logging.WARNING)
        for _ in range(1000):
            some.tell("slow", "A head was slow")
        some.tell("large", "A head was large")
        monkeypatch.setattr(door_module, "TELL_SECONDS", 0.0)
        some.tell("slow", "A head was slow")
        assert caplog.messages == [
            "A head was slow",
            "A head was large",
            "A head was slow (999 more since this was last logged)",
        ]
