"""Failures as complete Alexa errors: data only, no I/O.

The types follow one rule: INVALID_ and EXPIRED_AUTHORIZATION_CREDENTIAL make Alexa delete the
account link, so they are sent only when Home Assistant itself refused the directive's own token.
"""

from __future__ import annotations

import codecs
import json
import time

from gateway import (
    CircuitOpenError,
    ConfigurationError,
    ConnectError,
    DeadlineError,
    GatewayError,
    ProtocolError,
    TlsError,
    TooLargeError,
    TransferError,
)
from ha_extension.directives import MAX_ANSWER, MAX_DIRECTIVE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

UNREACHABLE = "BRIDGE_UNREACHABLE"
INTERNAL = "INTERNAL_ERROR"


class Fault:
    """One way to fail.

    ``kind`` is the word for it in logs, ``type`` Alexa's error type, ``message`` what happened
    and what to do about it, without anything that was received.
    """

    __slots__ = ("kind", "message", "type")

    def __init__(self, kind: str, type: str, message: str) -> None:  # noqa: A002 - Alexa's name
        self.kind = kind
        self.type = type
        self.message = message


class Failure(GatewayError):  # noqa: N818 - an answer to Alexa, not an error of the program
    """A directive could not be answered because of *cause*; *details* are for the log line."""

    def __init__(self, cause: Fault, **details: object) -> None:
        super().__init__(cause.kind)
        self.cause = cause
        self.details = details


class ShortDeadlineError(DeadlineError):
    """The home did not answer, but had less time than a healthy one may need."""


NOT_CONFIGURED = Fault(
    "not_configured",
    INTERNAL,
    "The bridge is not configured: its log lists every setting that is wrong.",
)
MALFORMED = Fault(
    "malformed_directive",
    "INVALID_DIRECTIVE",
    "The directive has no header with a namespace and a name, or holds what is not JSON.",
)
OVERSIZED = Fault(
    "oversized_directive",
    "INVALID_DIRECTIVE",
    f"The directive is larger than {MAX_DIRECTIVE} bytes and was not forwarded.",
)
NO_TOKEN = Fault(
    "no_token",
    "INVALID_DIRECTIVE",
    "The directive carries no token that can be sent. Link the account in the Alexa app;"
    " for tests from the console, set HOME_ASSISTANT_TOKEN.",
)
NO_TIME = Fault(
    "no_time",
    UNREACHABLE,
    "No time was left to ask Home Assistant. Give the function a timeout of 8 seconds or more.",
)

_ERRORS = (
    (
        CircuitOpenError,
        Fault(
            "circuit_open",
            UNREACHABLE,
            "Home Assistant failed to answer several times in a row; it is asked again in seconds.",
        ),
    ),
    (
        TlsError,
        Fault(
            "tls",
            UNREACHABLE,
            "The certificate of Home Assistant could not be trusted, so nothing was sent."
            " Renew it, or name its authority in HOME_ASSISTANT_CA_FILE.",
        ),
    ),
    (
        ConnectError,
        Fault(
            "connect",
            UNREACHABLE,
            "No connection to Home Assistant came about."
            " Check its address in HOME_ASSISTANT_URL and that it can be reached from outside.",
        ),
    ),
    (
        DeadlineError,
        Fault("deadline", UNREACHABLE, "Home Assistant did not answer within Alexa's time."),
    ),
    (
        TransferError,
        Fault("transfer", UNREACHABLE, "The connection to Home Assistant broke off."),
    ),
    (
        ProtocolError,
        Fault("protocol", UNREACHABLE, "What answered does not speak HTTP, or stopped halfway."),
    ),
    (
        TooLargeError,
        Fault(
            "oversized_answer",
            INTERNAL,
            f"The answer of Home Assistant is larger than {MAX_ANSWER} bytes.",
        ),
    ),
    (
        ConfigurationError,
        Fault("configuration", INTERNAL, "The bridge is not installed completely: see its log."),
    ),
)
_UNEXPECTED = Fault("unexpected", INTERNAL, "The bridge failed: see its log.")

_REDIRECT = Fault(
    "redirect",
    UNREACHABLE,
    "HOME_ASSISTANT_URL leads to a redirect, which is not followed."
    " Name the address that it leads to, or let /api pass the login in front of Home Assistant.",
)
_GATEWAY = Fault(
    "proxy", UNREACHABLE, "The proxy or tunnel in front of Home Assistant cannot reach it."
)
_STATUS = {
    400: Fault(
        "bad_request",
        INTERNAL,
        "Home Assistant refused the request: usually its proxy is missing from"
        " http.trusted_proxies.",
    ),
    403: Fault(
        "forbidden",
        UNREACHABLE,
        "Blocked before Home Assistant looked at the directive:"
        " a firewall or bot rule of the proxy, or an IP ban of Home Assistant.",
    ),
    404: Fault(
        "not_found",
        UNREACHABLE,
        "Home Assistant does not offer its Alexa interface: alexa: smart_home: is missing from its"
        " configuration, it is still starting, or HOME_ASSISTANT_URL is not its address.",
    ),
    429: Fault(
        "rate_limit", "RATE_LIMIT_EXCEEDED", "Home Assistant or its proxy asks for a pause."
    ),
    500: Fault("server_error", INTERNAL, "Home Assistant failed: see its own log."),
    502: _GATEWAY,
    503: _GATEWAY,
    504: _GATEWAY,
} | dict.fromkeys(range(520, 531), _GATEWAY)
_OTHER_STATUS = Fault(
    "unexpected_status", INTERNAL, "What answered is not Home Assistant's Alexa interface."
)

_TOKEN_INVALID = Fault(
    "unauthorized",
    "INVALID_AUTHORIZATION_CREDENTIAL",
    "Home Assistant does not know the token of this account link. Link the account again.",
)
_TOKEN_EXPIRED = Fault(
    "unauthorized",
    "EXPIRED_AUTHORIZATION_CREDENTIAL",
    "The token of this account link has expired. Link the account again.",
)
_CONFIGURED_TOKEN_INVALID = Fault(
    "configured_token",
    INTERNAL,
    "Home Assistant does not know HOME_ASSISTANT_TOKEN. Create a new long-lived token.",
)
_PROXY_UNAUTHORIZED = Fault(
    "proxy_unauthorized",
    UNREACHABLE,
    "A proxy in front of Home Assistant wants credentials of its own:"
    " name them in HOME_ASSISTANT_HEADERS, or let /api pass.",
)


_URL_SAFE = {ord("-"): "+", ord("_"): "/"}


def fault_of_error(error: Exception) -> Fault:
    """Return the fault that *error*, raised by the gateway's HTTP client, stands for."""
    for kind, fault in _ERRORS:
        if isinstance(error, kind):
            return fault
    return _UNEXPECTED


def fault_of_status(
    status: int, headers: Mapping[str, str], body: bytes, token: str, *, is_configured: bool
) -> Fault:
    """Return the fault that an answer with a *status* other than 200 stands for.

    *token* is the one that was sent; *is_configured* tells that it came from the settings.
    """
    if status == 401:  # noqa: PLR2004 - HTTP's own numbers are the clearest names
        if not _is_home_assistant(headers, body):
            return _PROXY_UNAUTHORIZED
        if is_configured:
            return _CONFIGURED_TOKEN_INVALID
        return _TOKEN_EXPIRED if has_expired(token, time.time()) else _TOKEN_INVALID
    if 300 <= status < 400:  # noqa: PLR2004
        return _REDIRECT
    return _STATUS.get(status, _OTHER_STATUS)


def fault_of_answer(reason: str) -> Fault:
    """Return the fault of an answer with status 200 that is no answer, for *reason*."""
    return Fault(
        "nonsense",
        INTERNAL,
        f"What answered is {reason}: not an answer of Home Assistant to a directive.",
    )


def _is_home_assistant(headers: Mapping[str, str], body: bytes) -> bool:
    """Say whether a 401 is Home Assistant's own, which has this text and no challenge."""
    return (
        body.strip() == b"401: Unauthorized"
        and headers.get("Content-Type", "").startswith("text/plain")
        and "WWW-Authenticate" not in headers
    )


def has_expired(token: str, now: float) -> bool:
    """Say whether *token* is a JWT whose ``exp`` lies before *now*; anything else has not.

    The signature is not looked at: Home Assistant has already refused the token.
    """
    try:
        claims = token.split(".")[1].translate(_URL_SAFE).encode()
        # By codec name, because importing base64 would cost every cold start for this rare case.
        return bool(json.loads(codecs.decode(claims + b"===", "base64"))["exp"] < now)
    except (ValueError, LookupError, TypeError, RecursionError):
        return False
