from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import json
import threading
from collections import UserDict, namedtuple
from contextvars import ContextVar
from types import MappingProxyType, SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cores.logging import MAX_DEPTH, MAX_ITEMS, MAX_TEXT, RESERVED, Logger, is_secret
from gateway.testing import FakeClock


class Output:
    """Collects what is written; can be told to fail."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.broken = False

    def __call__(self, data: bytes) -> None:
        if self.broken:
            raise OSError
        self.writes.append(bytes(data))

    @property
    def lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for data in self.writes for line in data.splitlines()]


class Watch:
    def __init__(self) -> None:
        self.started = 0

    def start(self) -> None:
        self.started += 1


def going(clock: FakeClock, *, seconds: float = 3.0, name: str = "f") -> SimpleNamespace:
    return SimpleNamespace(
        correlation_id="c-1",
        request_id="r-1",
        function_name=name,
        cold_start=True,
        deadline=clock() + seconds,
    )


@pytest.fixture
def output() -> Output:
    return Output()


@pytest.fixture
def current() -> SimpleNamespace:
    return SimpleNamespace(invocation=None)


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def logger(output: Output, clock: FakeClock, current: SimpleNamespace, watch: Watch) -> Logger:
    return Logger(
        write=output,
        clock=clock,
        current=current,
        watch=watch,
        level="DEBUG",
        variable=ContextVar("bound"),
    )


def test_a_line_is_one_json_object_in_fixed_order(logger: Logger, output: Output) -> None:
    logger.info("hello", answer=42)
    assert output.writes == [
        b'{"timestamp":"2026-01-01T00:00:00.000Z","level":"INFO","message":"hello","answer":42}\n'
    ]


def test_timestamps_have_milliseconds(logger: Logger, output: Output, clock: FakeClock) -> None:
    clock.advance(59.9996)
    logger.info("m")
    logger.info("m")
    clock.advance(1)
    logger.info("m")
    assert [line["timestamp"] for line in output.lines] == [
        "2026-01-01T00:00:59.999Z",
        "2026-01-01T00:00:59.999Z",
        "2026-01-01T00:01:00.999Z",
    ]


def test_a_default_line_takes_at_most_350_bytes(
    logger: Logger, output: Output, clock: FakeClock, current: SimpleNamespace
) -> None:
    current.invocation = going(clock, name="a-function-with-a-realistic-name")
    current.invocation.correlation_id = current.invocation.request_id = "-" * 36
    logger.warning("a message of a realistic length, about here", order="1234567890")
    assert len(output.writes[0]) <= 350


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error", "critical"])
def test_each_level_has_its_method(logger: Logger, output: Output, level: str) -> None:
    getattr(logger, level)("m", a=1)
    assert output.lines[0]["level"] == level.upper()
    assert logger.stats()["lines"][level.upper()] == 1


@pytest.mark.parametrize(
    ("threshold", "heard"),
    [
        ("trace", 6),
        ("DEBUG", 6),
        ("INFO", 5),
        ("WARN", 4),
        ("ERROR", 3),
        ("critical", 1),
    ],
)
def test_lines_below_the_level_are_not_written(output: Output, threshold: str, heard: int) -> None:
    logger = Logger(write=output, level=threshold)
    for method in (logger.debug, logger.info, logger.warning, logger.error, logger.exception):
        method("m")
    logger.critical("m")
    assert len(output.writes) == heard


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(
        ValueError,
        match=r"^log level must be one of TRACE, DEBUG, INFO, WARN, WARNING, ERROR, FATAL, "
        r"CRITICAL, not 'LOUD'$",
    ):
        Logger(level="LOUD")


def test_works_alone_and_silently() -> None:
    logger = Logger()
    with logger.context(order=1):
        logger.info("m")
    assert logger.stats()["lines"]["INFO"] == 1
    assert logger.stats()["bytes"] == 80


def test_within_an_invocation_lines_are_one_write(
    logger: Logger, output: Output, clock: FakeClock, current: SimpleNamespace, watch: Watch
) -> None:
    current.invocation = going(clock)
    logger.info("one")
    logger.debug("two")
    assert output.writes == []
    assert logger.stats()["buffered"] == 2
    assert watch.started == 2
    logger.flush()
    logger.flush()
    assert len(output.writes) == 1
    assert [line["message"] for line in output.lines] == ["one", "two"]
    assert output.lines[0]["correlation_id"] == "c-1"
    assert logger.stats()["bytes"] == len(output.writes[0])


def test_a_warning_takes_the_lines_before_it_along(
    logger: Logger, output: Output, clock: FakeClock, current: SimpleNamespace
) -> None:
    current.invocation = going(clock)
    logger.info("one")
    logger.warning("two")
    assert [line["message"] for line in output.lines] == ["one", "two"]


def test_a_full_buffer_is_written(
    output: Output, clock: FakeClock, current: SimpleNamespace
) -> None:
    logger = Logger(write=output, clock=clock, current=current, buffer_bytes=300)
    current.invocation = going(clock)
    logger.info("x" * 100)
    assert output.writes == []
    logger.info("y" * 100)
    assert len(output.writes) == 1


def test_after_the_flush_before_the_deadline_lines_are_written_at_once(
    logger: Logger, output: Output, clock: FakeClock, current: SimpleNamespace
) -> None:
    current.invocation = going(clock, seconds=3)
    clock.advance(2.95)
    logger.info("late")
    assert len(output.writes) == 1


def test_a_failing_output_loses_lines_and_says_so(
    logger: Logger, output: Output, clock: FakeClock
) -> None:
    output.broken = True
    logger.info("m")
    output.broken = False
    logger.info("n")
    assert [line["message"] for line in output.lines] == ["n"]
    assert logger.stats()["lost"] == 1


def test_a_fields_name_cannot_destroy_a_fixed_field(logger: Logger, output: Output) -> None:
    logger.info("m", **dict.fromkeys(RESERVED, "mine"))
    (line,) = output.lines
    assert line["message"] == "m"
    for name in RESERVED:
        assert line[f"field_{name}"] == "mine"


def test_context_adds_keys_for_the_block(logger: Logger, output: Output) -> None:
    with logger.context(order=1, user="u"):
        with logger.context(order=2):
            logger.info("inner", user="v")
        logger.info("outer")
    logger.info("after")
    inner, outer, after = output.lines
    assert (inner["order"], inner["user"]) == (2, "v")
    assert (outer["order"], outer["user"]) == (1, "u")
    assert "order" not in after


def test_context_without_a_block_lasts_for_the_invocation(
    logger: Logger, output: Output, clock: FakeClock, current: SimpleNamespace
) -> None:
    current.invocation = going(clock)
    logger.context(order=1)
    logger.context(part=2)
    logger.info("m")
    current.invocation = going(clock)
    logger.info("n")
    logger.context(part=3)
    logger.info("o")
    logger.flush()
    first, second, third = output.lines
    assert (first["order"], first["part"]) == (1, 2)
    assert "order" not in second
    assert "order" not in third


def test_context_of_one_thread_does_not_reach_another(logger: Logger, output: Output) -> None:
    with logger.context(order=1):
        thread = threading.Thread(target=lambda: logger.info("elsewhere"))
        thread.start()
        thread.join()
    assert "order" not in output.lines[0]


def test_a_forked_child_forgets_what_its_parent_will_write(
    logger: Logger, output: Output, clock: FakeClock, current: SimpleNamespace
) -> None:
    current.invocation = going(clock)
    logger.info("parent's")
    logger.forget()
    logger.info("child's")
    logger.flush()
    assert [line["message"] for line in output.lines] == ["child's"]


def test_threads_lose_no_line(
    logger: Logger, output: Output, clock: FakeClock, current: SimpleNamespace
) -> None:
    current.invocation = going(clock)

    def work(name: int) -> None:
        for number in range(200):
            logger.info("m", id=f"{name}-{number}")
            if number % 50 == 0:
                logger.flush()

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    logger.flush()
    assert len({line["id"] for line in output.lines}) == 800


def test_exception_describes_the_error_being_handled(logger: Logger, output: Output) -> None:
    class OuterError(Exception):
        """An error of our own."""

    try:
        try:
            int("inner words")
        except ValueError as error:
            raise OuterError from error
    except OuterError:
        logger.exception("failed", step=3)
    (line,) = output.lines
    described = line["exception"]
    assert line["step"] == 3
    assert described["type"].endswith("OuterError")
    assert described["chain"] == [
        "ValueError: invalid literal for int() with base 10: 'inner words'"
    ]
    assert described["location"].endswith("in test_exception_describes_the_error_being_handled")
    assert described["stack"] == [described["location"]]


def test_exception_takes_an_error_and_does_without_one(logger: Logger, output: Output) -> None:
    logger.exception("given", error=KeyError("k"))
    logger.exception("none")
    given_line, none_line = output.lines
    assert given_line["exception"] == {
        "type": "KeyError",
        "message": "'k'",
        "location": None,
        "chain": [],
        "stack": [],
    }
    assert none_line["exception"] is None


def test_chain_follows_context_unless_suppressed_and_ends(logger: Logger, output: Output) -> None:
    first, second = ValueError("first"), ValueError("second")
    first.__context__, second.__context__ = second, first
    logger.exception("loop", error=first)
    second.__suppress_context__ = True
    logger.exception("suppressed", error=second)
    loop, suppressed = output.lines
    assert loop["exception"]["chain"] == ["ValueError: second"]
    assert suppressed["exception"]["chain"] == []


@pytest.mark.parametrize(
    "key",
    [
        "token", "access_token", "accessToken", "Authorization", "X-Api-Key", "api_key", "apiKey",
        "password", "PASSWORDS", "client_secret", "Set-Cookie", "pin", "PIN", "lock_pin", "userPin",
        "credentials", "private_key", "pins",
    ],
)  # fmt: skip
def test_secret_keys_are_recognised(key: str) -> None:
    assert is_secret(key)


@pytest.mark.parametrize("key", ["key", "cache_key", "tokenizer", "spin", "pinned", "name", ""])
def test_ordinary_keys_are_not_secret(key: str) -> None:
    assert not is_secret(key)


Login = namedtuple("Login", "user password")  # noqa: PYI024
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJhIn0.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    "fields",
    [
        {"token": "PLANTED"},
        {"nested": {"deep": [{"Authorization": "PLANTED"}]}},
        {"text": "Authorization: Bearer PLANTED"},
        {"text": "BEARER PLANTED and more"},
        {"text": f"jwt {JWT}"},
        {"error": ValueError("header Bearer PLANTED refused")},
        {"data": b"Bearer PLANTED"},
        {"text": "Bearer  PLANTED"},
        {"text": "bearer\tPLANTED"},
        {"text": "BeArEr: PLANTED"},
        {"text": "Authorization=Basic PLANTED=="},
        {"headers": MappingProxyType({"Set-Cookie": "PLANTED"})},
        {"headers": UserDict({"X-Api-Key": "PLANTED"})},
        {"data": {b"password": "PLANTED"}},
        {"data": SimpleNamespace(token="PLANTED")},
        {"data": Login("ada", "PLANTED")},
        {"userPIN": "PLANTED"},
        {"pin_code": "PLANTED"},
        {"Bearer eyJPLANTED": 1},
        {"nested": {"Bearer PLANTED": 1}},
    ],
)
def test_secrets_are_redacted(logger: Logger, output: Output, fields: dict[str, object]) -> None:
    logger.info("m", **fields)
    written = output.writes[0].decode()
    assert "PLANTED" not in written
    assert "eyJ" not in written
    assert "[redacted]" in written


def test_secrets_in_messages_and_exceptions_are_redacted(logger: Logger, output: Output) -> None:
    logger.info(f"Bearer PLANTED {JWT}")
    logger.exception("m", error=ValueError("Bearer PLANTED"))
    assert b"PLANTED" not in b"".join(output.writes)


class Colour(enum.Enum):
    RED = 1


class Hostile:
    def __str__(self) -> str:
        msg = "no"
        raise RuntimeError(msg)


@dataclasses.dataclass
class Order:
    number: int
    api_key: str


@pytest.mark.parametrize(
    ("value", "logged"),
    [
        (None, None),
        (True, True),
        (False, False),
        (1, 1),
        (1 << 70, hex(1 << 70)),
        ([1 << 70], [hex(1 << 70)]),
        (1.5, 1.5),
        (1e300, "1e+300"),
        ([1e300], [1e300]),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        ([float("-inf")], ["-inf"]),
        ("ä\n\u2028\x00", "ä\n\u2028\x00"),
        ("\ud800", "\ud800"),
        ([1, (2,)], [1, [2]]),
        ({1: {"a": None}}, {"1": {"a": None}}),
        ({7}, [7]),
        (b"bytes \xff", "bytes \\xff"),
        (memoryview(b"m"), "m"),
        (decimal.Decimal("1.10"), "1.10"),
        (dt.datetime(2020, 1, 2, tzinfo=dt.UTC), "2020-01-02T00:00:00+00:00"),
        (Order(1, "k"), {"number": 1, "api_key": "[redacted]"}),
        (Order, f"<class '{Order.__module__}.Order'>"),
        (Colour.RED, "Colour.RED"),
        (ValueError("v"), "ValueError: v"),
        (Hostile(), "[Hostile that could not be logged: RuntimeError]"),
        (range(2), "range(0, 2)"),
    ],
)
def test_any_value_can_be_logged(
    logger: Logger, output: Output, value: object, logged: object
) -> None:
    logger.info("m", value=value)
    assert output.lines[0]["value"] == logged


def test_large_values_are_cut_with_a_note(logger: Logger, output: Output) -> None:
    deep: list[object] = []
    for _ in range(MAX_DEPTH + 5):
        deep = [deep]
    logger.info(
        "m" * (MAX_TEXT + 3),
        text="t" * (MAX_TEXT + 1),
        items=list(range(MAX_ITEMS + 2)),
        members={str(n): n for n in range(MAX_ITEMS + 4)},
        deep=deep,
    )
    (line,) = output.lines
    assert line["message"].endswith("m… [3 more characters]")
    assert line["text"].endswith("t… [1 more characters]")
    assert line["items"][-1] == "[2 more]"
    assert line["members"]["…"] == "4 more"
    assert f"[list nested deeper than {MAX_DEPTH}]" in json.dumps(line["deep"])


def test_recursive_values_end(logger: Logger, output: Output) -> None:
    loop: dict[str, object] = {}
    loop["self"] = loop
    logger.info("m", loop=loop)
    assert "nested deeper" in output.writes[0].decode()


def test_a_message_that_is_no_text_is_logged_as_text(logger: Logger, output: Output) -> None:
    logger.info({"a": 1})
    logger.info("null")
    assert [line["message"] for line in output.lines] == ["{'a': 1}", "null"]


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.decimals(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner)
    ),
    max_leaves=20,
)


@given(st.text(), st.dictionaries(st.text(), anything, max_size=5))
def test_whatever_is_logged_is_one_valid_json_line(message: str, fields: dict[str, object]) -> None:
    output = Output()
    logger = Logger(write=output)
    logger.info(message, **fields)
    (data,) = output.writes
    assert data.count(b"\n") == 1

    pairs: list[tuple[str, object]] = []

    def unique(items: list[tuple[str, object]]) -> dict[str, object]:
        pairs[:] = items  # the outermost object comes last
        return dict(items)

    json.loads(data, parse_constant=pytest.fail, object_pairs_hook=unique)
    assert [name for name, _ in pairs][:3] == ["timestamp", "level", "message"]
