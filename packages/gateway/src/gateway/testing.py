"""For tests of functions that use the gateway: a fake context, a fake clock, a fresh gateway.

>>> from gateway.testing import LambdaContext, reset
>>> reset()
>>> LambdaContext(remaining_ms=500).get_remaining_time_in_millis()
500
"""

from __future__ import annotations

import os
from types import SimpleNamespace

from gateway._wiring import reset

__all__ = ["FakeClock", "LambdaContext", "reset"]


class LambdaContext:
    """A context with the fields and types of the managed runtime's, memory as text included.

    *remaining_ms* is what ``get_remaining_time_in_millis`` keeps returning.
    """

    def __init__(
        self,
        *,
        remaining_ms: int = 8000,
        function_name: str = "test-function",
        aws_request_id: str | None = None,
        memory_limit_in_mb: str = "512",
    ) -> None:
        self.aws_request_id = aws_request_id or _uuid4()
        self.function_name = function_name
        self.function_version = "$LATEST"
        self.invoked_function_arn = (
            f"arn:aws:lambda:us-east-1:123456789012:function:{function_name}"
        )
        self.memory_limit_in_mb = memory_limit_in_mb
        self.log_group_name = f"/aws/lambda/{function_name}"
        self.log_stream_name = "2026/01/01/[$LATEST]0123456789abcdef0123456789abcdef"
        self.identity = SimpleNamespace(cognito_identity_id=None, cognito_identity_pool_id=None)
        self.client_context = None
        self.tenant_id = None
        self.remaining_ms = remaining_ms

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds left, at least 0."""
        return max(0, self.remaining_ms)

    def w3c(self) -> None:
        """Return no trace context."""

    def log(self, msg: object) -> None:
        """Write *msg* to standard output."""
        os.write(1, f"{msg}".encode())


class FakeClock:
    """Wall time that stands still until it is told to move. Call it to read it, in seconds."""

    def __init__(self, now: float = 1_767_225_600.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """Return the time."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Move by *seconds*; a negative number moves back."""
        self.now += seconds


def _uuid4() -> str:
    text = os.urandom(16).hex()
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"
