"""The current invocation, kinds of events, correlation ids, batches and cost."""

import re
from math import inf, nan
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cores.lambda_ import Lambda
from cores.responses import Responses

V2 = {
    "version": "2.0",
    "rawPath": "/",
    "headers": {"host": "x"},
    "requestContext": {
        "http": {"method": "GET"},
        "domainName": "id.execute-api.eu-west-1.amazonaws.com",
        "requestId": "v2-id",
        "stage": "$default",
    },
}
EVENTS = {
    "alexa_smart_home": {
        "directive": {
            "header": {"namespace": "Alexa", "name": "ReportState", "messageId": "message-1"},
            "endpoint": {},
        }
    },
    "alexa_skill": {
        "version": "1.0",
        "context": {"System": {"application": {"applicationId": "amzn1.ask.skill.1"}}},
        "request": {"type": "LaunchRequest", "requestId": "amzn1.echo-api.request.1"},
    },
    "http_api": V2,
    "function_url": {
        **V2,
        "requestContext": {**V2["requestContext"], "domainName": "i.lambda-url.eu-west-1.on.aws"},
    },
    "api_gateway": {
        "httpMethod": "GET",
        "headers": None,
        "requestContext": {"stage": "prod", "requestId": "v1-id"},
    },
    "alb": {"httpMethod": "GET", "headers": {}, "requestContext": {"elb": {"targetGroupArn": "a"}}},
    "sqs": {"Records": [{"eventSource": "aws:sqs", "messageId": "sqs-id"}]},
    "sns": {"Records": [{"EventSource": "aws:sns", "Sns": {"MessageId": "sns-id"}}]},
    "s3": {
        "Records": [
            {"eventSource": "aws:s3", "responseElements": {"x-amz-request-id": "s3-id"}, "s3": {}}
        ]
    },
    "dynamodb": {"Records": [{"eventSource": "aws:dynamodb", "eventID": "dynamodb-id"}]},
    "kinesis": {"Records": [{"eventSource": "aws:kinesis", "eventID": "shard:1"}]},
    "eventbridge": {"id": "eb-id", "source": "aws.events", "detail-type": "Scheduled Event"},
    "scheduler": {"id": "s-id", "source": "aws.scheduler", "detail-type": "Scheduled Event"},
    "cloudwatch_logs": {"awslogs": {"data": "H4sI"}},
    "warmup": {"source": "serverless-plugin-warmup"},
    "direct": {"q": "anything"},
}
OWN_IDS = {
    "alexa_smart_home": "message-1",
    "alexa_skill": "amzn1.echo-api.request.1",
    "http_api": "v2-id",
    "function_url": "v2-id",
    "api_gateway": "v1-id",
    "sqs": "sqs-id",
    "sns": "sns-id",
    "s3": "s3-id",
    "dynamodb": "dynamodb-id",
    "kinesis": "shard:1",
    "eventbridge": "eb-id",
    "scheduler": "s-id",
}


class Context:
    """The attributes of the managed runtime's context, with its types."""

    aws_request_id = "request-1"
    function_name = "answers"
    function_version = "$LATEST"
    invoked_function_arn = "arn:aws:lambda:eu-west-1:1:function:answers:live"
    memory_limit_in_mb = "512"

    def __init__(self, remaining_ms: int = 3000) -> None:
        self.remaining_ms = remaining_ms

    def get_remaining_time_in_millis(self) -> int:
        return self.remaining_ms


class Log:
    def __init__(self) -> None:
        self.lines = []

    def error(self, message: str, /, **fields: object) -> None:
        self.lines.append((message, fields))


def make(**options: Any) -> Lambda:
    return Lambda(**{"clock": lambda: 1000.0, "environ": {}, **options})


# Invocations


def test_begin_reads_the_context_of_the_managed_runtime() -> None:
    invocation = make().begin({"q": 1}, context := Context())
    assert invocation.event == {"q": 1}
    assert invocation.context is context
    assert invocation.kind == "direct"
    assert invocation.request_id == "request-1"
    assert invocation.function_name == "answers"
    assert invocation.function_version == "$LATEST"
    assert invocation.arn == "arn:aws:lambda:eu-west-1:1:function:answers:live"
    assert invocation.memory_mb == 512
    assert invocation.deadline == 1003.0
    assert invocation.started > 0


@pytest.mark.parametrize("context", [None, object(), 3, "text", SimpleNamespace()])
def test_begin_takes_a_context_without_attributes(context: object) -> None:
    invocation = make().begin(None, context)
    assert invocation.request_id == ""
    assert invocation.function_name == ""
    assert invocation.memory_mb == 0
    assert invocation.deadline == inf
    assert re.fullmatch("[0-9a-f]{32}", invocation.correlation_id)


def test_begin_ignores_attributes_of_the_wrong_type() -> None:
    invocation = make().begin(
        None,
        SimpleNamespace(
            aws_request_id=object(),
            function_name=None,
            memory_limit_in_mb=None,
            get_remaining_time_in_millis=lambda: "soon",
        ),
    )
    assert invocation.request_id == ""
    assert invocation.function_name == ""
    assert invocation.memory_mb == 0
    assert invocation.deadline == inf


def test_memory_may_be_a_number() -> None:
    invocation = make().begin(None, SimpleNamespace(memory_limit_in_mb=256))
    assert invocation.memory_mb == 256


def test_only_the_first_invocation_is_a_cold_start() -> None:
    core = make()
    assert core.begin(None, None).cold_start is True
    core.end()
    assert core.begin(None, None).cold_start is False


def test_an_invocation_holds_nothing_but_its_fields() -> None:
    with pytest.raises(AttributeError):
        make().begin(None, None).anything = 1


def test_the_current_invocation_is_shared_through_the_holder() -> None:
    current = SimpleNamespace(invocation=None)
    core = make(current=current)
    assert core.invocation() is None
    invocation = core.begin(None, None)
    assert core.invocation() is current.invocation is invocation
    core.end()
    assert core.invocation() is current.invocation is None


def test_remaining_time_shrinks_with_the_clock_and_stops_at_zero() -> None:
    now = [1000.0]
    core = make(clock=lambda: now[0])
    core.begin(None, Context(remaining_ms=3000))
    assert core.remaining_ms() == 3000.0
    assert core.remaining_ms(margin=0.5) == 2500.0
    now[0] = 1002.0
    assert core.remaining_ms() == 1000.0
    now[0] = 1004.0
    assert core.remaining_ms() == 0.0


def test_remaining_time_is_infinite_outside_an_invocation_and_without_a_deadline() -> None:
    core = make()
    assert core.remaining_ms() == inf
    core.begin(None, None)
    assert core.remaining_ms(margin=1.0) == inf


@pytest.mark.parametrize("margin", [-0.1, nan])
def test_remaining_time_refuses_a_margin_that_is_none(margin: float) -> None:
    with pytest.raises(ValueError, match=rf"^margin must be at least 0 seconds, not {margin}$"):
        make().remaining_ms(margin)


# Kinds of events


@pytest.mark.parametrize("kind", EVENTS)
def test_event_kind_recognises(kind: str) -> None:
    assert Lambda.event_kind(EVENTS[kind]) == kind


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        ({"warmup": True}, "warmup"),
        ({"warmer": True, "concurrency": 3}, "warmup"),
        ({"warmup": 1}, "direct"),
        ({"directive": {}}, "direct"),
        ({"directive": {"header": None}}, "direct"),
        ({"request": {"type": "LaunchRequest"}, "context": {}}, "direct"),
        ({"request": {"type": "LaunchRequest"}, "context": None}, "direct"),
        ({"request": {}, "context": {"System": {}}}, "direct"),
        ({"Records": []}, "direct"),
        ({"Records": ["x"]}, "direct"),
        ({"Records": {"0": {"eventSource": "aws:sqs"}}}, "direct"),
        ({"Records": [{"eventSource": ["aws:sqs"]}]}, "direct"),
        ({"Records": [{"eventSource": "aws:ses"}]}, "direct"),
        ({"awslogs": {"data": 3}}, "direct"),
        ({"source": "shop", "detail": {}}, "direct"),
        ({"detail-type": "order", "detail": {}}, "direct"),
        ({"requestContext": {"connectionId": "c", "routeKey": "$connect"}}, "direct"),
        ({"requestContext": {"elb": None}, "httpMethod": "GET"}, "direct"),
        ({**V2, "version": "1.0"}, "direct"),
        ({**V2, "version": "1.0", "httpMethod": "GET"}, "api_gateway"),
        ({**V2, "requestContext": {"http": {}, "domainName": None}}, "http_api"),
        ({**V2, "type": "REQUEST", "routeArn": "arn"}, "direct"),
        ({**EVENTS["api_gateway"], "type": "REQUEST", "methodArn": "arn"}, "direct"),
    ],
)
def test_event_kind_is_not_misled_by(event: Any, kind: str) -> None:
    assert Lambda.event_kind(event) == kind


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
TRUE_SHAPES = st.sampled_from([value for event in EVENTS.values() for value in event.values()])
KEYS = st.sampled_from(sorted({key for event in EVENTS.values() for key in event}))


@given(JSON | st.dictionaries(KEYS, JSON | TRUE_SHAPES))
@example(EVENTS["alexa_smart_home"])
@example(EVENTS["api_gateway"])
@example(EVENTS["sns"])
@example({"requestContext": {"http": []}, "version": 2.0})
@example({"Records": [{"eventSource": None, "EventSource": {}}]})
def test_any_json_value_has_a_kind_and_an_id(event: Any) -> None:
    invocation = make().begin(event, None, correlation_id="Records.0.id")
    assert invocation.kind in EVENTS
    assert 0 < len(invocation.correlation_id) <= 128
    assert invocation.correlation_id.isprintable()
    if invocation.kind == "alexa_smart_home":
        assert isinstance(event["directive"]["header"], dict)
    elif invocation.kind in ("http_api", "function_url", "api_gateway", "alb"):
        assert isinstance(event["requestContext"], dict)
        directive = event.get("directive")
        assert not (isinstance(directive, dict) and isinstance(directive.get("header"), dict))
    elif invocation.kind in ("sqs", "sns", "s3", "dynamodb", "kinesis"):
        record = event["Records"][0]
        assert f"aws:{invocation.kind}" in (record.get("eventSource"), record.get("EventSource"))


@given(st.sampled_from(sorted(EVENTS)), st.dictionaries(st.text(min_size=1), JSON))
def test_members_that_no_source_sends_do_not_change_the_kind(
    kind: str, extra: dict[str, object]
) -> None:
    unknown = {f"extra {name}": value for name, value in extra.items()}
    assert Lambda.event_kind({**EVENTS[kind], **unknown}) == kind


# Correlation ids


@pytest.mark.parametrize("kind", EVENTS)
def test_correlation_id_is_the_events_own_or_the_request_id(kind: str) -> None:
    invocation = make().begin(EVENTS[kind], Context())
    assert invocation.correlation_id == OWN_IDS.get(kind, "request-1")


@pytest.mark.parametrize(
    "headers",
    [
        {"headers": {3: "x", "Host": "x", "X-Correlation-Id": "caller-1"}},
        {"headers": {"x-correlation-id": "caller-1"}},
        {"headers": None, "multiValueHeaders": {"X-CORRELATION-ID": ["caller-1", "other"]}},
    ],
)
@pytest.mark.parametrize("kind", ["http_api", "function_url", "api_gateway", "alb"])
def test_correlation_header_comes_before_the_request_id(kind: str, headers: dict[str, Any]) -> None:
    invocation = make().begin({**EVENTS[kind], **headers}, Context())
    assert invocation.correlation_id == "caller-1"


@pytest.mark.parametrize(
    "value", ["", "x" * 129, "line\nbreak", "\x1b[31m", "\ud800", None, {}, []]
)
def test_correlation_header_that_cannot_be_trusted_is_passed_over(value: object) -> None:
    event = {**EVENTS["api_gateway"], "headers": {"X-Correlation-Id": value}}
    assert make().begin(event, Context()).correlation_id == "v1-id"


def test_correlation_header_means_nothing_outside_http() -> None:
    event = {**EVENTS["sqs"], "headers": {"X-Correlation-Id": "caller-1"}}
    assert make().begin(event, Context()).correlation_id == "sqs-id"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("detail.order", "order-7"),
        ("detail.lines.1.id", "12"),
        ("detail.lines.2.id", "eb-id"),
        ("detail.lines.first.id", "eb-id"),
        ("detail.order.id", "eb-id"),
        ("detail.paid", "eb-id"),
        ("nothing", "eb-id"),
    ],
)
def test_correlation_path_comes_first_and_a_miss_is_passed_over(path: str, expected: str) -> None:
    detail = {"order": "order-7", "lines": [{"id": 11}, {"id": 12}], "paid": True}
    event = {**EVENTS["eventbridge"], "detail": detail}
    assert make().begin(event, Context(), correlation_id=path).correlation_id == expected


def test_ids_that_are_made_up_differ() -> None:
    core = make()
    assert core.begin(1, None).correlation_id != core.begin(1, None).correlation_id


# Answers


@pytest.mark.parametrize("kind", ["http_api", "function_url", "api_gateway", "alb"])
def test_respond_answers_http_events_as_their_kind(kind: str) -> None:
    core = make(responses=Responses())
    answer = core.respond(EVENTS[kind], 201, {"a": 1}, {"X-A": "b"}, cookies=["c=d"])
    assert answer == Responses().respond(kind, 201, {"a": 1}, {"X-A": "b"}, cookies=["c=d"])


def test_respond_answers_a_load_balancer_with_multi_value_headers_in_kind() -> None:
    event = {**EVENTS["alb"], "headers": None, "multiValueHeaders": {"host": ["x"]}}
    answer = make(responses=Responses()).respond(event, 204)
    assert answer == Responses().respond("alb_multi_value", 204)


def test_respond_refuses_events_that_expect_no_http_response() -> None:
    message = (
        "^respond answers http_api, function_url, api_gateway, alb events, not 'sqs': "
        "return the value itself$"
    )
    with pytest.raises(ValueError, match=message):
        make(responses=Responses()).respond(EVENTS["sqs"])


def test_alexa_answers_are_the_builders() -> None:
    core = make(responses=Responses())
    assert core.alexa_response("Hello", end_session=False) == Responses().alexa_response(
        "Hello", end_session=False
    )
    answer = core.alexa_error_response(
        EVENTS["alexa_smart_home"], "INTERNAL_ERROR", "broken", namespace="Alexa.Cooking"
    )
    assert answer["event"]["header"]["namespace"] == "Alexa.Cooking"
    assert answer["event"]["payload"] == {"type": "INTERNAL_ERROR", "message": "broken"}


def test_answers_without_a_builder_say_what_is_missing() -> None:
    message = r"^answers need a builder: Lambda\(responses=cores\.responses\.Responses\(\)\)$"
    with pytest.raises(TypeError, match=message):
        make().alexa_response("Hello")


# Batches


def sqs(*bodies: str, queue: str = "arn:aws:sqs:eu-west-1:1:jobs") -> dict[str, Any]:
    return {
        "Records": [
            {"eventSource": "aws:sqs", "eventSourceARN": queue, "messageId": body, "body": body}
            for body in bodies
        ]
    }


def stream(source: str, *numbers: str) -> dict[str, Any]:
    part, key = {
        "kinesis": ("kinesis", "sequenceNumber"),
        "dynamodb": ("dynamodb", "SequenceNumber"),
    }[source]
    return {"Records": [{"eventSource": f"aws:{source}", part: {key: n}} for n in numbers]}


class Handler:
    """Fails for the records whose id it was given."""

    def __init__(self, *bad: str | None) -> None:
        self.bad = bad
        self.seen = []

    def __call__(self, record: dict[str, Any]) -> None:
        identifier = (
            record.get("messageId")
            or record.get("kinesis", {}).get("sequenceNumber")
            or record.get("dynamodb", {}).get("SequenceNumber")
        )
        self.seen.append(identifier)
        if identifier in self.bad:
            msg = f"cannot do {identifier}"
            raise ValueError(msg)


def items(answer: dict[str, Any]) -> list[str]:
    return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]


def test_batch_without_failures_reports_none() -> None:
    handler = Handler()
    assert make().process_batch(sqs("a", "b"), handler) == {"batchItemFailures": []}
    assert handler.seen == ["a", "b"]


def test_batch_of_a_queue_goes_on_after_a_failure_and_logs_it() -> None:
    log = Log()
    handler = Handler("b", "d")
    answer = make(log=log).process_batch(sqs("a", "b", "c", "d"), handler)
    assert answer == {"batchItemFailures": [{"itemIdentifier": "b"}, {"itemIdentifier": "d"}]}
    assert handler.seen == ["a", "b", "c", "d"]
    assert [(message, fields["record"]) for message, fields in log.lines] == [
        ("record failed", "b"),
        ("record failed", "d"),
    ]
    assert str(log.lines[0][1]["exception"]) == "cannot do b"


def test_batch_of_a_fifo_queue_stops_at_the_first_failure_and_reports_the_rest() -> None:
    handler = Handler("b")
    answer = make().process_batch(sqs("a", "b", "c", queue="arn:jobs.fifo"), handler)
    assert items(answer) == ["b", "c"]
    assert handler.seen == ["a", "b"]


@pytest.mark.parametrize("source", ["kinesis", "dynamodb"])
def test_batch_of_a_stream_stops_at_the_first_failure_and_reports_it(source: str) -> None:
    handler = Handler("2")
    answer = make().process_batch(stream(source, "1", "2", "3"), handler)
    assert items(answer) == ["2"]
    assert handler.seen == ["1", "2"]


@pytest.mark.parametrize("event", [sqs("a", "b"), sqs("a", "b", queue="x.fifo")])
def test_batch_that_fails_as_a_whole_raises_the_first_error(event: Any) -> None:
    message = "^cannot do a\nthe first error of 2 records, none succeeded$"
    with pytest.raises(ValueError, match=message):
        make().process_batch(event, Handler("a", "b"))


def test_batch_that_fails_as_a_whole_is_reported_on_request() -> None:
    answer = make().process_batch(sqs("a", "b"), Handler("a", "b"), raise_if_all_fail=False)
    assert items(answer) == ["a", "b"]


def test_batch_stops_before_the_deadline_of_the_invocation() -> None:
    now = [1000.0]
    core = make(clock=lambda: now[0])
    core.begin(None, Context(remaining_ms=3000))

    def handler(record: dict[str, Any]) -> None:
        now[0] += 1.0

    assert items(core.process_batch(sqs("a", "b", "c", "d"), handler)) == ["d"]


def test_batch_stops_before_the_deadline_of_a_given_context() -> None:
    now = [1000.0]
    core = make(clock=lambda: now[0])

    def handler(record: dict[str, Any]) -> None:
        now[0] += 1.0

    event = stream("kinesis", "1", "2", "3", "4")
    answer = core.process_batch(event, handler, context=Context(remaining_ms=3000), margin=1.5)
    assert items(answer) == ["3"]


def test_batch_out_of_time_before_the_first_record_reports_all_without_an_error() -> None:
    core = make()
    answer = core.process_batch(sqs("a", "b"), Handler(), context=Context(remaining_ms=0))
    assert items(answer) == ["a", "b"]


def test_batch_record_without_an_id_is_reported_as_the_whole_batch() -> None:
    event = sqs("a", "b")
    del event["Records"][1]["messageId"]
    answer = make().process_batch(event, Handler(None))
    assert items(answer) == [""]


def test_batch_refuses_other_events() -> None:
    message = "^process_batch takes sqs, kinesis, dynamodb events, not 'sns'$"
    with pytest.raises(ValueError, match=message):
        make().process_batch(EVENTS["sns"], Handler())


def test_batch_refuses_a_coroutine_function() -> None:
    async def handler(record: dict[str, Any]) -> None: ...

    message = "^process_batch takes a plain function, not the coroutine function <function .*>$"
    with pytest.raises(TypeError, match=message):
        make().process_batch(EVENTS["sqs"], handler)


def test_batch_lets_the_end_of_the_process_through() -> None:
    def handler(record: dict[str, Any]) -> NoReturn:
        raise SystemExit

    with pytest.raises(SystemExit):
        make().process_batch(sqs("a"), handler)


@given(st.lists(st.booleans(), min_size=1, max_size=8), st.sampled_from(["sqs", "fifo", "kinesis"]))
def test_no_failed_record_is_ever_forgotten(outcomes: list[bool], source: str) -> None:
    ids = [str(index) for index in range(len(outcomes))]
    bad = [name for name, succeeds in zip(ids, outcomes, strict=True) if not succeeds]
    event = stream("kinesis", *ids) if source == "kinesis" else sqs(*ids, queue=f"jobs.{source}")
    handler = Handler(*bad)
    reported = items(make().process_batch(event, handler, raise_if_all_fail=False))
    if source == "sqs":
        assert reported == bad
        assert handler.seen == ids
    elif not bad:
        assert reported == []
    else:
        first = ids.index(bad[0])
        assert reported == (ids[first:] if source == "fifo" else ids[first : first + 1])
        assert handler.seen == ids[: first + 1]


# Cost


def test_cost_rounds_init_and_duration_up_together() -> None:
    cost = make().estimate_cost(12.3, init_ms=100.2, memory_mb=512, architecture="arm64")
    assert cost == {
        "billed_ms": 113,
        "memory_mb": 512,
        "architecture": "arm64",
        "gb_seconds": pytest.approx(0.0565),
        "usd": pytest.approx(0.0000002 + 0.0565 * 0.0000133334),
        "prices_as_of": "2026-08-08",
    }


def test_cost_takes_memory_from_the_environment_and_the_architecture_from_the_machine() -> None:
    core = make(environ={"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024"})
    cost = core.estimate_cost(1000)
    assert cost["gb_seconds"] == 1.0
    assert cost["architecture"] in ("x86_64", "arm64")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"duration_ms": -1}, "duration_ms must be a finite number of at least 0, not -1"),
        ({"duration_ms": nan}, "duration_ms must be a finite number of at least 0, not nan"),
        (
            {"duration_ms": 1, "init_ms": inf},
            "init_ms must be a finite number of at least 0, not inf",
        ),
        (
            {"duration_ms": 1},
            "memory_mb must be given where AWS_LAMBDA_FUNCTION_MEMORY_SIZE is not set",
        ),
        ({"duration_ms": 1, "memory_mb": 64}, "memory_mb must be from 128 to 10240, not 64"),
        (
            {"duration_ms": 1, "memory_mb": 128, "architecture": "sparc"},
            "architecture must be x86_64 or arm64, not 'sparc'",
        ),
    ],
)
def test_cost_refuses(options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        make().estimate_cost(**options)
