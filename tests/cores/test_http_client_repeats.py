"""When a request is sent again: retries and redirects."""

from __future__ import annotations

from email.utils import formatdate
from typing import TYPE_CHECKING

import pytest

from cores.errors import ConnectError, DeadlineError, ProtocolError, TransferError
from cores.http_client import HttpClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from tests.cores.conftest import Authority, FaultServer, Peer, RecordingLog

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
BUSY = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
NOW = 1_700_000_000.0


@pytest.fixture
def slept() -> list[float]:
    return []


@pytest.fixture
def client(slept: list[float], log: RecordingLog) -> Iterator[HttpClient]:
    client = HttpClient(log=log, sleep=slept.append, clock=lambda: NOW, timeout=5.0)  # type: ignore[arg-type]
    yield client
    client.close()


def answers(*each: bytes | None) -> Callable[[Peer], None]:
    """Answer the requests, over all connections, one by one; None closes without an answer."""
    left = list(each)

    def script(peer: Peer) -> None:
        while peer.receive():
            answer = left.pop(0)
            if answer is None:
                return
            peer.send(answer)

    return script


def redirect(location: str, status: int = 302) -> bytes:
    return f"HTTP/1.1 {status} R\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()


# -- retries ----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
def test_idempotent_request_is_repeated_twice_after_broken_transfers(
    client: HttpClient,
    slept: list[float],
    log: RecordingLog,
    serve: Callable[..., FaultServer],
    method: str,
) -> None:
    server = serve(answers(None, None, OK))
    assert client.request(method, f"{server.origin}/s3cr3t").status == 200
    assert len(server.requests) == 3
    assert 0 <= slept[0] < 0.1
    assert 0 <= slept[1] < 0.2
    label = f"{method} {server.origin}"
    assert log.lines == [
        ("debug", "request repeated", {"request": label, "attempt": 2}),
        ("debug", "request repeated", {"request": label, "attempt": 3}),
    ]
    assert client.stats()["retries"] == 2
    assert client.stats()["errors"] == {"TransferError": 2}


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_request_that_is_not_idempotent_is_never_repeated_after_it_was_sent(
    client: HttpClient, serve: Callable[..., FaultServer], method: str
) -> None:
    server = serve(answers(None, OK))
    with pytest.raises(TransferError):
        client.request(method, server.origin, retries=5)
    assert len(server.requests) == 1
    server = serve(answers(BUSY, OK))
    assert client.request(method, server.origin, retries=5).status == 503
    assert len(server.requests) == 1


def test_any_request_is_repeated_when_nothing_was_sent(
    client: HttpClient,
    serve: Callable[..., FaultServer],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = serve(answers(OK))
    ports = iter([1, server.port])
    monkeypatch.setattr(
        "socket.getaddrinfo", lambda *_, **__: [(2, 1, 6, "", ("127.0.0.1", next(ports)))]
    )
    assert client.post("http://home.invalid/").status == 200
    assert client.stats()["errors"] == {"ConnectError": 1}


def test_cut_short_answer_to_an_idempotent_request_is_asked_for_again(
    client: HttpClient, serve: Callable[..., FaultServer]
) -> None:
    def script(peer: Peer) -> None:
        peer.receive()
        peer.send(OK if peer.number else OK[:-1])

    assert client.get(serve(script).origin).body == b"hi"


def test_zero_retries_send_at_most_once(
    client: HttpClient, slept: list[float], serve: Callable[..., FaultServer]
) -> None:
    server = serve(answers(None))
    with pytest.raises(TransferError):
        client.get(server.origin, retries=0)
    assert len(server.requests) == 1
    assert slept == []


def test_last_failure_is_raised_when_retries_are_used_up(
    client: HttpClient, slept: list[float]
) -> None:
    with pytest.raises(ConnectError):
        client.get("http://127.0.0.1:1/", retries=3)
    assert len(slept) == 3


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_temporary_status_is_repeated_and_then_returned(
    client: HttpClient, serve: Callable[..., FaultServer], status: int
) -> None:
    busy = BUSY.replace(b"503", str(status).encode())
    server = serve(answers(busy, busy, busy, OK))
    assert client.get(server.origin).status == status
    assert client.get(server.origin).status == 200


def test_other_status_is_returned_at_once(
    client: HttpClient, serve: Callable[..., FaultServer]
) -> None:
    server = serve(answers(BUSY.replace(b"503", b"500"), OK))
    assert client.get(server.origin).status == 500


@pytest.mark.parametrize(
    ("value", "least"),
    [
        ("3", 3.0),
        (" 2 ", 2.0),
        (formatdate(NOW + 4, usegmt=True), 4.0),
        (formatdate(NOW - 4, usegmt=True), 0.0),
        ("soon", 0.0),
        ("", 0.0),
        ("²", 0.0),
        ("Mon, 01 Jan 99999 00:00:00 GMT", 0.0),
        ("Mon, 99 Jan 2024 00:00:00 GMT", 0.0),
    ],
)
def test_retry_after_is_the_least_pause(
    client: HttpClient,
    slept: list[float],
    serve: Callable[..., FaultServer],
    value: str,
    least: float,
) -> None:
    busy = BUSY.replace(b"Content", f"Retry-After: {value}\r\nContent".encode("latin-1"))
    assert client.get(serve(answers(busy, OK)).origin).status == 200
    assert least <= slept[0] <= max(least, 0.1)


def test_answer_is_returned_when_there_is_no_time_to_wait_for_another(
    client: HttpClient, slept: list[float], serve: Callable[..., FaultServer]
) -> None:
    busy = BUSY.replace(b"Content", b"Retry-After: 3600\r\nContent")
    assert client.get(serve(answers(busy)).origin).status == 503
    assert slept == []


def test_repetitions_share_the_deadline(
    serve: Callable[..., FaultServer],
    within: Callable[[float], AbstractContextManager[None]],
) -> None:
    def script(peer: Peer) -> None:
        peer.receive()
        peer.server.stopped.wait(0.1)

    server = serve(script)
    client = HttpClient(timeout=0.4, sleep=lambda seconds: None)
    with within(0.4), pytest.raises((DeadlineError, TransferError)):
        client.get(server.origin, retries=1000)
    assert len(server.requests) > 1


# -- redirects --------------------------------------------------------------------------------


def test_redirect_is_returned_by_default(
    client: HttpClient, serve: Callable[..., FaultServer]
) -> None:
    server = serve(answers(redirect("/login")))
    response = client.get(server.origin)
    assert (response.status, response.headers["location"]) == (302, "/login")
    assert len(server.requests) == 1


def test_redirect_is_followed_when_asked(
    client: HttpClient, serve: Callable[..., FaultServer]
) -> None:
    server = serve(answers(redirect("b?c=1#d"), redirect("/e"), OK))
    response = client.get(f"{server.origin}/a/a", headers={"Authorization": "x"}, redirects=2)
    assert [received.line for received in server.requests] == [
        "GET /a/a HTTP/1.1",
        "GET /a/b?c=1 HTTP/1.1",
        "GET /e HTTP/1.1",
    ]
    assert all(received.headers["authorization"] == "x" for received in server.requests)
    assert response.url == f"{server.origin}/e"
    assert client.stats()["redirects"] == 2


@pytest.mark.parametrize(
    ("method", "status", "following"),
    [
        ("POST", 301, "GET"),
        ("POST", 302, "GET"),
        ("POST", 303, "GET"),
        ("POST", 307, "POST"),
        ("POST", 308, "POST"),
        ("PUT", 302, "PUT"),
        ("PUT", 303, "GET"),
        ("HEAD", 303, "HEAD"),
    ],
)
def test_method_and_body_after_a_redirect_follow_the_rfc(
    client: HttpClient,
    serve: Callable[..., FaultServer],
    method: str,
    status: int,
    following: str,
) -> None:
    server = serve(answers(redirect("/b", status), OK))
    client.request(method, server.origin, json={"a": 1}, redirects=1)
    second = server.requests[1]
    assert second.line == f"{following} /b HTTP/1.1"
    has_body = following == method
    assert second.body == (b'{"a":1}' if has_body else b"")
    assert ("content-type" in second.headers) is has_body


def test_another_origin_gets_no_credentials(
    client: HttpClient, serve: Callable[..., FaultServer]
) -> None:
    other = serve(answers(OK))
    server = serve(answers(redirect(f"{other.origin}/b")))
    headers = {
        "Authorization": "s3cr3t",
        "Cookie": "s3cr3t",
        "Proxy-Authorization": "s3cr3t",
        "CF-Access-Client-Secret": "s3cr3t",
        "Accept": "text/plain",
        "User-Agent": "test",
    }
    assert client.get(server.origin, headers=headers, redirects=1).status == 200
    (received,) = other.requests
    assert "s3cr3t" not in repr(received)
    assert received.headers["accept"] == "text/plain"
    assert received.headers["user-agent"] == "test"
    assert received.headers["host"] == f"127.0.0.1:{other.port}"


def test_another_origin_gets_no_body(client: HttpClient, serve: Callable[..., FaultServer]) -> None:
    other = serve(answers(OK))
    server = serve(answers(redirect(other.origin, 307)))
    assert client.post(server.origin, body=b"s3cr3t", redirects=1).status == 307
    assert other.connections == 0


def test_another_origin_gets_the_request_without_the_pin(
    client: HttpClient, serve: Callable[..., FaultServer], authority: Authority
) -> None:
    other = serve(answers(OK), authority.server())
    server = serve(answers(redirect(other.origin)))
    with pytest.raises(ValueError, match="fingerprint needs an https:// url"):
        client.get(server.origin, fingerprint="ab" * 32)
    first = serve(answers(redirect(other.origin)), authority.server())
    response = client.get(
        first.origin, ca_file=authority.file, redirects=1, headers={"X-Key": "s3cr3t"}
    )
    assert response.status == 200
    assert "s3cr3t" not in repr(other.requests)


def test_redirect_from_https_to_http_is_returned(
    client: HttpClient, serve: Callable[..., FaultServer], authority: Authority
) -> None:
    other = serve(answers(OK))
    server = serve(answers(redirect(other.origin)), authority.server())
    assert client.get(server.origin, ca_file=authority.file, redirects=1).status == 302
    assert other.connections == 0


def test_redirect_loop_ends_with_an_error(
    client: HttpClient, serve: Callable[..., FaultServer]
) -> None:
    server = serve(answers(*[redirect("/s3cr3t")] * 4))
    with pytest.raises(ProtocolError) as caught:
        client.get(f"{server.origin}/s3cr3t", redirects=3)
    assert str(caught.value) == f"GET {server.origin}: more than 3 redirects"
    assert len(server.requests) == 4


@pytest.mark.parametrize(
    "location", ["ftp://h/s3cr3t", "http://u:s3cr3t@h/", "http://h:s3cr3t/", "http://[s3cr3t/"]
)
def test_redirect_to_no_usable_url_is_an_error_without_quoting_it(
    client: HttpClient,
    serve: Callable[..., FaultServer],
    tell: Callable[[BaseException], str],
    location: str,
) -> None:
    server = serve(answers(redirect(location)))
    with pytest.raises(ProtocolError) as caught:
        client.get(server.origin, redirects=1)
    assert str(caught.value) == f"GET {server.origin}: redirected (status 302) to no usable URL"
    assert "s3cr3t" not in tell(caught.value)


def test_redirect_without_a_location_is_the_answer(
    client: HttpClient, serve: Callable[..., FaultServer]
) -> None:
    server = serve(answers(BUSY.replace(b"503", b"302")))
    assert client.get(server.origin, redirects=1).status == 302
