"""A line that breaks: a TCP proxy that cuts each connection after so many bytes of answer."""

import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

_PIECE_BYTES = 64 * 1024


class BrokenLine:
    """Listens on a port of its own. Connection number i breaks after `cuts[i]` bytes from the server, further ones
    hold; it breaks as a pulled cable does once the peer notices: with a reset, and nothing said."""

    def __init__(self, host: str, port: int, cuts: Sequence[int]) -> None:
        self._server = (host, port)
        self._cuts = list(cuts)
        self.breaks = 0
        """Connections that were cut so far."""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # close() alone would leave accept() waiting
        self._listener.close()
        self._thread.join()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        left = self._cuts.pop(0) if self._cuts else None
        # what one side does to its end is not our error
        with client, suppress(OSError), socket.create_connection(self._server) as server:
            threading.Thread(target=_forward, args=(client, server), daemon=True).start()
            while piece := server.recv(_PIECE_BYTES):  # until one of them breaks it off
                if left is not None and len(piece) >= left:
                    client.sendall(piece[:left])
                    # no lingering: close() resets the connection
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                    self.breaks += 1
                    break
                client.sendall(piece)
                left = None if left is None else left - len(piece)
            client.shutdown(socket.SHUT_RD)  # while the other thread waits to read from it, it would not close


def _forward(client: socket.socket, server: socket.socket) -> None:
    with suppress(OSError):
        while piece := client.recv(_PIECE_BYTES):
            server.sendall(piece)
        server.shutdown(socket.SHUT_WR)
