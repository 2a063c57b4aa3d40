"""The demo home over real sockets: statuses, keep-alive, TLS, start and stop."""

from __future__ import annotations

import collections
import contextlib
import gzip
import http.client
import json
import os
import runpy
import signal
import socket
import ssl
import sys
import threading
import zlib
from typing import TYPE_CHECKING

import pytest
import trustme

from ha_extension.demo_home import DemoHome
from ha_extension.demo_home.__main__ import _write_private, main
from ha_extension.demo_home.api import BODY_LIMIT
from ha_extension.demo_home.home import Home

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATH = "/api/alexa/smart_home"
BEARER = {"Authorization": "Bearer secret"}
DISCOVER = json.dumps(
    {
        "directive": {
            "header": {"namespace": "Alexa.Discovery", "name": "Discover", "payloadVersion": "3"},
            "payload": {},
        }
    }
)


@pytest.fixture
def demo() -> Iterator[DemoHome]:
    with DemoHome(token="secret") as home:
        yield home


@contextlib.contextmanager
def connected(demo: DemoHome) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection(demo.url.removeprefix("http://"))
    with contextlib.closing(connection):
        yield connection


def ask(
    demo: DemoHome,
    method: str = "POST",
    path: str = PATH,
    headers: dict[str, str] = BEARER,
    body: str = DISCOVER,
) -> tuple[int, http.client.HTTPMessage, bytes]:
    with connected(demo) as connection:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, response.headers, response.read()


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "secret"},
        {"Authorization": "bearer secret"},
        {"Authorization": "Bearer  secret"},
        {"Authorization": "Bearer other"},
        {"Authorization": "Bearer s\u00e9cret"},
    ],
)
def test_every_wrong_token_looks_the_same(demo: DemoHome, headers: dict[str, str]) -> None:
    status, answered, body = ask(demo, headers=headers)
    assert (status, body) == (401, b"401: Unauthorized")
    assert answered["Content-Type"] == "text/plain; charset=utf-8"
    assert "WWW-Authenticate" not in answered


@pytest.mark.parametrize("path", ["/", "/api", f"{PATH}/", f"/{PATH}", f"{PATH}X"])
def test_unknown_paths(demo: DemoHome, path: str) -> None:
    status, answered, body = ask(demo, path=path, headers={})
    assert (status, body) == (404, b"404: Not Found")
    assert answered["Content-Type"] == "text/plain; charset=utf-8"


def test_the_query_is_not_looked_at(demo: DemoHome) -> None:
    assert ask(demo, path=f"{PATH}?a=b")[0] == 200


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_only_post_reaches_the_smart_home_api(demo: DemoHome, method: str) -> None:
    status, answered, body = ask(demo, method, headers={})
    assert (status, body) == (405, b"405: Method Not Allowed")
    assert answered["Allow"] == "OPTIONS,POST"


def test_head_is_answered_without_a_body(demo: DemoHome) -> None:
    with connected(demo) as connection:
        for _ in range(2):
            connection.request("HEAD", "/api/", headers=BEARER)
            response = connection.getresponse()
            assert (response.status, response.read()) == (405, b"")
            assert (response.headers["Allow"], response.length) == ("GET,OPTIONS", 0)


def test_no_proxy_is_trusted(demo: DemoHome) -> None:
    status, _, body = ask(demo, headers={**BEARER, "X-Forwarded-For": "192.0.2.1"})
    assert (status, body) == (400, b"400: Bad Request")


@pytest.mark.parametrize("body", ["", "{", "[" * 100_000, "{}", '{"directive": {}}', "\x00"])
def test_a_malformed_message_costs_the_connection(demo: DemoHome, body: str) -> None:
    status, answered, text = ask(demo, body=body)
    assert (status, answered["Connection"]) == (500, "close")
    assert text == b"500 Internal Server Error\n\nServer got itself in trouble"


def test_a_body_over_the_limit_is_not_read(demo: DemoHome) -> None:
    with connected(demo) as connection:
        connection.putrequest("POST", PATH)
        connection.putheader("Content-Length", str(BODY_LIMIT + 1))
        connection.endheaders()
        response = connection.getresponse()
        assert (response.status, response.headers["Connection"]) == (413, "close")
        assert response.read() == b"413: Request Entity Too Large"


@pytest.mark.parametrize(
    "header", [("Content-Length", "x"), ("Content-Length", "-1"), ("Transfer-Encoding", "chunked")]
)
def test_a_body_of_unknown_length_is_not_read(demo: DemoHome, header: tuple[str, str]) -> None:
    with connected(demo) as connection:
        connection.putrequest("POST", PATH)
        connection.putheader(*header)
        connection.endheaders()
        response = connection.getresponse()
        assert (response.status, response.read()) == (411, b"411: Length Required")


def test_a_command_cut_short_is_not_carried_out(demo: DemoHome) -> None:
    turn_off = json.loads(DISCOVER)
    turn_off["directive"]["header"] |= {"namespace": "Alexa.PowerController", "name": "TurnOff"}
    turn_off["directive"]["endpoint"] = {"endpointId": "light#kitchen_lights"}
    body = json.dumps(turn_off)
    with connected(demo) as connection:
        connection.putrequest("POST", PATH)
        connection.putheader("Authorization", "Bearer secret")
        connection.putheader("Content-Length", str(len(body) + 1))
        connection.endheaders(body.encode())
        connection.sock.shutdown(socket.SHUT_WR)
        assert connection.sock.recv(1) == b""
    turn_off["directive"]["header"] |= {"namespace": "Alexa", "name": "ReportState"}
    report = demo.home.handle(turn_off)
    assert report["context"]["properties"][0]["value"] == "ON"


def test_a_fault_of_the_home_itself_is_shown(capfd: pytest.CaptureFixture[str]) -> None:
    class Broken(Home):
        def handle(self, message: object) -> dict[str, object]:
            msg = "a bug"
            raise RuntimeError(msg)

    with (
        DemoHome(token="secret", home=Broken()) as demo,
        pytest.raises(http.client.RemoteDisconnected),
    ):
        ask(demo)
    assert capfd.readouterr().err.endswith("RuntimeError: a bug\n" + "-" * 40 + "\n")


def test_the_content_type_is_not_looked_at(demo: DemoHome) -> None:
    assert ask(demo, headers={**BEARER, "Content-Type": "text/html"})[0] == 200


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [("gzip", "gzip"), ("deflate", "deflate"), ("gzip, deflate", "deflate"), ("br", None)],
)
def test_json_is_compressed_for_those_who_ask(
    demo: DemoHome, accepted: str, coding: str | None
) -> None:
    _, answered, body = ask(demo, headers={**BEARER, "Accept-Encoding": accepted})
    assert answered["Content-Encoding"] == coding
    unpack = {"gzip": gzip.decompress, "deflate": zlib.decompress, None: bytes}[coding]
    assert len(json.loads(unpack(body))["event"]["payload"]["endpoints"]) == 17


def test_text_is_never_compressed(demo: DemoHome) -> None:
    _, answered, _ = ask(demo, headers={**BEARER, "Accept-Encoding": "gzip"}, body="{")
    assert "Content-Encoding" not in answered


def test_a_connection_is_kept(demo: DemoHome) -> None:
    with connected(demo) as connection:
        sockets = set()
        for _ in range(3):
            connection.request("POST", PATH, DISCOVER, BEARER)
            response = connection.getresponse()
            assert response.status == 200
            response.read()
            sockets.add(connection.sock)
    assert len(sockets) == 1


def test_the_default_token_is_random() -> None:
    with DemoHome() as one, DemoHome() as other:
        assert one.token != other.token
        assert len(one.token) == 43
        assert ask(one, headers={"Authorization": f"Bearer {one.token}"})[0] == 200
        assert ask(one, headers={"Authorization": f"Bearer {other.token}"})[0] == 401


def test_stopping_ends_idle_and_half_open_connections_and_every_thread() -> None:
    before = set(threading.enumerate())
    with contextlib.ExitStack() as clients:
        with DemoHome(token="secret") as demo:
            idle = clients.enter_context(connected(demo))
            idle.request("POST", PATH, DISCOVER, BEARER)
            idle.getresponse().read()
            half = clients.enter_context(connected(demo))
            half.putrequest("POST", PATH)
            half.putheader("Content-Length", "5")
            half.endheaders()
            address = ("127.0.0.1", int(demo.url.rpartition(":")[2]))
        assert set(threading.enumerate()) == before
        assert idle.sock.recv(1) == b""
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)


def test_a_client_that_hangs_up_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with DemoHome(token="secret") as demo:
        connection = socket.create_connection(("127.0.0.1", int(demo.url.rpartition(":")[2])))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.sendall(b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n")
        connection.close()
        ask(demo)
    assert capfd.readouterr() == ("", "")


def test_speaks_tls(tmp_path: Path) -> None:
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    with DemoHome(token="secret", tls=server) as demo:
        assert demo.url.startswith("https://127.0.0.1:")
        port = int(demo.url.rpartition(":")[2])
        # A client that never shakes hands does not keep the next one out.
        with socket.create_connection(("127.0.0.1", port)):
            connection = http.client.HTTPSConnection("127.0.0.1", port, context=trusting)
            with contextlib.closing(connection):
                connection.request("POST", PATH, DISCOVER, BEARER)
                assert connection.getresponse().status == 200
        distrusting = http.client.HTTPSConnection(
            "127.0.0.1", port, context=ssl.create_default_context()
        )
        with (
            contextlib.closing(distrusting),
            pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer"),
        ):
            distrusting.connect()


@pytest.fixture
def signals() -> Iterator[None]:
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in previous.items():
        signal.signal(number, handler)


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number: int = free.getsockname()[1]
        return number


@pytest.mark.usefixtures("signals")
def test_command_serves_until_it_is_told_to_stop(
    port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop() -> None:
        with socket.socket() as client:
            attempts = iter(lambda: client.connect_ex(("127.0.0.1", port)), 0)
            collections.deque(attempts, maxlen=0)  # until one succeeds
        os.kill(os.getpid(), signal.SIGTERM)

    other = threading.Thread(target=stop, daemon=True)
    other.start()
    assert main(["--port", str(port)]) == 0
    other.join()
    assert capsys.readouterr().out == f"demo home ready at http://127.0.0.1:{port}\n"


@pytest.mark.usefixtures("signals")
def test_command_speaks_tls_and_hands_out_the_token(
    port: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    issued = trustme.CA().issue_cert("127.0.0.1")
    issued.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "both.pem"))
    pipe = tmp_path / "token"  # whoever can read it knows that the server is up
    os.mkfifo(pipe)
    told: list[str] = []

    def stop() -> None:
        told.append(pipe.read_text())
        os.kill(os.getpid(), signal.SIGINT)

    other = threading.Thread(target=stop, daemon=True)
    other.start()
    both = str(tmp_path / "both.pem")
    options = ["--port", str(port), "--tls-cert", both, "--token-file", str(pipe)]
    assert main(options) == 0
    other.join()
    assert capsys.readouterr().out == f"demo home ready at https://127.0.0.1:{port}\n"
    assert [len(token) for token in told] == [43]


def test_a_token_file_is_for_its_owner(tmp_path: Path) -> None:
    _write_private(str(tmp_path / "token"), "secret")
    assert (tmp_path / "token").read_text() == "secret"
    assert (tmp_path / "token").stat().st_mode & 0o777 == 0o600


def test_the_package_is_a_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["demo_home", "--help"])
    monkeypatch.delitem(sys.modules, "ha_extension.demo_home.__main__")
    with pytest.raises(SystemExit) as left:
        runpy.run_module("ha_extension.demo_home", run_name="__main__")
    assert left.value.code == 0
    assert capsys.readouterr().out.startswith("usage: python -m ha_extension.demo_home [-h]")
