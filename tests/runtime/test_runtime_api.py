from __future__ import annotations

import json
import re
import socket
from typing import TYPE_CHECKING, Any

import pytest

from cores.errors import ConfigurationError
from gateway.cli.http_parser import Request
from gateway.cli.runtime_api import (
    RESPONSE_LIMIT,
    Answered,
    Failed,
    FunctionError,
    Invocation,
    Protocol,
    Ready,
    RuntimeApi,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.cli.runtime_api import Message

PREFIX = "/2018-06-01/runtime/"
EVENT = Invocation("id-1", b'{"a": 1}', 1234, {"Lambda-Runtime-Trace-Id": "Root=1"})
NEXT = b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n"
ERROR = b'{"errorType": "E", "errorMessage": "m", "stackTrace": ["line"]}'


def receive(
    protocol: Protocol, method: str, path: str, body: bytes = b"", **headers: str
) -> tuple[int | None, Any, Message | None]:
    """Return status and document of the reply, and the message."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    reply, message = protocol.receive(Request(method, PREFIX + path, names, body, len(body)))
    return reply and reply.status.value, reply and json.loads(reply.body), message


def test_the_request_for_an_event_waits_and_the_event_carries_lambdas_headers() -> None:
    protocol = Protocol()
    assert receive(protocol, "GET", "invocation/next") == (None, None, Ready())
    head, body = protocol.send(EVENT).encode().split(b"\r\n\r\n")
    assert head.decode().split("\r\n") == [
        "HTTP/1.1 200 OK",
        "Content-Type: application/json",
        "Content-Length: 8",
        "Lambda-Runtime-Aws-Request-Id: id-1",
        "Lambda-Runtime-Deadline-Ms: 1234",
        "Lambda-Runtime-Trace-Id: Root=1",
    ]
    assert body == EVENT.event


def test_a_response_is_accepted_once() -> None:
    protocol = Protocol()
    protocol.send(EVENT)
    path = "invocation/id-1/response"
    accepted = receive(
        protocol,
        "POST",
        path,
        b"42",
        content_type="application/json",
        lambda_runtime_function_response_mode="streaming",
    )
    assert accepted == (202, {"status": "OK"}, Answered(b"42", "application/json"))
    refusal = {
        "errorType": "InvalidRequestID",
        "errorMessage": "'id-1' is not the invocation that is running",
    }
    assert receive(protocol, "POST", path, b"42") == (400, refusal, None)


def test_a_response_past_the_limit_is_refused_and_is_an_error() -> None:
    protocol = Protocol()
    protocol.send(EVENT)
    request = Request("POST", f"{PREFIX}invocation/id-1/response", {}, b"", RESPONSE_LIMIT + 1)
    reply, message = protocol.receive(request)
    text = (
        "Response payload size (6291557 bytes) exceeded maximum allowed payload size "
        "(6291556 bytes)."
    )
    document = {"errorType": "Function.ResponseSizeTooLarge", "errorMessage": text}
    assert reply is not None
    assert reply.status.value == 413
    assert json.loads(reply.body) == {"errorType": "RequestEntityTooLarge", "errorMessage": text}
    assert isinstance(message, Failed)
    assert message.error == FunctionError("Function.ResponseSizeTooLarge", text)
    assert json.loads(message.body) == document


@pytest.mark.parametrize("path", ["init/error", "restore/error", "invocation/id-1/error"])
def test_an_error_is_accepted_and_read(path: str) -> None:
    protocol = Protocol()
    protocol.send(EVENT)
    error = FunctionError("E", "m", ("line",))
    assert receive(protocol, "POST", path, ERROR) == (202, {"status": "OK"}, Failed(error, ERROR))


@pytest.mark.parametrize(
    ("body", "headers", "error"),
    [
        (b"{}", {}, FunctionError("Unhandled", "")),
        (b"{}", {"lambda_runtime_function_error_type": "H"}, FunctionError("H", "")),
        (b"plain \xff", {}, FunctionError("Unhandled", "plain \ufffd")),
        (b"[1]", {}, FunctionError("Unhandled", "[1]")),
        (b'{"errorType": 5, "stackTrace": "x"}', {}, FunctionError("5", "")),
    ],
)
def test_an_error_of_another_shape_is_still_an_error(
    body: bytes, headers: dict[str, str], error: FunctionError
) -> None:
    answer = receive(Protocol(), "POST", "init/error", body, **headers)
    assert answer == (202, {"status": "OK"}, Failed(error, body))


def test_a_second_event_is_refused_before_the_first_is_answered() -> None:
    protocol = Protocol()
    protocol.send(EVENT)
    refusal = {
        "errorType": "InvalidStateTransition",
        "errorMessage": "the invocation id-1 is still to be answered",
    }
    assert receive(protocol, "GET", "invocation/next") == (403, refusal, None)


def test_restoring_a_snapshot_is_answered_at_once() -> None:
    assert receive(Protocol(), "GET", "restore/next") == (200, {}, None)


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "invocation/next"), ("GET", "invocation/id-1/response"), ("GET", "nothing")],
)
def test_an_unknown_call_is_not_found(method: str, path: str) -> None:
    message = f"the Runtime API has no {method} {PREFIX}{path}"
    refusal = {"errorType": "NotFound", "errorMessage": message}
    assert receive(Protocol(), method, path) == (404, refusal, None)


def test_a_path_outside_the_api_is_not_found() -> None:
    reply, message = Protocol().receive(Request("GET", "/invocation/next", {}))
    assert reply is not None
    assert (reply.status.value, message) == (404, None)


@pytest.fixture
def api() -> Iterator[RuntimeApi]:
    with RuntimeApi() as api:
        yield api


@pytest.fixture
def runtime(api: RuntimeApi) -> Iterator[socket.socket]:
    with connect(api) as sock:
        yield sock


def connect(api: RuntimeApi) -> socket.socket:
    host, _, port = api.address.partition(":")
    return socket.create_connection((host, int(port)), timeout=1)


def status(sock: socket.socket) -> bytes:
    """Return the status line of the next reply; replies here are far below one segment."""
    return sock.recv(65536).partition(b"\r\n")[0]


def test_invocations_travel_over_one_connection(api: RuntimeApi, runtime: socket.socket) -> None:
    for request_id in ("id-1", "id-2"):
        runtime.sendall(NEXT)
        assert api.wait(1) == Ready()
        api.send(Invocation(request_id, b"{}", 1))
        assert status(runtime) == b"HTTP/1.1 200 OK"
        path = f"{PREFIX}invocation/{request_id}/response"
        runtime.sendall(f"POST {path} HTTP/1.1\r\nContent-Length: 2\r\n\r\n42".encode())
        assert api.wait(1) == Answered(b"42", "")
        assert status(runtime) == b"HTTP/1.1 202 Accepted"


def test_an_init_error_may_come_over_a_connection_of_its_own(api: RuntimeApi) -> None:
    with connect(api), connect(api) as other:
        head = f"POST {PREFIX}init/error HTTP/1.1\r\nContent-Length: {len(ERROR)}\r\n\r\n"
        other.sendall(head.encode() + ERROR)
        message = api.wait(1)
        assert status(other) == b"HTTP/1.1 202 Accepted"
    assert isinstance(message, Failed)
    assert message.error.type == "E"


def test_a_body_held_back_is_asked_for(api: RuntimeApi, runtime: socket.socket) -> None:
    runtime.sendall(
        f"POST {PREFIX}init/error HTTP/1.1\r\n".encode()
        + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    )
    assert api.wait(0) is None
    assert status(runtime) == b"HTTP/1.1 100 Continue"
    runtime.sendall(b"{")
    assert api.wait(0) is None
    runtime.sendall(b"}")
    assert api.wait(1) == Failed(FunctionError("Unhandled", ""), b"{}")


def test_what_is_no_http_is_refused_and_hung_up_on(api: RuntimeApi, runtime: socket.socket) -> None:
    runtime.sendall(b"hello\r\n\r\n")
    assert api.wait(0) is None
    assert status(runtime) == b"HTTP/1.1 400 Bad Request"
    assert runtime.recv(1) == b""


def test_silence_is_none(api: RuntimeApi) -> None:
    assert api.wait(0.01) is None


def test_a_runtime_that_is_gone_is_no_error(api: RuntimeApi) -> None:
    with connect(api) as leaving:
        leaving.sendall(NEXT)
        assert api.wait(1) == Ready()
        # A reset, not an orderly end.
        leaving.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    assert api.wait(0) is None
    api.send(EVENT)
    with connect(api) as leaving:
        assert api.wait(0) is None
    assert api.wait(0) is None


def test_an_event_to_a_runtime_that_has_just_gone_is_lost(api: RuntimeApi) -> None:
    with connect(api) as leaving:
        leaving.sendall(NEXT)
        assert api.wait(1) == Ready()
        leaving.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    api.send(EVENT)
    assert api.wait(0) is None


def test_an_address_that_is_not_of_this_machine_is_refused_with_the_remedy() -> None:
    pattern = r"the Runtime API could not listen on 192\.0\.2\.1: .*; " + re.escape(
        "allow this program to open ports on loopback"
    )
    with pytest.raises(ConfigurationError, match=f"^{pattern}$"):
        RuntimeApi("192.0.2.1")
