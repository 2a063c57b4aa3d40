"""What the bridge takes for granted about Home Assistant, asked of a real one."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import LiveServer

    Directive = Callable[..., dict[str, Any]]

LIGHT = "light#kitchen_lights"
PATH = "/api/alexa/smart_home"


def test_discovers_the_devices(server: LiveServer, directive: Directive) -> None:
    answer = server.ask(directive("Discovery", "Discover"))
    assert (answer.status, answer.content_type) == (200, "application/json")
    assert answer.body["event"]["header"]["name"] == "Discover.Response"
    found = {each["endpointId"] for each in answer.body["event"]["payload"]["endpoints"]}
    assert {LIGHT, "climate#hvac", "lock#front_door", "light#offline_lamp"} <= found


def test_a_command_is_answered_with_the_correlation_token_and_then_acted_upon(
    server: LiveServer, directive: Directive, poll: Any, properties: Any
) -> None:
    for name, power in (("TurnOff", "OFF"), ("TurnOn", "ON")):
        message = directive("PowerController", name, LIGHT)
        answer = server.ask(message)
        header = answer.body["event"]["header"]
        assert (header["namespace"], header["name"]) == ("Alexa", "Response")
        assert header["correlationToken"] == message["directive"]["header"]["correlationToken"]
        report = directive("", "ReportState", LIGHT)
        state = poll(lambda report=report: properties(server.ask(report).body)["powerState"], power)
        assert state == power


def test_an_unknown_endpoint_is_an_answer(server: LiveServer, directive: Directive) -> None:
    answer = server.ask(directive("PowerController", "TurnOn", "light#nowhere"))
    assert answer.status == 200
    assert answer.body["event"]["payload"] == {
        "type": "NO_SUCH_ENDPOINT",
        "message": "The endpoint light#nowhere does not exist",
    }


def test_an_unavailable_device_is_no_error(
    server: LiveServer, directive: Directive, properties: Any
) -> None:
    answer = server.ask(directive("PowerController", "TurnOn", "light#offline_lamp"))
    assert answer.body["event"]["header"]["name"] == "Response"
    assert properties(answer.body)["connectivity"] == {"value": "UNREACHABLE"}


@pytest.mark.parametrize("kind", ["expired_token", "foreign_token", "deactivated_token", "garbage"])
def test_every_bad_token_looks_the_same(
    server: LiveServer, directive: Directive, kind: str
) -> None:
    token = server.tokens.get(kind, "garbage")
    answer = server.ask(directive("PowerController", "TurnOn", LIGHT), token)
    assert answer.status == 401
    assert answer.content_type == "text/plain; charset=utf-8"
    assert answer.body == "401: Unauthorized"


def test_a_read_only_user_gets_the_same_answer_without_effect(
    server: LiveServer, directive: Directive, properties: Any
) -> None:
    report = directive("", "ReportState", LIGHT)
    before = properties(server.ask(report).body)
    name = "TurnOff" if before["powerState"] == "ON" else "TurnOn"
    answer = server.ask(directive("PowerController", name, LIGHT), server.tokens["reader_token"])
    assert (answer.status, answer.body["event"]["header"]["name"]) == (200, "Response")
    assert properties(server.ask(report).body) == before


def test_accept_grant_is_accepted(server: LiveServer, directive: Directive) -> None:
    answer = server.ask(directive("Authorization", "AcceptGrant"))
    assert answer.body["event"]["header"]["name"] == "AcceptGrant.Response"


def test_answers_that_are_no_json(server: LiveServer) -> None:
    refused = {
        ("GET", PATH): (405, "405: Method Not Allowed"),
        ("POST", f"{PATH}/"): (404, "404: Not Found"),
        ("POST", f"/{PATH}"): (404, "404: Not Found"),
        ("POST", PATH): (500, "500 Internal Server Error\n\nServer got itself in trouble"),
    }
    for (method, path), expected in refused.items():
        answer = server.request(method, path, "{")
        assert (answer.status, answer.body) == expected
        assert answer.content_type == "text/plain; charset=utf-8"


def test_a_certificate_of_an_unknown_authority_is_refused(server: LiveServer) -> None:
    if server.ca_file is None:
        pytest.skip("over plain HTTP there is no certificate")
    connection = server.connect(ssl.create_default_context())
    with pytest.raises(ssl.SSLCertVerificationError, match="certificate verify failed"):
        connection.request("GET", "/api/")
    connection.close()
