"""Serve Lambda's Runtime API to one runtime process.

``Protocol`` answers requests and says what they mean, without a socket in sight; ``RuntimeApi`` is
the socket: it listens on loopback and moves bytes between runtime, parser and protocol.

Source: "Using the Lambda runtime API for custom runtimes" in the AWS Lambda developer guide, and
the behaviour of ``awslambdaric``, which is stricter than that page: an event without
``Content-Type`` crashes its C part, and with any type but exactly ``application/json`` the handler
gets raw bytes.
"""

from __future__ import annotations

import contextlib
import json
import selectors
import socket
import time
from collections import deque
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Self, cast

from cores.errors import ConfigurationError
from gateway.cli.http_parser import MalformedRequestError, Request, RequestParser

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

PREFIX = "/2018-06-01/runtime/"
EVENT_LIMIT = 6 * 1024 * 1024
RESPONSE_LIMIT = 6 * 1024 * 1024 + 100

_RECEIVE = 1 << 20
_SEND_TIMEOUT = 10.0


@dataclass(frozen=True)
class FunctionError:
    """An error as Lambda tells it to the caller: of the function, or of its environment."""

    type: str
    message: str
    stack_trace: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ready:
    """The runtime asked for an event; the first time this ends INIT."""


@dataclass(frozen=True)
class Answered:
    """The runtime posted what the handler returned."""

    body: bytes
    content_type: str


@dataclass(frozen=True)
class Failed:
    """The runtime posted an error; *body* is the document that it sent."""

    error: FunctionError
    body: bytes


Message = Ready | Answered | Failed


@dataclass(frozen=True)
class Invocation:
    """An event on its way to the runtime, and the headers that travel with it."""

    request_id: str
    event: bytes
    deadline_ms: int
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Reply:
    """An HTTP response with a JSON body."""

    status: HTTPStatus
    body: bytes = b'{"status":"OK"}'
    headers: Mapping[str, str] = field(default_factory=dict)

    def encode(self) -> bytes:
        """Return the response as bytes."""
        lines = [
            f"HTTP/1.1 {self.status.value} {self.status.phrase}",
            # Exactly this: see the module's docstring.
            "Content-Type: application/json",
            f"Content-Length: {len(self.body)}",
            *(f"{name}: {value}" for name, value in self.headers.items()),
        ]
        return "\r\n".join([*lines, "\r\n"]).encode("latin-1") + self.body


def _refusal(status: HTTPStatus, error_type: str, message: str) -> Reply:
    body = {"errorMessage": message, "errorType": error_type}
    return Reply(status, json.dumps(body).encode())


class Protocol:
    """Answer a runtime's requests and tell what they mean; data in, data out.

    >>> Protocol().receive(Request("GET", "/2018-06-01/runtime/invocation/next", {}))
    (None, Ready())
    """

    def __init__(self) -> None:
        self.current: str | None = None
        """The request id of the invocation that is running."""

    def send(self, invocation: Invocation) -> Reply:
        """Begin an invocation and return the reply to the request for the next event."""
        self.current = invocation.request_id
        headers = {
            "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
            "Lambda-Runtime-Deadline-Ms": str(invocation.deadline_ms),
            **invocation.headers,
        }
        return Reply(HTTPStatus.OK, invocation.event, headers)

    def receive(self, request: Request) -> tuple[Reply | None, Message | None]:
        """Take one request; return the reply, None meaning later, and what was learnt."""
        call = f"{request.method} {request.path.removeprefix(PREFIX)}"
        if not request.path.startswith(PREFIX):
            return self._unknown(request)
        match call.split("/"):
            case ["GET invocation", "next"] if self.current is None:
                return None, Ready()
            case ["GET invocation", "next"]:
                message = f"the invocation {self.current} is still to be answered"
                return _refusal(HTTPStatus.FORBIDDEN, "InvalidStateTransition", message), None
            case ["GET restore", "next"]:
                return Reply(HTTPStatus.OK, b"{}"), None
            case ["POST init" | "POST restore", "error"]:
                return Reply(HTTPStatus.ACCEPTED), _failure(request)
            case ["POST invocation", request_id, "response" | "error" as what]:
                return self._finish(request, request_id, what)
            case _:
                return self._unknown(request)

    def _finish(self, request: Request, request_id: str, what: str) -> tuple[Reply, Message | None]:
        if request_id != self.current:
            message = f"{request_id[:40]!r} is not the invocation that is running"
            return _refusal(HTTPStatus.BAD_REQUEST, "InvalidRequestID", message), None
        self.current = None
        if what == "error":
            return Reply(HTTPStatus.ACCEPTED), _failure(request)
        if request.size <= RESPONSE_LIMIT:
            content_type = request.headers.get("content-type", "")
            return Reply(HTTPStatus.ACCEPTED), Answered(request.body, content_type)
        message = (
            f"Response payload size ({request.size} bytes) exceeded maximum allowed payload size "
            f"({RESPONSE_LIMIT} bytes)."
        )
        reply = _refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "RequestEntityTooLarge", message)
        error = FunctionError("Function.ResponseSizeTooLarge", message)
        return reply, Failed(error, error_document(error))

    @staticmethod
    def _unknown(request: Request) -> tuple[Reply, None]:
        message = f"the Runtime API has no {request.method} {request.path[:100]}"
        return _refusal(HTTPStatus.NOT_FOUND, "NotFound", message), None


def error_document(error: FunctionError) -> bytes:
    """Return the JSON document that Lambda's caller gets for *error*."""
    return json.dumps({"errorType": error.type, "errorMessage": error.message}).encode()


def _failure(request: Request) -> Failed:
    error_type = request.headers.get("lambda-runtime-function-error-type", "Unhandled")
    try:
        document = json.loads(request.body)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        text = request.body.decode(errors="replace")
        return Failed(FunctionError(error_type, text), request.body)
    trace = document.get("stackTrace")
    error = FunctionError(
        str(document.get("errorType") or error_type),
        str(document.get("errorMessage", "")),
        tuple(map(str, trace)) if isinstance(trace, list) else (),
    )
    return Failed(error, request.body)


class _Connection:
    """A socket and the parser of what arrives on it."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.parser = RequestParser(RESPONSE_LIMIT)

    def send(self, data: bytes) -> None:
        # A runtime that is gone is noticed by whoever watches the process.
        with contextlib.suppress(OSError):
            self.sock.sendall(data)


class RuntimeApi:
    """Listen on a free port of loopback for one runtime process; not safe under threads.

    ``address`` is what the process needs in AWS_LAMBDA_RUNTIME_API.
    """

    def __init__(self, host: str = "127.0.0.1") -> None:
        self._selector = selectors.DefaultSelector()
        try:
            self._listener = socket.create_server((host, 0))
        except OSError as error:
            self._selector.close()
            msg = (
                f"the Runtime API could not listen on {host}: {error}; "
                "allow this program to open ports on loopback"
            )
            raise ConfigurationError(msg) from error
        self._selector.register(self._listener, selectors.EVENT_READ)
        self.address = "{}:{}".format(*self._listener.getsockname())
        self._protocol = Protocol()
        self._messages: deque[Message] = deque()
        self._waiting: _Connection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def wait(self, timeout: float) -> Message | None:
        """Return the runtime's next message, or None after *timeout* seconds without one."""
        deadline = time.monotonic() + timeout
        while not self._messages:
            ready = self._selector.select(max(0.0, deadline - time.monotonic()))
            for key, _ in ready:
                if key.data is None:
                    self._accept()
                else:
                    self._receive(key.data)
            if not ready and time.monotonic() >= deadline:
                return None
        return self._messages.popleft()

    def send(self, invocation: Invocation) -> None:
        """Answer the request that was announced as Ready; the runtime may be gone already."""
        connection, self._waiting = self._waiting, None
        reply = self._protocol.send(invocation)
        if connection is not None:
            connection.send(reply.encode())

    def close(self) -> None:
        """Close every connection and the port."""
        for key in list(self._selector.get_map().values()):
            cast("socket.socket", key.fileobj).close()
        self._selector.close()

    def _accept(self) -> None:
        sock, _ = self._listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(_SEND_TIMEOUT)
        self._selector.register(sock, selectors.EVENT_READ, _Connection(sock))

    def _receive(self, connection: _Connection) -> None:
        try:
            data = connection.sock.recv(_RECEIVE)
        except OSError:
            data = b""
        if not data:
            self._drop(connection)
            return
        try:
            requests = connection.parser.feed(data)
        except MalformedRequestError as error:
            reply = _refusal(HTTPStatus.BAD_REQUEST, "MalformedRequest", str(error))
            connection.send(reply.encode())
            self._drop(connection)
            return
        if connection.parser.wants_continue:
            connection.parser.wants_continue = False
            connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        for request in requests:
            self._answer(connection, request)

    def _answer(self, connection: _Connection, request: Request) -> None:
        reply, message = self._protocol.receive(request)
        if reply is None:
            self._waiting = connection
        else:
            connection.send(reply.encode())
        if message is not None:
            self._messages.append(message)

    def _drop(self, connection: _Connection) -> None:
        if connection is self._waiting:
            self._waiting = None
        self._selector.unregister(connection.sock)
        connection.sock.close()
