"""Every way for a peer to misbehave ends in the right error, in time, without secrets."""

from __future__ import annotations

import logging
import random
import socket
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from cores.errors import (
    ConnectError,
    DeadlineError,
    GatewayError,
    ProtocolError,
    TooLargeError,
    TransferError,
)
from cores.http_client import HttpClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from tests.cores.conftest import Authority, FaultServer, Peer, RecordingLog

    Within = Callable[[float], AbstractContextManager[None]]

TIMEOUT = 0.3
HEAD = b"HTTP/1.1 200 OK\r\n"
BIG = b"s3cr3t" * 3_000_000  # more than the buffers of two sockets


@pytest.fixture
def client(log: RecordingLog) -> Iterator[HttpClient]:
    client = HttpClient(log=log, timeout=TIMEOUT, max_body=1000)  # type: ignore[arg-type]
    yield client
    client.close()


@pytest.fixture
def fail(
    client: HttpClient,
    log: RecordingLog,
    tell: Callable[[BaseException], str],
    within: Within,
    caplog: pytest.LogCaptureFixture,
) -> Callable[..., str]:
    """Send a POST full of secrets; return the message of the expected error."""
    caplog.set_level(logging.DEBUG)

    def send(origin: str, kind: type[GatewayError], body: bytes = b"s3cr3t", **options: Any) -> str:
        with within(TIMEOUT), pytest.raises(kind) as caught:
            client.post(
                f"{origin}/s3cr3t?token=s3cr3t",
                headers={"Authorization": "Bearer s3cr3t", "X-s3cr3t": "s3cr3t"},
                body=body,
                **options,
            )
        assert type(caught.value) is kind
        assert "s3cr3t" not in tell(caught.value)
        assert "s3cr3t" not in repr(log.lines)
        assert "s3cr3t" not in caplog.text
        assert client.stats()["idle"] == 0
        assert client.stats()["errors"][kind.__name__] >= 1
        return str(caught.value)

    return send


def sends(data: bytes) -> Callable[[Peer], None]:
    """Answer each request with *data* and close."""

    def script(peer: Peer) -> None:
        peer.receive()
        peer.send(data)

    return script


def drips(before: bytes, data: bytes) -> Callable[[Peer], None]:
    def script(peer: Peer) -> None:
        peer.receive()
        peer.send(before)
        peer.drip(data)

    return script


def hangs(peer: Peer) -> None:
    peer.hang()


# -- no connection ----------------------------------------------------------------------------


def test_refused_connection(fail: Callable[..., str]) -> None:
    with socket.socket() as bound:  # and not listening
        bound.bind(("127.0.0.1", 0))
        origin = f"http://127.0.0.1:{bound.getsockname()[1]}"
        assert (
            fail(origin, ConnectError)
            == f"POST {origin}: no connection while connecting (Connection refused); "
            f"nothing was sent"
        )


def test_name_that_does_not_resolve(
    fail: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def lookup(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    assert (
        fail("http://home.invalid", ConnectError)
        == "POST http://home.invalid:80: no connection while resolving the name "
        "(Name or service not known); nothing was sent"
    )


def test_address_family_that_the_system_lacks(
    fail: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(999, 1, 6, "", None)])
    assert (
        fail("http://h", ConnectError) == "POST http://h:80: no connection while connecting "
        "(Address family not supported by protocol); nothing was sent"
    )


def test_ipv6_address_is_written_in_brackets(
    fail: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **_: asked.append(args) or [])
    assert (
        fail("http://[fe80::1%eth0]:81", ConnectError)
        == "POST http://[fe80::1%eth0]:81: no connection while connecting "
        "(the name has no address); nothing was sent"
    )
    assert asked[0] == (b"fe80::1%eth0", 81)


def test_port_that_never_accepts(fail: Callable[..., str], deaf_port: int) -> None:
    origin = f"http://127.0.0.1:{deaf_port}"
    assert (
        fail(origin, DeadlineError)
        == f"POST {origin}: no complete answer within 0.30 s; the time ran out while connecting"
    )


def test_address_that_never_accepts_leaves_time_for_the_next(
    client: HttpClient,
    serve: Callable[..., FaultServer],
    deaf_port: int,
    within: Within,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = serve(sends(HEAD + b"Content-Length: 0\r\n\r\n"))
    addresses = [(2, 1, 6, "", ("127.0.0.1", port)) for port in (deaf_port, server.port)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: addresses)
    with within(TIMEOUT):
        assert client.get("http://home.invalid/").status == 200


# -- too slow ---------------------------------------------------------------------------------


@pytest.fixture(params=["http", "https"])
def tls(request: pytest.FixtureRequest, authority: Authority) -> tuple[Any, dict[str, Any]]:
    """Return the server's context and the client's options, without and with TLS."""
    if request.param == "http":
        return None, {}
    return authority.server(), {"ca_file": authority.file}


@pytest.mark.parametrize(
    ("script", "phase"),
    [
        (hangs, "waiting for the answer"),
        (drips(b"", HEAD * 9), "waiting for the answer"),
        (drips(HEAD, b"X-A: 1\r\n" * 9), "waiting for the answer"),
        (
            drips(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 C\r\n\r\n" * 9),
            "waiting for the answer",
        ),
        (drips(HEAD + b"Content-Length: 99\r\n\r\n", b"x" * 99), "reading the body"),
        (drips(HEAD + b"\r\n", b"x" * 99), "reading the body"),
        (
            drips(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 9),
            "reading the body",
        ),
        (
            drips(HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X-A: 1\r\n" * 9),
            "reading the body",
        ),
    ],
)
def test_slow_answer_ends_at_the_deadline(
    fail: Callable[..., str],
    serve: Callable[..., FaultServer],
    tls: tuple[Any, dict[str, Any]],
    script: Callable[[Peer], None],
    phase: str,
) -> None:
    server = serve(script, tls[0])
    assert (
        fail(server.origin, DeadlineError, **tls[1])
        == f"POST {server.origin}: no complete answer within 0.30 s; the time ran out while {phase}"
    )
    assert server.connections == 1


def test_peer_that_does_not_read_ends_at_the_deadline(
    fail: Callable[..., str],
    serve: Callable[..., FaultServer],
    tls: tuple[Any, dict[str, Any]],
) -> None:
    server = serve(hangs, tls[0])
    assert (
        fail(server.origin, DeadlineError, body=BIG, **tls[1])
        == f"POST {server.origin}: no complete answer within 0.30 s; the time ran out while sending"
    )


@pytest.mark.parametrize(
    "script", [hangs, lambda peer: peer.drip(b"\x16\x03\x03\x40\x00" + b"x" * 99)]
)
def test_handshake_that_is_not_answered_ends_at_the_deadline(
    fail: Callable[..., str], serve: Callable[..., FaultServer], script: Callable[[Peer], None]
) -> None:
    origin = serve(script).origin.replace("http:", "https:")
    assert (
        fail(origin, DeadlineError) == f"POST {origin}: no complete answer within 0.30 s; "
        f"the time ran out while in the TLS handshake"
    )


def test_name_lookup_counts_and_nothing_is_sent_after_the_deadline(
    serve: Callable[..., FaultServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(hangs)
    time = 0.0

    def lookup(*_: object, **__: object) -> list[Any]:
        nonlocal time
        time += 11.0
        return [(2, 1, 6, "", ("127.0.0.1", server.port))]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    client = HttpClient(timer=lambda: time)
    with pytest.raises(DeadlineError) as caught:
        client.get("http://home.invalid/")
    assert (
        str(caught.value) == "GET http://home.invalid:80: no complete answer within 10.00 s; "
        "the time ran out while connecting"
    )
    assert server.connections == 0


def test_invocation_that_ends_earlier_shortens_the_deadline(
    serve: Callable[..., FaultServer], within: Within
) -> None:
    current = SimpleNamespace(invocation=SimpleNamespace(deadline=1000.7))
    client = HttpClient(current=current, clock=lambda: 1000.0, margin=0.4)
    server = serve(hangs)
    with within(0.3), pytest.raises(DeadlineError) as caught:
        client.get(server.origin)
    assert (
        str(caught.value) == f"GET {server.origin}: no complete answer within 0.30 s; "
        f"the time ran out while waiting for the answer"
    )


def test_invocation_that_is_over_sends_nothing(serve: Callable[..., FaultServer]) -> None:
    current = SimpleNamespace(invocation=SimpleNamespace(deadline=1000.5))
    client = HttpClient(current=current, clock=lambda: 1000.0)
    server = serve(hangs)
    with pytest.raises(DeadlineError) as caught:
        client.get(server.origin, breaker="home")
    assert (
        str(caught.value)
        == f"GET {server.origin}: the invocation has no time left but the margin of 0.5 s; "
        f"nothing was sent. Raise the function's timeout"
    )
    assert server.connections == 0
    assert client.stats()["errors"] == {"DeadlineError": 1}
    assert client.preconnect(server.origin) is False


# -- broken off -------------------------------------------------------------------------------


def resets(peer: Peer) -> None:
    peer.receive()
    peer.reset()


def resets_in_the_body(peer: Peer) -> None:
    peer.receive()
    peer.send(HEAD + b"Content-Length: 9\r\n\r\ns3cr3t")
    peer.server.stopped.wait(0.05)  # or the reset would overtake what was sent
    peer.reset()


@pytest.mark.parametrize(
    ("script", "what"),
    [
        (resets, "waiting for the answer (Connection reset by peer)"),
        (sends(b""), "waiting for the answer (Remote end closed connection without response)"),
        (resets_in_the_body, "reading the body (Connection reset by peer)"),
    ],
)
def test_connection_that_breaks_after_sending(
    fail: Callable[..., str],
    serve: Callable[..., FaultServer],
    script: Callable[[Peer], None],
    what: str,
) -> None:
    server = serve(script)
    assert (
        fail(server.origin, TransferError)
        == f"POST {server.origin}: the connection broke while {what}; "
        f"the request may have been received"
    )
    assert len(server.requests) == 1


def test_connection_that_breaks_while_sending(
    fail: Callable[..., str], serve: Callable[..., FaultServer]
) -> None:
    def script(peer: Peer) -> None:
        peer.sock.recv(1000)
        peer.reset()

    server = serve(script)
    assert fail(server.origin, TransferError, body=BIG).startswith(
        f"POST {server.origin}: the connection broke while waiting for the answer ("
    )


def test_answer_before_the_body_was_sent_is_returned(
    serve: Callable[..., FaultServer],
) -> None:
    def script(peer: Peer) -> None:
        peer.sock.recv(1000)
        peer.send(b"HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno")
        peer.sock.shutdown(socket.SHUT_RD)
        peer.server.stopped.wait(0.05)

    client = HttpClient(timeout=5.0)
    server = serve(script)
    try:
        response = client.post(server.origin, body=BIG)
    except TransferError:  # pragma: no cover - the kernel's reset may overtake the answer
        return
    assert (response.status, response.body) == (413, b"no")
    assert client.stats()["idle"] == 0


def test_interrupt_closes_the_connection_and_is_no_error(
    client: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lookup(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    with pytest.raises(KeyboardInterrupt):
        client.get("http://home.invalid/")
    assert client.stats()["errors"] == {}
    assert client.stats()["idle"] == 0


# -- not HTTP ---------------------------------------------------------------------------------

CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        (b"SSH-2.0-s3cr3t\r\n", "BadStatusLine, while waiting for the answer"),
        (b"HTTP/1.1 s3cr3t\r\n\r\n", "BadStatusLine, while waiting for the answer"),
        (b"HTTP/1.1 99 s3cr3t\r\n\r\n", "BadStatusLine, while waiting for the answer"),
        (b"HTTP/9.s3cr3t 200 OK\r\n\r\n", "UnknownProtocol, while waiting for the answer"),
        (b"HTTP/1.1 200 " + b"s3cr3t" * 20_000, "LineTooLong, while waiting for the answer"),
        (HEAD + b"X: " + b"s3cr3t" * 20_000, "LineTooLong, while waiting for the answer"),
        (HEAD + b"X: s3cr3t\r\n" * 101, "HTTPException, while waiting for the answer"),
        (HEAD + b"s3cr3t\r\nX: 1\r\n\r\n", "HeaderParsingError, while waiting for the answer"),
        (b"HTTP/1.1 101 s3cr3t\r\n\r\n", "no final status, while waiting for the answer"),
        (
            HEAD + b"Transfer-Encoding: s3cr3t\r\n\r\n",
            "a transfer coding other than chunked, while waiting for the answer",
        ),
        (
            HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
            "no usable content length, while waiting for the answer",
        ),
        (
            HEAD + b"Content-Length: -1\r\n\r\n",
            "no usable content length, while waiting for the answer",
        ),
        (
            HEAD + b"Content-Length: s3cr3t\r\n\r\n",
            "no usable content length, while waiting for the answer",
        ),
        (HEAD + b"Content-Length: 9\r\n\r\ns3cr3t", "cut short, while reading the body"),
        (CHUNKED + b"9\r\ns3cr3t", "cut short, while reading the body"),
        (CHUNKED + b"6\r\ns3cr3t\r\n", "cut short, while reading the body"),
        (CHUNKED + b"6\r\ns3cr3t\r\n0\r\n", "cut short, while reading the body"),
        (CHUNKED + b"6\r\ns3cr3tx\r\n", "a chunk longer than it says, while reading the body"),
        (CHUNKED + b"s3cr3t\r\n", "no chunk size, while reading the body"),
        (CHUNKED + b"-1\r\n" + b"s3cr3t" * 99, "no chunk size, while reading the body"),
        (CHUNKED + b"\r\n", "no chunk size, while reading the body"),
        (CHUNKED + b"0\r\n" + b"X: s3cr3t\r\n" * 101, "too many trailers, while reading the body"),
        (CHUNKED + b"s3cr3t" * 20_000, "a line too long, while reading the body"),
    ],
)
def test_answer_that_is_not_http(
    fail: Callable[..., str], serve: Callable[..., FaultServer], answer: bytes, what: str
) -> None:
    server = serve(sends(answer))
    assert (
        fail(server.origin, ProtocolError)
        == f"POST {server.origin}: the answer is not valid HTTP: {what}"
    )
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [
        HEAD + b"Content-Length: 1001\r\n\r\n",
        HEAD + b"\r\n" + b"x" * 1001,
        CHUNKED + b"3e9\r\n" + b"x" * 1001,
        CHUNKED + b"fffffffff\r\n" + b"x" * 70_000,
    ],
)
def test_body_larger_than_allowed_is_not_read(
    fail: Callable[..., str], serve: Callable[..., FaultServer], answer: bytes
) -> None:
    server = serve(sends(answer))
    assert (
        fail(server.origin, TooLargeError)
        == f"POST {server.origin}: the body is larger than 1000 bytes; "
        f"raise max_body or ask for less"
    )


def test_body_of_exactly_the_size_allowed_is_returned(
    client: HttpClient, serve: Callable[..., FaultServer]
) -> None:
    server = serve(sends(HEAD + b"Content-Length: 3\r\n\r\nabc"))
    assert client.get(server.origin, max_body=3).body == b"abc"
    with pytest.raises(TooLargeError):
        client.get(server.origin, max_body=2)


def test_whatever_bytes_are_sent_ends_in_an_answer_or_an_error_of_ours(
    serve: Callable[..., FaultServer], tell: Callable[[BaseException], str]
) -> None:
    seed = random.SystemRandom().getrandbits(32)
    print(f"seed {seed}")  # noqa: T201  # shown when the test fails
    generator = random.Random(seed)
    valid = CHUNKED + b"6;s3cr3t=1\r\ns3cr3t\r\n0\r\nX-A: s3cr3t\r\n\r\n"

    def script(peer: Peer) -> None:
        peer.receive()
        data = bytearray(valid)
        for _ in range(generator.randrange(1, 6)):
            start = generator.randrange(len(data))
            replacement = generator.choice(
                [b"", b"\0", b"\r\n", b"\n", b":", b"-1", b"\xff\xfe", b"HTTP/1.1 204 \r\n\r\n"]
            )
            data[start : start + generator.randrange(4)] = replacement
        peer.send(bytes(data))

    server = serve(script)
    client = HttpClient(timeout=5.0, max_body=1000)
    outcomes: list[object] = []
    told = ""
    for _ in range(200):
        try:
            outcomes.append(client.post(server.origin, retries=0))
        except GatewayError as error:
            outcomes.append(error)
            told = tell(error)
        assert "s3cr3t" not in told
    assert len({type(outcome) for outcome in outcomes}) > 1
    client.close()
