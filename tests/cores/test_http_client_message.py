"""Whatever text comes in, a request is well formed or refused without quoting it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cores.errors import ProtocolError
from cores.http_client import HttpClient, Response
from cores.http_client.message import Request, Target, checked_headers

if TYPE_CHECKING:
    from collections.abc import Mapping

PART = st.text(alphabet="abcé€/\\:@[]%?#.&=;+-_~ \t\r\n\0'\"0123456789\x7f\u200b", max_size=12)
PLAIN = Target("http://h/")


def is_sendable(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text


@given(scheme=st.sampled_from(["http://", "https://", "HTTP://"]), host=PART, rest=PART)
@example(scheme="http://", host="h", rest="/ü")
@example(scheme="http://", host="[::1]", rest=":8/")
@example(scheme="http://", host="[", rest="")
def test_url_becomes_a_sendable_target_or_is_refused(scheme: str, host: str, rest: str) -> None:
    try:
        target = Target(scheme + host + rest)
    except ValueError as error:
        text = str(error)
        refused = error
    else:
        text = ""
        refused = None
        assert is_sendable(target.path)
        assert target.path.startswith("/")
        assert is_sendable(target.host)
        assert is_sendable(target.origin)
        assert not set(target.host) & set("/\\@?# ")
        assert 1 <= target.port <= 65535
    assert text.startswith("url must ") is (refused is not None)
    assert refused is None or refused.__context__ is None


@given(name=st.text(max_size=8), value=st.text(max_size=8))
@example(name="X", value="\xff\t")
@example(name="X", value="€")
@example(name="X", value="\x7f")
def test_headers_are_sendable_or_refused(name: str, value: str) -> None:
    try:
        checked: Mapping[str, str] = checked_headers({name: value})
    except ValueError:
        checked = {}
    for sent_name, sent_value in checked.items():
        assert is_sendable(sent_name)
        assert ":" not in sent_name
        assert not set(sent_value.encode("latin-1")) & ({*range(32), 127} - {9})


@given(location=PART | PART.map("http://h".__add__) | PART.map("//h".__add__))
@example(location="http://h:x/")
@example(location="/b")
def test_redirect_leads_to_a_sendable_target_or_is_an_error(location: str) -> None:
    request = Request("GET", PLAIN, (True, None, None, None))
    response = Response(302, {"location": location}, b"", PLAIN.url)
    try:
        following = request.redirected(response)
    except ProtocolError as error:
        message = str(error)
    else:
        assert following is not None
        assert is_sendable(following.target.path)
        message = "GET http://h:80: redirected (status 302) to no usable URL"
    assert message == "GET http://h:80: redirected (status 302) to no usable URL"


@given(
    value=st.text(max_size=30)
    | st.builds(
        "{}, {} {} {} {}:{}:{} {}".format,
        st.sampled_from(["Mon", "x"]),
        *[st.integers(-1, 100), st.sampled_from(["Jan", "Feb", "13"]), st.integers(-1, 10**6)],
        *[st.integers(-1, 100)] * 3,
        st.sampled_from(["GMT", "+9999", "-0000", "", "XYZ"]),
    )
)
def test_retry_after_of_any_text_is_a_number_of_seconds(value: str) -> None:
    client = HttpClient(clock=lambda: 0.0)
    seconds = client._retry_after(Response(503, {"retry-after": value}, b"", PLAIN.url))
    assert isinstance(seconds, float)
    assert seconds == seconds  # noqa: PLR0124  # not NaN


@given(body=st.binary(max_size=30), charset=st.text(max_size=10))
def test_text_never_fails(body: bytes, charset: str) -> None:
    response = Response(200, {"content-type": f"text/plain; charset={charset}"}, body, PLAIN.url)
    assert isinstance(response.text(), str)


def test_request_without_a_location_has_nothing_to_follow() -> None:
    request = Request("GET", PLAIN, (True, None, None, None))
    assert request.redirected(Response(302, {}, b"", PLAIN.url)) is None
    assert request.redirected(Response(200, {"location": "/b"}, b"", PLAIN.url)) is None


def test_target_that_is_no_str_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="url must be a str, not NoneType"):
        Target(None)  # type: ignore[arg-type]
