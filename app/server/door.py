"""Who is connected: a bound on connections in all and per address, under which those that wait give way."""

import ipaddress
import logging
import math
import time
from collections import Counter
from collections.abc import Callable
from typing import Protocol

PATIENCE_SECONDS = 1.0
"""A connection that has waited for its client for less does not give way: its bytes may be under way."""
TELL_SECONDS = 60.0
IPV6_NETWORK_BITS = 64
"""One customer's smallest share of IPv6: single addresses are free."""

logger = logging.getLogger(__name__)


class Connection(Protocol):
    """What the door knows of a connection."""

    address: str

    def give_way(self) -> None:
        """Close at once; `Door.leave` follows."""


class Door:
    """Counts the connections of one process. Used on the event loop only."""

    def __init__(self, most: int, most_per_address: int, is_proxy: Callable[[str], bool]) -> None:
        """
        Args:
            is_proxy: whether an address is that of a trusted proxy, which speaks for many.
        """
        self._most, self._most_per_address, self._is_proxy = most, most_per_address, is_proxy
        self._inside: dict[Connection, str] = {}
        """Each with the name under which it is counted."""
        self._of_address: Counter[str] = Counter()
        self._waiting: dict[Connection, float] = {}
        """Those that wait for their client, longest first, each with the time since when."""
        self._told: dict[str, tuple[float, int]] = {}

    def enter(self, connection: Connection) -> bool:
        """Let it in; another may have to give way. False if there is no room."""
        counted_as = "" if self._is_proxy(connection.address) else _network(connection.address)
        if counted_as and self._of_address[counted_as] >= self._most_per_address:
            full = f"{self._most_per_address:,} connections of {connection.address}"
            room = self._make_room(f"{full}; a proxy belongs in FORWARDED_ALLOW_IPS", counted_as)
        elif len(self._inside) >= self._most:
            room = self._make_room(f"{self._most:,} connections, TDMR_MAX_CONNECTIONS", None)
        else:
            room = True
        if room:
            self._inside[connection] = counted_as
            self._of_address[counted_as] += 1
            self.wait(connection)
        return room

    def leave(self, connection: Connection) -> None:
        """It is closed, or about to be; may be said twice."""
        self._waiting.pop(connection, None)
        counted_as = self._inside.pop(connection, None)
        if counted_as is not None:
            self._of_address[counted_as] -= 1
            if not self._of_address[counted_as]:
                del self._of_address[counted_as]

    def wait(self, connection: Connection) -> None:
        """From now on it waits for its client."""
        self._waiting.pop(connection, None)
        if connection in self._inside:
            self._waiting[connection] = time.monotonic()

    def work(self, connection: Connection) -> None:
        """From now on it is our turn."""
        self._waiting.pop(connection, None)

    def tell(self, kind: str, message: str) -> None:
        """Log it, once a minute for each kind: a flood must not fill the log."""
        now = time.monotonic()
        last, untold = self._told.get(kind, (-math.inf, 0))
        if now - last < TELL_SECONDS:
            self._told[kind] = last, untold + 1
            return
        self._told[kind] = now, 0
        logger.warning("%s%s", message, f" ({untold:,} more since this was last logged)" if untold else "")

    def _make_room(self, full: str, counted_as: str | None) -> bool:
        for connection, since in self._waiting.items():
            if time.monotonic() - since < PATIENCE_SECONDS:
                break
            if counted_as is None or self._inside[connection] == counted_as:
                self.leave(connection)
                connection.give_way()
                self.tell("gave way", f"{full}: the one that had waited longest for its client was closed")
                return True
        self.tell("no room", f"{full}: another was refused")
        return False


def _network(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:  # a test's, or a socket without one
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((int(parsed), IPV6_NETWORK_BITS), strict=False))
