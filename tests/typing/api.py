"""Uses the public API as an editor sees it. Type-checked by ``dev.py types``, never run."""

from __future__ import annotations

from typing import Any, assert_type

import gateway
from gateway import GatewayError, GatewayInterface, cached, handler
from gateway.testing import FakeClock, LambdaContext


@handler
def plain(event: dict[str, Any], context: LambdaContext) -> str:
    return str(event)


@handler(preload=["cache"], metrics_namespace="Home")
def with_options(event: Any, context: Any) -> None: ...


@cached(ttl=60)
def price(item: str, *, currency: str = "EUR") -> float:
    return len(item) + len(currency)


assert_type(price("a", currency="USD"), float)
assert_type(gateway.cache_delete("k"), bool)
assert_type(gateway.cache_get_or_set("k", lambda: 1.5), float)
assert_type(gateway.singleton_get("n", dict[str, int]), dict[str, int])
assert_type(gateway.breaker_call("b", len, "abc"), int)
assert_type(gateway.remaining_ms(), float)
assert_type(gateway.http_get("https://example.org", timeout=1.0).status, int)
assert_type(gateway.is_cold_start(), bool)
assert_type(gateway.execute_operation(GatewayInterface.CACHE, "get", key="k"), Any)

assert_type(gateway.get_fast_path_stats(), dict[str, Any])
assert_type(gateway.enable_fast_path(), dict[str, Any])
gateway.register_fast_path("cache", "get", plain, replace=True)

with gateway.log_context(order=1), gateway.record_duration("step"):
    gateway.log_info("message", anything=object())

try:
    gateway.preload("cache", "logging")
except GatewayError as error:
    assert_type(error.fault, str)

clock = FakeClock()
clock.advance(1.0)
assert_type(clock(), float)

price(1)  # type: ignore[arg-type]
gateway.register_fast_path("cache", "get")  # type: ignore[call-arg]
gateway.cache_set("k")  # type: ignore[call-arg]
gateway.http_get("https://example.org", timeouts=1.0)  # type: ignore[call-arg]
