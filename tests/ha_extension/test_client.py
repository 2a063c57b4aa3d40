"""What needs no home: the budget, INIT, wrong settings, and events that are not directives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

import gateway
import ha_extension
from gateway.testing import LambdaContext
from ha_extension.client import (
    MARGIN,
    PATIENCE,
    RUNTIME_START,
    SHORTEST_PATIENCE,
    Bridge,
    build_handler,
)
from ha_extension.directives import MAX_DIRECTIVE, is_directive
from ha_extension.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    Handler = Callable[[object, object], object]
    Written = Callable[[], list[dict[str, object]]]

URL = "https://home.example.org"


@pytest.fixture
def handler(nowhere: str, written: Written) -> Handler:
    """Return the handler of a bridge to nowhere, whose INIT has logged that already."""
    made = build_handler({"HOME_ASSISTANT_URL": nowhere}, time.perf_counter())
    written()
    return made


def directive(**parts: object) -> dict[str, object]:
    header = {"namespace": "Alexa.PowerController", "name": "TurnOn", "messageId": "m-1"}
    return {"directive": {"header": header} | parts}


def error_of(answer: object) -> dict[str, str]:
    assert isinstance(answer, dict)
    event = answer["event"]
    assert (event["header"]["namespace"], event["header"]["name"]) == ("Alexa", "ErrorResponse")
    assert event["header"]["payloadVersion"] == "3"
    return event["payload"]


# -- the package ----------------------------------------------------------------------------


def run_python(code: str, **environ: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"HOME_ASSISTANT_URL": "", "THRIFTGATE_EAGER": ""} | environ,
        capture_output=True,
        check=True,
        text=True,
    )
    return result.stdout


def test_importing_the_package_loads_nothing_else() -> None:
    code = (
        "import sys, ha_extension\n"
        "ours = ('cores', 'fastpath_ext', 'gateway', 'ha_extension')\n"
        "print([name for name in sys.modules if name.partition('.')[0] in ours])"
    )
    assert run_python(code) == "['ha_extension']\n"


def test_lambda_handler_is_made_once_and_is_the_only_name() -> None:
    assert dir(ha_extension) == ["lambda_handler"]
    code = (
        "import ha_extension\n"
        "from ha_extension import lambda_handler\n"
        "assert lambda_handler is ha_extension.lambda_handler\n"
        "print(lambda_handler.__name__)"
    )
    lines = run_python(code).splitlines()
    assert json.loads(lines[0])["message"] == "the bridge is not configured"
    assert lines[1:] == ["lambda_handler"]


def test_every_other_name_is_an_attribute_error() -> None:
    with pytest.raises(
        AttributeError,
        match=r"^module 'ha_extension' has no attribute 'x': it offers lambda_handler$",
    ):
        _ = ha_extension.x


# -- the budget -----------------------------------------------------------------------------


def budget_of(bridge: Bridge, remaining_ms: int) -> float:
    @gateway.handler
    def measure(event: object, context: object) -> float:
        return bridge._budget()

    return measure({}, LambdaContext(remaining_ms=remaining_ms))


def bridge_after(init_seconds: float) -> Bridge:
    bridge = Bridge(Settings({}))
    bridge.start(time.perf_counter() - init_seconds)
    return bridge


def test_a_cold_start_uses_up_alexas_patience() -> None:
    bridge = bridge_after(1.0)
    left = PATIENCE - MARGIN - RUNTIME_START - 1.0
    assert budget_of(bridge, 60_000) == pytest.approx(left, abs=0.2)
    assert budget_of(bridge, 60_000) == PATIENCE - MARGIN  # warm


def test_a_long_init_leaves_a_second_since_it_may_be_long_ago() -> None:
    assert budget_of(bridge_after(30.0), 60_000) == SHORTEST_PATIENCE


def test_the_functions_own_time_is_the_other_bound() -> None:
    bridge = bridge_after(0.0)
    assert budget_of(bridge, 3000) == pytest.approx(2.5, abs=0.2)
    assert budget_of(bridge, 400) == 0


def test_outside_an_invocation_alexas_patience_remains() -> None:
    assert bridge_after(1.0)._budget() == PATIENCE - MARGIN


def test_without_time_nothing_is_sent(handler: Handler, written: Written) -> None:
    event = directive(endpoint={"scope": {"token": "T"}})
    answer = handler(event, LambdaContext(remaining_ms=300))
    assert error_of(answer)["type"] == "BRIDGE_UNREACHABLE"
    (line,) = written()
    assert line["kind"] == "no_time"


# -- settings -------------------------------------------------------------------------------


def test_wrong_settings_are_told_once_in_init_and_to_every_directive(written: Written) -> None:
    handler = build_handler({"HOME_ASSISTANT_VERIFY_TLS": "maybe"}, time.perf_counter())
    (line,) = written()
    assert (line["level"], line["message"]) == ("ERROR", "the bridge is not configured")
    assert line["problems"] == [
        (
            "HOME_ASSISTANT_VERIFY_TLS must be one of true, 1, yes, on, false, 0, no, off,"
            " not 'maybe'."
        ),
        "HOME_ASSISTANT_URL is not set: name your home, as in https://home.example.org.",
    ]
    for _ in range(2):
        assert error_of(handler(directive(), LambdaContext())) == {
            "type": "INTERNAL_ERROR",
            "message": "The bridge is not configured: its log lists every setting that is wrong.",
        }
        (line,) = written()
        assert line["kind"] == "not_configured"


def test_a_home_that_is_down_in_init_is_only_a_warning(nowhere: str, written: Written) -> None:
    build_handler({"HOME_ASSISTANT_URL": nowhere}, time.perf_counter())
    (line,) = written()
    assert line["level"] == "WARNING"


# -- events ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        ({}, "direct"),
        (None, "direct"),
        ([{"directive": {}}], "direct"),
        ("directive", "direct"),
        ({"request": {"type": "LaunchRequest"}}, "direct"),
        ({"Records": [{"eventSource": "aws:sqs"}]}, "sqs"),
        ({"source": "aws.events", "detail-type": "Scheduled Event"}, "eventbridge"),
    ],
)
def test_an_event_that_is_not_alexas_is_refused_with_one_line(
    handler: Handler, written: Written, event: object, kind: str
) -> None:
    assert handler(event, LambdaContext()) == {
        "error": "This function answers Alexa: a smart-home directive was expected."
    }
    (line,) = written()
    assert (line["level"], line["message"], line["kind"]) == (
        "WARNING",
        "refused an event that is not Alexa's",
        kind,
    )


@pytest.mark.parametrize("type_", ["LaunchRequest", "IntentRequest", "Unheard.Of"])
def test_a_custom_skill_hears_that_it_is_not_supported(handler: Handler, type_: str) -> None:
    event = {"request": {"type": type_}, "context": {"System": {}}}
    assert handler(event, LambdaContext()) == {
        "version": "1.0",
        "response": {
            "outputSpeech": {"type": "PlainText", "text": "Custom skills are not supported yet."},
            "shouldEndSession": True,
        },
    }


def test_the_end_of_a_session_is_answered_without_speech(handler: Handler) -> None:
    event = {"request": {"type": "SessionEndedRequest"}, "context": {"System": {}}}
    assert handler(event, LambdaContext()) == {"version": "1.0", "response": {}}


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        ({"directive": None}, "malformed_directive"),
        ({"directive": []}, "malformed_directive"),
        ({"directive": {}}, "malformed_directive"),
        ({"directive": {"header": {"name": "TurnOn"}}}, "malformed_directive"),
        (directive(payload={"a": {1, 2}}), "malformed_directive"),
        (directive(payload={"a": float("nan")}), "malformed_directive"),
        (directive(payload={"a": "x" * MAX_DIRECTIVE}), "oversized_directive"),
        (directive(), "no_token"),
    ],
)
def test_a_directive_that_cannot_be_forwarded_is_invalid(
    handler: Handler, written: Written, event: object, kind: str
) -> None:
    assert error_of(handler(event, LambdaContext()))["type"] == "INVALID_DIRECTIVE"
    (line,) = written()
    assert (line["level"], line["kind"]) == ("ERROR", kind)


def test_a_directive_nested_too_deeply_is_invalid(handler: Handler) -> None:
    payload: dict[str, object] = {}
    for _ in range(100_000):
        payload = {"a": payload}
    answer = handler(directive(payload=payload), LambdaContext())
    assert error_of(answer)["type"] == "INVALID_DIRECTIVE"
    while payload:  # unnest by hand: older Pythons free such a thing recursively
        payload = payload["a"]


words = st.sampled_from(["", "Alexa", "Alexa.Discovery", "Alexa.Authorization", "ReportState"])
keys = st.sampled_from(
    [
        *("directive", "header", "endpoint", "payload", "request", "type", "context", "System"),
        *("namespace", "name", "messageId", "correlationToken", "endpointId"),
    ]
)
values = st.recursive(
    st.none() | words | st.integers(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(keys, inner, max_size=5),
    max_leaves=15,
)


@given(event=values | st.fixed_dictionaries({"directive": values}), url=st.sampled_from(["", URL]))
def test_no_event_is_left_without_an_answer(event: object, url: str) -> None:
    answer = Bridge(Settings({"HOME_ASSISTANT_URL": url})).answer(event)
    assert isinstance(answer, dict)
    if is_directive(event):
        header = answer["event"]["header"]
        assert header["payloadVersion"] == "3"
        assert header["messageId"]
        assert header["name"] in ("ErrorResponse", "Discover.Response")
    else:
        assert answer.keys() & {"error", "response"}
