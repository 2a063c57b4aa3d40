"""Events in, answers out, over real sockets: a home that works, and every way of failing."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest

import gateway
from gateway.testing import LambdaContext
from ha_extension.client import FAIR_BUDGET, MARGIN, build_handler

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Start = Callable[..., Any]

# Planted: none of these may be seen in anything that is written.
TOKEN = "s3cr3t-token-of-the-directive"
CONFIGURED = "s3cr3t-token-of-the-settings"
PIN = "4711-s3cr3t-pin"
ENTITY = "light#s3cr3t_bedroom"
SECRETS = re.compile(rb"(?i)s3cr3t")

UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
CORRELATION = "Y29ycmVsYXRpb24="
TYPES = {
    "BRIDGE_UNREACHABLE",
    "EXPIRED_AUTHORIZATION_CREDENTIAL",
    "INTERNAL_ERROR",
    "INVALID_AUTHORIZATION_CREDENTIAL",
    "INVALID_DIRECTIVE",
    "RATE_LIMIT_EXCEEDED",
}
SCOPE = {"type": "BearerToken", "token": TOKEN}


def directive(namespace: str, name: str, **parts: object) -> dict[str, object]:
    header = {
        "namespace": namespace,
        "name": name,
        "messageId": "5f8a426e-01e4-4cc9-8b79-65f8bd0fd8a4",
        "payloadVersion": "3",
    }
    if "endpoint" in parts:
        header["correlationToken"] = CORRELATION
    return {"directive": {"header": header, "payload": {}} | parts}


ENDPOINT = {"endpointId": ENTITY, "scope": SCOPE, "cookie": {"name": "s3cr3t"}}
TURN_ON = directive("Alexa.PowerController", "TurnOn", endpoint=ENDPOINT)
UNLOCK = directive("Alexa.LockController", "Unlock", endpoint=ENDPOINT, payload={"pin": PIN})
REPORT_STATE = directive("Alexa", "ReportState", endpoint=ENDPOINT)
DISCOVER = directive("Alexa.Discovery", "Discover", payload={"scope": SCOPE})
ACCEPT_GRANT = directive(
    "Alexa.Authorization",
    "AcceptGrant",
    payload={"grant": {"type": "OAuth2.AuthorizationCode", "code": "s3cr3t"}, "grantee": SCOPE},
)
EVENTS = {
    "TurnOn": TURN_ON,
    "Unlock": UNLOCK,
    "ReportState": REPORT_STATE,
    "Discover": DISCOVER,
    "AcceptGrant": ACCEPT_GRANT,
}
WITHOUT_TOKEN = directive("Alexa.PowerController", "TurnOn", endpoint={"endpointId": ENTITY})

# With blanks where Home Assistant has none, so that a copy differs from the original.
ANSWER = (
    b'{ "event": {"header": {"namespace": "Alexa", "name": "Response", "messageId": "m-1",'
    b' "payloadVersion": "3"}, "payload": {}, "endpoint": {"endpointId": "light#s3cr3t_bedroom",'
    b' "scope": {"token": "s3cr3t-token-of-the-directive"}}}, "context": {"properties": []} }\n'
)


def http(status: str, body: bytes = b"", *headers: str) -> bytes:
    lines = (f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "", "")
    return "\r\n".join(lines).encode() + body


TEXT = "Content-Type: text/plain; charset=utf-8"
HTML = "Content-Type: text/html"
GOOD = http("200 OK", ANSWER, "Content-Type: application/json")
REFUSED = http("401 Unauthorized", b"401: Unauthorized", TEXT)


def bridge(url: str, **settings: str) -> Callable[[object, object], object]:
    """Return the handler of a bridge to the home at *url*."""
    environ = {f"HOME_ASSISTANT_{name}": value for name, value in settings.items()}
    return build_handler({"HOME_ASSISTANT_URL": url} | environ, time.perf_counter())


def ask(handler: Callable[[object, object], object], event: object, left: float = 1.0) -> object:
    """Return the answer to *event* when the home has *left* seconds."""
    began = time.perf_counter()
    answer = handler(event, LambdaContext(remaining_ms=int((MARGIN + left) * 1000)))
    assert time.perf_counter() - began < 3 * (MARGIN + left)
    return answer


def check(event: dict[str, object], answer: object) -> str:
    """Hold an error of ours to Alexa's rules; return its type, or what stands in for it."""
    asked = event["directive"]["header"]
    assert isinstance(answer, dict)
    assert not SECRETS.search(
        json.dumps({**answer, "event": answer["event"] | {"endpoint": 0}}).encode()
    )
    header, payload = answer["event"]["header"], answer["event"]["payload"]
    assert header["payloadVersion"] == "3"
    assert UUID4.fullmatch(header["messageId"])
    assert header["messageId"] != asked["messageId"]
    assert header.get("correlationToken") == asked.get("correlationToken")
    has_endpoint = "endpoint" in event["directive"]
    assert answer["event"].get("endpoint") == ({"endpointId": ENTITY} if has_endpoint else None)
    message = (header["namespace"], header["name"])
    if asked["name"] == "Discover":
        assert message == ("Alexa.Discovery", "Discover.Response")
        assert payload == {"endpoints": []}
        return "[]"
    if header["name"] == "StateReport":
        assert asked["name"] == "ReportState"
        (health,) = answer["context"]["properties"]
        assert health.pop("timeOfSample").endswith("Z")
        assert health == {
            "namespace": "Alexa.EndpointHealth",
            "name": "connectivity",
            "value": {"value": "UNREACHABLE"},
            "uncertaintyInMilliseconds": 0,
        }
        assert (message, payload) == (("Alexa", "StateReport"), {})
        return "UNREACHABLE"
    assert "context" not in answer
    assert payload.keys() == {"type", "message"}
    assert payload["message"]
    if asked["name"] == "AcceptGrant":
        assert message == ("Alexa.Authorization", "ErrorResponse")
        assert payload["type"] == "ACCEPT_GRANT_FAILED"
        return "ACCEPT_GRANT_FAILED"
    assert message == ("Alexa", "ErrorResponse")
    assert payload["type"] in TYPES
    return payload["type"]


def expected(name: str, type_: str) -> str:
    """Return what `check` finds for the directive *name* when the fault is of *type_*."""
    if name == "ReportState" and type_ == "BRIDGE_UNREACHABLE":
        return "UNREACHABLE"
    return {"Discover": "[]", "AcceptGrant": "ACCEPT_GRANT_FAILED"}.get(name, type_)


# -- a home that works ----------------------------------------------------------------------


@pytest.mark.parametrize("name", EVENTS)
def test_the_directive_is_forwarded_and_the_answer_returned_byte_for_byte(
    start: Start, name: str, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    home = start(GOOD)
    assert ask(bridge(home.url), EVENTS[name]) == ANSWER
    assert not SECRETS.search(b"".join(capfdbinary.readouterr()))
    head, _, body = home.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /api/alexa/smart_home HTTP/1.1\r\n")
    assert b"\r\nAuthorization: Bearer " + TOKEN.encode() in head
    assert b"\r\nContent-Type: application/json" in head
    assert body == json.dumps(EVENTS[name], separators=(",", ":")).encode()


def test_the_connection_is_opened_in_init_and_kept(start: Start) -> None:
    home = start(GOOD)
    handler = bridge(home.url)
    for _ in range(3):
        assert ask(handler, TURN_ON) == ANSWER
    assert len(home.requests) == 3
    assert home.connections == 1


def test_a_kept_connection_that_was_closed_is_replaced_unseen(start: Start) -> None:
    closed = threading.Event()

    def answer_and_close(connection: socket.socket) -> None:
        connection.sendall(GOOD)
        connection.close()
        closed.set()

    home = start(answer_and_close)
    handler = bridge(home.url)
    for _ in range(3):
        assert ask(handler, TURN_ON) == ANSWER
        assert closed.wait(5)
        closed.clear()
    assert len(home.requests) == 3


def test_an_error_of_home_assistant_is_passed_on(start: Start) -> None:
    answer = ANSWER.replace(b'"name": "Response"', b'"name": "ErrorResponse"')
    home = start(http("200 OK", answer))
    assert ask(bridge(home.url), TURN_ON) == answer


def test_configured_headers_go_along(start: Start) -> None:
    home = start(GOOD)
    ask(bridge(home.url, HEADERS='{"CF-Access-Client-Id": "id-1"}'), TURN_ON)
    assert b"\r\nCF-Access-Client-Id: id-1\r\n" in home.requests[0]


def test_the_configured_token_is_a_fallback(start: Start) -> None:
    home = start(GOOD)
    handler = bridge(home.url, TOKEN=CONFIGURED + "\n")
    assert ask(handler, WITHOUT_TOKEN) == ANSWER
    assert ask(handler, TURN_ON) == ANSWER
    assert f"Authorization: Bearer {CONFIGURED}\r\n".encode() in home.requests[0]
    assert f"Authorization: Bearer {TOKEN}\r\n".encode() in home.requests[1]


@pytest.mark.parametrize("token", [None, "two words", "line\r\nX-Injected: 1", "schl\u00fcssel"])
def test_a_directive_without_a_usable_token_is_not_forwarded(
    start: Start, token: str | None
) -> None:
    home = start(GOOD)
    endpoint = {"endpointId": ENTITY, "scope": {"type": "BearerToken", "token": token}}
    event = directive("Alexa.PowerController", "TurnOn", endpoint=endpoint)
    assert check(event, ask(bridge(home.url), event)) == "INVALID_DIRECTIVE"
    assert home.requests == []


# -- a home that does not -------------------------------------------------------------------

BODY_TOO_LONG = b"HTTP/1.1 200 OK\r\nContent-Length: 7000000\r\n\r\n"
SHORT = GOOD[:-10]
FAULTS: dict[str, tuple[bytes | str, str, str]] = {
    "hangs": ("hang", "deadline", "BRIDGE_UNREACHABLE"),
    "one byte at a time": ("drip", "deadline", "BRIDGE_UNREACHABLE"),
    "resets": ("reset", "transfer", "BRIDGE_UNREACHABLE"),
    "401 of Home Assistant": (REFUSED, "unauthorized", "INVALID_AUTHORIZATION_CREDENTIAL"),
    "401 of a proxy": (
        http("401 Unauthorized", b"<html>", HTML, 'WWW-Authenticate: Basic realm="x"'),
        "proxy_unauthorized",
        "BRIDGE_UNREACHABLE",
    ),
    "403": (http("403 Forbidden", b"<html>", HTML), "forbidden", "BRIDGE_UNREACHABLE"),
    "404": (http("404 Not Found", b"404: Not Found", TEXT), "not_found", "BRIDGE_UNREACHABLE"),
    "405": (http("405 Method Not Allowed"), "unexpected_status", "INTERNAL_ERROR"),
    "400": (http("400 Bad Request"), "bad_request", "INTERNAL_ERROR"),
    "413": (http("413 Too Large"), "unexpected_status", "INTERNAL_ERROR"),
    "429": (http("429 Slow", b"", "Retry-After: 60"), "rate_limit", "RATE_LIMIT_EXCEEDED"),
    "500": (http("500 Internal Server Error", b"500"), "server_error", "INTERNAL_ERROR"),
    "502": (http("502 Bad Gateway", b"<html>", HTML), "proxy", "BRIDGE_UNREACHABLE"),
    "503": (http("503 Unavailable"), "proxy", "BRIDGE_UNREACHABLE"),
    "504": (http("504 Timeout"), "proxy", "BRIDGE_UNREACHABLE"),
    "530": (http("530 Tunnel", b"error code: 1033"), "proxy", "BRIDGE_UNREACHABLE"),
    "redirect": (
        http("302 Found", b"", "Location: https://login.example.org/"),
        "redirect",
        "BRIDGE_UNREACHABLE",
    ),
    "HTML": (http("200 OK", b"<html>Log in</html>", HTML), "nonsense", "INTERNAL_ERROR"),
    "empty": (http("200 OK"), "nonsense", "INTERNAL_ERROR"),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", "unexpected_status", "INTERNAL_ERROR"),
    "cut JSON": (http("200 OK", ANSWER[:-20]), "nonsense", "INTERNAL_ERROR"),
    "a list": (http("200 OK", b"[]"), "nonsense", "INTERNAL_ERROR"),
    "null": (http("200 OK", b"null"), "nonsense", "INTERNAL_ERROR"),
    "no event": (http("200 OK", b"{}"), "nonsense", "INTERNAL_ERROR"),
    "not UTF-8": (http("200 OK", b"\xff" + ANSWER), "nonsense", "INTERNAL_ERROR"),
    "garbage": (b"s3cr3t garbage\r\n\r\n", "protocol", "BRIDGE_UNREACHABLE"),
    "oversized": (BODY_TOO_LONG, "oversized_answer", "INTERNAL_ERROR"),
}


@pytest.mark.parametrize("name", EVENTS)
@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_ends_in_a_complete_answer_and_one_line(
    start: Start,
    capfdbinary: pytest.CaptureFixture[bytes],
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
    name: str,
) -> None:
    monkeypatch.setenv("THRIFTGATE_LOG_LEVEL", "DEBUG")  # so that everything there is gets written
    reply, kind, type_ = FAULTS[fault]
    home = start(GOOD)
    home.reply = getattr(home, reply) if isinstance(reply, str) else reply
    handler = bridge(home.url)
    capfdbinary.readouterr()
    answer = ask(handler, EVENTS[name], left=0.2)
    assert check(EVENTS[name], answer) == expected(name, type_)
    assert len(home.requests) == 1  # sent once, whatever became of it
    out, err = capfdbinary.readouterr()
    lines = [json.loads(line) for line in out.splitlines()]
    (line,) = [line for line in lines if line["level"] != "DEBUG"]
    header = EVENTS[name]["directive"]["header"]
    assert line["level"] == "ERROR"
    assert line["kind"] == kind
    assert line["host"] == f"localhost:{home.port}"
    assert line["directive"] == f"{header['namespace']}.{header['name']}"
    assert line["duration_ms"] >= 0
    assert not SECRETS.search(out + err)


def test_a_home_that_stops_in_the_middle_is_unreachable(start: Start) -> None:
    home = start(lambda connection: (connection.sendall(SHORT), connection.close()))
    assert check(TURN_ON, ask(bridge(home.url), TURN_ON)) == "BRIDGE_UNREACHABLE"
    assert len(home.requests) == 1


@pytest.mark.parametrize("name", EVENTS)
def test_a_home_that_refuses_connections_is_unreachable(
    nowhere: str, name: str, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    handler = bridge(nowhere)
    answer = ask(handler, EVENTS[name], left=0.2)
    assert check(EVENTS[name], answer) == expected(name, "BRIDGE_UNREACHABLE")
    out, err = capfdbinary.readouterr()
    assert [json.loads(line).get("kind") for line in out.splitlines()] == [None, "connect"]
    assert not SECRETS.search(out + err)


def test_a_port_that_never_accepts_is_unreachable_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        address = listener.getsockname()
        crowd = [socket.socket() for _ in range(4)]
        for caller in crowd:
            caller.setblocking(False)
            caller.connect_ex(address)
        handler = bridge(f"http://127.0.0.1:{address[1]}")
        answer = ask(handler, TURN_ON, left=0.2)
        for caller in crowd:
            caller.close()
    assert check(TURN_ON, answer) == "BRIDGE_UNREACHABLE"


def test_a_tls_handshake_that_is_never_answered_is_unreachable_in_time(
    start: Start,
) -> None:
    home = start(GOOD)
    handler = bridge(home.url.replace("http:", "https:"))
    assert check(TURN_ON, ask(handler, TURN_ON, left=0.2)) == "BRIDGE_UNREACHABLE"


def test_the_refused_configured_token_is_the_bridges_fault(
    start: Start, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    home = start(REFUSED)
    handler = bridge(home.url, TOKEN=CONFIGURED)
    assert check(WITHOUT_TOKEN, ask(handler, WITHOUT_TOKEN)) == "INTERNAL_ERROR"
    out, err = capfdbinary.readouterr()
    assert json.loads(out)["message"] == (
        "Home Assistant does not know HOME_ASSISTANT_TOKEN. Create a new long-lived token."
    )
    assert not SECRETS.search(out + err)


def test_a_home_that_hangs_is_left_alone_for_seconds(
    start: Start, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    home = start(GOOD)
    home.reply = home.reset
    handler = bridge(home.url)
    for _ in range(2):
        assert check(TURN_ON, ask(handler, TURN_ON)) == "BRIDGE_UNREACHABLE"
    home.reply = home.hang
    assert check(TURN_ON, ask(handler, TURN_ON, left=FAIR_BUDGET + 0.1)) == "BRIDGE_UNREACHABLE"
    capfdbinary.readouterr()
    assert check(TURN_ON, ask(handler, TURN_ON)) == "BRIDGE_UNREACHABLE"
    assert len(home.requests) == 3
    line = json.loads(capfdbinary.readouterr().out)
    assert line["kind"] == "circuit_open"
    assert re.search(r" [45]\.\d s ", line["reason"])
    home.reply = GOOD
    gateway.breaker_reset(f"home_assistant:localhost:{home.port}")  # as those seconds would
    assert ask(handler, TURN_ON) == ANSWER


def test_a_home_without_time_to_answer_is_not_blamed(
    start: Start, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    home = start(GOOD)
    home.reply = home.hang
    handler = bridge(home.url)
    capfdbinary.readouterr()
    for _ in range(4):
        assert check(TURN_ON, ask(handler, TURN_ON, left=0.1)) == "BRIDGE_UNREACHABLE"
        assert json.loads(capfdbinary.readouterr().out)["kind"] == "deadline"
    home.reply = GOOD
    assert ask(handler, TURN_ON) == ANSWER


def test_answers_however_bad_do_not_open_the_breaker(start: Start) -> None:
    home = start(BODY_TOO_LONG)
    handler = bridge(home.url)
    for reply in [BODY_TOO_LONG] * 4 + [http("503 Unavailable")] * 4 + [REFUSED] * 4:
        home.reply = reply
        check(TURN_ON, ask(handler, TURN_ON))
    home.reply = GOOD
    assert ask(handler, TURN_ON) == ANSWER
