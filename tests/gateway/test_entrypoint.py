from __future__ import annotations

import json
import os
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

import gateway
from gateway import _dispatch, _wiring
from gateway.entrypoint import DeadlineWatch
from gateway.testing import FakeClock, LambdaContext

if TYPE_CHECKING:
    from collections.abc import Callable

    Written = Callable[[], list[dict[str, object]]]

FUNCTION_URL = {
    "version": "2.0",
    "headers": {"x-correlation-id": "given-by-caller"},
    "requestContext": {"http": {}, "domainName": "x.lambda-url.us-east-1.on.aws"},
}
DIRECTIVE = {
    "directive": {
        "header": {
            "namespace": "Alexa.PowerController",
            "name": "TurnOn",
            "messageId": "message-1",
            "correlationToken": "correlation-1",
            "payloadVersion": "3",
        },
        "endpoint": {"endpointId": "light#a", "scope": {"token": "SECRET"}},
        "payload": {},
    }
}
SKILL = {
    "version": "1.0",
    "context": {"System": {}},
    "request": {"type": "LaunchRequest", "requestId": "request-1"},
}


@pytest.mark.parametrize("value", [None, 0, "text", b"bytes", [1], {"a": 1}])
def test_the_answer_passes_through(value: object, context: LambdaContext) -> None:
    @gateway.handler
    def function(event: object, context: object) -> object:
        return event

    assert function(value, context) is value
    assert function(value) is value


def test_keeps_name_doc_and_the_function_itself() -> None:
    def original(event: object, context: object) -> None:
        """Answer."""

    function = gateway.handler(original)
    assert function.__name__ == "original"
    assert function.__doc__ == "Answer."
    assert function.__wrapped__ is original


def test_lines_carry_the_invocation_and_are_one_write(
    written: Written, context: LambdaContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes = []
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: writes.append(fd) or write(fd, data))

    @gateway.handler
    def function(event: object, context: object) -> None:
        gateway.log_info("one")
        gateway.log_info("two")
        gateway.record_metric("three", 3)
        assert writes == []

    function(FUNCTION_URL, context)
    assert len(writes) == 2
    writes.clear()
    one, two, metric = written()
    assert (one["message"], two["message"], metric["three"]) == ("one", "two", 3)
    assert one["correlation_id"] == "given-by-caller"
    assert one["request_id"] == context.aws_request_id
    assert one["function"] == "test-function"
    assert one["cold_start"] is True
    function({}, context)
    assert written()[0]["cold_start"] is False


def test_correlation_id_can_be_a_path_into_the_event(written: Written) -> None:
    @gateway.handler(correlation_id="meta.id")
    def function(event: object, context: object) -> None:
        gateway.log_info("m")

    function({"meta": {"id": "mine"}}, None)
    assert written()[0]["correlation_id"] == "mine"


def test_bound_keys_do_not_reach_the_next_invocation(written: Written) -> None:
    @gateway.handler
    def function(event: dict[str, object], context: object) -> None:
        if "bind" in event:
            gateway.log_context(user="first")
        gateway.log_info("m")

    function({"bind": 1}, None)
    function({}, None)
    first, second = written()
    assert first["user"] == "first"
    assert "user" not in second


def test_an_error_is_logged_with_its_chain_and_raised(written: Written) -> None:
    @gateway.handler
    def function(event: object, context: object) -> None:
        gateway.record_metric("before", 1)
        try:
            {}["missing"]
        except KeyError as error:
            msg = "no such thing"
            raise ValueError(msg) from error

    with pytest.raises(ValueError, match=r"^no such thing$"):
        function({}, None)
    line, metric = written()
    assert line["message"] == "handler failed"
    assert line["kind"] == "direct"
    assert line["exception"]["type"] == "ValueError"
    assert line["exception"]["message"] == "no such thing"
    assert line["exception"]["chain"] == ["KeyError: 'missing'"]
    assert line["exception"]["location"].endswith("in function")
    assert metric["before"] == 1
    assert gateway.invocation() is None


def failing(event: object, context: object) -> None:
    msg = "secret detail"
    raise RuntimeError(msg)


def test_an_http_caller_gets_a_clean_error(written: Written) -> None:
    answer = gateway.handler(failing)(FUNCTION_URL, None)
    assert answer["statusCode"] == 500
    assert json.loads(answer["body"]) == {
        "message": "Something went wrong. Please try again later.",
        "correlation_id": "given-by-caller",
    }
    assert written()[0]["exception"]["message"] == "secret detail"


def test_alexa_gets_a_complete_error(written: Written) -> None:
    event = gateway.handler(failing)(DIRECTIVE, None)["event"]
    assert event["header"]["name"] == "ErrorResponse"
    assert event["header"]["correlationToken"] == "correlation-1"
    assert event["endpoint"] == {"endpointId": "light#a"}
    assert event["payload"] == {
        "type": "INTERNAL_ERROR",
        "message": "the skill's function failed",
    }
    assert written()[0]["correlation_id"] == "message-1"


def test_an_alexa_skill_speaks_its_error(written: Written) -> None:
    answer = gateway.handler(failing)(SKILL, None)
    assert "Something went wrong" in json.dumps(answer)
    assert answer["response"]["shouldEndSession"] is True
    assert len(written()) == 1


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_what_ends_the_process_still_flushes(written: Written, error: type[BaseException]) -> None:
    @gateway.handler
    def function(event: object, context: object) -> None:
        gateway.log_info("last words")
        raise error

    with pytest.raises(error):
        function({}, None)
    assert [line["message"] for line in written()] == ["last words"]


def test_coroutine_functions_run_on_one_lasting_loop() -> None:
    import asyncio

    loops = []

    @gateway.handler
    async def function(event: object, context: object) -> object:
        loops.append(asyncio.get_running_loop())
        await asyncio.sleep(0)
        return event

    assert function(1, None) == 1
    assert function(2, None) == 2
    assert loops[0] is loops[1]
    function.__wrapped__.runner.close()


def test_coroutine_methods_and_callable_objects_are_recognised() -> None:
    import functools

    class Function:
        async def __call__(self, event: object, context: object) -> object:
            return event

    wrapped = gateway.handler(functools.partial(Function().__call__))
    assert wrapped(3, None) == 3
    wrapped.__wrapped__.runner.close()
    wrapped = gateway.handler(Function())
    assert wrapped(4, None) == 4
    wrapped.__wrapped__.runner.close()


def test_the_event_is_logged_redacted_on_request(written: Written) -> None:
    @gateway.handler(log_event=True)
    def function(event: object, context: object) -> None: ...

    function(DIRECTIVE, None)
    (line,) = written()
    assert line["message"] == "event"
    assert line["event"]["directive"]["endpoint"]["scope"] == {"token": "[redacted]"}


def test_metrics_namespace_can_be_given(written: Written) -> None:
    @gateway.handler(metrics_namespace="Home")
    def function(event: object, context: object) -> None:
        gateway.record_metric("m", 1)

    function({}, None)
    assert written()[0]["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "Home"


def test_preload_happens_at_decoration() -> None:
    @gateway.handler(preload=["config"])
    def function(event: object, context: object) -> None: ...

    assert _dispatch.is_loaded(_wiring.config)
    assert function({}, None) is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"preload": "cache"}, "preload takes a sequence of interface names: preload=('cache',)"),
        ({"preload": ["cash"]}, "an interface is one of cache, "),
    ],
)
def test_misuse_is_refused_at_decoration(arguments: dict[str, object], message: str) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        gateway.handler(**arguments)(failing)
    assert str(caught.value).startswith(message)


def test_only_functions_are_decorated() -> None:
    with pytest.raises(
        TypeError, match=r"^handler decorates a function of \(event, context\), not 3$"
    ):
        gateway.handler(3)


class Flushes:
    def __init__(self) -> None:
        self.count = 0
        self.happened = threading.Event()

    def __call__(self) -> None:
        self.count += 1
        self.happened.set()


class Going:
    def __init__(self, deadline: float) -> None:
        self.deadline = deadline


def test_watch_flushes_once_shortly_before_the_deadline(clock: FakeClock) -> None:
    current, flush = SimpleNamespace(invocation=None), Flushes()
    watch = DeadlineWatch(current, flush, margin=0.1, interval=0.5, clock=clock)
    assert watch.look() == 0.5
    current.invocation = Going(clock() + 3)
    assert watch.look() == 0.5
    clock.advance(2.75)
    assert watch.look() == pytest.approx(0.15)
    clock.advance(0.15)
    assert flush.count == 0
    clock.advance(0.01)
    assert watch.look() == 0.5
    assert watch.look() == 0.5
    assert flush.count == 1
    current.invocation = Going(clock() + 0.05)
    watch.look()
    assert flush.count == 2


def test_watch_thread_flushes_a_handler_that_hangs() -> None:
    current, flush = SimpleNamespace(invocation=None), Flushes()
    watch = DeadlineWatch(current, flush, margin=0.0, interval=0.01)
    current.invocation = Going(0.0)
    watch.start()
    watch.start()
    assert flush.happened.wait(5)
    assert [t.name for t in threading.enumerate()].count("thriftgate-deadline") == 1
    watch.close()
    assert flush.count == 1
    watch.start()  # as after a fork, where the thread is gone
    watch.close()


def test_watch_thread_looks_again_and_again() -> None:
    class Looked:
        """A current invocation that tells when it was read the third time."""

        def __init__(self) -> None:
            self.times = 0
            self.thrice = threading.Event()

        @property
        def invocation(self) -> None:
            self.times += 1
            if self.times == 3:
                self.thrice.set()

    current, flush = Looked(), Flushes()
    watch = DeadlineWatch(current, flush, interval=0.001)
    watch.start()
    assert current.thrice.wait(5)
    watch.close()
    assert flush.count == 0


def test_watch_is_started_by_the_first_buffered_line_only(context: LambdaContext) -> None:
    gateway.log_info("outside an invocation, written at once")
    assert not _dispatch.is_loaded(_wiring.watch)

    @gateway.handler
    def function(event: object, context: object) -> None:
        gateway.log_warning("written at once")
        assert not _dispatch.is_loaded(_wiring.watch)
        gateway.log_info("buffered")
        assert _dispatch.is_loaded(_wiring.watch)

    function({}, context)


def test_closing_from_its_own_thread_does_not_wait_for_itself() -> None:
    current = SimpleNamespace(invocation=None)
    closed = threading.Event()

    def flush() -> None:
        watch.close()
        closed.set()

    watch = DeadlineWatch(current, flush, margin=0.0, interval=0.01)
    current.invocation = Going(0.0)
    watch.start()
    assert closed.wait(5)
    DeadlineWatch(current, flush).close()


def test_an_error_without_words_is_still_answered_and_logged(written: Written) -> None:
    class EvilError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    @gateway.handler
    def function(event: object, context: object) -> None:
        raise EvilError

    assert function(DIRECTIVE, None)["event"]["payload"]["type"] == "INTERNAL_ERROR"
    assert written()[0]["exception"]["message"] == "[no message: RuntimeError]"


def test_a_handler_inside_another_gives_the_invocation_back() -> None:
    @gateway.handler
    def inner(event: object, context: object) -> object:
        return gateway.invocation()

    @gateway.handler
    def outer(event: object, context: object) -> None:
        mine = gateway.invocation()
        assert inner(event, context) is not mine
        assert gateway.invocation() is mine

    outer({}, None)
    assert gateway.invocation() is None


def test_keys_bound_in_a_coroutine_reach_its_failure(written: Written) -> None:
    @gateway.handler
    async def function(event: object, context: object) -> None:
        gateway.log_context(user="ada")
        msg = "no"
        raise ValueError(msg)

    with pytest.raises(ValueError, match=r"^no$"):
        function({}, None)
    function.__wrapped__.runner.close()
    assert written()[0]["user"] == "ada"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"correlation_id": 5}, "correlation_id is a dotted path into the event, not 5"),
        ({"preload": None}, "preload takes a sequence of interface names: preload=(None,)"),
        ({"preload": [["cache"]]}, "an interface is one of cache, "),
    ],
)
def test_wrong_options_are_refused_at_decoration(
    arguments: dict[str, object], message: str
) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        gateway.handler(**arguments)(failing)
    assert str(caught.value).startswith(message)
