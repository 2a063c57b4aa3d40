"""A runtime client of the standard library alone, for systems without ``awslambdaric``.

The managed runtime's own client exists for Linux only. This one speaks the same protocol and gives
a handler the same context object, so that a function runs locally anywhere. It is copied into the
folder that stands for /var/runtime and imported there, hence it imports nothing of this project.

What it does not do: JSON log format, SnapStart, several invocations at once, X-Ray error causes.
Where the other client's JSON differs from the standard library's (a Decimal's digits, named
tuples as objects, bytes inside a value) this one follows the standard library, with Decimals as
floats. It loads ``http.client``, which a function on AWS does not find loaded: measure cold starts
with the real one.
"""

from __future__ import annotations

import contextlib
import decimal
import http.client
import importlib
import json
import logging
import os
import sys
import time
import traceback
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from http.client import HTTPMessage
    from types import TracebackType
    from typing import TextIO

    Handler = Callable[[Any, "LambdaContext"], Any]

PREFIX = "/2018-06-01/runtime"
# Before 3.12 the managed client escapes whatever is not ASCII.
_ESCAPING = frozenset({None, "AWS_Lambda_python3.11"})
_W3C_FIELDS = ("traceparent", "tracestate", "baggage")

request_id = ""


class RuntimeApiError(Exception):
    """The Runtime API refused a call; there is no going on."""


class Fault(Exception):  # noqa: N818 - the protocol's word
    """A failure that Lambda has a name for."""

    def __init__(self, message: str, kind: str, trace: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.kind = kind
        self.trace = list(trace)


class _Fields:
    """An object whose attributes are the *names*, taken from *values*."""

    _names: tuple[str, ...] = ()

    def __init__(self, values: Mapping[str, Any]) -> None:
        for name in self._names:
            setattr(self, name, values.get(name))

    def __repr__(self) -> str:
        fields = ",".join(f"{name}={getattr(self, name)}" for name in self._names)
        return f"{type(self).__name__}([{fields}])"


class CognitoIdentity(_Fields):
    """Who the caller is to Amazon Cognito."""

    _names = ("cognito_identity_id", "cognito_identity_pool_id")


class Client(_Fields):
    """The mobile application that called."""

    _names = (
        "installation_id",
        "app_title",
        "app_version_name",
        "app_version_code",
        "app_package_name",
    )


class ClientContext(_Fields):
    """What the caller sent beside the event."""

    custom: Any
    env: Any
    client: Any

    _names = ("custom", "env", "client")


class LambdaContext:
    """What a handler is told about its invocation."""

    def __init__(self, headers: HTTPMessage) -> None:
        client = _json_header(headers, "Client-Context", "Client Context")
        cognito = _json_header(headers, "Cognito-Identity", "Cognito Identity") or {}
        self.aws_request_id = _header(headers, "Aws-Request-Id")
        self.log_group_name = os.environ.get("AWS_LAMBDA_LOG_GROUP_NAME")
        self.log_stream_name = os.environ.get("AWS_LAMBDA_LOG_STREAM_NAME")
        self.function_name = os.environ.get("AWS_LAMBDA_FUNCTION_NAME")
        self.memory_limit_in_mb = os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
        self.function_version = os.environ.get("AWS_LAMBDA_FUNCTION_VERSION")
        self.invoked_function_arn = _header(headers, "Invoked-Function-Arn") or ""
        self.tenant_id = _header(headers, "Aws-Tenant-Id")
        w3c = client.pop("w3c", None) if isinstance(client, dict) else None
        self._w3c_fields = {
            name: w3c[name]
            for name in _W3C_FIELDS
            if isinstance(w3c, dict) and isinstance(w3c.get(name), str)
        }
        self.client_context = None if client is None else ClientContext(client)
        if self.client_context is not None and self.client_context.client is not None:
            self.client_context.client = Client(self.client_context.client)
        self.identity = CognitoIdentity(
            {
                "cognito_identity_id": cognito.get("cognitoIdentityId"),
                "cognito_identity_pool_id": cognito.get("cognitoIdentityPoolId"),
            }
        )
        self._epoch_deadline_time_in_ms = int(_header(headers, "Deadline-Ms") or 0)

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds left before the function's timeout, by the wall clock."""
        return max(0, self._epoch_deadline_time_in_ms - int(time.time() * 1000))

    def w3c(self) -> dict[str, str]:
        """Return the trace context that the caller sent."""
        return dict(self._w3c_fields)

    def log(self, msg: object) -> None:
        """Write *msg* to the function's log as it is."""
        sys.stdout.write(str(msg))

    def __repr__(self) -> str:
        shown = (f"{name}={value}" for name, value in vars(self).items() if name[0] != "_")
        return f"LambdaContext([{','.join(shown)}])"


def _header(headers: HTTPMessage, name: str) -> str | None:
    return headers.get(f"Lambda-Runtime-{name}")


def _json_header(headers: HTTPMessage, name: str, title: str) -> Any:
    text = _header(headers, name)
    if not text:
        return None
    try:
        return json.loads(text)
    except ValueError as error:
        message = f"Unable to parse {title} JSON: {error}"
        raise Fault(message, "Runtime.LambdaContextUnmarshalError") from error


def find_handler(name: str) -> Handler:
    """Return the function *name*, ``module.function``; raises Fault."""
    module_name, dot, function_name = name.rpartition(".")
    if not dot:
        message = f"Bad handler '{name}': not enough values to unpack (expected 2, got 1)"
        raise Fault(message, "Runtime.MalformedHandlerName")
    if module_name.partition(".")[0] in sys.builtin_module_names:
        message = f"Cannot use built-in module {module_name} as a handler module"
        raise Fault(message, "Runtime.BuiltInModuleConflict")
    try:
        module = importlib.import_module(module_name.replace("/", "."))
    except ImportError as error:
        message = f"Unable to import module '{module_name}': {error}"
        raise Fault(message, "Runtime.ImportModuleError") from error
    except SyntaxError as error:
        message = f"Syntax error in module '{module_name}': {error}"
        trace = [f'  File "{error.filename}" Line {error.lineno}\n    {error.text}']
        raise Fault(message, "Runtime.UserCodeSyntaxError", trace) from error
    try:
        handler: Handler = getattr(module, function_name)
    except AttributeError as error:
        message = f"Handler '{function_name}' missing on module '{module_name}'"
        raise Fault(message, "Runtime.HandlerNotFound") from error
    return handler


def _plain(value: object) -> object:
    if isinstance(value, decimal.Decimal):
        return float(value)
    msg = f"Object of type {type(value).__name__} is not JSON serializable"
    raise TypeError(msg)


def encode(value: object) -> tuple[bytes, str]:
    """Return a handler's result as body and content type; raises Fault."""
    if isinstance(value, bytes):
        return value, "application/unknown"
    escaping = os.environ.get("AWS_EXECUTION_ENV") in _ESCAPING
    try:
        text = json.dumps(value, default=_plain, ensure_ascii=escaping)
        return text.encode(), "application/json"
    except Exception as error:
        message = f"Unable to marshal response: {error}"
        raise Fault(message, "Runtime.MarshalError") from error


def decode(body: bytes, content_type: str | None) -> Any:
    """Return the event of a request for one; raises Fault."""
    if content_type != "application/json":
        return body
    try:
        return json.loads(body)
    except ValueError as error:
        message = f"Unable to unmarshal input: {error}"
        raise Fault(message, "Runtime.UnmarshalError") from error


def describe(error: Exception) -> dict[str, Any]:
    """Return the document that Lambda gets for *error*, frames of this file left out."""
    if isinstance(error, Fault):
        kind, trace = error.kind, error.trace
    else:
        kind, trace = type(error).__name__, _format(error.__traceback__)
    return {
        "errorMessage": str(error),
        "errorType": kind,
        "requestId": request_id,
        "stackTrace": trace,
    }


def _format(trace: TracebackType | None) -> list[str]:
    frames = traceback.extract_tb(trace)
    while frames and frames[0].filename == __file__:
        del frames[0]
    return traceback.format_list(frames)


def _log(document: Mapping[str, Any]) -> None:
    lines = [f"[ERROR] {document['errorType']}: {document['errorMessage']}"]
    lines.append("Traceback (most recent call last):")
    lines += [line for entry in document["stackTrace"] for line in entry.splitlines()]
    # One event in the log, however many lines a reader sees.
    sys.stdout.write("\r".join(lines) + "\n")


class RuntimeClient:
    """The runtime's end of the Runtime API, over one connection kept alive."""

    def __init__(self, address: str) -> None:
        self._connection = http.client.HTTPConnection(address)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def next(self) -> tuple[bytes, HTTPMessage]:
        """Wait for an event; return its body and its headers."""
        self._connection.request("GET", f"{PREFIX}/invocation/next")
        response = self._connection.getresponse()
        body = response.read()
        if response.status != HTTPStatus.OK:
            msg = f"failed to get the next event: status {response.status}"
            raise RuntimeApiError(msg)
        return body, response.headers

    def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> None:
        """Post *body*; raises RuntimeApiError when it is not accepted."""
        self._connection.request("POST", f"{PREFIX}/{path}", body, dict(headers))
        response = self._connection.getresponse()
        response.read()
        if response.status != HTTPStatus.ACCEPTED:
            msg = f"failed to post {path}: status {response.status}"
            raise RuntimeApiError(msg)

    def post_error(self, path: str, document: Mapping[str, Any]) -> None:
        """Log an error and post it."""
        _log(document)
        headers = {
            "Content-Type": "application/json",
            "Lambda-Runtime-Function-Error-Type": document["errorType"],
        }
        self.post(path, json.dumps(document).encode(), headers)


def serve_one(client: RuntimeClient, handler: Handler) -> None:
    """Wait for an event, call *handler* and post what comes of it."""
    global request_id  # noqa: PLW0603 - read by the log formatter, wherever it is called
    body, headers = client.next()
    request_id = _header(headers, "Aws-Request-Id") or ""
    trace_id = _header(headers, "Trace-Id")
    if trace_id:
        os.environ["_X_AMZN_TRACE_ID"] = trace_id
    else:
        os.environ.pop("_X_AMZN_TRACE_ID", None)
    try:
        context = LambdaContext(headers)
        result, content_type = encode(handler(decode(body, headers.get("Content-Type")), context))
    except Exception as error:  # noqa: BLE001 - what a handler raises is its caller's affair
        client.post_error(f"invocation/{request_id}/error", describe(error))
    else:
        client.post(f"invocation/{request_id}/response", result, {"Content-Type": content_type})


class _Flushing:
    """A text stream that keeps nothing back: a crash or a freeze would lose it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()

    def writelines(self, lines: Iterable[str]) -> None:
        self._stream.writelines(lines)
        self._stream.flush()


def _with_request_id(record: logging.LogRecord) -> bool:
    record.aws_request_id = request_id
    return True


def set_logging_up() -> None:
    """Write each line at once, and give the root logger the managed runtime's format."""
    sys.stdout = _Flushing(sys.stdout)
    sys.stderr = _Flushing(sys.stderr)
    logging.Formatter.converter = time.gmtime
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        logging.Formatter(
            "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s",
            "%Y-%m-%dT%H:%M:%S",
        )
    )
    handler.addFilter(_with_request_id)
    logging.getLogger().addHandler(handler)


def main(arguments: Sequence[str]) -> None:
    """Load the handler that the second of *arguments* names and serve until killed."""
    set_logging_up()
    with contextlib.closing(RuntimeClient(os.environ["AWS_LAMBDA_RUNTIME_API"])) as client:
        try:
            handler = find_handler(arguments[1])
        except Exception as error:  # noqa: BLE001 - whatever a module raises ends INIT
            client.post_error("init/error", describe(error))
            sys.exit(1)
        while True:
            serve_one(client, handler)
