"""A server on loopback that does to each connection what a script says."""

from __future__ import annotations

import contextlib
import datetime as dt
import itertools
import socket
import ssl
import struct
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest
import trustme

Script = Callable[["Peer"], None]


class Received(NamedTuple):
    """A request as the server saw it."""

    line: str
    headers: dict[str, str]
    body: bytes


class Peer:
    """The server's end of one connection."""

    def __init__(self, sock: socket.socket, number: int, server: FaultServer) -> None:
        self.sock = sock
        self.number = number
        self.server = server
        self._stream = sock.makefile("rb")

    def receive(self) -> Received | None:
        """Read one request; None when the client has closed the connection."""
        line = self._stream.readline().decode().strip()
        if not line:
            return None
        headers = {}
        while header := self._stream.readline().decode("latin-1").strip():
            name, _, value = header.partition(":")
            headers[name.lower()] = value.strip()
        body = self._stream.read(int(headers.get("content-length", "0")))
        received = Received(line, headers, body)
        self.server.requests.append(received)
        return received

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def drip(self, data: bytes) -> None:
        """Send *data* over and over, a byte every 20 ms, until one side closes."""

        def send(byte: int) -> bool:
            self.sock.sendall(bytes([byte]))
            return self.server.stopped.wait(0.02)

        any(map(send, itertools.cycle(data)))

    def hang(self) -> None:
        self.server.stopped.wait()

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._stream.close()
        self.sock.close()


class FaultServer:
    """Runs *script* in a thread of its own for each connection; counts and records."""

    def __init__(self, script: Script, tls: ssl.SSLContext | None = None) -> None:
        self.connections = 0
        self.requests: list[Received] = []
        self.stopped = threading.Event()
        self._script = script
        self._tls = tls
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.origin = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._start(self._accept)

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # the listener is shut down
            while True:
                sock, _ = self._listener.accept()
                self._sockets.append(sock)
                self.connections += 1
                self._start(self._serve, sock, self.connections - 1)

    def _serve(self, sock: socket.socket, number: int) -> None:
        # The client of a fault goes away in the middle of things.
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            stack.enter_context(sock)
            if self._tls is not None:
                sock = stack.enter_context(self._tls.wrap_socket(sock, server_side=True))
                self._sockets.append(sock)
            peer = Peer(sock, number, self)
            stack.enter_context(peer._stream)
            self._script(peer)

    def close(self) -> None:
        self.stopped.set()
        for sock in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):  # closed already
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(5)


@pytest.fixture
def serve() -> Iterator[Callable[..., FaultServer]]:
    """Start fault servers: ``serve(script)`` or ``serve(script, tls_context)``."""
    with contextlib.ExitStack() as stack:

        def start(script: Script, tls: ssl.SSLContext | None = None) -> FaultServer:
            server = FaultServer(script, tls)
            stack.callback(server.close)
            return server

        yield start


@pytest.fixture
def deaf_port() -> Iterator[int]:
    """Yield a port whose backlog is full, so that connecting gets no answer."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


class Authority:
    """A throw-away CA: its file for clients, and server contexts."""

    def __init__(self, ca: trustme.CA, file: str) -> None:
        self.ca = ca
        self.file = file

    def server(
        self, *names: str, expired: bool = False, client_certs: bool = False
    ) -> ssl.SSLContext:
        """Return a server's context with a certificate for *names*, by default 127.0.0.1."""
        now = dt.datetime.now(dt.UTC)
        past = {
            "not_before": now - dt.timedelta(days=9),
            "not_after": now - dt.timedelta(days=2),
        }
        certificate = self.ca.issue_cert(*names or ("127.0.0.1",), **(past if expired else {}))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
        if client_certs:
            context.verify_mode = ssl.CERT_REQUIRED
            self.ca.configure_trust(context)
        return context


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    ca = trustme.CA()
    file = tmp_path_factory.mktemp("ca") / "ca.pem"
    ca.cert_pem.write_to_path(str(file))
    return Authority(ca, str(file))


class RecordingLog:
    """A Log port that keeps what it was told."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, object]]] = []

    def debug(self, message: str, /, **fields: object) -> None:
        self.lines.append(("debug", message, fields))

    def warning(self, message: str, /, **fields: object) -> None:
        self.lines.append(("warning", message, fields))


@pytest.fixture
def log() -> RecordingLog:
    return RecordingLog()


def told_by(error: BaseException) -> str:
    """Return all that *error* and those behind it could tell a log."""
    told = []
    pending: list[BaseException | None] = [error]
    while pending:
        current = pending.pop()
        if current is not None:
            told += [str(current), repr(current), repr(current.args), repr(vars(current))]
            told += traceback.format_exception_only(current)  # our source lines are no data
            pending += [current.__cause__, current.__context__]
    return "\n".join(told)


@pytest.fixture
def tell() -> Callable[[BaseException], str]:
    return told_by


@pytest.fixture
def within() -> Callable[[float], contextlib.AbstractContextManager[None]]:
    """Check that a block takes less than three times the given seconds."""

    @contextlib.contextmanager
    def check(seconds: float) -> Iterator[None]:
        start = time.perf_counter()
        yield
        assert time.perf_counter() - start < 3 * seconds

    return check
