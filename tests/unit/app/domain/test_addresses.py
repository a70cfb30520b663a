"""Which addresses may be connected to."""

from ipaddress import ip_address

import pytest

from app.domain.addresses import Destinations, verdict_on
from app.domain.errors import DestinationRefused

PUBLIC = ["1.1.1.1", "93.184.215.14", "198.17.255.255", "172.32.0.1", "100.128.0.0", "2606:4700:4700::1111"]
PUBLIC_BY_DETOUR = ["::ffff:1.1.1.1", "64:ff9b::1.1.1.1", "2002:101:101::1"]
REFUSED = {
    "loopback": ["127.0.0.1", "127.255.255.254", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::"],
    "private": [
        *("10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "fd12::1", "fec0::1", "64:ff9b:1::1"),
        *("::ffff:10.0.0.1", "::ffff:c0a8:101", "64:ff9b::a00:1", "::10.0.0.1"),
    ],
    "shared between a provider's customers": ["100.64.0.1", "100.127.255.255", "::ffff:100.64.0.1"],
    "set aside for tests and documents": ["192.0.2.1", "198.18.0.1", "203.0.113.9", "2001:db8::1", "100::1"],
    "set aside for protocols": ["192.0.0.8", "192.88.99.1", "2001::1", "2001:20::1", "5f00::1"],
    "not assigned to the public": ["4000::1", "8000::1"],
}
NEVER = {
    "a cloud's metadata service": [
        *("169.254.169.254", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::"),
        *("100.100.100.200", "168.63.129.16", "fd00:ec2::254", "fd20:ce::254", "169.254.170.2"),
    ],
    "link-local": ["169.254.0.1", "fe80::1", "fe80::1%eth0", "::ffff:169.254.1.1"],
    "unspecified": ["0.0.0.0", "0.1.2.3", "::", "::ffff:0.0.0.0"],
    "multicast": ["224.0.0.1", "239.255.255.250", "ff02::1", "::ffff:224.0.0.1"],
    "reserved": ["240.0.0.1", "255.255.255.255"],
}


def pairs(table: dict[str, list[str]]) -> list[tuple[str, str]]:
    return [(kind, address) for kind, addresses in table.items() for address in addresses]


class TestVerdict:
    @pytest.mark.parametrize("address", PUBLIC + PUBLIC_BY_DETOUR)
    def test_public_addresses_pass(self, address: str) -> None:
        assert verdict_on(ip_address(address)).kind is None

    @pytest.mark.parametrize(("kind", "address"), pairs(REFUSED))
    def test_others_are_refused_by_kind(self, kind: str, address: str) -> None:
        verdict = verdict_on(ip_address(address))
        assert (verdict.kind, verdict.never) == (kind, False)

    @pytest.mark.parametrize(("kind", "address"), pairs(NEVER))
    def test_some_can_never_be_allowed(self, kind: str, address: str) -> None:
        verdict = verdict_on(ip_address(address))
        assert (verdict.kind, verdict.never) == (kind, True)

    def test_nothing_that_python_calls_private_passes(self) -> None:
        """Every /16 of IPv4, by its first address and its last."""
        for high in range(256 * 256):
            for low in (0, 0xFFFF):
                address = ip_address(high << 16 | low)
                if not address.is_global:
                    assert verdict_on(address).kind is not None, address


class TestDestinations:
    def test_without_any_only_public_addresses_are_allowed(self) -> None:
        nothing = Destinations.parse("")
        assert nothing.refusal("example.com", ip_address("1.1.1.1")) is None
        assert nothing.refusal("a.example", ip_address("127.0.0.1")) == (
            "a.example (127.0.0.1) is not a public address: loopback."
        )
        assert nothing.refusal("::1", ip_address("::1")) == "::1 is not a public address: loopback."

    @pytest.mark.parametrize(
        ("allowed", "host", "address"),
        [
            ("127.0.0.1", "localhost", "127.0.0.1"),
            ("127.0.0.1", "a.example", "::ffff:127.0.0.1"),
            (" 10.0.0.0/8 , hooks.internal", "a.example", "10.200.3.4"),
            ("10.0.0.0/8,hooks.internal", "HOOKS.internal.", "192.168.0.9"),
            ("[fd12::]/16", "a.example", "fd12::1"),
            ("[::1]", "::1", "::1"),
            ("localhost", "localhost", "127.0.0.1"),
        ],
    )
    def test_allow_hosts_addresses_and_networks(self, allowed: str, host: str, address: str) -> None:
        assert Destinations.parse(allowed).refusal(host, ip_address(address)) is None

    @pytest.mark.parametrize(
        ("host", "address"),
        [("127.0.0.2", "127.0.0.2"), ("other.internal", "192.168.0.9"), ("hooks.internal.evil.example", "10.0.0.1")],
    )
    def test_allow_nothing_else(self, host: str, address: str) -> None:
        assert Destinations.parse("127.0.0.1,hooks.internal").refusal(host, ip_address(address)) is not None

    @pytest.mark.parametrize("address", ["169.254.169.254", "::ffff:169.254.169.254", "fe80::1", "0.0.0.0"])
    def test_a_host_that_is_allowed_may_not_lead_to_what_never_is(self, address: str) -> None:
        allowed = Destinations.parse("metadata.internal, 160.0.0.0/4, ::ffff:160.0.0.0/100")
        with pytest.raises(DestinationRefused) as refused:
            allowed.require("metadata.internal", [ip_address(address)])
        assert "never" in str(refused.value.hint)

    def test_one_bad_address_refuses_the_name(self) -> None:
        both = [ip_address("1.1.1.1"), ip_address("10.0.0.1")]
        with pytest.raises(DestinationRefused, match=r"a\.example \(10\.0\.0\.1\)") as refused:
            Destinations().require("a.example", both)
        assert "TDMR_OUTBOUND_ALLOW" in str(refused.value.hint)

    @pytest.mark.parametrize("host", ["localhost", "LOCALHOST.", "app.localhost", "127.0.0.1", "[::1]", "10.0.0.1"])
    def test_what_is_refused_can_be_told_without_asking(self, host: str) -> None:
        with pytest.raises(DestinationRefused):
            Destinations().require_literal(host, "url")

    @pytest.mark.parametrize("host", ["example.com", "1.1.1.1", "localhost.example.com"])
    def test_what_may_be_public_is_not_refused_early(self, host: str) -> None:
        Destinations().require_literal(host, "url")

    @pytest.mark.parametrize(
        ("entry", "why"),
        [
            ("http://a.example", "neither"),
            ("a b", "neither"),
            ("10.0.0.0/33", "neither"),
            ("2130706433", "neither"),
            ("0x7f.1", "neither"),
            ("169.254.169.254", "metadata"),
            ("169.254.0.0/16", "link-local"),
            ("0.0.0.0/0", "unspecified"),
            ("fe80::/10", "link-local"),
        ],
    )
    def test_what_is_no_destination_is_refused_at_the_start(self, entry: str, why: str) -> None:
        with pytest.raises(ValueError, match=why):
            Destinations.parse(f"127.0.0.1,{entry}")
