"""The gateway's ways to an operation, in any order, against the simplest model of a cache."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from hypothesis.stateful import run_state_machine_as_test as run

import gateway
from gateway import cache_clear, cache_delete, cache_get, cache_set, execute_operation

KEYS = st.integers(0, 5)
# The same interface and operation under names that are the same object each time, and not.
INTERFACES = st.sampled_from(
    [lambda: "cache", lambda: gateway.GatewayInterface.CACHE, lambda: str(b"cache", "ascii")]
)


class Machine(RuleBasedStateMachine):
    """Each way must see what the others did, whatever is switched in between."""

    @initialize()
    def start(self) -> None:
        gateway.reset()
        self.model: dict[int, object] = {}
        self.calls = 0
        self.by_handle = 0
        self.is_compiled = gateway.get_fast_path_stats()["compiled"]

    @rule(key=KEYS, value=st.integers())
    def set_by_function(self, key: int, value: int) -> None:
        cache_set(key, value)
        self.model[key] = value

    @rule(interface=INTERFACES, key=KEYS, value=st.integers())
    def set_by_name(self, interface: Any, key: int, value: int) -> None:
        assert execute_operation(interface(), "set", key=key, value=value) is None
        self.model[key] = value

    @rule(key=KEYS)
    def get_by_function(self, key: int) -> None:
        assert cache_get(key, "absent") == self.model.get(key, "absent")
        self.by_handle += 1

    @rule(interface=INTERFACES, key=KEYS)
    def get_by_name(self, interface: Any, key: int) -> None:
        found = execute_operation(interface(), "get", key=key, default="absent")
        assert found == self.model.get(key, "absent")
        self.calls += 1

    @rule(key=KEYS)
    def delete(self, key: int) -> None:
        assert cache_delete(key) == (self.model.pop(key, None) is not None)

    @rule(interface=INTERFACES)
    def many_by_name(self, interface: Any) -> None:
        for _ in range(20):  # over the threshold
            assert execute_operation(interface(), "contains", key=0) == (0 in self.model)

    @rule()
    def clear(self) -> None:
        cache_clear()
        self.model.clear()

    @rule()
    def reset(self) -> None:
        gateway.reset()
        self.model.clear()
        self.calls = self.by_handle = 0

    @rule(on=st.booleans())
    def switch(self, on: bool) -> None:
        (gateway.enable_fast_path if on else gateway.disable_fast_path)()

    @rule(replace=st.booleans())
    def register(self, replace: bool) -> None:
        original = gateway._wiring.cache.get

        def get(key: object, default: object = None) -> object:
            return original(key, default)

        try:
            gateway.register_fast_path("cache", "get", get, replace=replace)
        except ValueError:
            assert not replace

    @rule()
    def wrong(self) -> None:
        for call in (cache_get, lambda: execute_operation("cache", "get")):
            try:
                call()
            except TypeError as error:
                assert str(error).startswith("cache_get() missing 1 required")  # noqa: PT017

    @invariant()
    def counts(self) -> None:
        entry = gateway.get_fast_path_stats()["operations"].get("cache.get", {"calls": 0})
        counted = self.calls + self.by_handle * self.is_compiled
        assert entry["calls"] >= counted  # wrong calls are counted as well


def test_every_way_to_an_operation_agrees_with_the_model() -> None:
    run(Machine, settings=settings(max_examples=60, stateful_step_count=40, deadline=None))
