"""One connection, from name lookup to the last byte of an answer, by one deadline."""

from __future__ import annotations

import socket
import ssl
from hashlib import sha256
from http.client import HTTPConnection as StandardConnection
from http.client import HTTPException

from urllib3 import HTTPHeaderDict
from urllib3.connection import HTTPConnection
from urllib3.exceptions import HTTPError
from urllib3.util.response import assert_header_parsing

from cores.errors import (
    ConfigurationError,
    ConnectError,
    DeadlineError,
    GatewayError,
    ProtocolError,
    TlsError,
    TooLargeError,
    TransferError,
)
from cores.http_client.message import Response

TYPE_CHECKING = False
if TYPE_CHECKING:
    import io
    from collections.abc import Callable, Iterator
    from http.client import HTTPResponse
    from typing import Any, TypeVar

    from cores.http_client.message import Request, Target, Tls

    T = TypeVar("T")

_BLOCK = 65536
_MAX_TRAILERS = 100
_CUT_SHORT = "cut short"
# X509_V_ERR_CERT_HAS_EXPIRED, _HOSTNAME_MISMATCH, _IP_ADDRESS_MISMATCH of OpenSSL's x509_vfy.h
_EXPIRED, _OTHER_NAME, _OTHER_ADDRESS = 10, 62, 64
# What a connection is doing, in the words of the messages.
_RESOLVING = "resolving the name"
_CONNECTING = "connecting"
_HANDSHAKING = "in the TLS handshake"
_SENDING = "sending"
_WAITING = "waiting for the answer"
_READING = "reading the body"
_NOTHING_SENT = (_RESOLVING, _CONNECTING, _HANDSHAKING)


class MalformedError(HTTPException):
    """What is wrong with an answer, without quoting it."""


class Deadline:
    """The end of *seconds* from now, by a timer that runs on while a process waits."""

    __slots__ = ("_end", "_timer", "seconds")

    def __init__(self, seconds: float, timer: Callable[[], float]) -> None:
        self.seconds = seconds
        self._timer = timer
        self._end = timer() + seconds

    def left(self) -> float:
        """Return the seconds left, negative after the end."""
        return self._end - self._timer()

    def remaining(self) -> float:
        """Return the seconds left; raise ``TimeoutError`` when there are none."""
        left = self._end - self._timer()
        if left <= 0:
            raise TimeoutError
        return left


class DeadlineSocket(socket.socket):
    """A socket that waits only as long as its deadline allows.

    A timeout set once would start again with each byte of a slow peer.
    """

    deadline: Deadline

    def recv_into(self, *args: Any) -> int:  # those of the base class
        """Receive, waiting until the deadline at most."""
        self.settimeout(self.deadline.remaining())
        return super().recv_into(*args)

    def send(self, *args: Any) -> int:  # those of the base class
        """Send some, waiting until the deadline at most."""
        self.settimeout(self.deadline.remaining())
        return super().send(*args)

    def sendall(self, *args: Any) -> None:  # those of the base class
        """Send all, waiting until the deadline at most."""
        self.settimeout(self.deadline.remaining())
        super().sendall(*args)

    def is_quiet(self) -> bool:
        """Whether the peer has neither closed the connection nor sent anything unasked.

        A look at the file descriptor would not do: TLS 1.3 sends session tickets unasked.
        """
        self.settimeout(0)
        try:
            self.recv(1)
        except (BlockingIOError, ssl.SSLWantReadError):
            return True
        except OSError:
            pass
        return False


class DeadlineTlsSocket(DeadlineSocket, ssl.SSLSocket):
    """The same over TLS; made by a context's ``sslsocket_class``."""


class Connection(HTTPConnection):
    """A connection to one origin; *context* and *pin* decide whom to trust."""

    kept_at = 0.0
    deadline: Deadline
    label: str
    phase: str

    sock: DeadlineSocket | None  # narrower than in the base class

    def __init__(
        self, target: Target, context: ssl.SSLContext | None, pin: str | None, pool: Any = None
    ) -> None:
        super().__init__(target.host, target.port)
        self.pool = pool  # the owner's note
        self._target = target
        self._context = context
        self._pin = pin

    @property
    def is_quiet(self) -> bool:
        """Whether the connection is open and the peer has sent nothing unasked."""
        return self.sock is not None and self.sock.is_quiet()

    def ensure_open(self, request: Request, deadline: Deadline) -> None:
        """Open the connection unless it is open. Raise as `exchange` does."""
        self._guard(request, deadline, lambda: None)

    def exchange(self, request: Request, deadline: Deadline) -> Response:
        """Send *request* and return the whole answer.

        Raise one of our errors, with the connection closed. After an answer it is open if it may
        be used again.
        """
        return self._guard(request, deadline, lambda: self._exchange(request))

    def _guard(self, request: Request, deadline: Deadline, step: Callable[[], T]) -> T:
        self.label = request.label
        self.deadline = deadline
        cause: OSError | None = None
        try:
            if self.sock is None:
                self.phase = _RESOLVING
                self.connect()
            else:
                self.sock.deadline = deadline
            return step()
        except GatewayError:
            self.close()
            raise
        except (OSError, HTTPException, HTTPError) as error:
            self.close()
            failure = _failure(error, self.label, self.phase, deadline)
            if isinstance(error, OSError):
                cause = error
        except BaseException:
            self.close()
            raise
        # Raised here, not above: the errors of urllib3 and http.client may quote what the peer
        # sent, so they must not even be the context of ours. Those of the system quote nothing.
        raise failure from cause

    def connect(self) -> None:
        """Open the connection, and over TLS check the peer, before anything is sent."""
        # Bytes: for a str, the socket module would import encodings.idna.
        host = self._target.host.encode()
        addresses = socket.getaddrinfo(host, self._target.port, type=socket.SOCK_STREAM)
        self.phase = _CONNECTING
        sock = self._connect_to_any(addresses)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._context is not None:
                self.phase = _HANDSHAKING
                tls: Any = self._context.wrap_socket(  # a DeadlineTlsSocket
                    sock,
                    # Not on connect: if the peer has gone meanwhile there would be none.
                    do_handshake_on_connect=False,
                    server_hostname=host.partition(b"%")[0].rstrip(b"."),
                )
                sock = tls
                sock.settimeout(self.deadline.remaining())
                tls.do_handshake()
                self._check_pin(tls.getpeercert(binary_form=True))
        except BaseException:
            sock.close()
            raise
        sock.deadline = self.deadline
        self.sock = sock

    def _connect_to_any(self, addresses: list[Any]) -> DeadlineSocket:
        failure = OSError("the name has no address")
        for tried, (family, kind, protocol, _, address) in enumerate(addresses):
            # A share of the time for each, or an address that never answers would take it all.
            share = self.deadline.remaining() / (len(addresses) - tried)
            sock = None
            try:
                sock = DeadlineSocket(family, kind, protocol)
                sock.settimeout(share)
                sock.connect(address)
            except OSError as error:
                failure = error
                if sock is not None:
                    sock.close()
            else:
                return sock
        raise failure

    def _check_pin(self, certificate: bytes) -> None:
        digest = sha256(certificate).hexdigest()
        if self._pin is not None and digest != self._pin:
            msg = (
                f"{self.label}: the certificate has the SHA-256 fingerprint {digest}, "
                f"not the pinned one; nothing was sent. "
                f"Give the new fingerprint if you know that the certificate was renewed"
            )
            raise TlsError(msg)

    def _exchange(self, request: Request) -> Response:
        self.phase = _SENDING
        is_broken = False
        try:
            self.request(
                request.method, request.target.path, body=request.body, headers=request.headers
            )
        except (BrokenPipeError, ConnectionResetError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
            is_broken = True  # but the peer may have answered before it closed
        self.phase = _WAITING
        # Not urllib3's own getresponse: it logs the URL and the peer's bytes when it cannot
        # parse a header.
        answer = StandardConnection.getresponse(self)
        try:
            headers = _checked_framing(answer)
            self.phase = _READING
            body = _body(answer, request)
        finally:
            answer.close()  # or it would hold the socket open
        if is_broken:
            self.close()
        return Response(answer.status, headers, body, request.target.url)


class TlsConnection(Connection):
    """The same over TLS, where another port goes without saying in the Host header."""

    default_port = 443  # type: ignore[misc]  # a ClassVar of urllib3, set as it does


def _checked_framing(answer: HTTPResponse) -> HTTPHeaderDict:
    """Return the headers; refuse what leaves open where the body ends (RFC 9112, 6.3)."""
    assert_header_parsing(answer.msg)
    headers = HTTPHeaderDict(answer.msg.items())
    if answer.status < 200:  # noqa: PLR2004  # informational
        msg = "no final status"
        raise MalformedError(msg)
    if headers.get("transfer-encoding", "chunked").strip().lower() != "chunked":
        msg = "a transfer coding other than chunked"
        raise MalformedError(msg)
    lengths = {length.strip() for length in headers.get("content-length", "0").split(",")}
    if len(lengths) != 1 or not lengths.pop().isdecimal():
        msg = "no usable content length"
        raise MalformedError(msg)
    return headers


def _body(answer: HTTPResponse, request: Request) -> bytes:
    if answer.length == 0:  # also after HEAD, 204 and 304, whatever the headers say
        return b""
    limit = request.max_body
    body = bytearray()
    if (answer.length or 0) <= limit:
        for block in _chunks(answer.fp) if answer.chunked else _blocks(answer):
            body += block
            if len(body) > limit:
                break
        else:
            return bytes(body)
    msg = f"{request.label}: the body is larger than {limit} bytes; raise max_body or ask for less"
    raise TooLargeError(msg)


def _blocks(answer: HTTPResponse) -> Iterator[bytes]:
    while block := answer.read(_BLOCK):
        yield block
    if answer.length:
        raise MalformedError(_CUT_SHORT)


def _chunks(stream: io.BufferedReader) -> Iterator[bytes]:
    """Yield a chunked body (RFC 9112, 7.1) in pieces.

    Not left to http.client or urllib3: they take a negative size for "all that comes", which
    would get past max_body, and do not look at what follows a chunk.
    """
    while size := _chunk_size(_line(stream)):
        while size:
            block = stream.read(min(size, _BLOCK))
            if not block:
                raise MalformedError(_CUT_SHORT)
            yield block
            size -= len(block)
        if _line(stream).strip():
            msg = "a chunk longer than it says"
            raise MalformedError(msg)
    for _ in range(_MAX_TRAILERS):
        if not _line(stream).strip():
            return
    msg = "too many trailers"
    raise MalformedError(msg)


def _line(stream: io.BufferedReader) -> bytes:
    line = stream.readline(_BLOCK)
    if not line.endswith(b"\n"):
        raise MalformedError(_CUT_SHORT if len(line) < _BLOCK else "a line too long")
    return line


def _chunk_size(line: bytes) -> int:
    digits = line.partition(b";")[0].strip()
    if not digits or digits.strip(b"0123456789abcdefABCDEF"):
        msg = "no chunk size"
        raise MalformedError(msg)
    return int(digits, 16)


def _failure(error: BaseException, label: str, phase: str, deadline: Deadline) -> GatewayError:
    """Return our error for one of the system's, http.client's or urllib3's."""
    if isinstance(error, TimeoutError):
        msg = (
            f"{label}: no complete answer within {deadline.seconds:.2f} s; "
            f"the time ran out while {phase}"
        )
        return DeadlineError(msg)
    if not isinstance(error, OSError):
        # The texts of http.client and urllib3 quote the peer.
        what = str(error) if isinstance(error, MalformedError) else type(error).__name__
        return ProtocolError(f"{label}: the answer is not valid HTTP: {what}, while {phase}")
    if isinstance(error, ssl.SSLCertVerificationError):
        reason: str | None = error.verify_message.rstrip(".")
    elif isinstance(error, ssl.SSLError):
        reason = error.reason
    else:
        reason = error.strerror
    reason = reason or str(error)
    if phase not in _NOTHING_SENT:
        msg = (
            f"{label}: the connection broke while {phase} ({reason}); "
            f"the request may have been received"
        )
        return TransferError(msg)
    if isinstance(error, ssl.SSLError) and not isinstance(
        error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)
    ):
        msg = f"{label}: the peer is not trusted ({reason}); nothing was sent. {_remedy(error)}"
        return TlsError(msg)
    msg = f"{label}: no connection while {phase} ({reason}); nothing was sent"
    return ConnectError(msg)


def _remedy(error: ssl.SSLError) -> str:
    code = error.verify_code if isinstance(error, ssl.SSLCertVerificationError) else None
    if code is None:
        return "Check that the port speaks TLS 1.2 or later"
    if code == _EXPIRED:
        return "Have the certificate renewed"
    if code in (_OTHER_NAME, _OTHER_ADDRESS):
        return "Use a host name that the certificate is for"
    return "Give the CA's certificate as ca_file, or pin the peer's: fingerprint and verify=False"


def tls_context(tls: Tls) -> ssl.SSLContext:
    """Build the context for TLS options; raise ``ConfigurationError`` for an unusable file."""
    verify, ca_file, client_cert, _ = tls
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        msg = f"ca_file {ca_file!r} cannot be used ({error}); give the path of a PEM file"
        raise ConfigurationError(msg) from error
    context.minimum_version = max(context.minimum_version, ssl.TLSVersion.TLSv1_2)
    context.set_alpn_protocols(["http/1.1"])
    context.sslsocket_class = DeadlineTlsSocket
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if client_cert is not None:
        _, key, password, *_ = (*client_cert, None, None)
        try:
            # An empty password, because OpenSSL asks the terminal for a missing one.
            context.load_cert_chain(client_cert[0], key, password or "")
        except OSError as error:
            msg = (
                f"client_cert {client_cert[0]!r} cannot be used ({error}); give the paths of PEM "
                f"files as (certificate, key), and the key's password as third if it has one"
            )
            raise ConfigurationError(msg) from error
    return context
