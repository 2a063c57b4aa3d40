"""A home on loopback that does what a test tells it to, down to the bytes."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import threading
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator


class Home:
    """A server on loopback that reads one request after another and sends *reply* to each.

    *reply* is the raw bytes of an answer, or a function of the connection; *tls* are the settings
    of a server.
    """

    def __init__(
        self,
        reply: bytes | Callable[[socket.socket], None] = b"",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.reply = reply
        self.tls = tls
        self.requests: list[bytes] = []
        self.connections = 0
        self.open: list[socket.socket] = []
        self.closing = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://localhost:{self.port}"
        self.threads = [threading.Thread(target=self.accept)]
        self.threads[0].start()

    def accept(self) -> None:
        while True:
            connection, _ = self.listener.accept()
            if self.closing.is_set():
                connection.close()
                return
            self.connections += 1
            connection.settimeout(5)
            thread = threading.Thread(target=self.serve, args=(connection,))
            self.threads.append(thread)
            thread.start()

    def serve(self, connection: socket.socket) -> None:
        try:
            if self.tls is not None:
                connection = self.tls.wrap_socket(connection, server_side=True)
            self.open.append(connection)
            while request := self.read(connection):
                self.requests.append(request)
                if callable(self.reply):
                    self.reply(connection)
                else:
                    connection.sendall(self.reply)
        except OSError:
            pass  # the bridge hung up, as it should on most of the faults
        finally:
            connection.close()

    def read(self, connection: socket.socket) -> bytes:
        data = b""
        while b"\r\n\r\n" not in data:
            part = connection.recv(65536)
            if not part:
                return b""
            data += part
        head, _, body = data.partition(b"\r\n\r\n")
        length = int(re.search(rb"(?i)content-length: (\d+)", head)[1])
        while len(body) < length:
            body += connection.recv(65536)
        return head + b"\r\n\r\n" + body

    def hang(self, connection: socket.socket) -> None:
        self.closing.wait(5)

    def drip(self, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:  # until the bridge, or the end of the test, hangs up
            self.closing.wait(0.1)
            connection.sendall(b"1")

    def reset(self, connection: socket.socket) -> None:
        linger = struct.pack("ii", 1, 0)  # on, for no time: close sends a reset
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        connection.close()

    def close(self) -> None:
        self.closing.set()
        with socket.create_connection(("127.0.0.1", self.port)):
            self.threads[0].join()
        self.listener.close()
        for connection in self.open:
            with contextlib.suppress(OSError):  # closed already
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join()


@pytest.fixture
def start() -> Iterator[Callable[..., Home]]:
    """Return a function that starts a home, which ends with the test."""
    homes = []

    def start_home(*args: object, **kwargs: object) -> Home:
        homes.append(Home(*args, **kwargs))
        return homes[-1]

    yield start_home
    for home in homes:
        home.close()


@pytest.fixture
def nowhere() -> Iterator[str]:
    """Return the address of a port that refuses connections for as long as the test runs."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{reserved.getsockname()[1]}"
