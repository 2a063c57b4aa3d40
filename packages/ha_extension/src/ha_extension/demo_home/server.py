"""Serve a demo home over HTTP on the loopback interface: the thin module that talks."""

from __future__ import annotations

import contextlib
import secrets
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from ha_extension.demo_home.api import BODY_LIMIT, NO_LENGTH, TOO_LARGE, Answer, Api, Request
from ha_extension.demo_home.home import Home

if TYPE_CHECKING:
    import ssl
    from types import TracebackType
    from typing import Any, Self


class DemoHome:
    """A demo home that listens on 127.0.0.1 while it is used as a context manager.

    `token` is the only access token it takes (default: a random one); `port` 0 means a free one;
    `tls` is a server-side context, without which it speaks plain HTTP; `home` is the model, for a
    home with other devices. Afterwards no thread and no socket is left.

    >>> with DemoHome(token="secret") as demo:
    ...     demo.token
    'secret'
    """

    def __init__(
        self,
        *,
        token: str = "",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
        home: Home | None = None,
    ) -> None:
        self.token = token or secrets.token_urlsafe(32)
        self.home = home or Home()
        self.url = ""  # known once it listens
        self._port = port
        self._tls = tls

    def __enter__(self) -> Self:
        self._server = _Server(self._port, Api(self.home, self.token), self._tls)
        scheme = "http" if self._tls is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.hang_up()
        self._server.server_close()  # waits for the threads of the connections


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # so that server_close() waits for them

    def __init__(self, port: int, api: Api, tls: ssl.SSLContext | None) -> None:
        self.api = api
        self._tls = tls
        self._open: set[socket.socket] = set()
        self._open_lock = threading.Lock()
        super().__init__(("127.0.0.1", port), _Handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        if self._tls:
            # The handshake is left to the connection's own thread: a client that never finishes it
            # must not keep the others out.
            connection = self._tls.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
        with self._open_lock:
            self._open.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        with self._open_lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing about a client that hung up or failed its TLS handshake."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)

    def hang_up(self) -> None:
        """End every open connection, idle ones too."""
        with self._open_lock:
            for connection in self._open:
                with contextlib.suppress(OSError):  # the client was quicker
                    # Not the method of a TLS connection, which its own thread is using.
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"  # keep-alive
    wbufsize = -1  # one packet per answer, or Nagle's algorithm makes the client wait
    disable_nagle_algorithm = True

    def __getattr__(self, name: str) -> object:
        if name.startswith("do_"):
            return self._serve
        raise AttributeError(name)

    def log_message(self, *_args: object) -> None:
        """Write nothing: a request line may hold secrets, and the console is the caller's."""

    def _serve(self) -> None:
        given = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not given.isdecimal():
            self._write(NO_LENGTH)
            return
        length = int(given)
        if length > BODY_LIMIT:
            self._write(TOO_LARGE)
            return
        body = self.rfile.read(length)
        if len(body) < length:
            self.close_connection = True
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        path = self.requestline.split()[1]  # the base class's `path` hides a doubled slash
        self._write(self.server.api.answer(Request(self.command, path, headers, body)))

    def _write(self, answer: Answer) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.close:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)
