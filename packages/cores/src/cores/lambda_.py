"""The current invocation, what kind of event it brought, and what Lambda wants back."""

from __future__ import annotations

import os
import time
from math import ceil, inf, isfinite
from types import SimpleNamespace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any

    from cores.ports import Clock, Current, Log, Responses
    from cores.ports import Invocation as AnyInvocation

_HTTP = dict.fromkeys(("http_api", "function_url", "api_gateway", "alb"))

# `eventSource` of a record (SNS writes `EventSource`): the kind of its event.
_SOURCES = {
    "aws:sqs": "sqs",
    "aws:sns": "sns",
    "aws:s3": "s3",
    "aws:dynamodb": "dynamodb",
    "aws:kinesis": "kinesis",
}

# Where each kind of event has an id of its own.
_IDS = {
    "http_api": ("requestContext", "requestId"),
    "function_url": ("requestContext", "requestId"),
    "api_gateway": ("requestContext", "requestId"),
    "alexa_smart_home": ("directive", "header", "messageId"),
    "alexa_skill": ("request", "requestId"),
    "sqs": ("Records", "0", "messageId"),
    "sns": ("Records", "0", "Sns", "MessageId"),
    "s3": ("Records", "0", "responseElements", "x-amz-request-id"),
    "dynamodb": ("Records", "0", "eventID"),
    "kinesis": ("Records", "0", "eventID"),
    "eventbridge": ("id",),
    "scheduler": ("id",),
}

# What a batch response calls a record.
_ITEMS = {
    "sqs": ("messageId",),
    "kinesis": ("kinesis", "sequenceNumber"),
    "dynamodb": ("dynamodb", "SequenceNumber"),
}

# us-east-1, on demand, first tier, US dollars; https://aws.amazon.com/lambda/pricing/
_PRICES_AS_OF = "2026-08-08"
_PER_GB_SECOND = {"x86_64": 0.0000166667, "arm64": 0.0000133334}
_PER_REQUEST = 0.0000002


class Invocation:
    """One invocation: its event, its context and what was read from the two.

    ``deadline`` is wall time in seconds since the epoch, ``inf`` without a context; ``started``
    is a reading of ``time.perf_counter``; ``cold_start`` is True for the first of a process.
    """

    __slots__ = (
        "cold_start",
        "context",
        "correlation_id",
        "deadline",
        "event",
        "kind",
        "request_id",
        "started",
    )

    def __init__(
        self,
        event: object,
        context: object,
        kind: str,
        correlation_id: str,
        request_id: str,
        *,
        deadline: float,
        cold_start: bool,
    ) -> None:
        self.event = event
        self.context = context
        self.kind = kind
        self.correlation_id = correlation_id
        self.request_id = request_id
        self.cold_start = cold_start
        self.deadline = deadline
        self.started = time.perf_counter()

    @property
    def function_name(self) -> str:
        """Name of the function, or an empty text."""
        return _text(self.context, "function_name")

    @property
    def function_version(self) -> str:
        """Version of the function, as a rule ``$LATEST``, or an empty text."""
        return _text(self.context, "function_version")

    @property
    def arn(self) -> str:
        """ARN by which the function was invoked, its alias included, or an empty text."""
        return _text(self.context, "invoked_function_arn")

    @property
    def memory_mb(self) -> int:
        """Configured memory in MB; 0 when the context does not tell."""
        # The context of the managed runtime holds a text here.
        size = str(getattr(self.context, "memory_limit_in_mb", ""))
        return int(size) if size.isdecimal() else 0


class Lambda:
    """Knows the current invocation, tells kinds of events apart, answers in their shape.

    *responses* builds the answers (a ``cores.responses.Responses``); it is touched only when one
    is wanted, so it may be lazy. *log* hears of the failed records of a batch.
    """

    def __init__(
        self,
        *,
        current: Current | None = None,
        clock: Clock = time.time,
        environ: Mapping[str, str] = os.environ,
        responses: Responses | None = None,
        log: Log = SimpleNamespace(error=lambda _message, **_fields: None),  # noqa: B008
    ) -> None:
        self._current = SimpleNamespace(invocation=None) if current is None else current
        self._clock = clock
        self._environ = environ
        self._responses = responses
        self._log = log
        self._cold = True

    def begin(
        self, event: object, context: object, *, correlation_id: str | None = None
    ) -> Invocation:
        """Make this the current invocation and return it.

        The correlation id is what lies at the dotted path *correlation_id* of the event (a number
        is an index into a list), else the event's own (of HTTP the ``X-Correlation-Id`` header,
        then the request id), else the request id of *context*, else new.
        Ids that are empty, longer than 128 characters or not printable are passed over.
        """
        kind = self.event_kind(event)
        request_id = getattr(context, "aws_request_id", "")
        if not isinstance(request_id, str):
            request_id = ""
        invocation = Invocation(
            event,
            context,
            kind,
            _correlation_id(event, kind, correlation_id) or request_id or os.urandom(16).hex(),
            request_id,
            deadline=self._deadline(context),
            cold_start=self._cold,
        )
        self._cold = False
        self._current.invocation = invocation
        return invocation

    def end(self, outer: AnyInvocation | None = None) -> None:
        """Forget the current invocation, or go back to the *outer* one that it interrupted."""
        self._current.invocation = outer

    def invocation(self) -> Invocation | None:
        """Return the current invocation, or None between invocations."""
        return self._current.invocation  # type: ignore[return-value]  # begin puts it there

    def remaining_ms(self, margin: float = 0.0) -> float:
        """Return the milliseconds left until *margin* seconds before the deadline.

        At least 0.0; ``inf`` outside an invocation and when its context told no deadline.
        """
        if not margin >= 0:
            msg = f"margin must be at least 0 seconds, not {margin!r}"
            raise ValueError(msg)
        invocation = self._current.invocation
        if invocation is None:
            return inf
        return max(0.0, (invocation.deadline - margin - self._clock()) * 1000.0)

    @staticmethod
    def event_kind(event: object) -> str:
        """Return what sent *event*, judged by its shape.

        One of ``alexa_smart_home``, ``alexa_skill``, ``http_api`` (payload 2.0), ``function_url``,
        ``api_gateway`` (REST, and payload 1.0), ``alb``, ``sqs``, ``sns``, ``s3``, ``dynamodb``,
        ``kinesis``, ``eventbridge``, ``scheduler``, ``cloudwatch_logs``, ``warmup``, and
        ``direct`` for everything else. Takes any value and never raises.
        A question to a Lambda authorizer is ``direct``: it wants a policy, not a response.
        """
        if not isinstance(event, dict):
            return "direct"
        directive = event.get("directive")
        if isinstance(directive, dict) and isinstance(directive.get("header"), dict):
            return "alexa_smart_home"
        request_context = event.get("requestContext")
        if isinstance(request_context, dict):
            return _http_kind(event, request_context)
        request, context = event.get("request"), event.get("context")
        if isinstance(request, dict) and isinstance(request.get("type"), str):
            is_skill = isinstance(context, dict) and isinstance(context.get("System"), dict)
            return "alexa_skill" if is_skill else "direct"
        records = event.get("Records")
        if isinstance(records, list) and records and isinstance(records[0], dict):
            source = records[0].get("eventSource", records[0].get("EventSource"))
            return _SOURCES.get(source, "direct") if isinstance(source, str) else "direct"
        source = event.get("source")
        if isinstance(source, str) and isinstance(event.get("detail-type"), str):
            return "scheduler" if source == "aws.scheduler" else "eventbridge"
        logs = event.get("awslogs")
        if isinstance(logs, dict) and isinstance(logs.get("data"), str):
            return "cloudwatch_logs"
        # What the usual plug-ins that keep functions warm send.
        if event.get("warmup") is True or event.get("warmer") is True:
            return "warmup"
        return "warmup" if source == "serverless-plugin-warmup" else "direct"

    def respond(
        self,
        event: object,
        status: int = 200,
        body: object = None,
        headers: Mapping[str, object] | None = None,
        *,
        cookies: Sequence[str] = (),
        base64: bool = False,
    ) -> dict[str, object]:
        """Return the answer to the HTTP request *event* in the shape its sender accepts.

        See ``Responses.respond``; besides, an event that is no HTTP request is a ``ValueError``.
        """
        kind = self.event_kind(event)
        if kind not in _HTTP:
            accepted = ", ".join(_HTTP)
            msg = f"respond answers {accepted} events, not {kind!r}: return the value itself"
            raise ValueError(msg)
        if kind == "alb" and _find(event, ("multiValueHeaders",)) is not None:
            kind = "alb_multi_value"  # only a load balancer that sends them accepts them
        respond = self._builder().respond
        return respond(kind, status, body, headers, cookies=cookies, base64=base64)

    def alexa_response(
        self,
        speech: str | None = None,
        *,
        ssml: str | None = None,
        reprompt: str | None = None,
        card: Mapping[str, object] | None = None,
        end_session: bool | None = None,
        session: Mapping[str, object] | None = None,
        directives: Sequence[Mapping[str, object]] | None = None,
    ) -> dict[str, object]:
        """Return a custom skill's response. See ``Responses.alexa_response``."""
        return self._builder().alexa_response(
            speech,
            ssml=ssml,
            reprompt=reprompt,
            card=card,
            end_session=end_session,
            session=session,
            directives=directives,
        )

    def alexa_error_response(
        self,
        event: object,
        type: str,  # noqa: A002  Alexa's word
        message: str,
        *,
        namespace: str = "Alexa",
        payload: Mapping[str, object] | None = None,
    ) -> dict[str, object]:
        """Return the Smart Home answer to a failed directive. See the method of ``Responses``."""
        build = self._builder().alexa_error_response
        return build(event, type, message, namespace=namespace, payload=payload)

    def process_batch(
        self,
        event: object,
        handler: Callable[[Any], object],  # Any: a record is what its source sends
        *,
        context: object = None,
        margin: float = 0.5,
        raise_if_all_fail: bool = True,
    ) -> dict[str, list[dict[str, str]]]:
        """Call ``handler(record)`` for each record of *event*; return those to be sent again.

        For SQS, Kinesis and DynamoDB streams with ReportBatchItemFailures switched on. A record
        whose call raises is logged and reported. A FIFO queue stops at the first failure and
        reports the rest too; a stream stops there, because Lambda resumes at that record.
        Records not begun *margin* seconds before the deadline (of *context*, by default of the
        current invocation) are reported rather than lost to a timeout.
        When every record failed the first error is raised, unless *raise_if_all_fail* is False.
        """
        kind = self.event_kind(event)
        if kind not in _ITEMS:
            msg = f"process_batch takes {', '.join(_ITEMS)} events, not {kind!r}"
            raise ValueError(msg)
        if getattr(getattr(handler, "__code__", None), "co_flags", 0) & 0x80:  # CO_COROUTINE
            msg = f"process_batch takes a plain function, not the coroutine function {handler!r}"
            raise TypeError(msg)
        records = _find(event, ("Records",))
        in_order = kind != "sqs" or str(records[0].get("eventSourceARN")).endswith(".fifo")
        invocation = self._current.invocation
        if context is None and invocation is not None:
            stop_at = invocation.deadline - margin
        else:
            stop_at = self._deadline(context) - margin
        failed: list[object] = []
        first_error: Exception | None = None
        for index, record in enumerate(records):
            if self._clock() >= stop_at:
                failed += records[index:]
                break
            try:
                handler(record)
            except Exception as error:  # noqa: BLE001  one record's failure, logged and reported
                self._log.error("record failed", record=_item(kind, record), exception=error)
                first_error = first_error or error
                if in_order:
                    failed += records[index:]
                    break
                failed.append(record)
        if raise_if_all_fail and first_error is not None and len(failed) == len(records):
            first_error.add_note(f"the first error of {len(records)} records, none succeeded")
            raise first_error
        if kind != "sqs":
            del failed[1:]
        return {"batchItemFailures": [{"itemIdentifier": _item(kind, it)} for it in failed]}

    def estimate_cost(
        self,
        duration_ms: float,
        *,
        init_ms: float = 0.0,
        memory_mb: int | None = None,
        architecture: str | None = None,
    ) -> dict[str, object]:
        """Return what one invocation costs before any free tier, as an estimate.

        Billed are *init_ms* and *duration_ms* together, rounded up to 1 ms, at the configured
        memory (*memory_mb*, by default the function's) and *architecture* ("x86_64" or "arm64",
        by default this machine's). Keys: ``billed_ms``, ``memory_mb``, ``architecture``,
        ``gb_seconds``, ``usd`` (request and duration), ``prices_as_of`` (in us-east-1).
        """
        for name, value in (("duration_ms", duration_ms), ("init_ms", init_ms)):
            if not (isfinite(value) and value >= 0):
                msg = f"{name} must be a finite number of at least 0, not {value!r}"
                raise ValueError(msg)
        if memory_mb is None:
            size = self._environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "")
            if not size.isdecimal():
                msg = "memory_mb must be given where AWS_LAMBDA_FUNCTION_MEMORY_SIZE is not set"
                raise ValueError(msg)
            memory_mb = int(size)
        if not 128 <= memory_mb <= 10_240:  # noqa: PLR2004  Lambda's limits
            msg = f"memory_mb must be from 128 to 10240, not {memory_mb!r}"
            raise ValueError(msg)
        if architecture is None:
            machine = os.uname().machine if hasattr(os, "uname") else ""
            architecture = "arm64" if machine in ("aarch64", "arm64") else "x86_64"
        if architecture not in _PER_GB_SECOND:
            msg = f"architecture must be {' or '.join(_PER_GB_SECOND)}, not {architecture!r}"
            raise ValueError(msg)
        billed_ms = ceil(init_ms + duration_ms)
        gb_seconds = billed_ms / 1000 * memory_mb / 1024
        return {
            "billed_ms": billed_ms,
            "memory_mb": memory_mb,
            "architecture": architecture,
            "gb_seconds": gb_seconds,
            "usd": _PER_REQUEST + gb_seconds * _PER_GB_SECOND[architecture],
            "prices_as_of": _PRICES_AS_OF,
        }

    def _deadline(self, context: object) -> float:
        remaining = getattr(context, "get_remaining_time_in_millis", None)
        left = remaining() if callable(remaining) else None
        return self._clock() + left / 1000.0 if isinstance(left, (int, float)) else inf

    def _builder(self) -> Responses:
        if self._responses is None:
            msg = "answers need a builder: Lambda(responses=cores.responses.Responses())"
            raise TypeError(msg)
        return self._responses


def _http_kind(event: dict[str, object], request_context: dict[str, object]) -> str:
    if "methodArn" in event or "routeArn" in event:
        return "direct"  # asks a Lambda authorizer, otherwise looking like the request itself
    if isinstance(request_context.get("elb"), dict):
        return "alb"
    if isinstance(request_context.get("http"), dict) and event.get("version") == "2.0":
        is_url = ".lambda-url." in str(request_context.get("domainName"))
        return "function_url" if is_url else "http_api"
    if "httpMethod" in event and "stage" in request_context:
        return "api_gateway"
    return "direct"


def _correlation_id(event: object, kind: str, path: str | None) -> str | None:
    if path is not None and (found := _usable(_find(event, path.split(".")))):
        return found
    if kind in _HTTP and (found := _usable(_correlation_header(event))):
        return found
    own = _IDS.get(kind)
    return None if own is None else _usable(_find(event, own))


def _correlation_header(event: Any) -> object:  # Any: a piece of JSON
    for field in ("headers", "multiValueHeaders"):
        headers = event.get(field)
        if isinstance(headers, dict):
            for name, value in headers.items():
                if isinstance(name, str) and name.lower() == "x-correlation-id":
                    return _find(value, "0") if isinstance(value, list) else value
    return None


def _usable(found: object) -> str | None:
    """Return *found* as an id that is safe in a log line and a header, or None."""
    if type(found) is int:
        found = str(found)
    if isinstance(found, str) and 0 < len(found) <= 128 and found.isprintable():  # noqa: PLR2004
        return found
    return None


def _find(value: Any, path: Iterable[str]) -> Any:  # Any: a piece of JSON
    """Return what lies at *path* inside *value*, or None."""
    for step in path:
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value


def _item(kind: str, record: object) -> str:
    # Lambda takes an empty identifier for the failure of the whole batch: the safe reading.
    return str(_find(record, _ITEMS[kind]) or "")


def _text(context: object, name: str) -> str:
    value = getattr(context, name, None)
    return value if isinstance(value, str) else ""
