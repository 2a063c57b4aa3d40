"""The bridge over TLS: whom it trusts, and that a stranger gets no token."""

from __future__ import annotations

import hashlib
import json
import ssl
import time
from typing import TYPE_CHECKING

import pytest
import trustme

from gateway.testing import LambdaContext
from ha_extension.client import build_handler

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

    Start = Callable[..., Any]

TURN_ON = {
    "directive": {
        "header": {"namespace": "Alexa.PowerController", "name": "TurnOn", "messageId": "m-1"},
        "endpoint": {"endpointId": "light#lamp", "scope": {"token": "s3cr3t-token"}},
    }
}
ANSWER = (
    b'{"event": {"header": {"namespace": "Alexa", "name": "Response", "messageId": "m-2",'
    b' "payloadVersion": "3"}, "payload": {}}}'
)
GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(ANSWER), ANSWER)


def bridge(url: str, **settings: str) -> Callable[[object, object], object]:
    """Return the handler of a bridge to the home at *url*."""
    environ = {f"HOME_ASSISTANT_{name}": value for name, value in settings.items()}
    return build_handler({"HOME_ASSISTANT_URL": url} | environ, time.perf_counter())


def ask(handler: Callable[[object, object], object]) -> object:
    """Return the answer to a directive, or the type of an error."""
    answer = handler(TURN_ON, LambdaContext())
    return answer["event"]["payload"]["type"] if isinstance(answer, dict) else answer


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def secured(authority: trustme.CA, *names: str) -> tuple[ssl.SSLContext, str]:
    """Return the TLS settings of a server called *names*, and its certificate's fingerprint."""
    certificate = authority.issue_cert(*names)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)
    der = ssl.PEM_cert_to_DER_cert(certificate.cert_chain_pems[0].bytes().decode())
    return context, hashlib.sha256(der).hexdigest()


def test_a_private_authority_is_trusted_when_it_is_named(
    start: Start, authority: trustme.CA, tmp_path: Path
) -> None:
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(ca_file)
    home = start(GOOD, secured(authority, "localhost")[0])
    handler = bridge(home.url, CA_FILE=str(ca_file))
    assert ask(handler) == ANSWER
    assert ask(handler) == ANSWER
    assert home.connections == 1


def test_a_stranger_gets_no_token(
    start: Start, authority: trustme.CA, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    home = start(GOOD, secured(authority, "localhost")[0])
    handler = bridge(home.url)
    assert ask(handler) == "BRIDGE_UNREACHABLE"
    assert home.requests == []
    out, err = capfdbinary.readouterr()
    line = json.loads(out.splitlines()[-1])
    assert line["kind"] == "tls"
    assert "the peer is not trusted (unable to get local issuer certificate)" in line["reason"]
    assert b"s3cr3t" not in out + err


def test_a_certificate_for_another_name_is_refused(
    start: Start, authority: trustme.CA, tmp_path: Path
) -> None:
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(ca_file)
    home = start(GOOD, secured(authority, "other.example.org")[0])
    assert ask(bridge(home.url, CA_FILE=str(ca_file))) == ("BRIDGE_UNREACHABLE")
    assert home.requests == []


def test_a_pinned_certificate_alone_decides_without_verification(
    start: Start, authority: trustme.CA
) -> None:
    context, fingerprint = secured(authority, "other.example.org")
    home = start(GOOD, context)
    pinned = bridge(home.url, VERIFY_TLS="false", CERT_FINGERPRINT=fingerprint)
    assert ask(pinned) == ANSWER
    mistaken = bridge(home.url, VERIFY_TLS="false", CERT_FINGERPRINT="0" * 64)
    assert ask(mistaken) == "BRIDGE_UNREACHABLE"
    assert len(home.requests) == 1


def test_verification_is_switched_off_only_aloud(
    start: Start, authority: trustme.CA, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    home = start(GOOD, secured(authority, "other.example.org")[0])
    handler = bridge(home.url, VERIFY_TLS="false")
    warning = json.loads(capfdbinary.readouterr().out.splitlines()[0])
    assert warning["level"] == "WARNING"
    assert warning["message"].startswith("HOME_ASSISTANT_VERIFY_TLS=false: anybody on the way")
    assert ask(handler) == ANSWER


def test_a_client_certificate_is_shown(start: Start, authority: trustme.CA, tmp_path: Path) -> None:
    ca_file, client_cert = tmp_path / "ca.pem", tmp_path / "client.pem"
    authority.cert_pem.write_to_path(ca_file)
    authority.issue_cert("bridge.example.org").private_key_and_cert_chain_pem.write_to_path(
        client_cert
    )
    context, _ = secured(authority, "localhost")
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    home = start(GOOD, context)
    handler = bridge(home.url, CA_FILE=str(ca_file), CLIENT_CERT=str(client_cert))
    assert ask(handler) == ANSWER


def test_a_certificate_file_that_is_none_does_not_stop_init(
    start: Start,
    authority: trustme.CA,
    tmp_path: Path,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    ca_file = tmp_path / "ca.pem"
    ca_file.write_text("not a certificate")
    home = start(GOOD, secured(authority, "localhost")[0])
    handler = bridge(home.url, CA_FILE=str(ca_file))
    assert ask(handler) == "INTERNAL_ERROR"
    before, during = map(json.loads, capfdbinary.readouterr().out.splitlines())
    assert before["message"] == "the connection could not be prepared"
    assert during["kind"] == "configuration"
    assert str(ca_file) in before["reason"]
    assert before["reason"] == during["reason"]
