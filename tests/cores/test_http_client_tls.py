from __future__ import annotations

import hashlib
import ssl
from typing import TYPE_CHECKING, Any

import pytest

from cores.errors import (
    ConfigurationError,
    ConnectError,
    GatewayError,
    TlsError,
    TransferError,
)
from cores.http_client import HttpClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.cores.conftest import Authority, FaultServer, Peer, RecordingLog

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
UNKNOWN_CA = "Give the CA's certificate as ca_file, or pin the peer's: fingerprint and verify=False"


def keep_answering(peer: Peer) -> None:
    while peer.receive():
        peer.send(OK)


@pytest.fixture
def client(log: RecordingLog) -> Iterator[HttpClient]:
    client = HttpClient(log=log, timeout=1.0)  # type: ignore[arg-type]
    yield client
    client.close()


@pytest.fixture
def fail(client: HttpClient, tell: Callable[[BaseException], str]) -> Callable[..., str]:
    """Send a POST full of secrets; return the message of the expected error."""

    def send(origin: str, kind: type[GatewayError], **options: Any) -> str:
        with pytest.raises(kind) as caught:
            client.post(
                f"{origin}/s3cr3t",
                headers={"Authorization": "s3cr3t"},
                body=b"s3cr3t",
                retries=0,
                **options,
            )
        assert type(caught.value) is kind
        assert "s3cr3t" not in tell(caught.value)
        return str(caught.value)

    return send


def fingerprint_at(server: FaultServer) -> str:
    certificate = ssl.get_server_certificate(("127.0.0.1", server.port), timeout=5)
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate)).hexdigest()


# -- trusted ----------------------------------------------------------------------------------


def test_peer_with_a_certificate_of_the_given_ca_is_trusted(
    client: HttpClient, serve: Callable[..., FaultServer], authority: Authority, log: RecordingLog
) -> None:
    server = serve(keep_answering, authority.server())
    for _ in range(3):
        assert client.get(server.origin, ca_file=authority.file).body == b"hi"
    assert server.connections == 1
    assert log.lines == []


def test_name_is_checked_and_sent(
    client: HttpClient,
    serve: Callable[..., FaultServer],
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = []

    def remember(sock: ssl.SSLSocket, name: str | None, context: ssl.SSLContext) -> None:
        names.append(name)

    context = authority.server("home.example")
    context.sni_callback = remember  # type: ignore[assignment]
    server = serve(keep_answering, context)
    address = [(2, 1, 6, "", ("127.0.0.1", server.port))]
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: address)
    assert client.get("https://Home.Example./", ca_file=authority.file).status == 200
    assert names == ["home.example"]
    assert server.requests[0].headers["host"] == "home.example"


def test_preconnect_makes_the_handshake_of_the_first_request(
    client: HttpClient, serve: Callable[..., FaultServer], authority: Authority
) -> None:
    # TLS 1.3 sends session tickets after the handshake; they must not look like a dead connection.
    server = serve(keep_answering, authority.server())
    assert client.preconnect(server.origin, ca_file=authority.file) is True
    assert client.get(server.origin, ca_file=authority.file).status == 200
    assert server.connections == 1


def test_connection_closed_meanwhile_over_tls_is_replaced(
    client: HttpClient, serve: Callable[..., FaultServer], authority: Authority
) -> None:
    def script(peer: Peer) -> None:
        peer.receive()
        peer.send(OK)

    server = serve(script, authority.server())
    for _ in range(3):
        response = client.post(server.origin, ca_file=authority.file, retries=0)
        assert response.status == 200
        server._threads[-1].join(5)
    assert server.connections == 3


@pytest.mark.parametrize(
    "form",
    [str, str.upper, lambda digits: ":".join(map("".join, zip(*[iter(digits)] * 2, strict=True)))],
)
def test_pinned_certificate_is_trusted_in_addition_to_verification(
    client: HttpClient,
    serve: Callable[..., FaultServer],
    authority: Authority,
    form: Callable[[str], str],
) -> None:
    server = serve(keep_answering, authority.server())
    pin = form(fingerprint_at(server))
    assert client.get(server.origin, ca_file=authority.file, fingerprint=pin).status == 200


def test_pin_alone_decides_without_verification(
    client: HttpClient, serve: Callable[..., FaultServer], authority: Authority, log: RecordingLog
) -> None:
    server = serve(keep_answering, authority.server("other.example", expired=True))
    pin = fingerprint_at(server)
    assert client.get(server.origin, verify=False, fingerprint=pin).status == 200
    assert log.lines == []


def test_unverified_peer_is_warned_about_once_per_pool(
    client: HttpClient, serve: Callable[..., FaultServer], authority: Authority, log: RecordingLog
) -> None:
    server = serve(keep_answering, authority.server("other.example"))
    for _ in range(2):
        assert client.get(f"{server.origin}/s3cr3t", verify=False).status == 200
    text = "TLS verification is off; give ca_file or fingerprint instead"
    assert log.lines == [("warning", text, {"origin": server.origin})]


@pytest.mark.parametrize("parts", ["one file", "two files", "encrypted key"])
def test_client_certificate_is_presented(
    client: HttpClient,
    serve: Callable[..., FaultServer],
    authority: Authority,
    tmp_path: Path,
    parts: str,
) -> None:
    server = serve(keep_answering, authority.server(client_certs=True))
    client_cert = make_client_cert(authority, tmp_path)[parts]
    response = client.get(server.origin, ca_file=authority.file, client_cert=client_cert)
    assert response.status == 200


def make_client_cert(authority: Authority, folder: Path) -> dict[str, Any]:
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        PrivateFormat,
        load_pem_private_key,
    )

    issued = authority.ca.issue_cert("client.example")
    paths = {name: str(folder / name) for name in ("both", "certificate", "key", "encrypted")}
    issued.private_key_and_cert_chain_pem.write_to_path(paths["both"])
    issued.cert_chain_pems[0].write_to_path(paths["certificate"])
    issued.private_key_pem.write_to_path(paths["key"])
    key = load_pem_private_key(issued.private_key_pem.bytes(), None)
    encryption = BestAvailableEncryption(b"s3cr3t")
    (folder / "encrypted").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    )
    return {
        "one file": paths["both"],
        "two files": (paths["certificate"], paths["key"]),
        "encrypted key": (paths["certificate"], paths["encrypted"], "s3cr3t"),
    }


def test_tls_below_1_2_is_not_spoken(
    fail: Callable[..., str], serve: Callable[..., FaultServer], authority: Authority
) -> None:
    context = authority.server()
    with pytest.warns(DeprecationWarning, match="TLSv1_1 is deprecated"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    server = serve(keep_answering, context)
    assert fail(server.origin, TlsError, ca_file=authority.file).endswith(
        "; nothing was sent. Check that the port speaks TLS 1.2 or later"
    )


# -- not trusted ------------------------------------------------------------------------------


def test_certificate_for_another_name_is_refused(
    fail: Callable[..., str], serve: Callable[..., FaultServer], authority: Authority
) -> None:
    server = serve(keep_answering, authority.server("other.example"))
    assert (
        fail(server.origin, TlsError, ca_file=authority.file)
        == f"POST {server.origin}: the peer is not trusted (IP address mismatch, certificate is "
        f"not valid for '127.0.0.1'); nothing was sent. "
        f"Use a host name that the certificate is for"
    )
    assert server.requests == []


def test_expired_certificate_is_refused(
    fail: Callable[..., str], serve: Callable[..., FaultServer], authority: Authority
) -> None:
    server = serve(keep_answering, authority.server(expired=True))
    assert (
        fail(server.origin, TlsError, ca_file=authority.file)
        == f"POST {server.origin}: the peer is not trusted (certificate has expired); "
        f"nothing was sent. Have the certificate renewed"
    )
    assert server.requests == []


def test_unknown_ca_is_refused(
    fail: Callable[..., str], serve: Callable[..., FaultServer], authority: Authority
) -> None:
    server = serve(keep_answering, authority.server())
    assert (
        fail(server.origin, TlsError)
        == f"POST {server.origin}: the peer is not trusted (unable to get local issuer "
        f"certificate); nothing was sent. {UNKNOWN_CA}"
    )
    assert server.requests == []


@pytest.mark.parametrize("verify", [True, False])
def test_other_certificate_than_the_pinned_one_is_refused(
    fail: Callable[..., str],
    client: HttpClient,
    serve: Callable[..., FaultServer],
    authority: Authority,
    verify: bool,
) -> None:
    server = serve(keep_answering, authority.server())
    assert (
        fail(server.origin, TlsError, ca_file=authority.file, verify=verify, fingerprint="ab" * 32)
        == f"POST {server.origin}: the certificate has the SHA-256 fingerprint "
        f"{fingerprint_at(server)}, not the pinned one; nothing was sent. "
        f"Give the new fingerprint if you know that the certificate was renewed"
    )
    assert server.requests == []
    assert client.stats()["errors"] == {"TlsError": 1}


def test_connection_verified_otherwise_is_not_shared(
    client: HttpClient, serve: Callable[..., FaultServer], authority: Authority
) -> None:
    server = serve(keep_answering, authority.server())
    assert client.get(server.origin, verify=False).status == 200
    with pytest.raises(TlsError):
        client.get(server.origin)


def test_port_that_does_not_speak_tls(
    fail: Callable[..., str], serve: Callable[..., FaultServer]
) -> None:
    server = serve(lambda peer: peer.send(b"220 mail.example ready\r\n"))
    origin = server.origin.replace("http:", "https:")
    message = fail(origin, TlsError)
    assert message.startswith(f"POST {origin}: the peer is not trusted (")
    assert message.endswith("; nothing was sent. Check that the port speaks TLS 1.2 or later")


@pytest.mark.parametrize("end", ["close", "reset"])
def test_handshake_that_breaks_off_is_no_connection(
    fail: Callable[..., str], serve: Callable[..., FaultServer], end: str
) -> None:
    def script(peer: Peer) -> None:
        peer.sock.recv(10_000)
        if end == "reset":
            peer.reset()

    origin = serve(script).origin.replace("http:", "https:")
    message = fail(origin, ConnectError)
    assert message.startswith(f"POST {origin}: no connection while in the TLS handshake (")
    assert message.endswith("); nothing was sent")


def test_missing_client_certificate_is_noticed_after_sending(
    fail: Callable[..., str], serve: Callable[..., FaultServer], authority: Authority
) -> None:
    server = serve(keep_answering, authority.server(client_certs=True))
    assert fail(server.origin, TransferError, ca_file=authority.file).startswith(
        f"POST {server.origin}: the connection broke while waiting for the answer ("
    )


def test_missing_client_certificate_is_noticed_in_the_handshake_of_tls_1_2(
    fail: Callable[..., str], serve: Callable[..., FaultServer], authority: Authority
) -> None:
    context = authority.server(client_certs=True)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    server = serve(keep_answering, context)
    assert fail(server.origin, TlsError, ca_file=authority.file).startswith(
        f"POST {server.origin}: the peer is not trusted ("
    )


# -- files ------------------------------------------------------------------------------------


def test_ca_file_that_cannot_be_read_is_named(client: HttpClient) -> None:
    with pytest.raises(ConfigurationError) as caught:
        client.get("https://127.0.0.1:1/", ca_file="/nowhere/ca.pem")
    assert (
        str(caught.value) == "ca_file '/nowhere/ca.pem' cannot be used "
        "([Errno 2] No such file or directory); give the path of a PEM file"
    )


def test_client_certificate_that_cannot_be_read_is_named(client: HttpClient) -> None:
    with pytest.raises(ConfigurationError) as caught:
        client.preconnect("https://127.0.0.1:1/", client_cert="/nowhere/c.pem")
    assert (
        str(caught.value) == "client_cert '/nowhere/c.pem' cannot be used "
        "([Errno 2] No such file or directory); give the paths of PEM files as "
        "(certificate, key), and the key's password as third if it has one"
    )


@pytest.mark.parametrize("password", [(), ("wr0ng",)])
def test_encrypted_key_without_its_password_is_an_error_and_not_a_prompt(
    client: HttpClient,
    authority: Authority,
    tmp_path: Path,
    password: tuple[str, ...],
    tell: Callable[[BaseException], str],
) -> None:
    certificate, key, _ = make_client_cert(authority, tmp_path)["encrypted key"]
    with pytest.raises(ConfigurationError) as caught:
        client.get("https://127.0.0.1:1/", client_cert=(certificate, key, *password))
    assert str(caught.value).startswith(f"client_cert {certificate!r} cannot be used (")
    assert "wr0ng" not in tell(caught.value)


def test_close_reads_certificate_files_again(
    client: HttpClient, serve: Callable[..., FaultServer], authority: Authority, tmp_path: Path
) -> None:
    file = tmp_path / "ca.pem"
    file.write_bytes(authority.ca.cert_pem.bytes())
    server = serve(keep_answering, authority.server())
    assert client.get(server.origin, ca_file=str(file)).status == 200
    file.unlink()
    assert client.get(server.origin, ca_file=str(file)).status == 200
    client.close()
    with pytest.raises(ConfigurationError):
        client.get(server.origin, ca_file=str(file))
