"""The live server and the directives that the tests send it."""

from __future__ import annotations

import http.client
import json
import os
import ssl
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    content_type: str
    body: Any


class LiveServer:
    """A running Home Assistant, or whatever else speaks as it does."""

    def __init__(self, url: str, tokens: dict[str, str], ca_file: str | None = None) -> None:
        self.url = url
        self.tokens = tokens
        self.ca_file = ca_file
        self._trust = ssl.create_default_context(cafile=ca_file) if ca_file else None

    def connect(self, trust: ssl.SSLContext | None = None) -> http.client.HTTPConnection:
        scheme, _, address = self.url.partition("://")
        if scheme == "http":
            return http.client.HTTPConnection(address, timeout=10)
        return http.client.HTTPSConnection(address, timeout=10, context=trust or self._trust)

    def request(
        self, method: str, path: str, body: str | None = None, token: str | None = None
    ) -> Answer:
        connection = self.connect()
        authorization = f"Bearer {self.tokens['token'] if token is None else token}"
        try:
            connection.request(method, path, body, {"Authorization": authorization})
            response = connection.getresponse()
            text = response.read().decode()
        finally:
            connection.close()
        content_type = response.headers["Content-Type"]
        found = json.loads(text) if content_type == "application/json" else text
        return Answer(response.status, content_type, found)

    def ask(self, message: Json, token: str | None = None) -> Answer:
        return self.request("POST", "/api/alexa/smart_home", json.dumps(message), token)


@pytest.fixture(scope="session")
def server() -> LiveServer:
    if "HA_URL" not in os.environ:
        pytest.skip("HA_URL is not set: `python3 dev.py live` starts a Home Assistant and sets it")
    tokens = json.loads(Path(os.environ["HA_TOKENS_FILE"]).read_text())
    return LiveServer(os.environ["HA_URL"], tokens, os.environ.get("HA_CA_FILE"))


@pytest.fixture(scope="session")
def version(server: LiveServer) -> str:
    found: str = server.request("GET", "/api/config").body["version"]
    return found


@pytest.fixture(scope="session")
def directive() -> Callable[..., Json]:
    """Return the builder of directives."""

    def build(
        interface: str,
        name: str,
        endpoint: str | None = None,
        *,
        token: str = "TOKEN",
        instance: str | None = None,
        **payload: Any,
    ) -> Json:
        message_id = str(uuid.uuid4())
        header = {
            "namespace": f"Alexa.{interface}" if interface else "Alexa",
            "name": name,
            "payloadVersion": "3",
            "messageId": message_id,
        }
        scope = {"type": "BearerToken", "token": token}
        found: Json = {"header": header, "payload": payload}
        if instance:
            header["instance"] = instance
        if endpoint:
            header["correlationToken"] = f"correlation of {message_id}"
            found["endpoint"] = {"scope": scope, "endpointId": endpoint, "cookie": {}}
        elif name == "AcceptGrant":
            grant = {"type": "OAuth2.AuthorizationCode", "code": "CODE"}
            found["payload"] = {"grant": grant, "grantee": scope}
        else:
            found["payload"] = {"scope": scope}
        return {"directive": found}

    return build


@pytest.fixture(scope="session")
def poll() -> Callable[[Callable[[], Any], Any], Any]:
    """Return a function that asks until the answer is the expected one, or for five seconds.

    Home Assistant answers a command before its devices have acted.
    """

    def ask(question: Callable[[], Any], expected: Any) -> Any:
        limit = time.monotonic() + 5
        while (answer := question()) != expected and time.monotonic() < limit:
            time.sleep(0.05)
        return answer

    return ask


@pytest.fixture(scope="session")
def properties() -> Callable[[Json], Json]:
    """Return the reader of an answer's properties: name to value."""
    return lambda body: {each["name"]: each["value"] for each in body["context"]["properties"]}
