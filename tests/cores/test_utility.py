"""Ids, timestamps, JSON with limits, standard bodies, checks of text and lookups by path."""

import json
import os
import re
import threading
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cores.errors import TooLargeError
from cores.utility import Utility

NOW = 1_700_000_000.25
UTILITY = Utility(clock=lambda: NOW)

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


# Correlation ids


def test_ids_have_32_digits_and_begin_with_the_time() -> None:
    identifier = UTILITY.generate_correlation_id()
    assert re.fullmatch("[0-9a-f]{32}", identifier)
    assert int(identifier[:12], 16) == int(NOW * 1000)


@given(st.lists(st.floats(min_value=1.6e9, max_value=4e9), min_size=2, max_size=20))
def test_ids_only_grow_however_the_clock_jumps(times: list[float]) -> None:
    readings = iter(times)
    utility = Utility(clock=lambda: next(readings))
    ids = [utility.generate_correlation_id() for _ in times]
    assert ids == sorted(set(ids))


def test_ids_are_unique_between_threads() -> None:
    ids = []

    def work() -> None:
        ids.extend(UTILITY.generate_correlation_id() for _ in range(500))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(ids)) == 2000


def test_ids_of_two_processes_in_the_same_moment_differ() -> None:
    assert Utility(clock=lambda: NOW).generate_correlation_id() != (
        Utility(clock=lambda: NOW).generate_correlation_id()
    )


# Timestamps


def test_timestamp_is_now_unless_told_otherwise() -> None:
    assert UTILITY.utc_timestamp() == "2023-11-14T22:13:20.250Z"
    assert UTILITY.utc_timestamp(0) == "1970-01-01T00:00:00.000Z"


@given(st.floats(min_value=-6.2e10, max_value=2.5e11))
@example(1.001)
@example(0.9999)
@example(-0.001)
@example(-1e-7)
@example(72057594038.625)
def test_timestamp_agrees_with_datetime(when: float) -> None:
    expected = datetime.fromtimestamp(when, UTC).isoformat(timespec="milliseconds")
    assert Utility().utc_timestamp(when) == expected.replace("+00:00", "Z")


@pytest.mark.parametrize("when", [float("nan"), float("inf"), 1e12, -1e12, 1e300])
def test_timestamp_refuses_times_that_cannot_be_written(when: float) -> None:
    message = f"when must be seconds since the epoch, in the years 1 to 9999, not {when!r}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        UTILITY.utc_timestamp(when)


def test_timestamp_refuses_what_is_no_number() -> None:
    message = "^when must be a number of seconds since the epoch, not datetime$"
    with pytest.raises(TypeError, match=message):
        UTILITY.utc_timestamp(datetime.now(UTC))


# JSON


@given(JSON)
def test_json_survives_the_way_there_and_back(value: Any) -> None:
    text = UTILITY.dump_json(value)
    assert UTILITY.parse_json(text) == json.loads(text) == value


def test_json_may_be_bytes_with_a_mark_in_front() -> None:
    assert UTILITY.parse_json(b'\xef\xbb\xbf{"a": "\xc3\xa4"}') == {"a": "ä"}


def test_dumped_json_has_no_blanks_and_no_needless_escapes() -> None:
    assert UTILITY.dump_json({"a": [1, 2.5, None, True, "ä"]}) == '{"a":[1,2.5,null,true,"ä"]}'


def test_dumped_json_is_valid_with_half_a_surrogate_pair() -> None:
    assert UTILITY.dump_json(["ä\ud83d"]) == '["\\u00e4\\ud83d"]'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("secret", "text is not JSON at line 1, column 1: Expecting value"),
        ('{"a": 1,\n "b" 2}', "text is not JSON at line 2, column 6: Expecting ':' delimiter"),
        ("", "text is not JSON at line 1, column 1: Expecting value"),
        ("1 2", "text is not JSON at line 1, column 3: Extra data"),
        ("[NaN]", "text is not JSON: it has no number NaN"),
        ("-Infinity", "text is not JSON: it has no number -Infinity"),
        (b'{"a": "\xff"}', "text is not UTF-8 at byte 7"),
    ],
)
def test_parse_json_tells_where_but_not_what(text: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$") as caught:
        UTILITY.parse_json(text)
    assert caught.value.__context__ is None


def test_parse_json_refuses_numbers_without_end() -> None:
    with pytest.raises(ValueError, match=r"^text is not JSON: Exceeds the limit"):
        UTILITY.parse_json("9" * 5000)


@pytest.mark.parametrize("text", ["x" * 11, "ä" * 6, b"x" * 11])
def test_parse_json_refuses_long_text_before_reading_it(text: Any) -> None:
    size = len(text.encode() if isinstance(text, str) else text)
    message = f"^JSON text must have at most 10 bytes, not {size}$"
    with pytest.raises(TooLargeError, match=message):
        UTILITY.parse_json(text, max_bytes=10)


@pytest.mark.parametrize("text", ['"äääää"', '"12345678"', b'"12345678"'])
def test_parse_json_counts_bytes_up_to_the_limit(text: Any) -> None:
    assert UTILITY.parse_json(text, max_bytes=12) in ("äääää", "12345678")


@pytest.mark.parametrize("text", ["[[[]]]", '{"a": [{}]}', '[1, [], [2, {"a": 1}], "[[[["]'])
def test_parse_json_counts_depth(text: Any) -> None:
    UTILITY.parse_json(text, max_depth=3)
    with pytest.raises(TooLargeError, match=r"^JSON text must be nested at most 2 deep$"):
        UTILITY.parse_json(text, max_depth=2)


def test_parse_json_survives_any_depth() -> None:
    with pytest.raises(TooLargeError, match=r"^JSON text must be nested at most 100 deep$"):
        UTILITY.parse_json("[" * 200_000 + "]" * 200_000)


@pytest.mark.parametrize("name", ["max_bytes", "max_depth"])
def test_parse_json_refuses_limits_that_allow_nothing(name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} must be at least 1, not 0$"):
        UTILITY.parse_json("1", **{name: 0})


def test_parse_json_refuses_what_is_no_text() -> None:
    with pytest.raises(TypeError, match=r"^text must be str or bytes, not dict$"):
        UTILITY.parse_json({})


LOOP: list[object] = []
LOOP.append({"again": LOOP})


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (float("nan"), ValueError, "value is nan, a number that JSON does not have"),
        (
            {"a": [1, {"b": float("-inf")}]},
            ValueError,
            "value.a[1].b is -inf, a number that JSON does not have",
        ),
        ({"a": (1, {2})}, TypeError, "value.a[1] is of type set, which JSON cannot hold"),
        (
            {1: {None: {2.5: object()}}},
            TypeError,
            "value.1.None.2.5 is of type object, which JSON cannot hold",
        ),
        ({(): 1}, TypeError, "value has a key of type tuple, which JSON cannot hold"),
        (
            {float("inf"): 1},
            ValueError,
            "value has the key inf, a number that JSON does not have",
        ),
        (LOOP, ValueError, "value[0].again contains itself"),
    ],
)
def test_dump_json_tells_what_it_cannot_write(
    value: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        UTILITY.dump_json(value)


def test_dump_json_passes_on_what_only_the_encoder_knows() -> None:
    with pytest.raises(ValueError, match=r"^Exceeds the limit"):
        UTILITY.dump_json([10**5000])


def test_dump_json_refuses_endless_depth() -> None:
    value: list[object] = []
    for _ in range(200_000):
        value = [value]
    with pytest.raises(ValueError, match=r"^value is nested too deep for JSON$"):
        UTILITY.dump_json(value)


# Standard bodies


def test_success_body() -> None:
    assert UTILITY.success_response([1]) == {
        "success": True,
        "data": [1],
        "timestamp": "2023-11-14T22:13:20.250Z",
    }


def test_bodies_name_the_invocation_that_they_belong_to() -> None:
    current = SimpleNamespace(invocation=SimpleNamespace(correlation_id="c-1"))
    utility = Utility(clock=lambda: NOW, current=current)
    assert utility.success_response(message="done") == {
        "success": True,
        "data": None,
        "message": "done",
        "timestamp": "2023-11-14T22:13:20.250Z",
        "correlation_id": "c-1",
    }


def test_error_body() -> None:
    assert UTILITY.error_response("no such room") == {
        "success": False,
        "error": {"code": "INTERNAL_ERROR", "message": "no such room"},
        "timestamp": "2023-11-14T22:13:20.250Z",
    }


def test_error_body_with_details() -> None:
    answer = UTILITY.error_response("no such room", "NOT_FOUND", details={"room": 7})
    assert answer["error"] == {
        "code": "NOT_FOUND",
        "message": "no such room",
        "details": {"room": 7},
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("",), "message must be a text that is not empty, not ''"),
        (("x", None), "code must be a text that is not empty, not None"),
    ],
)
def test_error_body_needs_texts(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(TypeError, match=f"^{message}$"):
        UTILITY.error_response(*arguments)


# Checks of text


def test_a_text_that_fits_is_returned() -> None:
    assert Utility.validate_string("kitchen", min_length=7, max_length=7) == "kitchen"
    assert Utility.validate_string("a-1", pattern="[a-z]-[0-9]") == "a-1"
    assert Utility.validate_string("a-1", pattern=re.compile("[a-z]-[0-9]")) == "a-1"
    assert Utility.validate_string("a\tb", allow_control=True) == "a\tb"
    assert Utility.validate_string("a\xa0b\u2028c") == "a\xa0b\u2028c"


@pytest.mark.parametrize(
    ("value", "options", "error", "message"),
    [
        (3, {}, TypeError, "room must be text, not int"),
        ("", {"min_length": 1}, ValueError, "room must have 1 to 10000 characters, not 0"),
        ("abc", {"max_length": 2}, ValueError, "room must have 0 to 2 characters, not 3"),
        ("a\nb", {}, ValueError, "room must not have a control character, as at position 1"),
        ("ab\x9f", {}, ValueError, "room must not have a control character, as at position 2"),
        ("abc", {"pattern": "[ab]+"}, ValueError, "room must match the pattern '[ab]+'"),
        (
            "abc",
            {"pattern": re.compile("[ab]+")},
            ValueError,
            "room must match the pattern '[ab]+'",
        ),
        (
            "abc",
            {"min_length": 3, "max_length": 2},
            ValueError,
            "min_length must be from 0 to max_length, not 3 (2)",
        ),
    ],
)
def test_a_text_that_does_not_fit_is_refused(
    value: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        Utility.validate_string(value, name="room", **options)


# Lookups by path

HOME = {"rooms": [{"id": 7, "lights": ["a", None]}, {"id": 8}], "a.b": {"0": "zero"}, "n": None}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("rooms.0.id", 7),
        ("rooms[0].id", 7),
        ("rooms[-1].id", 8),
        ("rooms.-1.id", 8),
        ("rooms[0].lights[1]", None),
        ("n", None),
        (["a.b", "0"], "zero"),
        (("rooms", 1, "id"), 8),
        ([], HOME),
        ("rooms[2].id", "miss"),
        ("rooms.first", "miss"),
        ("rooms.1_0", "miss"),
        ("rooms[0].id.more", "miss"),
        ("rooms[0].lights[0][0]", "miss"),
        ("halls", "miss"),
        ("n.more", "miss"),
    ],
)
def test_deep_get(path: Any, expected: object) -> None:
    assert Utility.deep_get(HOME, path, "miss") == expected


def test_deep_get_of_a_list_at_the_top() -> None:
    assert Utility.deep_get([{"a": 1}], "[0].a") == 1


def test_deep_get_misses_with_none_unless_told_otherwise() -> None:
    assert Utility.deep_get(HOME, "halls") is None


def test_deep_get_reads_any_mapping() -> None:
    assert Utility.deep_get({"environ": os.environ}, "environ.PATH") == os.environ["PATH"]


@pytest.mark.parametrize("path", ["", "a..b", "a.", "a.[0]", "[]"])
def test_deep_get_refuses_a_path_that_cannot_be_read(path: Any) -> None:
    message = re.escape(f"path must read like 'a.b[0].c', not {path!r}")
    with pytest.raises(ValueError, match=f"^{message}$"):
        Utility.deep_get({}, path)


NAMES = st.text("abc", min_size=1, max_size=2)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
)


def leaves(value: Any, path: str = "") -> list[tuple[str, Any]]:
    found = [(path, value)]
    if isinstance(value, dict):
        for name, member in value.items():
            found += leaves(member, f"{path}.{name}".removeprefix("."))
    elif isinstance(value, list):
        for index, member in enumerate(value):
            found += leaves(member, f"{path}[{index}]")
    return found


@given(TREES)
@example({"a": [{"b": 1}]})
def test_deep_get_finds_every_part(tree: Any) -> None:
    miss = object()
    for path, value in leaves(tree)[1:]:
        assert Utility.deep_get(tree, path, miss) is value
        assert Utility.deep_get(tree, f"{path}.nothing[9]", miss) is miss
