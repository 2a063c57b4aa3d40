from __future__ import annotations

import gc
import logging
import os
import runpy
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

import cores.http_client
from cores.circuit_breaker import CircuitBreaker
from cores.errors import CircuitOpenError, ConnectError, MissingDependencyError, ProtocolError
from cores.http_client import HttpClient, Response

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.cores.conftest import FaultServer, Peer, RecordingLog

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


def keep_answering(peer: Peer) -> None:
    while peer.receive():
        peer.send(OK)


def answer_after_gate(gate: threading.Event) -> Callable[[Peer], None]:
    def script(peer: Peer) -> None:
        while peer.receive():
            gate.wait(5)
            peer.send(OK)

    return script


@pytest.fixture
def client() -> Iterator[HttpClient]:
    client = HttpClient(timeout=5.0, sleep=lambda seconds: None)
    yield client
    client.close()


# -- what is sent -----------------------------------------------------------------------------


def test_request_sends_method_target_headers_and_body(
    client: HttpClient, serve: Callable[..., FaultServer]
) -> None:
    server = serve(keep_answering)
    client.request("post", f"{server.origin}/p/a?q=1#part", headers={"X-One": "1"}, body=b"\0data")
    (received,) = server.requests
    assert received.line == "POST /p/a?q=1 HTTP/1.1"
    assert received.body == b"\0data"
    assert received.headers["x-one"] == "1"
    assert received.headers["host"] == f"127.0.0.1:{server.port}"
    assert received.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("method", ["get", "post", "put", "patch", "delete"])
def test_each_verb_sends_its_method(
    client: HttpClient, serve: Callable[..., FaultServer], method: str
) -> None:
    server = serve(keep_answering)
    assert getattr(client, method)(f"{server.origin}/x").status == 200
    assert server.requests[0].line == f"{method.upper()} /x HTTP/1.1"


def test_url_without_path_asks_for_the_root(
    client: HttpClient, serve: Callable[..., FaultServer]
) -> None:
    server = serve(keep_answering)
    client.get(server.origin.upper().replace("HTTP", "Http"))
    client.get(f"{server.origin}?q")
    assert [received.line for received in server.requests] == [
        "GET / HTTP/1.1",
        "GET /?q HTTP/1.1",
    ]


def test_characters_beyond_ascii_in_the_path_are_percent_encoded(
    client: HttpClient, serve: Callable[..., FaultServer]
) -> None:
    server = serve(keep_answering)
    client.get(f"{server.origin}/käse%20?q=ü&r=[1]")
    assert server.requests[0].line == "GET /k%C3%A4se%20?q=%C3%BC&r=[1] HTTP/1.1"


def test_json_is_sent_compact_with_its_content_type(
    client: HttpClient, serve: Callable[..., FaultServer]
) -> None:
    server = serve(keep_answering)
    client.post(server.origin, json={"a": [1, None]})
    client.post(server.origin, json=None, headers={"content-type": "application/x+json"})
    first, second = server.requests
    assert (first.headers["content-type"], first.body) == ("application/json", b'{"a":[1,null]}')
    assert (second.headers["content-type"], second.body) == ("application/x+json", b"null")


def test_str_body_is_sent_as_utf8(client: HttpClient, serve: Callable[..., FaultServer]) -> None:
    server = serve(keep_answering)
    client.put(server.origin, body="ü")
    assert server.requests[0].body == "ü".encode()


def test_latin1_and_tab_in_a_header_value_are_sent(
    client: HttpClient, serve: Callable[..., FaultServer]
) -> None:
    server = serve(keep_answering)
    client.get(server.origin, headers={"X-A": "ü\t1"})
    assert server.requests[0].headers["x-a"] == "ü\t1"


def test_name_that_is_not_ascii_is_looked_up_in_its_ascii_form(
    client: HttpClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr("socket.getaddrinfo", lambda *args, **_: asked.append(args) or [])
    with pytest.raises(ConnectError) as caught:
        client.get("http://käse.invalid/", retries=0)
    assert asked == [(b"xn--kse-qla.invalid", 80)]
    assert str(caught.value).startswith("GET http://xn--kse-qla.invalid:80: ")


def test_host_header_names_the_port_unless_it_goes_without_saying(
    client: HttpClient, serve: Callable[..., FaultServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(keep_answering)
    address = [(2, 1, 6, "", ("127.0.0.1", server.port))]
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: address)
    for authority in ("home.example", "home.example:80", "home.example:443", "[::1]:81"):
        client.get(f"http://{authority}/")
    hosts = [received.headers["host"] for received in server.requests]
    assert hosts == ["home.example", "home.example", "home.example:443", "[::1]:81"]


# -- what is returned -------------------------------------------------------------------------


def test_response_carries_status_headers_body_url_and_time(
    serve: Callable[..., FaultServer],
) -> None:
    def script(peer: Peer) -> None:
        peer.receive()
        peer.send(
            b"HTTP/1.1 404 Gone\r\nX-A: 1\r\nX-A: 2\r\nContent-Encoding: gzip\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n3\r\n\x00\x01\x02\r\n2\r\nhi\r\n0\r\n\r\n"
        )

    url = f"{serve(script).origin}/x"
    times = iter([10.0, 10.25])
    client = HttpClient(timer=lambda: next(times, 10.25))
    response = client.get(url)
    client.close()
    assert response.status == 404
    assert response.headers["x-a"] == "1, 2"
    assert response.body == b"\x00\x01\x02hi"
    assert response.url == url
    assert response.elapsed_ms == 250.0
    assert repr(response) == "<Response 404, 5 bytes>"


def test_body_without_length_ends_with_the_connection(
    client: HttpClient, serve: Callable[..., FaultServer]
) -> None:
    def script(peer: Peer) -> None:
        peer.receive()
        peer.send(b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * 100_000)

    assert client.get(serve(script).origin).body == b"x" * 100_000
    assert client.stats()["idle"] == 0


def test_head_answer_has_no_body_whatever_its_length_says(
    client: HttpClient, serve: Callable[..., FaultServer]
) -> None:
    def script(peer: Peer) -> None:
        while peer.receive():
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n")

    server = serve(script)
    for _ in range(2):
        assert client.request("HEAD", server.origin).body == b""
    assert server.connections == 1


@pytest.mark.parametrize(
    ("content_type", "body", "text"),
    [
        ("text/plain", "ü".encode(), "ü"),
        ("text/plain; charset=Latin-1", b"\xfc", "ü"),
        ('text/plain; a=b; Charset="utf-16-le"', b"a\0", "a"),
        ("text/plain; charset=klingon", "ü".encode(), "ü"),
        ("text/plain; charset=hex", b"61", "61"),
        ("text/plain", b"\xff", "\ufffd"),
    ],
)
def test_text_follows_the_charset_and_never_fails(
    content_type: str, body: bytes, text: str
) -> None:
    assert Response(200, {"content-type": content_type}, body, "http://h/").text() == text


def test_json_parses_the_body() -> None:
    assert Response(200, {}, b'{"a":1}', "http://h/").json() == {"a": 1}


@pytest.mark.parametrize("body", [b"<html>s3cr3t</html>", b"\xff\xfe\xff", b"", b"[" * 100_000])
def test_json_of_something_else_is_a_protocol_error_without_the_body(
    body: bytes, tell: Callable[[BaseException], str]
) -> None:
    response = Response(502, {}, body, "https://h/s3cr3t")
    with pytest.raises(ProtocolError) as caught:
        response.json()
    assert (
        str(caught.value)
        == f"https://h:443: the body of {len(body)} bytes is not JSON (status 502)"
    )
    assert "s3cr3t" not in tell(caught.value)


# -- connections ------------------------------------------------------------------------------


def test_connection_is_kept_for_the_next_request(
    client: HttpClient, serve: Callable[..., FaultServer]
) -> None:
    server = serve(keep_answering)
    for _ in range(5):
        client.get(server.origin)
        client.post(server.origin, body=b"x")
    assert server.connections == 1
    assert client.stats() == {
        "requests": 10,
        "opened": 1,
        "reused": 9,
        "retries": 0,
        "redirects": 0,
        "idle": 1,
        "errors": {},
    }


def test_connection_closed_meanwhile_is_replaced_before_anything_is_sent(
    client: HttpClient, serve: Callable[..., FaultServer]
) -> None:
    def script(peer: Peer) -> None:
        peer.receive()
        peer.send(OK)
        if peer.number == 0:
            peer.sock.close()
            peer._stream.close()
            gone.set()
        else:
            peer.hang()

    gone = threading.Event()
    server = serve(script)
    assert client.post(server.origin, body=b"1", retries=0).status == 200
    assert gone.wait(5)
    assert client.post(server.origin, body=b"2", retries=0).status == 200
    assert [received.body for received in server.requests] == [b"1", b"2"]
    assert server.connections == 2


def test_connection_reset_meanwhile_is_replaced(
    client: HttpClient, serve: Callable[..., FaultServer]
) -> None:
    def script(peer: Peer) -> None:
        peer.receive()
        peer.send(OK)
        if peer.number == 0:
            may_reset.wait(5)
            peer.reset()
            gone.set()
        else:
            peer.hang()

    may_reset, gone = threading.Event(), threading.Event()
    server = serve(script)
    client.post(server.origin, retries=0)
    may_reset.set()
    assert gone.wait(5)
    assert client.post(server.origin, retries=0).status == 200


def test_connection_on_which_the_peer_sends_unasked_is_replaced(
    client: HttpClient, serve: Callable[..., FaultServer]
) -> None:
    def script(peer: Peer) -> None:
        peer.receive()
        peer.send(OK)
        if peer.number == 0:
            may_send.wait(5)
            peer.send(b"HTTP/1.1 500 Poisoned\r\nContent-Length: 0\r\n\r\n")
            sent.set()
        peer.hang()

    may_send, sent = threading.Event(), threading.Event()
    server = serve(script)
    client.get(server.origin)
    may_send.set()
    assert sent.wait(5)
    assert client.get(server.origin).status == 200
    assert server.connections == 2


@pytest.mark.parametrize("jump", [240.5, -1.0])
def test_connection_idle_for_longer_than_max_idle_is_replaced(
    serve: Callable[..., FaultServer], jump: float
) -> None:
    now = 1000.0
    client = HttpClient(clock=lambda: now, max_idle=240.0)
    server = serve(keep_answering)
    client.get(server.origin)
    now += 240.0
    client.get(server.origin)
    assert server.connections == 1
    now += jump
    client.get(server.origin)
    assert server.connections == 2
    client.close()


def test_closing_answer_is_not_kept(client: HttpClient, serve: Callable[..., FaultServer]) -> None:
    def script(peer: Peer) -> None:
        peer.receive()
        peer.send(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))

    server = serve(script)
    for _ in range(2):
        assert client.get(server.origin).body == b"hi"
    assert server.connections == 2


def test_threads_share_the_pool_and_no_more_than_pool_size_is_kept(
    serve: Callable[..., FaultServer],
) -> None:
    gate = threading.Event()
    server = serve(answer_after_gate(gate))
    client = HttpClient(pool_size=2, timeout=5.0)
    statuses = []
    threads = [
        threading.Thread(target=lambda: statuses.append(client.get(server.origin).status))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    gate.set()
    for thread in threads:
        thread.join(10)
    assert statuses == [200] * 4
    stats = client.stats()
    assert stats["requests"] == 4
    assert stats["opened"] + stats["reused"] == 4
    assert 1 <= stats["idle"] <= 2
    client.close()


def test_connection_in_use_at_close_is_not_kept(serve: Callable[..., FaultServer]) -> None:
    def script(peer: Peer) -> None:
        while peer.receive():
            client.close()
            peer.send(OK)

    client = HttpClient()
    assert client.get(serve(script).origin).status == 200
    assert client.stats()["idle"] == 0


def test_close_leaves_the_client_usable(
    client: HttpClient, serve: Callable[..., FaultServer]
) -> None:
    server = serve(keep_answering)
    client.get(server.origin)
    client.close()
    assert client.stats()["idle"] == 0
    client.get(server.origin)
    assert server.connections == 2


def test_reset_starts_counting_again(client: HttpClient, serve: Callable[..., FaultServer]) -> None:
    client.get(serve(keep_answering).origin)
    client.reset()
    assert client.stats() == {
        "requests": 0,
        "opened": 0,
        "reused": 0,
        "retries": 0,
        "redirects": 0,
        "idle": 0,
        "errors": {},
    }


def test_forgotten_client_closes_its_sockets(serve: Callable[..., FaultServer]) -> None:
    client = HttpClient()
    client.get(serve(keep_answering).origin)
    del client
    gc.collect()  # an open socket would warn here, and warnings are errors


def test_forked_process_opens_its_own_connections(
    serve: Callable[..., FaultServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(keep_answering)
    client = HttpClient()
    client.get(server.origin)
    monkeypatch.setattr(os, "getpid", lambda: -1)
    client.get(server.origin)
    assert server.connections == 2
    client.close()


def test_oldest_pool_makes_room_when_there_are_fifty(
    client: HttpClient, serve: Callable[..., FaultServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(keep_answering)
    address = [(2, 1, 6, "", ("127.0.0.1", server.port))]
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: address)
    for number in range(51):
        client.get(f"http://h{number}/")
    assert client.stats()["idle"] == 50
    client.get("http://h50/")
    assert server.connections == 51
    client.get("http://h0/")
    assert server.connections == 52


def test_preconnect_opens_the_connection_of_the_first_request(
    client: HttpClient, serve: Callable[..., FaultServer]
) -> None:
    server = serve(keep_answering)
    assert client.preconnect(server.origin) is True
    assert client.preconnect(f"{server.origin}/path", timeout=1.0) is True
    client.get(server.origin)
    assert server.connections == 1


def test_preconnect_reports_a_fault_and_does_not_raise(
    log: RecordingLog, serve: Callable[..., FaultServer]
) -> None:
    server = serve(keep_answering)
    server.close()
    client = HttpClient(log=log)  # type: ignore[arg-type]
    assert client.preconnect(f"http://127.0.0.1:{server.port}/s3cr3t") is False
    error = (
        f"preconnect http://127.0.0.1:{server.port}: no connection while connecting "
        f"(Connection refused); nothing was sent"
    )
    assert log.lines == [("warning", "preconnect failed", {"error": error})]
    assert client.stats()["errors"] == {"ConnectError": 1}


def test_proxy_variables_are_not_honoured(
    client: HttpClient, serve: Callable[..., FaultServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    assert client.get(serve(keep_answering).origin).status == 200


def test_nothing_of_the_url_reaches_the_standard_log(
    client: HttpClient, serve: Callable[..., FaultServer], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    client.post(
        f"{serve(keep_answering).origin}/s3cr3t?s3cr3t",
        headers={"Authorization": "s3cr3t"},
        body="s3cr3t",
    )
    assert "s3cr3t" not in caplog.text


# -- the breaker ------------------------------------------------------------------------------


def test_named_breaker_counts_failures_and_opens(serve: Callable[..., FaultServer]) -> None:
    server = serve(keep_answering)
    breaker = CircuitBreaker(failure_threshold=2, clock=lambda: 0.0)
    client = HttpClient(breaker=breaker)
    assert client.get(server.origin, breaker="home").status == 200
    server.close()
    client.close()
    for _ in range(2):
        with pytest.raises(ConnectError):
            client.get(server.origin, breaker="home", retries=0)
    with pytest.raises(CircuitOpenError):
        client.get(server.origin, breaker="home")
    with pytest.raises(ConnectError):
        client.get(server.origin, retries=0)


def test_without_a_breaker_port_the_name_changes_nothing(
    client: HttpClient, serve: Callable[..., FaultServer]
) -> None:
    assert client.get(serve(keep_answering).origin, breaker="home").status == 200


# -- misuse -----------------------------------------------------------------------------------

VALID = "url must have a valid host, and a port between 1 and 65535 if any"
NAME = "a header's name must be of letters, digits and !#$%&'*+-.^_`|~ only"
SECONDS = "timeout must be a finite number of seconds above 0, not "
COUNT = "retries must be an int of at least 0, not "
CERT = "client_cert must be a path, (certificate, key) or (certificate, key, password)"
PIN = (
    "fingerprint must be 64 hexadecimal digits (SHA-256 of the certificate), "
    "with or without colons, not "
)


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"method": ""}, ValueError, "method must be a str of letters, like 'GET'"),
        ({"method": "GE T"}, ValueError, "method must be a str of letters, like 'GET'"),
        ({"method": None}, ValueError, "method must be a str of letters, like 'GET'"),
        (
            {"method": "connect"},
            ValueError,
            "method must not be 'CONNECT'; proxies are not supported",
        ),
        ({"url": b"http://h/"}, TypeError, "url must be a str, not bytes"),
        ({"url": "h/s3cr3t"}, ValueError, "url must begin with 'http://' or 'https://'"),
        ({"url": "ftp://h/s3cr3t"}, ValueError, "url must begin with 'http://' or 'https://'"),
        (
            {"url": "http://u:s3cr3t@h/"},
            ValueError,
            "url must not contain credentials; send them as an Authorization header",
        ),
        (
            {"url": "http://h/s3cr3t\r\nX: 1"},
            ValueError,
            "url must not contain spaces or control characters; percent-encode them",
        ),
        (
            {"url": "http://h/s3cr3t x"},
            ValueError,
            "url must not contain spaces or control characters; percent-encode them",
        ),
        ({"url": "http://"}, ValueError, VALID),
        ({"url": "http://h:s3cr3t/"}, ValueError, VALID),
        ({"url": "http://h:0/"}, ValueError, VALID),
        ({"url": "http://h:65536/"}, ValueError, VALID),
        ({"url": "http://[s3cr3t/"}, ValueError, VALID),
        ({"url": "http://.h/"}, ValueError, VALID),
        ({"url": "http://h\\.s3cr3t/"}, ValueError, VALID),
        ({"url": f"http://{'ü' * 70}s3cr3t/"}, ValueError, VALID),
        (
            {"headers": {"X-A": "s3cr3t\n"}},
            ValueError,
            "the value of header 'X-A' has line breaks or control characters; strip it",
        ),
        (
            {"headers": {"X-A": "s3cr3t€"}},
            ValueError,
            "the value of header 'X-A' has characters beyond Latin-1; encode it",
        ),
        ({"headers": {"Bearer s3cr3t": ""}}, ValueError, NAME),
        ({"headers": {"": ""}}, ValueError, NAME),
        ({"headers": {"ü": ""}}, ValueError, NAME),
        ({"headers": {"X-A": 1}}, TypeError, "headers must map str to str, not str to int"),
        ({"headers": {b"X": ""}}, TypeError, "headers must map str to str, not bytes to str"),
        (
            {"headers": {"Content-Length": "5"}},
            ValueError,
            "header 'Content-Length' is set by the client; leave it out",
        ),
        (
            {"headers": {"transfer-encoding": "chunked"}},
            ValueError,
            "header 'transfer-encoding' is set by the client; leave it out",
        ),
        (
            {"body": {"s3cr3t": 1}},
            TypeError,
            "body must be bytes or str, not dict; for other values give json",
        ),
        ({"body": b"", "json": 1}, ValueError, "give body or json, not both"),
        ({"json": float("nan")}, ValueError, None),
        ({"json": {1j}}, TypeError, "Object of type set is not JSON serializable"),
        ({"timeout": 0}, ValueError, f"{SECONDS}0"),
        ({"timeout": -1.0}, ValueError, f"{SECONDS}-1.0"),
        ({"timeout": float("inf")}, ValueError, f"{SECONDS}inf"),
        ({"timeout": True}, ValueError, f"{SECONDS}True"),
        ({"timeout": "1"}, ValueError, f"{SECONDS}'1'"),
        ({"retries": -1}, ValueError, f"{COUNT}-1"),
        ({"retries": 1.5}, ValueError, f"{COUNT}1.5"),
        ({"redirects": True}, ValueError, "redirects must be an int of at least 0, not True"),
        ({"max_body": -1}, ValueError, "max_body must be an int of at least 0, not -1"),
        (
            {"verify": "ca.pem"},
            TypeError,
            "verify must be True or False, not 'ca.pem'; a CA file is given as ca_file",
        ),
        (
            {"ca_file": Path("ca.pem")},
            TypeError,
            f"ca_file must be the path of a PEM file as str, not {type(Path()).__name__}",
        ),
        ({"client_cert": ()}, TypeError, CERT),
        ({"client_cert": ("a", "b", "s3cr3t", "c")}, TypeError, CERT),
        ({"client_cert": ("a", 1)}, TypeError, CERT),
        ({"client_cert": ["a", "b"]}, TypeError, CERT),
        ({"fingerprint": "ab:cd"}, ValueError, f"{PIN}'ab:cd'"),
        ({"fingerprint": "a" * 63 + "g"}, ValueError, f"{PIN}'{'a' * 63}g'"),
        (
            {"fingerprint": "ab" * 32},
            ValueError,
            "fingerprint needs an https:// url",
        ),
        ({"ca_file": "ca.pem"}, ValueError, "ca_file needs an https:// url"),
        ({"client_cert": "c.pem"}, ValueError, "client_cert needs an https:// url"),
    ],
)
def test_misuse_is_refused_without_quoting_secrets(
    client: HttpClient,
    tell: Callable[[BaseException], str],
    change: dict[str, Any],
    kind: type[Exception],
    message: str | None,
) -> None:
    arguments = {"method": "GET", "url": "http://127.0.0.1:1/", **change}
    with pytest.raises(kind) as caught:
        client.request(**arguments)
    if message is not None:
        assert str(caught.value) == message
    shown = tell(caught.value).replace(repr(change), "")
    assert "s3cr3t" not in shown
    assert client.stats()["requests"] == 0


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("timeout", 0, "timeout must be a finite number of seconds above 0, not 0"),
        ("margin", -1, "margin must be a finite number of seconds of at least 0, not -1"),
        ("max_body", -1, "max_body must be an int of at least 0, not -1"),
        ("pool_size", 0, "pool_size must be an int of at least 1, not 0"),
        ("max_idle", 0, "max_idle must be a finite number of seconds above 0, not 0"),
    ],
)
def test_constructor_refuses_values_out_of_range(option: str, value: float, message: str) -> None:
    with pytest.raises(ValueError, match=option) as caught:
        HttpClient(**{option: value})
    assert str(caught.value) == message


# -- the optional library ---------------------------------------------------------------------


def test_missing_urllib3_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(("cores.http_client", "urllib3"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "urllib3", None)
    with pytest.raises(MissingDependencyError) as caught:
        runpy.run_path(cores.http_client.__file__)
    assert (
        str(caught.value)
        == "HTTP needs urllib3, which is not installed; install 'thriftgate-cores[http]'"
    )
    assert caught.value.name == "urllib3"


def test_other_missing_module_is_reported_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cores.http_client.connection", None)
    with pytest.raises(ModuleNotFoundError) as caught:
        runpy.run_path(cores.http_client.__file__)
    assert caught.value.name == "cores.http_client.connection"
    assert not isinstance(caught.value, MissingDependencyError)


def test_invocation_between_invocations_sets_no_deadline(
    serve: Callable[..., FaultServer],
) -> None:
    client = HttpClient(current=SimpleNamespace(invocation=None))
    assert client.get(serve(keep_answering).origin).status == 200
    client.close()
