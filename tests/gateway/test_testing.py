from __future__ import annotations

import inspect

import pytest

from gateway.testing import FakeClock, LambdaContext


def test_the_fake_context_has_the_fields_and_types_of_the_real_one() -> None:
    real_context = pytest.importorskip(
        "awslambdaric.lambda_context",
        reason="awslambdaric runs on Linux only",
        exc_type=ImportError,
    )
    real = real_context.LambdaContext(
        invoke_id="id",
        client_context=None,
        cognito_identity=None,
        epoch_deadline_time_in_ms=0,
        invoked_function_arn="arn",
        tenant_id=None,
    )
    fake = LambdaContext(remaining_ms=-5)
    public = {name for name in dir(real) if not name.startswith("_")}
    assert public <= set(dir(fake))
    assert fake.get_remaining_time_in_millis() == real.get_remaining_time_in_millis() == 0
    assert fake.identity.cognito_identity_id is real.identity.cognito_identity_id is None
    assert fake.identity.cognito_identity_pool_id is real.identity.cognito_identity_pool_id is None
    assert fake.client_context is real.client_context is None
    assert inspect.isroutine(fake.w3c) == inspect.isroutine(real.w3c)
    assert fake.w3c() is None
    assert isinstance(fake.memory_limit_in_mb, str)


def test_request_ids_differ_and_are_version_4_uuids() -> None:
    import uuid

    first, second = LambdaContext(), LambdaContext()
    assert first.aws_request_id != second.aws_request_id
    assert uuid.UUID(first.aws_request_id).version == 4
    assert uuid.UUID(first.aws_request_id).variant == uuid.RFC_4122
    assert LambdaContext(aws_request_id="given").aws_request_id == "given"


def test_log_writes_to_standard_output(capfd: pytest.CaptureFixture[str]) -> None:
    LambdaContext().log("line\n")
    assert capfd.readouterr().out == "line\n"


def test_the_clock_stands_still_until_moved() -> None:
    clock = FakeClock(10.0)
    assert (clock(), clock()) == (10.0, 10.0)
    clock.advance(2.5)
    assert clock() == 12.5
    clock.advance(-12.5)
    assert clock() == 0.0
