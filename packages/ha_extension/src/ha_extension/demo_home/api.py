"""What the demo home's HTTP interface answers: requests and answers as data, no sockets."""

from __future__ import annotations

import hmac
import json
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ha_extension.demo_home.devices import VERSION
from ha_extension.demo_home.home import MalformedMessageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ha_extension.demo_home.home import Home

BODY_LIMIT = 16 * 1024 * 1024  # bytes; Home Assistant's

_JSON = "application/json"

CONFIG = {
    "components": ["alexa", "api", "climate", "cover", "demo", "fan", "http", "light", "lock"],
    "country": "NL",
    "currency": "EUR",
    "language": "en",
    "location_name": "Demo home",
    "recovery_mode": False,
    "safe_mode": False,
    "state": "RUNNING",
    "time_zone": "UTC",
    "version": VERSION,
}


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request: `path` as it stands in the request line, header names in lower case."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer; `close` asks for the end of the connection."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)
    close: bool = False


FAILED = Answer(500, b"500 Internal Server Error\n\nServer got itself in trouble", close=True)
NO_LENGTH = Answer(411, b"411: Length Required", close=True)  # Home Assistant takes chunks as well
TOO_LARGE = Answer(413, b"413: Request Entity Too Large", close=True)


class Api:
    """Home Assistant's HTTP interface, as much of it as a bridge meets.

    A request with the right token and the right shape reaches the home; every other one gets the
    plain text and the status that Home Assistant gives it.
    """

    def __init__(self, home: Home, token: str) -> None:
        self._home = home
        self._authorization = f"Bearer {token}".encode()
        self._routes: dict[str, tuple[str, Callable[[bytes], Answer]]] = {
            "/api/": ("GET", lambda _body: _json({"message": "API running."})),
            "/api/alexa/smart_home": ("POST", self._smart_home),
            "/api/config": ("GET", lambda _body: _json(CONFIG)),
        }

    def answer(self, request: Request) -> Answer:
        """Return the answer to `request`. Never raises."""
        if "x-forwarded-for" in request.headers:
            return Answer(400, b"400: Bad Request")  # no proxy is trusted
        method, run = self._routes.get(request.path.partition("?")[0], ("", None))
        if run is None:
            return Answer(404, b"404: Not Found")
        if request.method != method:
            allow = ",".join(sorted((method, "OPTIONS")))
            return Answer(405, b"405: Method Not Allowed", headers={"Allow": allow})
        given = request.headers.get("authorization", "").encode(errors="replace")
        if not hmac.compare_digest(given, self._authorization):
            return Answer(401, b"401: Unauthorized")
        return _compressed(run(request.body), request.headers.get("accept-encoding", ""))

    def _smart_home(self, body: bytes) -> Answer:
        try:
            return _json(self._home.handle(json.loads(body)))
        except (MalformedMessageError, ValueError, RecursionError):
            return FAILED


def _json(value: object) -> Answer:
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return Answer(200, body.encode(errors="surrogatepass"), _JSON)


def _compressed(answer: Answer, accepted: str) -> Answer:
    """Compress an answer in JSON, with the coding that Home Assistant prefers: deflate."""
    codings = {"deflate": zlib.MAX_WBITS, "gzip": zlib.MAX_WBITS | 16}
    coding = next((each for each in codings if each in accepted.lower()), "")
    if not coding or answer.content_type != _JSON:
        return answer
    squeezed = zlib.compress(answer.body, wbits=codings[coding])
    headers = {**answer.headers, "Content-Encoding": coding}
    return Answer(answer.status, squeezed, answer.content_type, headers)
