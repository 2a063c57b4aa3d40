"""What a function may expect of its runtime, by the managed client and by our own alike."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.cli.local_runtime import LocalRuntime
from gateway.cli.runtime_api import RESPONSE_LIMIT

ECHO = """
    def handler(event, context):
        return event
"""
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8")),
    lambda values: (
        st.lists(values) | st.dictionaries(st.text(st.characters(codec="utf-8")), values)
    ),
    max_leaves=8,
)


def test_event_reaches_the_handler_and_its_result_comes_back(function: Any) -> None:
    with function(ECHO) as runtime:
        result = runtime.invoke({"name": "Ada", "tags": ["a", 1, None]})
    assert result.json() == {"name": "Ada", "tags": ["a", 1, None]}
    assert result.error is None
    assert result.cold
    assert result.max_rss_kb is None or result.max_rss_kb > 1000
    assert result.billed_ms >= result.init_ms + result.duration_ms


def test_any_json_value_is_an_event_and_a_result(function: Any) -> None:
    with function(ECHO) as runtime:

        @settings(max_examples=50, deadline=None)
        @given(JSON)
        def echoes(value: Any) -> None:
            assert runtime.invoke(value).json() == value

        echoes()


def test_only_the_first_of_several_invocations_is_cold(function: Any) -> None:
    source = """
        calls = []
        def handler(event, context):
            calls.append(event)
            return calls
    """
    with function(source) as runtime:
        results = [runtime.invoke(number) for number in range(3)]
    assert [result.json() for result in results] == [[0], [0, 1], [0, 1, 2]]
    assert [result.cold for result in results] == [True, False, False]
    assert results[0].init_ms > 0
    assert [result.init_ms for result in results[1:]] == [0.0, 0.0]
    assert [result.init_cpu_ms for result in results[1:]] == [None, None]
    assert len({result.request_id for result in results}) == 3


def test_an_exception_is_a_function_error_and_the_process_lives_on(function: Any) -> None:
    source = """
        def inner(event):
            raise ValueError(f"no {event}")
        def handler(event, context):
            return inner(event)
    """
    with function(source) as runtime:
        first, second = runtime.invoke("é"), runtime.invoke(2)
    assert first.error is not None
    assert (first.error.type, first.error.message) == ("ValueError", "no é")
    assert [frame.split(", in ")[1].split("\n")[0] for frame in first.error.stack_trace] == [
        "handler",
        "inner",
    ]
    assert first.json() == {
        "errorMessage": "no é",
        "errorType": "ValueError",
        "requestId": first.request_id,
        "stackTrace": list(first.error.stack_trace),
    }
    assert first.logs[0].startswith("[ERROR] ValueError: no é\rTraceback (most recent call last):")
    assert (second.cold, second.json()["errorMessage"]) == (False, "no 2")


@pytest.mark.parametrize(
    ("source", "error_type", "message"),
    [
        pytest.param(
            "import nowhere",
            "Runtime.ImportModuleError",
            "Unable to import module 'app': No module named 'nowhere'",
            id="import error",
        ),
        pytest.param(
            "def handler(:",
            "Runtime.UserCodeSyntaxError",
            "Syntax error in module 'app': invalid syntax (app.py, line 1)",
            id="syntax error",
        ),
        pytest.param(
            "def other(event, context): ...",
            "Runtime.HandlerNotFound",
            "Handler 'handler' missing on module 'app'",
            id="handler missing",
        ),
        pytest.param("raise KeyError('boom')", "KeyError", "'boom'", id="module raises"),
    ],
)
def test_a_failing_init_is_reported_and_tried_again(
    function: Any, source: str, error_type: str, message: str
) -> None:
    with function(source) as runtime:
        first = runtime.invoke({})
        (runtime.task_root / "app.py").write_text("def handler(event, context): return 'well'")
        second = runtime.invoke({})
    assert first.error is not None
    assert (first.error.type, first.error.message) == (error_type, message)
    assert first.json()["errorType"] == error_type
    assert (first.cold, first.duration_ms) == (True, 0.0)
    assert any(f"[ERROR] {error_type}: {message}" in line for line in first.logs)
    assert (second.error, second.json(), second.cold) == (None, "well", True)


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("sys.exit(3)", "Runtime exited with error: exit status 3"),
        ("os._exit(0)", "Runtime exited without providing a reason"),
        ("os.abort()", "Runtime exited with error: signal SIGABRT"),
    ],
)
def test_a_crash_is_an_error_and_the_next_invocation_is_cold(
    function: Any, statement: str, message: str
) -> None:
    source = f"""
        import os, sys
        def handler(event, context):
            if event:
                print("last words")
                {statement}
            return "well"
    """
    with function(source) as runtime:
        warm_up, crash, after = (runtime.invoke(event) for event in (0, 1, 0))
    assert (warm_up.cold, crash.cold, after.cold) == (True, False, True)
    assert crash.error is not None
    assert crash.error.type == "Runtime.ExitError"
    assert crash.error.message == f"RequestId: {crash.request_id} Error: {message}"
    assert crash.json() == {"errorType": crash.error.type, "errorMessage": crash.error.message}
    assert crash.logs[0] == "last words"
    assert after.json() == "well"


def test_a_crash_in_init_is_an_error(function: Any) -> None:
    with function("print('on the way out')\nimport os\nos._exit(7)") as runtime:
        result = runtime.invoke({})
    assert result.error is not None
    assert result.error.type == "Runtime.ExitError"
    assert result.error.message == "Runtime exited with error: exit status 7"
    assert result.logs == ["on the way out"]
    assert result.cold


def test_a_handler_past_its_timeout_is_killed(function: Any) -> None:
    source = """
        import time
        def handler(event, context):
            print("waiting")
            time.sleep(event)
            return "well"
    """
    with function(source, timeout=1.0) as runtime:
        runtime.invoke(0)
        began = time.monotonic()
        hung = runtime.invoke(60)
        took = time.monotonic() - began
        after = runtime.invoke(0)
    assert hung.error is not None
    assert hung.error.type == "Sandbox.Timedout"
    assert hung.error.message == (
        f"RequestId: {hung.request_id} Error: Task timed out after 1.00 seconds"
    )
    assert hung.logs == ["waiting"]
    assert hung.duration_ms >= 500
    assert took < 3.0
    assert (after.cold, after.json()) == (True, "well")


def test_an_init_past_its_timeout_is_killed(function: Any) -> None:
    source = "import time\nprint('importing')\ntime.sleep(60)"
    with function(source, init_timeout=1.0) as runtime:
        began = time.monotonic()
        result = runtime.invoke({})
        took = time.monotonic() - began
    assert result.error is not None
    assert result.error.type == "Sandbox.Timedout"
    assert result.error.message == "INIT timed out after 1.00 seconds"
    assert (result.duration_ms, result.logs) == (0.0, ["importing"])
    assert took < 3.0


def test_what_the_handler_started_ends_with_a_timeout(function: Any) -> None:
    source = """
        import os, socket, time
        def handler(port, context):
            connection = socket.create_connection(("127.0.0.1", port))
            os.fork()
            time.sleep(60)
    """
    with socket.create_server(("127.0.0.1", 0)) as server, function(source, timeout=1.0) as runtime:
        result = runtime.invoke(server.getsockname()[1])
        connection, _ = server.accept()
        with connection:
            connection.settimeout(3.0)
            # It is closed once nobody holds it: neither the handler nor its child.
            assert connection.recv(1) == b""
    assert result.error is not None
    assert result.error.type == "Sandbox.Timedout"


@pytest.mark.parametrize("value", ["{1, 2}", "object()", "float.fromhex", "[b'x', {1}]"])
def test_a_result_that_is_no_json_is_an_error(function: Any, value: str) -> None:
    with function(f"def handler(event, context): return {value}") as runtime:
        result = runtime.invoke({})
    assert result.error is not None
    assert result.error.type == "Runtime.MarshalError"
    assert result.error.message.startswith("Unable to marshal response: Object of type ")
    assert result.error.message.endswith(" is not JSON serializable")


def test_bytes_pass_through(function: Any) -> None:
    with function(r"def handler(event, context): return b'\x00\xff raw'") as runtime:
        assert runtime.invoke({}).payload == b"\x00\xff raw"


@pytest.mark.parametrize(("value", "number"), [("Decimal('2.5')", 2.5), ("(1, 2)", [1, 2])])
def test_decimals_and_tuples_are_json(function: Any, value: str, number: object) -> None:
    source = f"from decimal import Decimal\ndef handler(event, context): return {value}"
    with function(source) as runtime:
        assert runtime.invoke({}).json() == number


def test_an_event_that_is_no_json_is_an_error(function: Any) -> None:
    with function(ECHO) as runtime:
        result = runtime.invoke(b"{not json")
    assert result.error is not None
    assert result.error.type == "Runtime.UnmarshalError"
    assert result.error.message.startswith("Unable to unmarshal input: ")


def test_a_response_may_be_as_large_as_lambda_allows(function: Any) -> None:
    with function("def handler(event, context): return 'x' * event") as runtime:
        at_limit = runtime.invoke(RESPONSE_LIMIT - 2)
        above = runtime.invoke(RESPONSE_LIMIT - 1)
        after = runtime.invoke(1)
    assert (at_limit.error, len(at_limit.payload)) == (None, RESPONSE_LIMIT)
    assert above.error is not None
    assert above.error.type == "Function.ResponseSizeTooLarge"
    assert above.error.message == (
        f"Response payload size ({RESPONSE_LIMIT + 1} bytes) exceeded maximum allowed payload "
        f"size ({RESPONSE_LIMIT} bytes)."
    )
    assert (after.json(), after.cold) == ("x", True)


def test_a_large_event_arrives(function: Any) -> None:
    with function("def handler(event, context): return len(event)") as runtime:
        assert runtime.invoke("é" * 500_000).json() == 500_000


def test_two_runtimes_live_side_by_side(function: Any) -> None:
    source = "import os\ndef handler(event, context): return [os.getpid(), event]"
    with function(source) as one, function(source) as other:
        pids = [
            [runtime.invoke(number).json()[0] for number in range(2)] for runtime in (one, other)
        ]
    assert pids[0][0] == pids[0][1] != pids[1][0] == pids[1][1]


def test_invocations_from_several_threads_follow_one_another(function: Any) -> None:
    source = """
        running = []
        def handler(event, context):
            running.append(event)
            return len(running) - running.index(event) == 1 and running.remove(event) is None
    """
    answers: list[object] = []
    with function(source) as runtime:
        threads = [
            threading.Thread(target=lambda n=n: answers.append(runtime.invoke(n).json()))
            for n in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert answers == [True] * 8


def test_start_runs_init_before_there_is_an_event(function: Any) -> None:
    source = "print('init')\ndef handler(event, context): return 'well'"
    with function(source) as runtime:
        start = runtime.start()
        result, second = runtime.invoke({}), runtime.invoke({})
    assert start.failure is None
    assert (result.init_ms, result.init_cpu_ms) == (start.duration_ms, start.cpu_ms)
    assert start.cpu_ms is None or start.cpu_ms > 1
    assert start.max_rss_kb is None or start.max_rss_kb > 1000
    assert (result.cold, second.cold, result.logs) == (True, False, ["init"])


def test_start_reports_a_failing_init(function: Any) -> None:
    with function("import nowhere") as runtime:
        start = runtime.start()
        assert start.failure is not None
        assert start.failure.error.type == "Runtime.ImportModuleError"
        assert runtime.invoke({}).cold


def test_stop_makes_the_next_invocation_cold(function: Any) -> None:
    with function(ECHO) as runtime:
        runtime.invoke({})
        runtime.stop()
        assert runtime.invoke({}).cold


def test_a_process_that_died_between_invocations_is_replaced(function: Any) -> None:
    with function("import os\ndef handler(event, context): return os.getpid()") as runtime:
        pid = runtime.invoke({}).json()
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        after = runtime.invoke({})
    assert (after.error, after.cold) == (None, True)
    assert after.json() != pid


def test_a_module_in_a_package_is_named_with_dots_or_slashes(
    task_root: Path, cache: Path, client: str
) -> None:
    (task_root / "pkg").mkdir()
    (task_root / "pkg" / "mod.py").write_text("def handler(event, context): return __name__")
    for name in ("pkg.mod.handler", "pkg/mod.handler"):
        with LocalRuntime(task_root, name, client=client, cache_dir=cache) as runtime:
            assert runtime.invoke({}).json() == "pkg.mod"


def test_non_ascii_results_are_escaped_as_the_managed_runtime_does(function: Any) -> None:
    with function(ECHO) as runtime:
        payload = runtime.invoke("é").payload
    assert payload == (b'"\\u00e9"' if sys.version_info < (3, 12) else '"é"'.encode())
    assert json.loads(payload) == "é"
