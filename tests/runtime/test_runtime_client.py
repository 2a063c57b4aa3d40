"""Our own runtime client inside this process; test_runtime_contract runs it as Lambda would."""

from __future__ import annotations

import contextlib
import decimal
import http.client
import json
import logging
import os
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from gateway.cli import runtime_client
from gateway.cli.runtime_api import Answered, Failed, Invocation, Ready, RuntimeApi
from gateway.cli.runtime_client import Fault, LambdaContext, RuntimeApiError, RuntimeClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future
    from pathlib import Path


@pytest.fixture
def api() -> Iterator[RuntimeApi]:
    with RuntimeApi() as api:
        yield api


@pytest.fixture
def client(api: RuntimeApi) -> Iterator[RuntimeClient]:
    with contextlib.closing(RuntimeClient(api.address)) as client:
        yield client


@pytest.fixture
def start() -> Iterator[Callable[..., Future[Any]]]:
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch, api: RuntimeApi) -> Iterator[None]:
    """Put back what a runtime client changes in the process that it has to itself."""
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, getattr(sys, name))
    monkeypatch.setattr(logging.Formatter, "converter", logging.Formatter.converter)
    monkeypatch.setattr(runtime_client, "request_id", "")
    monkeypatch.setenv("_X_AMZN_TRACE_ID", "old")
    monkeypatch.setenv("AWS_LAMBDA_RUNTIME_API", api.address)
    root = logging.getLogger()
    handlers = root.handlers[:]
    yield
    root.handlers[:] = handlers


def headers(**values: str) -> http.client.HTTPMessage:
    message = http.client.HTTPMessage()
    for name, value in values.items():
        message[f"Lambda-Runtime-{name.replace('_', '-')}"] = value
    return message


@pytest.mark.parametrize(
    ("body", "result", "answer"),
    [
        (b'{"a": 1}', None, Answered(b'{"a": 1}', "application/json")),
        (b"1", b"raw", Answered(b"raw", "application/unknown")),
    ],
)
@pytest.mark.usefixtures("process")
def test_an_invocation_is_answered(
    *,
    api: RuntimeApi,
    client: RuntimeClient,
    start: Callable[..., Future[Any]],
    body: bytes,
    result: object,
    answer: Answered,
) -> None:
    served = start(runtime_client.serve_one, client, lambda event, context: result or event)
    assert api.wait(1) == Ready()
    api.send(Invocation("id-1", body, 1, {"Lambda-Runtime-Trace-Id": "Root=1"}))
    assert api.wait(1) == answer
    assert served.exception(3) is None
    assert os.environ["_X_AMZN_TRACE_ID"] == "Root=1"
    assert runtime_client.request_id == "id-1"


@pytest.mark.usefixtures("process")
def test_an_exception_is_posted_without_the_clients_own_frames(
    api: RuntimeApi, client: RuntimeClient, start: Callable[..., Future[Any]]
) -> None:
    def handler(event: object, context: object) -> None:
        raise KeyError(event)

    served = start(runtime_client.serve_one, client, handler)
    assert api.wait(1) == Ready()
    api.send(Invocation("id-2", b"5", 1))
    message = api.wait(1)
    assert isinstance(message, Failed)
    assert (message.error.type, message.error.message) == ("KeyError", "5")
    assert len(message.error.stack_trace) == 1
    assert "raise KeyError(event)" in message.error.stack_trace[0]
    assert json.loads(message.body)["requestId"] == "id-2"
    assert served.exception(3) is None
    assert "_X_AMZN_TRACE_ID" not in os.environ


@pytest.mark.usefixtures("process")
def test_main_posts_a_failing_init_and_exits(
    api: RuntimeApi, start: Callable[..., Future[Any]]
) -> None:
    ended = start(runtime_client.main, ["bootstrap", "nowhere_to_be_found.handler"])
    message = api.wait(1)
    assert isinstance(message, Failed)
    assert message.error.type == "Runtime.ImportModuleError"
    error = ended.exception(3)
    assert isinstance(error, SystemExit)
    assert error.code == 1


@pytest.mark.usefixtures("process")
def test_main_serves_until_the_api_refuses(
    api: RuntimeApi,
    start: Callable[..., Future[Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "served_module.py").write_text("def handler(event, context): return event")
    monkeypatch.syspath_prepend(tmp_path)
    ended = start(runtime_client.main, ["bootstrap", "served_module.handler"])
    assert api.wait(3) == Ready()
    api.send(Invocation("id-1", b"1", 1))
    assert api.wait(1) == Answered(b"1", "application/json")
    assert api.wait(1) == Ready()
    # An answer under another id than the invocation has: it is refused.
    api.send(Invocation("id-2", b"1", 1, {"Lambda-Runtime-Aws-Request-Id": "id-3"}))
    assert api.wait(0.2) is None
    error = ended.exception(3)
    assert isinstance(error, RuntimeApiError)
    assert str(error) == "failed to post invocation/id-3/response: status 400"


def test_a_refused_request_for_an_event_is_an_error(
    api: RuntimeApi, client: RuntimeClient, start: Callable[..., Future[Any]]
) -> None:
    api.send(Invocation("id-1", b"", 1))  # to nobody: the next request comes out of turn
    ended = start(client.next)
    assert api.wait(0.2) is None
    error = ended.exception(3)
    assert isinstance(error, RuntimeApiError)
    assert str(error) == "failed to get the next event: status 403"


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        (
            "app",
            "Runtime.MalformedHandlerName",
            "Bad handler 'app': not enough values to unpack (expected 2, got 1)",
        ),
        (
            "sys.exit",
            "Runtime.BuiltInModuleConflict",
            "Cannot use built-in module sys as a handler module",
        ),
        (
            "json/decoder.nothing",
            "Runtime.HandlerNotFound",
            "Handler 'nothing' missing on module 'json/decoder'",
        ),
    ],
)
def test_a_handler_that_cannot_be_found_is_a_fault(name: str, kind: str, message: str) -> None:
    with pytest.raises(Fault, match=f"^{re.escape(message)}$") as caught:
        runtime_client.find_handler(name)
    assert caught.value.kind == kind


def test_a_syntax_error_is_a_fault_with_the_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_module.py").write_text("x = (\n")
    monkeypatch.syspath_prepend(tmp_path)
    message = (
        "Syntax error in module 'broken_module': '(' was never closed (broken_module.py, line 1)"
    )
    with pytest.raises(Fault, match=f"^{re.escape(message)}$") as caught:
        runtime_client.find_handler("broken_module.handler")
    assert caught.value.kind == "Runtime.UserCodeSyntaxError"
    assert caught.value.trace == [f'  File "{tmp_path / "broken_module.py"}" Line 1\n    x = (\n']


def test_a_handler_is_found_by_dots_or_slashes() -> None:
    assert runtime_client.find_handler("json/decoder.JSONDecoder") is json.JSONDecoder


def test_an_event_of_another_content_type_stays_bytes() -> None:
    assert runtime_client.decode(b"{}", "text/plain") == b"{}"
    assert runtime_client.decode(b"{}", "application/json") == {}
    with pytest.raises(Fault, match=r"^Unable to unmarshal input: Expecting value"):
        runtime_client.decode(b"", "application/json")


@pytest.mark.parametrize(
    ("runtime", "body"),
    [
        ("AWS_Lambda_python3.11", b'"\\u00e9"'),
        ("AWS_Lambda_python3.13", '"é"'.encode()),
    ],
)
def test_text_is_escaped_before_python_3_12(
    runtime: str, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_EXECUTION_ENV", runtime)
    assert runtime_client.encode("é") == (body, "application/json")


def test_decimals_are_numbers_and_unknown_types_a_fault() -> None:
    assert runtime_client.encode([decimal.Decimal("1.5")])[0] == b"[1.5]"
    message = "Unable to marshal response: Object of type set is not JSON serializable"
    with pytest.raises(Fault, match=f"^{re.escape(message)}$"):
        runtime_client.encode({1})


def test_the_context_reads_the_headers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(runtime_client.time, "time", lambda: 1.0)
    client = {"custom": {"a": 1}, "client": {"app_title": "App"}, "w3c": {"baggage": "b", "x": "y"}}
    context = LambdaContext(
        headers(
            Aws_Request_Id="id",
            Deadline_Ms="1500",
            Client_Context=json.dumps(client),
            Cognito_Identity='{"cognitoIdentityId": "c"}',
        )
    )
    assert context.aws_request_id == "id"
    assert context.get_remaining_time_in_millis() == 500
    assert context.client_context is not None
    assert context.client_context.custom == {"a": 1}
    assert repr(context.client_context.client) == (
        "Client([installation_id=None,app_title=App,app_version_name=None,"
        "app_version_code=None,app_package_name=None])"
    )
    assert context.identity.cognito_identity_id == "c"
    assert context.w3c() == {"baggage": "b"}
    context.log("line")
    assert capsys.readouterr().out == "line"
    assert repr(context).startswith("LambdaContext([aws_request_id=id,log_group_name=")


@pytest.mark.parametrize("client", ["5", '{"w3c": "x"}', '{"client": null}'])
def test_the_context_without_headers_or_with_odd_ones(client: str) -> None:
    context = LambdaContext(headers())
    assert context.get_remaining_time_in_millis() == 0
    assert (context.client_context, context.tenant_id, context.w3c()) == (None, None, {})
    if client == "5":
        with pytest.raises(AttributeError):
            LambdaContext(headers(Client_Context=client))
    else:
        odd = LambdaContext(headers(Client_Context=client))
        assert odd.client_context is not None
        assert (odd.client_context.client, odd.w3c()) == (None, {})


def test_a_header_that_is_no_json_is_a_fault() -> None:
    with pytest.raises(Fault, match=r"^Unable to parse Cognito Identity JSON: Expecting") as caught:
        LambdaContext(headers(Cognito_Identity="{"))
    assert caught.value.kind == "Runtime.LambdaContextUnmarshalError"


@pytest.mark.usefixtures("process")
def test_lines_are_written_at_once_and_records_in_lambdas_format(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime_client.set_logging_up()
    monkeypatch.setattr(runtime_client, "request_id", "id-9")
    logging.getLogger().handlers[-1].handle(
        logging.makeLogRecord({"msg": "hello", "levelname": "INFO", "created": 0.5, "msecs": 500})
    )
    sys.stdout.writelines(["a\n", "b\n"])
    assert sys.stdout.encoding
    sys.stderr.write("c\n")
    out, err = capsys.readouterr()
    assert out == "[INFO]\t1970-01-01T00:00:00.500Z\tid-9\thello\na\nb\n"
    assert err == "c\n"
