"""The bridge against a real Home Assistant, run by the client that Lambda itself uses."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from gateway.cli.layout import lay_out
from gateway.cli.local_runtime import LocalRuntime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conftest import LiveServer

    Directive = Callable[..., dict[str, Any]]
    Start = Callable[..., LocalRuntime]

LIGHT = "light#ceiling_lights"


@pytest.fixture(scope="module")
def start(server: LiveServer, tmp_path_factory: pytest.TempPathFactory) -> Start:
    """Return a function that starts the bridge, laid out as in its zip, for a home at some URL."""
    task = tmp_path_factory.mktemp("function") / "task"
    lay_out(task, ["ha_extension", "gateway", "cores", "urllib3"])

    def run(url: str, ca_file: str | None = None) -> LocalRuntime:
        settings = {"HOME_ASSISTANT_URL": url}
        if ca_file:
            settings["HOME_ASSISTANT_CA_FILE"] = ca_file
        return LocalRuntime(task, "ha_extension.lambda_handler", environment=settings)

    return run


@pytest.fixture(scope="module")
def bridge(start: Start, server: LiveServer) -> Iterator[LocalRuntime]:
    with start(server.url, server.ca_file) as runtime:
        yield runtime


def call(bridge: LocalRuntime, message: dict[str, Any]) -> dict[str, Any]:
    result = bridge.invoke(message)
    assert result.error is None, (result.payload, *result.logs)
    secret = message["directive"]["payload"].get("scope", {}).get("token")
    secret = secret or message["directive"].get("endpoint", {}).get("scope", {}).get("token")
    assert secret is None or not any(secret in line for line in result.logs)
    answer: dict[str, Any] = result.json()
    return answer


def error(answer: dict[str, Any]) -> tuple[str, str]:
    header, payload = answer["event"]["header"], answer["event"]["payload"]
    return header["namespace"], payload["type"]


@pytest.mark.skipif(sys.platform != "linux", reason="the real one exists for Linux only")
def test_the_runtime_client_is_the_real_one(bridge: LocalRuntime) -> None:
    assert bridge.client == "awslambdaric"


def test_discovery_is_the_servers_own(
    bridge: LocalRuntime, server: LiveServer, directive: Directive
) -> None:
    message = directive("Discovery", "Discover", token=server.tokens["token"])
    answer = call(bridge, message)
    assert answer["event"]["header"]["name"] == "Discover.Response"
    endpoints = answer["event"]["payload"]["endpoints"]
    assert endpoints == server.ask(message).body["event"]["payload"]["endpoints"]
    assert LIGHT in {each["endpointId"] for each in endpoints}


def test_a_command_reaches_the_device(
    bridge: LocalRuntime, server: LiveServer, directive: Directive, poll: Any, properties: Any
) -> None:
    token = server.tokens["token"]
    report = directive("", "ReportState", LIGHT, token=token)
    for name, power in (("TurnOff", "OFF"), ("TurnOn", "ON")):
        message = directive("PowerController", name, LIGHT, token=token)
        answer = call(bridge, message)
        header = answer["event"]["header"]
        assert (header["namespace"], header["name"]) == ("Alexa", "Response")
        assert header["correlationToken"] == message["directive"]["header"]["correlationToken"]
        assert answer["event"]["endpoint"] == message["directive"]["endpoint"]
        assert poll(lambda: properties(call(bridge, report))["powerState"], power) == power


def test_brightness_is_set(
    bridge: LocalRuntime, server: LiveServer, directive: Directive, poll: Any, properties: Any
) -> None:
    token = server.tokens["token"]
    report = directive("", "ReportState", LIGHT, token=token)
    for brightness in (25, 75):
        message = directive(
            "BrightnessController", "SetBrightness", LIGHT, token=token, brightness=brightness
        )
        assert call(bridge, message)["event"]["header"]["name"] == "Response"
        assert call(bridge, report)["event"]["header"]["name"] == "StateReport"
        reported = poll(lambda: properties(call(bridge, report))["brightness"], brightness)
        assert reported == brightness


def test_accept_grant_reaches_the_server(
    bridge: LocalRuntime, server: LiveServer, directive: Directive
) -> None:
    answer = call(bridge, directive("Authorization", "AcceptGrant", token=server.tokens["token"]))
    assert answer["event"]["header"]["namespace"] == "Alexa.Authorization"
    assert answer["event"]["header"]["name"] == "AcceptGrant.Response"


def test_an_unknown_endpoint_is_the_servers_answer(
    bridge: LocalRuntime, server: LiveServer, directive: Directive
) -> None:
    message = directive("PowerController", "TurnOn", "light#nowhere", token=server.tokens["token"])
    answer, direct = call(bridge, message), server.ask(message).body
    answer["event"]["header"]["messageId"] = direct["event"]["header"]["messageId"]
    assert answer == direct
    assert error(answer) == ("Alexa", "NO_SUCH_ENDPOINT")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("expired_token", "EXPIRED_AUTHORIZATION_CREDENTIAL"),
        ("foreign_token", "INVALID_AUTHORIZATION_CREDENTIAL"),
        ("deactivated_token", "INVALID_AUTHORIZATION_CREDENTIAL"),
    ],
)
def test_a_token_that_the_server_refuses(
    bridge: LocalRuntime, server: LiveServer, directive: Directive, kind: str, expected: str
) -> None:
    message = directive("PowerController", "TurnOn", LIGHT, token=server.tokens[kind])
    answer = call(bridge, message)
    assert error(answer) == ("Alexa", expected)
    asked, answered = message["directive"], answer["event"]
    assert answered["header"]["correlationToken"] == asked["header"]["correlationToken"]
    assert answered["endpoint"]["endpointId"] == LIGHT


def test_a_server_of_an_unknown_authority_is_not_talked_to(
    start: Start, server: LiveServer, directive: Directive
) -> None:
    if server.ca_file is None:
        pytest.skip("over plain HTTP there is no certificate")
    with start(server.url) as distrusting:
        token = server.tokens["token"]
        result = distrusting.invoke(directive("PowerController", "TurnOn", LIGHT, token=token))
        assert error(result.json()) == ("Alexa", "BRIDGE_UNREACHABLE")
        assert any("certificate" in line for line in result.logs)
        result = distrusting.invoke(directive("Discovery", "Discover", token=token))
        assert result.json()["event"]["payload"] == {"endpoints": []}


def test_nobody_is_home(start: Start, directive: Directive) -> None:
    with start("http://127.0.0.1:9") as alone:
        answer = call(alone, directive("PowerController", "TurnOn", LIGHT))
    assert error(answer) == ("Alexa", "BRIDGE_UNREACHABLE")
