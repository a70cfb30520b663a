"""Which addresses the service may connect to when somebody else names the receiver: public ones, and what the operator
allows besides. Decides; `app/outbound.py` resolves and connects.

Without this rule a webhook to `http://169.254.169.254/…` would be sent by a machine that its cloud trusts, one to
`http://10.0.0.7/…` from inside the operator's network (server-side request forgery).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Self

from app.domain.errors import DestinationRefused

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# IANA's registries of special-purpose addresses, written out: what `ipaddress.is_global` says differs between versions
# of Python. Of IPv6 only 2000::/3 is assigned to the public; the rest is refused as a whole, with these names.
_KINDS: dict[str, tuple[str, ...]] = {
    "loopback": ("127.0.0.0/8", "::1/128"),
    "private": ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fec0::/10", "64:ff9b:1::/48"),
    "shared between a provider's customers": ("100.64.0.0/10",),
    "set aside for tests and documents": (
        *("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "198.18.0.0/15"),
        *("2001:db8::/32", "3fff::/20", "2001:2::/48", "100::/64"),
    ),
    "set aside for protocols": ("192.0.0.0/24", "192.88.99.0/24", "2001::/23", "5f00::/16"),
}
_NEVER: dict[str, tuple[str, ...]] = {
    "a cloud's metadata service": (
        *("169.254.169.254/32", "169.254.170.2/32", "100.100.100.200/32", "192.0.0.192/32", "168.63.129.16/32"),
        *("fd00:ec2::254/128", "fd00:ec2::23/128", "fd20:ce::254/128"),
    ),
    "link-local": ("169.254.0.0/16", "fe80::/10"),
    "unspecified": ("0.0.0.0/8", "::/128"),
    "multicast": ("224.0.0.0/4", "ff00::/8"),
    "reserved": ("240.0.0.0/4",),
}
_PUBLIC_IPV6 = IPv6Network("2000::/3")
_HOW_TO_ALLOW = (
    "If it is meant to be reached, the operator of this service names it in TDMR_OUTBOUND_ALLOW: a host, an address or "
    "a network, such as 127.0.0.1."
)
_NO_SETTING = "Such addresses are never connected to; name another one."
_HOST = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")


def _named(table: dict[str, tuple[str, ...]]) -> list[tuple[str, Network]]:
    return [(name, ip_network(network)) for name, networks in table.items() for network in networks]


_NEVER_NETWORKS, _OTHER_NETWORKS = _named(_NEVER), _named(_KINDS)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known of an address."""

    kind: str | None
    """Why it is not public, such as "loopback"; None where it is."""
    never: bool = False
    """Not even the operator can allow it."""


def verdict_on(address: Address) -> Verdict:
    """Of an IPv6 address that stands for an IPv4 one (mapped, NAT64, 6to4) it is the verdict on that one."""
    address = embedded(address)
    if kind := _kind_in(_NEVER_NETWORKS, address):
        return Verdict(kind, never=True)
    if kind := _kind_in(_OTHER_NETWORKS, address):
        return Verdict(kind)
    if isinstance(address, IPv6Address) and address not in _PUBLIC_IPV6:
        return Verdict("not assigned to the public")
    return Verdict(None)


def embedded(address: Address) -> Address:
    """The IPv4 address that an IPv6 one leads to, where it does."""
    if isinstance(address, IPv4Address):
        return address
    number = int(address)
    if address in _MAPPED or address in _NAT64 or (address in _COMPATIBLE and number > 1):
        return IPv4Address(number & 0xFFFFFFFF)
    if address in _6TO4:
        return IPv4Address(number >> 80 & 0xFFFFFFFF)
    return IPv6Address(number)  # without a scope


_MAPPED, _COMPATIBLE = IPv6Network("::ffff:0:0/96"), IPv6Network("::/96")
_NAT64, _6TO4 = IPv6Network("64:ff9b::/96"), IPv6Network("2002::/16")


@dataclass(frozen=True, slots=True)
class Destinations:
    """What may be connected to: public addresses, these hosts whatever their address, and these networks."""

    hosts: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """From a list with commas: `hooks.internal, 127.0.0.1, 10.1.0.0/16, [::1]`.

        Raises:
            ValueError: naming the entry that is none, or that cannot be allowed.
        """
        hosts, networks = set(), []
        for entry in filter(None, (part.strip().lower() for part in text.split(","))):
            network = _network(entry.replace("[", "").replace("]", ""))
            if network is None and not _is_host(entry):
                raise ValueError(f"'{entry}' is neither the name of a host nor an address nor a network")
            if network is None:
                hosts.add(entry.rstrip("."))
            elif (verdict := verdict_on(network.network_address)).never:
                raise ValueError(f"'{entry}' is {verdict.kind}, which cannot be allowed")
            else:
                networks.append(network)
        return cls(frozenset(hosts), tuple(networks))

    def refusal(self, host: str, address: Address) -> str | None:
        """Why `host`, which has this address, may not be connected to; None if it may. Multicast, link-local and
        metadata addresses never may."""
        verdict = verdict_on(address)
        if verdict.kind is None:
            return None
        if not verdict.never and (host.lower().rstrip(".") in self.hosts or self._has(address)):
            return None
        named = str(address) if host.strip("[]") == str(address) else f"{host} ({address})"
        return f"{named} is not a public address: {verdict.kind}."

    def require(self, host: str, addresses: Iterable[Address], param: str | None = None) -> None:
        """One address that is refused refuses the host.

        Raises:
            DestinationRefused: saying which, and what the operator can do.
        """
        for address in addresses:
            if refusal := self.refusal(host, address):
                never = verdict_on(address).never
                raise DestinationRefused(refusal, hint=_NO_SETTING if never else _HOW_TO_ALLOW, param=param)

    def require_literal(self, host: str, param: str) -> None:
        """As `require`, as far as it can be told without asking anybody: of an address, and of this machine's name.
        What another name leads to is judged whenever it is connected to.

        Raises:
            DestinationRefused: as `require`.
        """
        name = host.lower().rstrip(".")
        if name == "localhost" or name.endswith(".localhost"):
            self.require(host, [IPv4Address("127.0.0.1")], param)
        elif (address := literal_address(host)) is not None:
            self.require(host, [address], param)

    def _has(self, address: Address) -> bool:
        plain = embedded(address)
        return any(one in network for network in self.networks for one in {address, plain})


def literal_address(host: str) -> Address | None:
    """The address that a host in a URL is, where it is one and no name."""
    try:
        return ip_address(host.strip("[]"))
    except ValueError:
        return None


def _kind_in(table: list[tuple[str, Network]], address: Address) -> str | None:
    return next((kind for kind, network in table if address in network), None)


def _network(entry: str) -> Network | None:
    try:
        return ip_network(entry, strict=False)
    except ValueError:
        return None


def _is_host(entry: str) -> bool:
    # what ends in a number would be read as an address in one of its old spellings
    return _HOST.fullmatch(entry.rstrip(".")) is not None and not entry.rstrip(".").rpartition(".")[2].isdigit()
