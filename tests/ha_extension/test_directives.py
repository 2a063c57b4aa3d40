"""Directives in, requests out; answers in, judged: as data."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ha_extension.directives import (
    check_answer,
    is_bearer,
    is_directive,
    read_name,
    read_token,
    write_body,
)

RECORDED = Path(__file__).parent / "recorded" / "2025.4.4"
HEADER = {"namespace": "Alexa", "name": "Response", "messageId": "m-1", "payloadVersion": "3"}

anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)
words = st.sampled_from(["", " ", "T", "Alexa", "scope"])
keys = st.sampled_from(["header", "endpoint", "payload", "scope", "grantee", "token", "name"])
parts = st.dictionaries(
    keys,
    st.recursive(
        st.none() | words | st.integers(0, 3),
        lambda inner: st.dictionaries(keys | st.just("namespace"), inner, max_size=3),
        max_leaves=8,
    ),
)


def directive(**parts: object) -> dict[str, object]:
    return {"directive": {"header": {"namespace": "Alexa", "name": "ReportState"}, **parts}}


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"directive": {"header": {}}}, True),
        ({"directive": None}, True),
        ({"request": {"type": "LaunchRequest"}}, False),
        ({}, False),
        (["directive"], False),
        ("directive", False),
        (None, False),
    ],
)
def test_what_has_a_directive_claims_to_be_one(event: object, expected: bool) -> None:
    assert is_directive(event) is expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ({"namespace": "Alexa.Unheard", "name": "Of"}, "Alexa.Unheard.Of"),
        ({"namespace": "Alexa"}, None),
        ({"name": "TurnOn"}, None),
        ({"namespace": "", "name": "TurnOn"}, None),
        ({"namespace": "Alexa", "name": ""}, None),
        ({"namespace": 3, "name": "TurnOn"}, None),
        ({"namespace": "Alexa", "name": ["TurnOn"]}, None),
        ({"namespace": "Alexa", "name": "x" * 300}, None),
        ({}, None),
        (None, None),
        ("header", None),
    ],
)
def test_a_directive_is_named_by_its_header(header: object, expected: str | None) -> None:
    assert read_name({"directive": {"header": header}}) == expected


@pytest.mark.parametrize("directive", [None, [], "text", 5, {}])
def test_a_directive_without_a_header_has_no_name(directive: object) -> None:
    assert read_name({"directive": directive}) is None


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (directive(endpoint={"scope": {"type": "BearerToken", "token": "T"}}), "T"),
        (directive(payload={"grantee": {"type": "BearerToken", "token": "T"}}), "T"),
        (directive(payload={"scope": {"type": "BearerToken", "token": "T"}}), "T"),
        (directive(endpoint={"scope": {"token": " T\n"}}), "T"),
        (directive(endpoint={"scope": {"token": "E"}}, payload={"scope": {"token": "P"}}), "E"),
        (directive(endpoint={"scope": {"token": " "}}, payload={"scope": {"token": "P"}}), "P"),
        (directive(endpoint={"scope": {"token": 5}}), None),
        (directive(endpoint={"scope": "T"}), None),
        (directive(endpoint="T", payload=["T"]), None),
        (directive(endpoint={"endpointId": "light#kitchen"}, payload={}), None),
        (directive(), None),
    ],
)
def test_the_token_is_found_where_each_kind_of_directive_has_it(
    event: dict[str, object], expected: str | None
) -> None:
    assert read_token(event) == expected


@given(parts)
def test_no_shape_of_a_directive_confuses_the_readers(parts: dict[str, object]) -> None:
    event = {"directive": parts}
    name, token = read_name(event), read_token(event)
    assert name is None or isinstance(name, str)
    assert token is None or token == token.strip() != ""


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        ("eyJ.eyJ-_.abc", True),
        ("two words", False),
        ("line\r\nX-Injected: 1", False),
        ("tab\t", False),
        ("schlüssel", False),
    ],
)
def test_only_visible_ascii_can_be_a_bearer_token(token: str, expected: bool) -> None:
    assert is_bearer(token) is expected


def test_the_body_is_the_whole_event_without_blanks() -> None:
    event = directive(payload={"brightness": 40, "extra": [None, True]}) | {"context": {"a": 1}}
    assert write_body(event) == (
        b'{"directive":{"header":{"namespace":"Alexa","name":"ReportState"},'
        b'"payload":{"brightness":40,"extra":[null,true]}},"context":{"a":1}}'
    )


@given(st.dictionaries(st.text(), anything))
def test_the_body_means_the_same_as_the_event(event: dict[str, object]) -> None:
    assert json.loads(write_body(event)) == event


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_json_does_not_have_is_refused(number: float) -> None:
    with pytest.raises(ValueError, match=r"^Out of range float values are not JSON compliant"):
        write_body({"payload": {"brightness": number}})


def test_a_lone_surrogate_is_forwarded_as_it_came() -> None:
    assert write_body({"name": "\ud83d"}) == b'{"name":"\\ud83d"}'


@pytest.mark.parametrize(
    "body",
    [
        b'{"event":{"header":%s,"payload":{}}}',
        b' {"event":{"payload":{"a":1},"header":%s,"endpoint":{}},"context":{}}\n',
    ],
)
def test_an_event_with_header_and_payload_is_an_answer(body: bytes) -> None:
    assert check_answer(body % json.dumps(HEADER).encode()) is None


@pytest.mark.parametrize("name", sorted(path.stem for path in RECORDED.glob("smart_home.*")))
def test_every_recorded_answer_of_home_assistant_is_an_answer(name: str) -> None:
    pair = json.loads((RECORDED / f"{name}.json").read_text())
    event = pair["request"]["body"]
    assert read_name(event)
    assert read_token(event) == "TOKEN"
    assert json.loads(write_body(event)) == event
    assert check_answer(json.dumps(pair["response"]["body"]).encode()) is None


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "empty"),
        (b"<html><body>Log in</body></html>", "not JSON in UTF-8"),
        (b'{"event": {"header"', "not JSON in UTF-8"),
        (b'{"event": NaN}', "not JSON in UTF-8"),
        (b'{"event": -Infinity}', "not JSON in UTF-8"),
        (b"\xff\xfe{}", "not JSON in UTF-8"),
        ('{"event": {}}'.encode("utf-16"), "not JSON in UTF-8"),
        (b"\xef\xbb\xbf{}", "not JSON in UTF-8"),
        (b"1" * 5000, "not JSON in UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b"null", "without an event"),
        (b"[]", "without an event"),
        (b'"event"', "without an event"),
        (b"{}", "without an event"),
        (b'{"event": []}', "without an event"),
        (b'{"message": "Unauthorized"}', "without an event"),
        (b'{"event": {}}', "without a header"),
        (b'{"event": {"header": "Alexa"}}', "without a header"),
    ],
)
def test_everything_else_is_refused_with_the_reason(body: bytes, reason: str) -> None:
    assert check_answer(body) == reason


@pytest.mark.parametrize("key", list(HEADER))
@pytest.mark.parametrize("value", [None, 3, {}])
def test_each_required_part_of_the_header_must_be_a_text(key: str, value: object) -> None:
    body = json.dumps({"event": {"header": HEADER | {key: value}, "payload": {}}})
    assert check_answer(body.encode()) == f"without {key} in its header"


@pytest.mark.parametrize("payload", [None, [], "text"])
def test_an_answer_needs_a_payload(payload: object) -> None:
    body = json.dumps({"event": {"header": HEADER, "payload": payload}})
    assert check_answer(body.encode()) == "without a payload"


@given(st.binary())
def test_no_bytes_confuse_the_judge(body: bytes) -> None:
    assert isinstance(check_answer(body), str)


@given(anything)
def test_no_json_confuses_the_judge(value: object) -> None:
    for data in (value, {"event": value}, {"event": {"header": value}}):
        assert isinstance(check_answer(json.dumps(data).encode()), str)
