"""What HTTP front ends and Alexa accept as an answer, built as plain data."""

from __future__ import annotations

import codecs
import json
import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cores.ports import Clock

_MAX_TEXT = 8000
_CARDS = ("Simple", "Standard", "LinkAccount", "AskForPermissionsConsent")
_UNREACHABLE = ("BRIDGE_UNREACHABLE", "ENDPOINT_UNREACHABLE")


class Responses:
    """Builds the answers of :class:`cores.lambda_.Lambda`. Keeps nothing between calls."""

    def __init__(self, *, clock: Clock = time.time) -> None:
        self._clock = clock

    def respond(
        self,
        kind: str,
        status: int = 200,
        body: object = None,
        headers: Mapping[str, object] | None = None,
        *,
        cookies: Sequence[str] = (),
        base64: bool = False,
    ) -> dict[str, object]:
        """Return the answer to an HTTP request that came as an event of *kind*.

        *kind* is "http_api", "function_url", "api_gateway", "alb", or "alb_multi_value" for a
        load balancer with multi-value headers. A *body* of text goes as it is, bytes go as
        base64, None as nothing, everything else as JSON; *base64* says that the text is base64
        of bytes already. ``content-type`` follows from the body unless *headers* has one.
        A header's value is text, a number, or a list of these; each of *cookies* is the value of
        one ``Set-Cookie``.
        Raises ``ValueError`` for a status outside 200 to 599, a line break in a header, and
        several values where the load balancer takes one; ``TypeError`` for what is no text.
        """
        if type(status) is bool or not isinstance(status, int):
            msg = f"status must be an int, not {status!r}"
            raise TypeError(msg)
        if not 200 <= status <= 599:  # noqa: PLR2004  the final statuses of HTTP
            msg = f"status must be from 200 to 599, not {status!r}"
            raise ValueError(msg)
        text, content_type, encoded = _body(body, base64=base64)
        values, set_cookie = _headers(headers, cookies)
        if content_type is not None and "content-type" not in map(str.lower, values):
            values["content-type"] = [content_type]
        response: dict[str, object] = {"statusCode": int(status)}
        if kind == "alb_multi_value":
            response["multiValueHeaders"] = _with_cookies(values, set_cookie)
        elif kind == "api_gateway":
            response["headers"] = {name: value[0] for name, value in values.items()}
            several = {name: value for name, value in values.items() if len(value) > 1}
            if several or set_cookie:
                response["multiValueHeaders"] = _with_cookies(several, set_cookie)
        else:
            if kind == "alb" and len(set_cookie) > 1:
                msg = (
                    "this load balancer takes one Set-Cookie in a response: "
                    "switch on multi-value headers in its target group"
                )
                raise ValueError(msg)
            if set_cookie and kind != "alb":
                response["cookies"] = set_cookie
            elif set_cookie:
                values["set-cookie"] = set_cookie
            response["headers"] = {name: ", ".join(value) for name, value in values.items()}
        response["body"] = text
        response["isBase64Encoded"] = encoded
        return response

    def alexa_response(
        self,
        speech: str | None = None,
        *,
        ssml: str | None = None,
        reprompt: str | None = None,
        card: Mapping[str, object] | None = None,
        end_session: bool | None = None,
        session: Mapping[str, object] | None = None,
        directives: Sequence[Mapping[str, object]] | None = None,
    ) -> dict[str, object]:
        """Return a custom skill's response.

        *speech* is text, said as it is, so nothing in it needs escaping; *ssml* is markup, with
        or without ``<speak>`` around it; *reprompt* is text, or markup inside ``<speak>``. Each
        holds at most 8,000 characters, and so does a card. *card* and *directives* are as in
        Alexa's reference, *session* becomes the session attributes.
        *end_session* None means: open with a reprompt, ended after speech without one, and left
        out when nothing is said, as ``SessionEndedRequest`` and some directives demand.
        Raises ``ValueError`` for both *speech* and *ssml*, for too long a text, for a reprompt
        in a session that ends, and for an unknown type of card.
        Source: Alexa Skills Kit, Request and Response JSON Reference.
        """
        if reprompt is not None and end_session:
            msg = "a reprompt needs an open session: leave end_session out, or give no reprompt"
            raise ValueError(msg)
        response: dict[str, object] = {}
        if speech is not None or ssml is not None:
            response["outputSpeech"] = _output_speech(speech, ssml)
        if reprompt is not None:
            markup = isinstance(reprompt, str) and reprompt.startswith("<speak>")
            response["reprompt"] = {"outputSpeech": _speech("reprompt", reprompt, markup=markup)}
        if card is not None:
            response["card"] = _card(card)
        if directives:
            response["directives"] = [dict(directive) for directive in directives]
        if end_session is not None:
            response["shouldEndSession"] = bool(end_session)
        elif "outputSpeech" in response or reprompt is not None:
            response["shouldEndSession"] = reprompt is None
        answer: dict[str, object] = {"version": "1.0", "response": response}
        if session is not None:
            answer["sessionAttributes"] = dict(session)
        return answer

    def alexa_error_response(
        self,
        event: object,
        type: str,  # noqa: A002  Alexa's word
        message: str,
        *,
        namespace: str = "Alexa",
        payload: Mapping[str, object] | None = None,
    ) -> dict[str, object]:
        """Return the complete Smart Home answer to the directive *event*, which failed.

        As Alexa wants it: an empty ``Discover.Response`` for Discovery, ``ACCEPT_GRANT_FAILED``
        for AcceptGrant, a ``StateReport`` that says UNREACHABLE when state was asked for and
        *type* is BRIDGE_UNREACHABLE or ENDPOINT_UNREACHABLE, and else an ``ErrorResponse`` of
        *type* in *namespace*. *payload* adds what a type needs, such as ``validRange``.
        *message* is for logs, customers do not hear it. However malformed *event* is, the answer
        is complete; of the directive's endpoint it holds the id, never the token.
        INVALID_ and EXPIRED_AUTHORIZATION_CREDENTIAL make Alexa delete the account link.
        Source: Alexa Smart Home API, ``Alexa.ErrorResponse``, ``Alexa.EndpointHealth``.
        """
        for name, value in (("type", type), ("message", message), ("namespace", namespace)):
            if not isinstance(value, str) or not value:
                msg = f"{name} must be a text that is not empty, not {value!r}"
                raise TypeError(msg)
        directive = _member(event, "directive")
        header = _member(directive, "header")
        asked = header.get("namespace")
        endpoint_id = _member(directive, "endpoint").get("endpointId")
        has_endpoint = isinstance(endpoint_id, str) and endpoint_id != ""
        name = "ErrorResponse"
        details: dict[str, object] = {**(payload or {}), "type": type, "message": message}
        answer: dict[str, object] = {}
        if asked == "Alexa.Discovery":
            namespace, name, details = "Alexa.Discovery", "Discover.Response", {"endpoints": []}
            has_endpoint = False
        elif asked == "Alexa.Authorization":
            namespace, details["type"] = "Alexa.Authorization", "ACCEPT_GRANT_FAILED"
            has_endpoint = False
        elif header.get("name") == "ReportState" and type in _UNREACHABLE and has_endpoint:
            namespace, name, details = "Alexa", "StateReport", {}
            answer["context"] = {"properties": [self._unreachable()]}
        answer_header = {
            "namespace": namespace,
            "name": name,
            "messageId": _uuid4(),
            "payloadVersion": "3",
        }
        token = header.get("correlationToken")
        if isinstance(token, str) and token:
            answer_header["correlationToken"] = token
        answer["event"] = {
            "header": answer_header,
            **({"endpoint": {"endpointId": endpoint_id}} if has_endpoint else {}),
            "payload": details,
        }
        return answer

    def _unreachable(self) -> dict[str, object]:
        now = self._clock()
        moment = time.gmtime(now)
        return {
            "namespace": "Alexa.EndpointHealth",
            "name": "connectivity",
            "value": {"value": "UNREACHABLE"},
            "timeOfSample": time.strftime("%Y-%m-%dT%H:%M:%S", moment)
            + f".{int(now % 1 * 1000):03}Z",
            "uncertaintyInMilliseconds": 0,
        }


def _body(body: object, *, base64: bool) -> tuple[str, str | None, bool]:
    """Return the body as text, its content type, and whether the text is base64."""
    if isinstance(body, (bytes, bytearray, memoryview)):
        # The codec loads binascii at the first binary body, not before.
        text = codecs.encode(body, "base64").decode("ascii").replace("\n", "")
        return text, "application/octet-stream", True
    if isinstance(body, str):
        return body, "application/octet-stream" if base64 else "text/plain; charset=utf-8", base64
    if base64:
        msg = f"base64=True goes with a body that is base64 text, not with {type(body).__name__}"
        raise TypeError(msg)
    if body is None:
        return "", None, False
    return json.dumps(body, allow_nan=False, separators=(",", ":")), "application/json", False


def _headers(
    headers: Mapping[str, object] | None, cookies: Sequence[str]
) -> tuple[dict[str, list[str]], list[str]]:
    """Return each header's values, and apart from them the values of ``Set-Cookie``."""
    if isinstance(cookies, str):
        msg = "cookies must be a list of texts, one for each Set-Cookie, not one text"
        raise TypeError(msg)
    values: dict[str, list[str]] = {}
    set_cookie: list[str] = []
    for name, value in (headers or {}).items():
        items = value if isinstance(value, (list, tuple)) else [value]
        texts = [_line(name, item) for item in items]
        if texts and name.lower() == "set-cookie":
            set_cookie += texts
        elif texts:
            values[name] = texts
    return values, set_cookie + [_line("Set-Cookie", cookie) for cookie in cookies]


def _line(name: object, value: object) -> str:
    if not isinstance(name, str) or not name or not name.isascii() or not name.isprintable():
        msg = f"a header's name must be printable ASCII text, not {name!r}"
        raise TypeError(msg)
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        msg = (
            f"header {name!r} must be text, a number or a list of these, not {type(value).__name__}"
        )
        raise TypeError(msg)
    text = str(value)
    if any(character in text for character in "\r\n\0"):
        msg = f"header {name!r} must not contain a line break"
        raise ValueError(msg)
    return text


def _with_cookies(values: dict[str, list[str]], set_cookie: list[str]) -> dict[str, list[str]]:
    return {**values, "set-cookie": set_cookie} if set_cookie else values


def _output_speech(speech: object, ssml: object) -> dict[str, str]:
    if ssml is None:
        return _speech("speech", speech, markup=False)
    if speech is None:
        return _speech("ssml", ssml, markup=True)
    msg = "give speech (text) or ssml (markup), not both"
    raise ValueError(msg)


def _speech(name: str, text: object, *, markup: bool) -> dict[str, str]:
    if not isinstance(text, str):
        msg = f"{name} must be text, not {type(text).__name__}"
        raise TypeError(msg)
    if markup and not text.lstrip().startswith("<speak"):
        text = f"<speak>{text}</speak>"
    if len(text) > _MAX_TEXT:
        msg = f"{name} must have at most {_MAX_TEXT} characters, not {len(text)}; shorten it"
        raise ValueError(msg)
    return {"type": "SSML", "ssml": text} if markup else {"type": "PlainText", "text": text}


def _card(card: Mapping[str, object]) -> dict[str, object]:
    if card.get("type") not in _CARDS:
        msg = f"card type must be one of {', '.join(_CARDS)}, not {card.get('type')!r}"
        raise ValueError(msg)
    size = sum(len(str(card.get(part, ""))) for part in ("title", "content", "text"))
    if size > _MAX_TEXT:
        msg = f"a card must have at most {_MAX_TEXT} characters, not {size}; shorten it"
        raise ValueError(msg)
    return dict(card)


def _member(value: object, name: str) -> dict[str, object]:
    """Return the object called *name* inside *value*; an empty one when there is none."""
    member = value.get(name) if isinstance(value, dict) else None
    return member if isinstance(member, dict) else {}


def _uuid4() -> str:
    raw = bytearray(os.urandom(16))
    raw[6] = raw[6] & 0x0F | 0x40
    raw[8] = raw[8] & 0x3F | 0x80
    text = raw.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
