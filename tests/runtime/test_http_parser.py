from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.cli.http_parser import HEAD_LIMIT, MalformedRequestError, Request, RequestParser

TOKEN = st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1)
LIMIT = 16


@st.composite
def sent_requests(draw: st.DrawFn) -> tuple[bytes, Request]:
    """Return a request as bytes and as it should be read."""
    method = draw(st.sampled_from(["GET", "POST"]))
    path = "/" + draw(TOKEN)
    body = draw(st.binary(max_size=2 * LIMIT))
    headers = draw(st.dictionaries(TOKEN.map(lambda name: f"x-{name}"), TOKEN))
    if draw(st.booleans()):
        cuts = sorted(draw(st.sets(st.integers(1, len(body)), max_size=4))) if body else []
        parts = [
            body[start:end]
            for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True)
            if start < end
        ]
        chunks = b"".join(b"%x;ext=1\r\n%s\r\n" % (len(part), part) for part in parts)
        data = chunks + b"0\r\n" + draw(st.sampled_from([b"", b"Trailer: 1\r\n"])) + b"\r\n"
        headers["transfer-encoding"] = "chunked"
    else:
        data = body
        if body or draw(st.booleans()):
            headers["content-length"] = str(len(body))
    lines = [f"{method} {path} HTTP/1.1", *(f"{k.title()}:  {v} " for k, v in headers.items())]
    head = "\r\n".join([*lines, "\r\n"]).encode()
    return head + data, Request(method, path, headers, body[:LIMIT], len(body))


@given(st.lists(sent_requests(), max_size=4), st.data())
def test_requests_are_read_however_they_are_cut(
    sent: list[tuple[bytes, Request]], data: st.DataObject
) -> None:
    stream = b"".join(raw for raw, _ in sent)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)), max_size=8)))
    parser = RequestParser(LIMIT)
    read = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        read += parser.feed(stream[start:end])
    assert read == [request for _, request in sent]


@given(st.binary())
@example(b"garbage\r\n\r\n")
def test_garbage_is_refused_or_waited_for(data: bytes) -> None:
    parser = RequestParser(LIMIT)
    try:
        assert all(isinstance(request, Request) for request in parser.feed(data))
    except MalformedRequestError:
        assert data


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"GET /\r\n\r\n", "a request starts with METHOD PATH HTTP/1.1, not 'GET /'"),
        (b"GET / HTTP/2\r\n\r\n", "a request starts with METHOD PATH HTTP/1.1, not 'GET / HTTP/2'"),
        (
            b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
            "a length must be a number in base 10, not '-1'",
        ),
        (
            b"POST / HTTP/1.1\r\nContent-Length: f\r\n\r\n",
            "a length must be a number in base 10, not 'f'",
        ),
        (
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\r\n",
            "a length must be a number in base 16, not ''",
        ),
        (b"x" * (HEAD_LIMIT + 1), f"a request head must be at most {HEAD_LIMIT} bytes"),
    ],
)
def test_what_is_no_request_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(MalformedRequestError, match=f"^{re.escape(message)}$"):
        RequestParser(LIMIT).feed(data)


def test_a_body_that_is_held_back_is_asked_for() -> None:
    parser = RequestParser(LIMIT)
    head = b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    assert parser.feed(head) == []
    assert parser.wants_continue
    assert [request.body for request in parser.feed(b"ab")] == [b"ab"]
    assert not parser.wants_continue
