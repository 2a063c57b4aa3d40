"""Requests and responses as data: checks, redirect rules, decoding. No I/O."""

from __future__ import annotations

from json import dumps, loads
from math import isfinite
from urllib.parse import quote, urljoin, urlsplit

from cores.errors import ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    Tls = tuple[bool, str | None, tuple[str, ...] | None, str | None]

_PORTS = {"http": 80, "https": 443}
_PUNCTUATION = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
_TOKEN_EXTRAS = dict.fromkeys(map(ord, "!#$%&'*+-.^_`|~"))  # RFC 9110, 5.6.2
_SEE_OTHER = 303
_REDIRECTS = (301, 302, _SEE_OTHER, 307, 308)
_SHA256_DIGITS = 64
_FRAMING = ("content-length", "transfer-encoding", "connection")
# What another origin may see after a redirect; anything else may be a credential.
_HARMLESS = ("accept", "accept-language", "content-type", "user-agent")


class Response:
    """The whole answer to a request.

    ``status`` is the HTTP status, ``headers`` a mapping whose names match in any case (repeated
    ones are joined by ", "), ``body`` the bytes as they were sent, ``url`` where they came from
    after redirects, ``elapsed_ms`` the time that the call took, repetitions included.
    """

    __slots__ = ("body", "elapsed_ms", "headers", "status", "url")

    def __init__(
        self,
        status: int,
        headers: Mapping[str, str],
        body: bytes,
        url: str,
        elapsed_ms: float = 0.0,
    ) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self.url = url
        self.elapsed_ms = elapsed_ms

    def __repr__(self) -> str:
        return f"<Response {self.status}, {len(self.body)} bytes>"

    def text(self) -> str:
        """Decode the body by the charset of its Content-Type, or else as UTF-8.

        What cannot be decoded becomes U+FFFD.
        """
        _, _, parameters = self.headers.get("content-type", "").partition(";")
        for parameter in parameters.split(";"):
            name, _, value = parameter.partition("=")
            if name.strip().lower() == "charset":
                try:
                    return self.body.decode(value.strip().strip("\"'"), "replace")
                except (LookupError, ValueError):  # no such charset, or not a text encoding
                    break
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:  # whatever the peer sent
        """Parse the body as JSON. Raise ``ProtocolError`` if it is not."""
        try:
            return loads(self.body)
        except (ValueError, RecursionError):
            pass  # raised below: the error of json holds the body
        msg = (
            f"{Target(self.url).origin}: the body of {len(self.body)} bytes is not JSON "
            f"(status {self.status})"
        )
        raise ProtocolError(msg)


class Target:
    """The parts of a URL that a connection and a request line need.

    Raise ``ValueError`` for what is not an absolute http or https URL. Its message quotes nothing,
    since a URL may carry a secret anywhere.
    """

    __slots__ = ("host", "origin", "path", "port", "scheme", "url")

    def __init__(self, url: str) -> None:
        if not isinstance(url, str):
            msg = f"url must be a str, not {type(url).__name__}"
            raise TypeError(msg)
        if " " in url or not url.isprintable():
            msg = "url must not contain spaces or control characters; percent-encode them"
            raise ValueError(msg)
        if not url.lower().startswith(("http://", "https://")):
            msg = "url must begin with 'http://' or 'https://'"
            raise ValueError(msg)
        try:
            parts = urlsplit(url)
            port = parts.port
            host = _checked_host(parts.hostname or "")
        except ValueError:
            host = None  # raised below: the errors of urllib may quote a password
        if host is None or port == 0:
            msg = "url must have a valid host, and a port between 1 and 65535 if any"
            raise ValueError(msg)
        if "@" in parts.netloc:
            msg = "url must not contain credentials; send them as an Authorization header"
            raise ValueError(msg)
        self.scheme = parts.scheme
        self.host = host
        self.port = port or _PORTS[parts.scheme]
        path = parts.path or "/"
        if parts.query:
            path = f"{path}?{parts.query}"
        self.path = path if path.isascii() else quote(path, safe=_PUNCTUATION)
        self.origin = f"{parts.scheme}://{f'[{host}]' if ':' in host else host}:{self.port}"
        self.url = url


def _checked_host(host: str) -> str | None:
    """Return *host* in ASCII, or None if it is none. Raise ``UnicodeError`` for a bad label."""
    if not host.isascii():
        host = host.encode("idna").decode("ascii")
    letters = host.replace(".", "").replace("-", "").replace("_", "")
    if ":" in host:
        letters = letters.replace(":", "").replace("%", "")
    return host if letters.isalnum() and not host.startswith(".") else None


class Request:
    """A checked request, and how often it may be repeated or led on."""

    __slots__ = ("body", "headers", "max_body", "method", "redirects", "retries", "target", "tls")

    def __init__(self, method: str, target: Target, tls: Tls) -> None:
        if target.scheme == "http":
            for name, value in zip(("ca_file", "client_cert", "fingerprint"), tls[1:], strict=True):
                if value is not None:
                    msg = f"{name} needs an https:// url"
                    raise ValueError(msg)
        self.method = method
        self.target = target
        self.tls = tls
        self.headers: dict[str, str] = {}
        self.body: bytes | None = None
        self.retries = 0
        self.redirects = 0
        self.max_body = 0

    @property
    def label(self) -> str:
        """What messages may say about the request."""
        return f"{self.method} {self.target.origin}"

    def redirected(self, response: Response) -> Request | None:
        """Return the request that a redirect asks for; None if none, or one that leaks.

        Methods change by RFC 9110, 15.4. Raise ``ProtocolError`` when the location is no URL.
        """
        location = response.headers.get("location")
        if response.status not in _REDIRECTS or location is None:
            return None
        try:
            target = Target(urljoin(self.target.url, location))
        except ValueError:
            target = None
        if target is None:  # raised here: the error of urllib may quote the location
            msg = f"{self.label}: redirected (status {response.status}) to no usable URL"
            raise ProtocolError(msg)
        if target.scheme == "http" and self.target.scheme == "https":
            return None
        method, headers, body, tls = self.method, self.headers, self.body, self.tls
        if (response.status == _SEE_OTHER and method != "HEAD") or (
            response.status in (301, 302) and method == "POST"
        ):
            method, body = "GET", None
            headers = {k: v for k, v in headers.items() if not k.lower().startswith("content-")}
        if target.origin != self.target.origin:
            if body is not None:
                return None
            headers = {k: v for k, v in headers.items() if k.lower() in _HARMLESS}
            tls = (True, tls[1], None, None)
        following = Request(method, target, tls)
        following.headers = headers
        following.body = body
        following.retries = self.retries
        following.max_body = self.max_body
        return following


def checked_method(method: object) -> str:
    """Return *method* in upper case."""
    if not isinstance(method, str) or not method.isascii() or not method.isalpha():
        msg = "method must be a str of letters, like 'GET'"
        raise ValueError(msg)
    if method.upper() == "CONNECT":
        msg = "method must not be 'CONNECT'; proxies are not supported"
        raise ValueError(msg)
    return method.upper()


def checked_headers(headers: Mapping[str, str] | None) -> dict[str, str]:
    """Return a copy. Messages quote no value, and no name that is not a name."""
    checked = {} if headers is None else dict(headers)
    for name, value in checked.items():
        if not isinstance(name, str) or not isinstance(value, str):
            msg = (
                f"headers must map str to str, not {type(name).__name__} to {type(value).__name__}"
            )
            raise TypeError(msg)
        if not name.isascii() or not name.translate(_TOKEN_EXTRAS).isalnum():
            msg = "a header's name must be of letters, digits and !#$%&'*+-.^_`|~ only"
            raise ValueError(msg)
        if name.lower() in _FRAMING:
            msg = f"header {name!r} is set by the client; leave it out"
            raise ValueError(msg)
        if not value.isprintable() or not value.isascii():
            _check_value(name, value)
    return checked


def _check_value(name: str, value: str) -> None:
    if any((char < " " and char != "\t") or char == "\x7f" for char in value):
        msg = f"the value of header {name!r} has line breaks or control characters; strip it"
        raise ValueError(msg)
    if max(value) > "\xff":
        msg = f"the value of header {name!r} has characters beyond Latin-1; encode it"
        raise ValueError(msg)


def checked_body(body: bytes | str | None, json: object, headers: dict[str, str]) -> bytes | None:
    """Return the bytes to send; for *json*, add the Content-Type to *headers* if it is missing."""
    if json is not ...:
        if body is not None:
            msg = "give body or json, not both"
            raise ValueError(msg)
        if not any(name.lower() == "content-type" for name in headers):
            headers["Content-Type"] = "application/json"
        return dumps(json, separators=(",", ":"), allow_nan=False).encode()
    if isinstance(body, str):
        return body.encode()
    if body is not None and not isinstance(body, bytes):
        msg = f"body must be bytes or str, not {type(body).__name__}; for other values give json"
        raise TypeError(msg)
    return body


def checked_tls(
    *,
    verify: bool = True,
    ca_file: str | None = None,
    client_cert: str | tuple[str, ...] | None = None,
    fingerprint: str | None = None,
) -> Tls:
    """Return the options in one form, so that equal ones share pools and contexts."""
    if not isinstance(verify, bool):
        msg = f"verify must be True or False, not {verify!r}; a CA file is given as ca_file"
        raise TypeError(msg)
    if ca_file is not None and not isinstance(ca_file, str):
        msg = f"ca_file must be the path of a PEM file as str, not {type(ca_file).__name__}"
        raise TypeError(msg)
    if isinstance(client_cert, str):
        client_cert = (client_cert,)
    if client_cert is not None and not (
        isinstance(client_cert, tuple)
        and len(client_cert) in (1, 2, 3)
        and all(isinstance(part, str) for part in client_cert)
    ):
        msg = "client_cert must be a path, (certificate, key) or (certificate, key, password)"
        raise TypeError(msg)
    if fingerprint is not None:
        given = fingerprint
        fingerprint = given.replace(":", "").lower()
        if len(fingerprint) != _SHA256_DIGITS or not set(fingerprint) <= set("0123456789abcdef"):
            msg = (
                f"fingerprint must be 64 hexadecimal digits (SHA-256 of the certificate), "
                f"with or without colons, not {given!r}"
            )
            raise ValueError(msg)
    return verify, ca_file, client_cert, fingerprint


def checked_seconds(name: str, seconds: float, *, zero: bool = False) -> float:
    """Return *seconds* if it is a finite number above 0, or 0 where *zero* allows it."""
    if (
        not isinstance(seconds, (int, float))
        or isinstance(seconds, bool)
        or not isfinite(seconds)
        or seconds < 0
        or (seconds == 0 and not zero)
    ):
        least = "of at least 0" if zero else "above 0"
        msg = f"{name} must be a finite number of seconds {least}, not {seconds!r}"
        raise ValueError(msg)
    return seconds


def checked_count(name: str, count: int, *, least: int = 0) -> int:
    """Return *count* if it is an int of at least *least*."""
    if not isinstance(count, int) or isinstance(count, bool) or count < least:
        msg = f"{name} must be an int of at least {least}, not {count!r}"
        raise ValueError(msg)
    return count
