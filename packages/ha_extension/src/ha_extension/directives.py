"""Alexa's directives as requests to Home Assistant, and its answers checked: data only, no I/O."""

from __future__ import annotations

import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeGuard

PATH = "/api/alexa/smart_home"
MAX_DIRECTIVE = 256 * 1024
"""Bytes. Real directives stay under a few kB; Alexa's largest documented message has 256 kB."""
MAX_ANSWER = 6 * 1024 * 1024
"""Bytes: what Lambda hands on as the result of a synchronous invocation."""

_LONGEST_NAME = 256  # it goes into log lines
_HEADER = ("namespace", "name", "messageId", "payloadVersion")


def _refuse_constant(name: str) -> object:
    msg = f"{name} is not JSON"
    raise ValueError(msg)


# Made once: json.dumps and json.loads with options make a new coder for each call.
# Escaped to ASCII, so that a lone surrogate in a directive cannot stop it from being sent.
_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
_decode = json.JSONDecoder(parse_constant=_refuse_constant).decode


def is_directive(event: object) -> TypeGuard[dict[str, Any]]:
    """Say whether *event* claims to be a smart-home directive."""
    return isinstance(event, dict) and "directive" in event


def read_name(event: dict[str, Any]) -> str | None:
    """Return ``"<namespace>.<name>"`` of a directive, or None when its header is malformed.

    Names are open-ended: what is not known here is for Home Assistant to judge.
    """
    directive = event["directive"]
    header = directive.get("header") if isinstance(directive, dict) else None
    if not isinstance(header, dict):
        return None
    namespace, name = header.get("namespace"), header.get("name")
    if not (isinstance(namespace, str) and isinstance(name, str) and namespace and name):
        return None
    full_name = f"{namespace}.{name}"
    return full_name if len(full_name) <= _LONGEST_NAME else None


def read_token(event: dict[str, Any]) -> str | None:
    """Return the bearer token of a directive that has a header, or None when it carries none.

    Control directives and ReportState have it in ``endpoint.scope``, AcceptGrant in
    ``payload.grantee``, Discovery in ``payload.scope``.
    """
    directive = event["directive"]
    endpoint, payload = directive.get("endpoint"), directive.get("payload")
    for holder, key in ((endpoint, "scope"), (payload, "grantee"), (payload, "scope")):
        scope = holder.get(key) if isinstance(holder, dict) else None
        token = scope.get("token") if isinstance(scope, dict) else None
        if isinstance(token, str) and (token := token.strip()):
            return token
    return None


def is_bearer(token: str) -> bool:
    """Say whether *token* can stand in an Authorization header: visible ASCII, no blanks."""
    return token.isascii() and token.isprintable() and " " not in token


def write_body(event: dict[str, Any]) -> bytes:
    """Return the body of the request that forwards *event*: the whole of it, compactly.

    Raises ``TypeError``, ``ValueError`` or ``RecursionError`` for what is not JSON.
    """
    return _encode(event).encode("ascii")


def check_answer(body: bytes) -> str | None:
    """Return why *body* is no answer to a directive, in words, or None when it is one.

    Only what Alexa cannot do without is asked for, since Home Assistant's own answers do not
    always keep to Amazon's published schema and Alexa takes them all the same.
    """
    try:
        answer = _decode(body.decode())
    except RecursionError:
        return "nested too deeply"
    except ValueError:
        return "not JSON in UTF-8" if body else "empty"
    event = answer.get("event") if isinstance(answer, dict) else None
    if not isinstance(event, dict):
        return "without an event"
    header = event.get("header")
    if not isinstance(header, dict):
        return "without a header"
    for key in _HEADER:
        if not isinstance(header.get(key), str):
            return f"without {key} in its header"
    if not isinstance(event.get("payload"), dict):
        return "without a payload"
    return None
