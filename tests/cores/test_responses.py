"""Answers to HTTP front ends and to Alexa."""

import base64
import json
import re
from http import HTTPStatus
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cores.responses import Responses

HTTP_KINDS = ["http_api", "function_url", "api_gateway", "alb", "alb_multi_value"]
BUILD = Responses(clock=lambda: 1_700_000_000.25)


def directive(
    namespace: str = "Alexa.PowerController", name: str = "TurnOn", **changes: object
) -> dict[str, Any]:
    header = {
        "namespace": namespace,
        "name": name,
        "payloadVersion": "3",
        "messageId": "of-the-directive",
        "correlationToken": "token==",
        **changes,
    }
    scope = {"type": "BearerToken", "token": "secret"}
    endpoint = {"endpointId": "light#kitchen", "scope": scope, "cookie": {}}
    return {"directive": {"header": header, "endpoint": endpoint, "payload": {}}}


# HTTP


@pytest.mark.parametrize("kind", ["http_api", "function_url"])
def test_payload_2_has_cookies_apart_and_joins_headers(kind: str) -> None:
    answer = BUILD.respond(kind, 200, "hi", {"X-A": ["1", 2], "X-B": 1.5}, cookies=["a=1", "b=2"])
    assert answer == {
        "statusCode": 200,
        "headers": {"X-A": "1, 2", "X-B": "1.5", "content-type": "text/plain; charset=utf-8"},
        "cookies": ["a=1", "b=2"],
        "body": "hi",
        "isBase64Encoded": False,
    }


def test_rest_has_multi_value_headers_for_what_comes_several_times() -> None:
    answer = BUILD.respond("api_gateway", 200, "hi", {"X-A": ["1", "2"]}, cookies=["a=1", "b=2"])
    assert answer == {
        "statusCode": 200,
        "headers": {"X-A": "1", "content-type": "text/plain; charset=utf-8"},
        "multiValueHeaders": {"X-A": ["1", "2"], "set-cookie": ["a=1", "b=2"]},
        "body": "hi",
        "isBase64Encoded": False,
    }


def test_rest_without_repetition_has_headers_alone() -> None:
    answer = BUILD.respond("api_gateway", 204, None, {"X-A": "1", "X-B": []})
    assert answer == {
        "statusCode": 204,
        "headers": {"X-A": "1"},
        "body": "",
        "isBase64Encoded": False,
    }


def test_load_balancer_has_headers_alone() -> None:
    answer = BUILD.respond("alb", 200, {"a": 1}, {"X-A": ["1", "2"]}, cookies=["a=1"])
    assert answer == {
        "statusCode": 200,
        "headers": {"X-A": "1, 2", "content-type": "application/json", "set-cookie": "a=1"},
        "body": '{"a":1}',
        "isBase64Encoded": False,
    }


def test_load_balancer_cannot_send_two_cookies() -> None:
    message = (
        "^this load balancer takes one Set-Cookie in a response: "
        "switch on multi-value headers in its target group$"
    )
    with pytest.raises(ValueError, match=message):
        BUILD.respond("alb", cookies=["a=1", "b=2"])


def test_load_balancer_with_multi_value_headers_has_lists_alone() -> None:
    answer = BUILD.respond("alb_multi_value", 200, "hi", {"X-A": "1"}, cookies=["a=1", "b=2"])
    assert answer == {
        "statusCode": 200,
        "multiValueHeaders": {
            "X-A": ["1"],
            "content-type": ["text/plain; charset=utf-8"],
            "set-cookie": ["a=1", "b=2"],
        },
        "body": "hi",
        "isBase64Encoded": False,
    }


def test_set_cookie_among_the_headers_is_a_cookie() -> None:
    answer = BUILD.respond("http_api", headers={"Set-Cookie": ["a=1", "b=2"]}, cookies=("c=3",))
    assert answer["headers"] == {}
    assert answer["cookies"] == ["a=1", "b=2", "c=3"]


def test_content_type_of_the_caller_wins_in_any_letter_case() -> None:
    answer = BUILD.respond(
        "http_api", body=[1], headers={"CONTENT-TYPE": "application/problem+json"}
    )
    assert answer["headers"] == {"CONTENT-TYPE": "application/problem+json"}


@pytest.mark.parametrize("body", [b"\x00\xff", bytearray(b"\x00\xff"), memoryview(b"\x00\xff")])
def test_bytes_leave_as_base64(body: Any) -> None:
    answer = BUILD.respond("function_url", 200, body)
    assert answer["body"] == "AP8="
    assert answer["isBase64Encoded"] is True
    assert answer["headers"] == {"content-type": "application/octet-stream"}


def test_text_may_be_base64_already() -> None:
    answer = BUILD.respond("function_url", 200, "AP8=", base64=True)
    assert answer["body"] == "AP8="
    assert answer["isBase64Encoded"] is True
    assert answer["headers"] == {"content-type": "application/octet-stream"}


@given(st.binary(max_size=200))
def test_bytes_survive_the_way(body: Any) -> None:
    assert base64.b64decode(BUILD.respond("alb", 200, body)["body"], validate=True) == body


@given(
    st.sampled_from(HTTP_KINDS),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=6,
    ),
)
def test_every_body_is_a_string_and_json_survives(kind: str, value: object) -> None:
    answer = BUILD.respond(kind, 200, {"value": value})
    assert json.loads(answer["body"]) == {"value": value}
    assert json.loads(json.dumps(answer)) == answer


def test_status_may_be_an_enumeration_member() -> None:
    status = BUILD.respond("http_api", HTTPStatus.CREATED)["statusCode"]
    assert (type(status), status) == (int, 201)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"status": "200"}, TypeError, "status must be an int, not '200'"),
        ({"status": True}, TypeError, "status must be an int, not True"),
        ({"status": 99}, ValueError, "status must be from 200 to 599, not 99"),
        ({"status": 600}, ValueError, "status must be from 200 to 599, not 600"),
        (
            {"body": {}, "base64": True},
            TypeError,
            "base64=True goes with a body that is base64 text, not with dict",
        ),
        (
            {"cookies": "a=1"},
            TypeError,
            "cookies must be a list of texts, one for each Set-Cookie, not one text",
        ),
        (
            {"headers": {"X-A": "1\r\nX-B: 2"}},
            ValueError,
            "header 'X-A' must not contain a line break",
        ),
        ({"cookies": ["a\n"]}, ValueError, "header 'Set-Cookie' must not contain a line break"),
        (
            {"headers": {"X-A": None}},
            TypeError,
            "header 'X-A' must be text, a number or a list of these, not NoneType",
        ),
        (
            {"headers": {"X-A": True}},
            TypeError,
            "header 'X-A' must be text, a number or a list of these, not bool",
        ),
        ({"headers": {"": "x"}}, TypeError, "a header's name must be printable ASCII text, not ''"),
        ({"headers": {3: "x"}}, TypeError, "a header's name must be printable ASCII text, not 3"),
        ({"body": {1, 2}}, TypeError, "Object of type set is not JSON serializable"),
    ],
)
def test_respond_refuses(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        BUILD.respond("http_api", **arguments)


def test_respond_refuses_what_json_cannot_hold() -> None:
    message = "^Out of range float values are not JSON compliant"
    with pytest.raises(ValueError, match=message):
        BUILD.respond("http_api", body={"a": float("nan")})


# Custom skills


def test_a_skill_that_says_nothing_leaves_the_response_empty() -> None:
    assert BUILD.alexa_response() == {"version": "1.0", "response": {}}


def test_speech_alone_is_plain_text_and_ends_the_session() -> None:
    assert BUILD.alexa_response("Tom & <Jerry>") == {
        "version": "1.0",
        "response": {
            "outputSpeech": {"type": "PlainText", "text": "Tom & <Jerry>"},
            "shouldEndSession": True,
        },
    }


def test_a_reprompt_keeps_the_session_open() -> None:
    answer = BUILD.alexa_response("Which room?", reprompt="Which room, please?")
    assert answer["response"]["reprompt"] == {
        "outputSpeech": {"type": "PlainText", "text": "Which room, please?"}
    }
    assert answer["response"]["shouldEndSession"] is False


def test_a_reprompt_may_be_markup() -> None:
    answer = BUILD.alexa_response("Well?", reprompt="<speak>Well<break/>?</speak>")
    assert answer["response"]["reprompt"] == {
        "outputSpeech": {"type": "SSML", "ssml": "<speak>Well<break/>?</speak>"}
    }


@pytest.mark.parametrize("markup", ["Hi<break/>", "<speak>Hi<break/></speak>"])
def test_markup_stands_inside_one_speak_element(markup: str) -> None:
    answer = BUILD.alexa_response(ssml=markup)
    assert answer["response"]["outputSpeech"] == {
        "type": "SSML",
        "ssml": "<speak>Hi<break/></speak>",
    }


def test_session_card_and_directives_are_passed_on() -> None:
    card = {"type": "Simple", "title": "Home", "content": "Light is on"}
    answer = BUILD.alexa_response(
        end_session=False,
        card=card,
        session={"turn": 2},
        directives=[{"type": "Dialog.Delegate"}],
    )
    assert answer == {
        "version": "1.0",
        "sessionAttributes": {"turn": 2},
        "response": {
            "card": card,
            "directives": [{"type": "Dialog.Delegate"}],
            "shouldEndSession": False,
        },
    }


def test_directives_alone_leave_the_session_to_alexa() -> None:
    answer = BUILD.alexa_response(directives=[{"type": "VideoApp.Launch"}])
    assert answer["response"] == {"directives": [{"type": "VideoApp.Launch"}]}


def test_speech_may_have_8000_characters() -> None:
    answer = BUILD.alexa_response("x" * 8000)
    assert len(answer["response"]["outputSpeech"]["text"]) == 8000


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"speech": "a", "ssml": "b"},
            ValueError,
            "give speech (text) or ssml (markup), not both",
        ),
        (
            {"speech": "a", "reprompt": "b", "end_session": True},
            ValueError,
            "a reprompt needs an open session: leave end_session out, or give no reprompt",
        ),
        (
            {"speech": "x" * 8001},
            ValueError,
            "speech must have at most 8000 characters, not 8001; shorten it",
        ),
        (
            {"ssml": "x" * 8000},
            ValueError,
            "ssml must have at most 8000 characters, not 8015; shorten it",
        ),
        ({"reprompt": 3}, TypeError, "reprompt must be text, not int"),
        (
            {"card": {"type": "Fancy"}},
            ValueError,
            (
                "card type must be one of "
                "Simple, Standard, LinkAccount, AskForPermissionsConsent, not 'Fancy'"
            ),
        ),
        (
            {"card": {"type": "Simple", "title": "x", "content": "x" * 8000}},
            ValueError,
            "a card must have at most 8000 characters, not 8001; shorten it",
        ),
    ],
)
def test_alexa_response_refuses(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        BUILD.alexa_response(**arguments)


# Smart Home


def test_a_failed_directive_gets_a_complete_error_response() -> None:
    answer = BUILD.alexa_error_response(
        directive(),
        "TEMPERATURE_VALUE_OUT_OF_RANGE",
        "too hot",
        payload={"validRange": {"minimumValue": 1}, "type": "OTHER"},
    )
    header = answer["event"]["header"]
    message_id = header.pop("messageId")
    assert re.fullmatch(
        r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", message_id
    )
    assert answer == {
        "event": {
            "header": {
                "namespace": "Alexa",
                "name": "ErrorResponse",
                "payloadVersion": "3",
                "correlationToken": "token==",
            },
            "endpoint": {"endpointId": "light#kitchen"},
            "payload": {
                "type": "TEMPERATURE_VALUE_OUT_OF_RANGE",
                "message": "too hot",
                "validRange": {"minimumValue": 1},
            },
        }
    }


def test_message_ids_are_new_each_time() -> None:
    first = BUILD.alexa_error_response(directive(), "INTERNAL_ERROR", "x")
    second = BUILD.alexa_error_response(directive(), "INTERNAL_ERROR", "x")
    assert first["event"]["header"]["messageId"] != second["event"]["header"]["messageId"]


@pytest.mark.parametrize("token", [None, "", 3])
def test_no_correlation_token_is_made_up(token: object) -> None:
    answer = BUILD.alexa_error_response(directive(correlationToken=token), "INTERNAL_ERROR", "x")
    assert "correlationToken" not in answer["event"]["header"]


def test_an_error_may_have_a_namespace_of_its_own() -> None:
    answer = BUILD.alexa_error_response(
        directive(), "REQUESTED_SETPOINTS_TOO_CLOSE", "x", namespace="Alexa.ThermostatController"
    )
    assert answer["event"]["header"]["namespace"] == "Alexa.ThermostatController"


def test_a_failed_discovery_finds_nothing() -> None:
    answer = BUILD.alexa_error_response(
        directive("Alexa.Discovery", "Discover"), "INVALID_AUTHORIZATION_CREDENTIAL", "x"
    )
    header = answer["event"]["header"]
    assert (header["namespace"], header["name"]) == ("Alexa.Discovery", "Discover.Response")
    assert answer["event"]["payload"] == {"endpoints": []}
    assert "endpoint" not in answer["event"]


def test_a_failed_grant_says_so() -> None:
    answer = BUILD.alexa_error_response(
        directive("Alexa.Authorization", "AcceptGrant"), "BRIDGE_UNREACHABLE", "no way"
    )
    header = answer["event"]["header"]
    assert (header["namespace"], header["name"]) == ("Alexa.Authorization", "ErrorResponse")
    assert answer["event"]["payload"] == {"type": "ACCEPT_GRANT_FAILED", "message": "no way"}
    assert "endpoint" not in answer["event"]


@pytest.mark.parametrize("error_type", ["BRIDGE_UNREACHABLE", "ENDPOINT_UNREACHABLE"])
def test_the_state_of_what_cannot_be_reached_is_unreachable(error_type: str) -> None:
    answer = BUILD.alexa_error_response(directive("Alexa", "ReportState"), error_type, "x")
    header = answer["event"]["header"]
    assert (header["namespace"], header["name"]) == ("Alexa", "StateReport")
    assert header["correlationToken"] == "token=="
    assert answer["event"]["endpoint"] == {"endpointId": "light#kitchen"}
    assert answer["event"]["payload"] == {}
    assert answer["context"] == {
        "properties": [
            {
                "namespace": "Alexa.EndpointHealth",
                "name": "connectivity",
                "value": {"value": "UNREACHABLE"},
                "timeOfSample": "2023-11-14T22:13:20.250Z",
                "uncertaintyInMilliseconds": 0,
            }
        ]
    }


@pytest.mark.parametrize(
    ("event", "error_type"),
    [
        (directive("Alexa", "ReportState"), "NO_SUCH_ENDPOINT"),
        ({"directive": {"header": {"name": "ReportState"}}}, "BRIDGE_UNREACHABLE"),
    ],
)
def test_other_failures_to_report_state_are_errors(event: Any, error_type: str) -> None:
    answer = BUILD.alexa_error_response(event, error_type, "x")
    assert answer["event"]["header"]["name"] == "ErrorResponse"
    assert answer["event"]["payload"] == {"type": error_type, "message": "x"}
    assert "context" not in answer


@pytest.mark.parametrize("name", ["type", "message", "namespace"])
@pytest.mark.parametrize("value", ["", None, 3])
def test_an_error_needs_texts(name: str, value: object) -> None:
    arguments = {"type": "INTERNAL_ERROR", "message": "x", name: value}
    message = f"^{name} must be a text that is not empty, not {value!r}$"
    with pytest.raises(TypeError, match=message):
        BUILD.alexa_error_response(directive(), **arguments)


NAMES = st.sampled_from(
    ["directive", "header", "endpoint", "endpointId", "namespace", "name", "correlationToken"]
)
MALFORMED = st.recursive(
    st.none() | st.integers() | st.sampled_from(["", "Alexa.Discovery", "ReportState"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@given(MALFORMED | st.fixed_dictionaries({"directive": MALFORMED}))
def test_a_malformed_directive_gets_a_complete_answer(event: Any) -> None:
    answer = BUILD.alexa_error_response(event, "BRIDGE_UNREACHABLE", "x")
    header = answer["event"]["header"]
    assert {"namespace", "name", "messageId", "payloadVersion"} <= set(header)
    assert all(isinstance(value, str) and value for value in header.values())
    assert isinstance(answer["event"]["payload"], dict)
    assert all(answer["event"].get("endpoint", {"endpointId": "x"}).values())
