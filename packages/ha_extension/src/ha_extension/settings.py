"""Every setting of the bridge: its name, its default, its check; read once."""

from __future__ import annotations

import json
import os

from ha_extension.directives import is_bearer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_PREFIX = "HOME_ASSISTANT_"
_TRUE = ("true", "1", "yes", "on")
_FALSE = ("false", "0", "no", "off")
# Decided by the connection or by the bridge; a second value would contradict the first.
_OWN_HEADERS = (
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "expect",
    "host",
    "transfer-encoding",
    "upgrade",
)
_NAME_PUNCTUATION = "!#$%&'*+-.^_`|~"  # RFC 9110, section 5.6.2
_HEX_DIGITS = "0123456789abcdefABCDEF"
_FINGERPRINT_DIGITS = 64
_HIGHEST_PORT = 65535
_LONGEST_LABEL = 63


def _read_flag(value: str) -> bool:
    word = value.lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    msg = f"must be one of {', '.join(_TRUE + _FALSE)}, not {value!r}"
    raise ValueError(msg)


def _read_url(value: str) -> str:
    """Return the origin in *value*, such as ``https://home.example.org:8123``."""
    if "@" in value or "?" in value:
        msg = "must not hold a user name, a password or a query: each directive brings its token"
        raise ValueError(msg)
    scheme, separator, rest = value.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in ("https", "http"):
        msg = f"must begin with https://, as in https://home.example.org:8123, not {value!r}"
        raise ValueError(msg)
    authority, _, path = rest.partition("/")
    if path.strip("/"):
        msg = f"must end after the host and the port, not with {'/' + path!r}: {_why_not(path)}"
        raise ValueError(msg)
    host, port = _split(authority)
    if not _is_host(host):
        msg = f"must name a host after {scheme}://, not {authority!r}"
        raise ValueError(msg)
    if port and not (_is_number(port, 5) and 0 < int(port) <= _HIGHEST_PORT):
        msg = f"must have a port between 1 and {_HIGHEST_PORT}, not {port!r}"
        raise ValueError(msg)
    return f"{scheme}://{host.lower()}{':' + port if port else ''}"


def _why_not(path: str) -> str:
    if path == "api" or path.startswith("api/"):
        return "the bridge adds /api/alexa/smart_home itself"
    return "Home Assistant answers at the root of its host"


def _split(authority: str) -> tuple[str, str]:
    """Return host and port of *authority*; an IPv6 address keeps its brackets."""
    if authority.startswith("["):
        address, bracket, port = authority.partition("]")
        return address + bracket, port.removeprefix(":")
    host, _, port = authority.partition(":")
    return host, port


def _is_host(host: str) -> bool:
    if host.startswith("["):
        return host.endswith("]") and ":" in host and not host[1:-1].strip(_HEX_DIGITS + ":.")
    # Each label is looked at, because a resolver given "home..org" raises a UnicodeError.
    labels = host.removesuffix(".").split(".")
    return host.isascii() and all(
        len(label) <= _LONGEST_LABEL and label.replace("-", "").replace("_", "").isalnum()
        for label in labels
    )


def _is_number(text: str, most_digits: int) -> bool:
    return len(text) <= most_digits and text.isascii() and text.isdecimal()


def _read_token(value: str) -> str:
    if not is_bearer(value):
        msg = "must be visible ASCII characters without blanks: copy the long-lived token again"
        raise ValueError(msg)
    return value


def _read_file(value: str) -> str:
    # No message repeats the value, which may be a private key pasted in place of its file's path.
    if value.startswith("-----BEGIN"):
        msg = "holds PEM text, and must be the path of a file"
        raise ValueError(msg)
    if not os.path.isfile(value):  # noqa: PTH113 - pathlib costs a tenth of a bare start
        msg = "must be the path of a PEM file in the function's zip, and no file is there"
        raise ValueError(msg)
    return value


def _read_fingerprint(value: str) -> str:
    digits = value.replace(":", "").lower()
    if len(digits) != _FINGERPRINT_DIGITS or digits.strip(_HEX_DIGITS):
        msg = (
            f"must be the SHA-256 fingerprint of the certificate, {_FINGERPRINT_DIGITS} hex digits"
            f" with or without colons, not {value!r}"
        )
        raise ValueError(msg)
    return digits


def _read_headers(value: str) -> dict[str, str]:
    """Return the headers in the JSON object *value*; no message repeats a value of theirs."""
    try:
        headers = json.loads(value)
    except (ValueError, RecursionError):
        headers = None
    if not isinstance(headers, dict):
        msg = 'must be a JSON object, as in {"CF-Access-Client-Id": "…"}'
        raise ValueError(msg)  # noqa: TRY004 - the settings' own way to refuse a text
    for name, text in headers.items():
        if not name or not _is_name(name):
            msg = f"must have header names as its keys, not {name!r}"
            raise ValueError(msg)
        if name.lower() in _OWN_HEADERS:
            msg = f"must not set {name!r}, which is the bridge's own"
            raise ValueError(msg)
        if not isinstance(text, str) or not text.isascii() or not text.isprintable():
            msg = f"must have a text of visible ASCII characters as the value of {name!r}"
            raise ValueError(msg)
    return headers


def _is_name(name: str) -> bool:
    return all(char.isascii() and (char.isalnum() or char in _NAME_PUNCTUATION) for char in name)


SETTINGS = {
    "HOME_ASSISTANT_URL": ("url", _read_url, ""),
    "HOME_ASSISTANT_TOKEN": ("token", _read_token, None),
    "HOME_ASSISTANT_CA_FILE": ("ca_file", _read_file, None),
    "HOME_ASSISTANT_CERT_FINGERPRINT": ("fingerprint", _read_fingerprint, None),
    "HOME_ASSISTANT_CLIENT_CERT": ("client_cert", _read_file, None),
    "HOME_ASSISTANT_VERIFY_TLS": ("verify", _read_flag, True),
    "HOME_ASSISTANT_HEADERS": ("headers", _read_headers, None),
    "HOME_ASSISTANT_ALLOW_HTTP": ("allow_http", _read_flag, False),
}
"""Name of the environment variable: attribute of `Settings`, check, default."""


class Settings:
    """The settings in *environ*, checked all at once.

    ``problems`` lists what is wrong, a sentence each; while there is one, the bridge must not
    be used. ``warnings`` lists what works but deserves a look. An empty variable counts as unset.
    """

    url: str
    token: str | None
    ca_file: str | None
    fingerprint: str | None
    client_cert: str | None
    verify: bool
    headers: dict[str, str] | None
    allow_http: bool

    def __init__(self, environ: Mapping[str, str]) -> None:
        problems = []
        for name, (attribute, check, default) in SETTINGS.items():
            value = environ.get(name, "").strip()
            try:
                setattr(self, attribute, check(value) if value else default)
            except ValueError as error:
                setattr(self, attribute, default)
                problems.append(f"{name} {error}.")
        if not environ.get("HOME_ASSISTANT_URL", "").strip():
            problems.append(
                "HOME_ASSISTANT_URL is not set: name your home, as in https://home.example.org."
            )
        self.host = self.url.partition("://")[2]
        address = _split(self.host)[0]
        if self.url.startswith("http://") and not (self.allow_http or _is_loopback(address)):
            problems.append(
                "HOME_ASSISTANT_URL must begin with https://, since the token would travel in"
                " clear text; HOME_ASSISTANT_ALLOW_HTTP=1 permits it."
            )
        if self.ca_file and not self.verify:
            problems.append(
                "HOME_ASSISTANT_VERIFY_TLS=false contradicts HOME_ASSISTANT_CA_FILE: unset one."
            )
        self.problems = tuple(problems)
        self.warnings = tuple(self._warn(environ, address))

    def _warn(self, environ: Mapping[str, str], address: str) -> list[str]:
        warnings = []
        if not self.verify and not self.fingerprint:  # a pin alone also keeps strangers out
            warnings.append(
                "HOME_ASSISTANT_VERIFY_TLS=false: anybody on the way can read the tokens of your"
                " home and act as you. HOME_ASSISTANT_CA_FILE or HOME_ASSISTANT_CERT_FINGERPRINT"
                " trusts a private certificate safely."
            )
        if address and not _is_loopback(address) and _is_private(address):
            warnings.append(
                f"HOME_ASSISTANT_URL names {address}, which Lambda reaches only from inside your"
                " own network (VPC)."
            )
        unknown = sorted(name for name in environ if name.startswith(_PREFIX))
        warnings.extend(
            f"{name} is not a setting of the bridge and is ignored."
            for name in unknown
            if name not in SETTINGS
        )
        return warnings


def _is_loopback(address: str) -> bool:
    return address in ("localhost", "[::1]") or _octets(address)[:1] == [127]


def _is_private(address: str) -> bool:
    """Say whether *address* has a meaning only inside a home or a private network."""
    if address.startswith("["):
        return address.startswith(("[fc", "[fd", "[fe8", "[fe9", "[fea", "[feb"))
    if octets := _octets(address):
        first, second = octets[:2]
        return (
            first == 10  # noqa: PLR2004 - RFC 1918, 3927 and 6598 are written in these numbers
            or (first == 172 and 16 <= second < 32)  # noqa: PLR2004
            or (first, second) in ((192, 168), (169, 254))
            or (first == 100 and 64 <= second < 128)  # noqa: PLR2004
        )
    return "." not in address or address.endswith((".local", ".lan", ".internal", ".home.arpa"))


def _octets(address: str) -> list[int]:
    """Return the four numbers of an IPv4 address, or an empty list."""
    parts = address.split(".")
    if len(parts) == 4 and all(_is_number(part, 3) for part in parts):  # noqa: PLR2004
        return [int(part) for part in parts]
    return []
