"""The bridge in front of the demo home: a command and its effect, seen through Alexa's eyes."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from gateway.testing import LambdaContext
from ha_extension.client import build_handler
from ha_extension.demo_home import DemoHome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    Ask = Callable[..., dict[str, Any]]


@pytest.fixture
def demo() -> Iterator[DemoHome]:
    with DemoHome(token="owner") as demo:
        yield demo


@pytest.fixture
def ask(demo: DemoHome) -> Ask:
    """Return a function that sends one directive through the bridge and returns the answer."""
    handler = build_handler({"HOME_ASSISTANT_URL": demo.url}, time.perf_counter())

    def ask(
        namespace: str,
        name: str,
        endpoint_id: str | None = None,
        token: str = "owner",
        **payload: object,
    ) -> dict[str, Any]:
        header = {"namespace": namespace, "name": name, "messageId": "m-1", "payloadVersion": "3"}
        directive: dict[str, object] = {"header": header, "payload": payload}
        scope = {"type": "BearerToken", "token": token}
        if endpoint_id is None:
            directive["payload"] = {"scope": scope}
        else:
            header["correlationToken"] = f"for {name}"
            directive["endpoint"] = {"endpointId": endpoint_id, "scope": scope}
        answer = handler({"directive": directive}, LambdaContext())
        return json.loads(answer) if isinstance(answer, bytes) else answer

    return ask


def name_of(answer: dict[str, Any]) -> str:
    header = answer["event"]["header"]
    return f"{header['namespace']}.{header['name']}"


def state_of(answer: dict[str, Any]) -> dict[str, object]:
    return {item["name"]: item["value"] for item in answer["context"]["properties"]}


def test_a_discovered_lamp_is_switched_on_and_dimmed(ask: Ask) -> None:
    answer = ask("Alexa.Discovery", "Discover")
    assert name_of(answer) == "Alexa.Discovery.Discover.Response"
    lamp = "light#kitchen_lights"
    assert lamp in [endpoint["endpointId"] for endpoint in answer["event"]["payload"]["endpoints"]]
    answer = ask("Alexa.PowerController", "TurnOn", lamp)
    assert name_of(answer) == "Alexa.Response"
    assert answer["event"]["header"]["correlationToken"] == "for TurnOn"
    assert state_of(answer)["powerState"] == "ON"
    ask("Alexa.BrightnessController", "SetBrightness", lamp, brightness=40)
    answer = ask("Alexa", "ReportState", lamp)
    assert name_of(answer) == "Alexa.StateReport"
    assert state_of(answer)["brightness"] == 40


def test_an_unknown_endpoint_is_home_assistants_own_error(ask: Ask) -> None:
    answer = ask("Alexa.PowerController", "TurnOn", "light#nowhere")
    assert answer["event"]["payload"]["type"] == "NO_SUCH_ENDPOINT"
    assert answer["event"]["header"]["correlationToken"] == "for TurnOn"


def test_a_token_that_home_assistant_refuses_is_a_credential_error(ask: Ask) -> None:
    answer = ask("Alexa.PowerController", "TurnOn", "light#nowhere", token="revoked")
    assert answer["event"]["payload"]["type"] == "INVALID_AUTHORIZATION_CREDENTIAL"
    assert answer["event"]["endpoint"] == {"endpointId": "light#nowhere"}


def test_discovery_with_a_refused_token_finds_nothing(ask: Ask) -> None:
    answer = ask("Alexa.Discovery", "Discover", token="revoked")
    assert name_of(answer) == "Alexa.Discovery.Discover.Response"
    assert answer["event"]["payload"] == {"endpoints": []}
