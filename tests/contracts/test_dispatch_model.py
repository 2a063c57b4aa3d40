"""The gateway's ways to an operation, in any order, against the simplest model of a cache."""

from __future__ import annotations

from typing import Any

import pytest
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
        self.replaced_calls = self.seen_calls = 0
        self.is_replaced = False
        self.is_on = True
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
        self.note(by_handle=True)

    @rule(interface=INTERFACES, key=KEYS)
    def get_by_name(self, interface: Any, key: int) -> None:
        found = execute_operation(interface(), "get", key=key, default="absent")
        assert found == self.model.get(key, "absent")
        self.note(by_handle=False)

    def note(self, *, by_handle: bool) -> None:
        self.calls += not by_handle
        self.by_handle += by_handle
        self.replaced_calls += self.is_replaced and self.is_on and self.is_compiled

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
        self.is_replaced, self.is_on = False, True

    @rule(on=st.booleans())
    def switch(self, on: bool) -> None:
        (gateway.enable_fast_path if on else gateway.disable_fast_path)()
        self.is_on = on

    @rule(replace=st.booleans())
    def register(self, replace: bool) -> None:
        def get(key: object, default: object = None) -> object:
            self.seen_calls += 1
            return original(key, default)

        original = gateway._wiring.cache.get
        if replace:
            gateway.register_fast_path("cache", "get", get, replace=True)
            self.is_replaced = True
        else:
            with pytest.raises(ValueError, match="pass replace=True"):
                gateway.register_fast_path("cache", "get", get)

    @rule()
    def wrong(self) -> None:
        for call in (cache_get, lambda: execute_operation("cache", "get")):
            with pytest.raises(TypeError, match=r"get\(\) missing 1 required positional argument"):
                call()
        self.calls += 1
        self.by_handle += 1

    @invariant()
    def counts(self) -> None:
        entry = gateway.get_fast_path_stats()["operations"].get("cache.get", {"calls": 0})
        counted = self.calls + self.by_handle * self.is_compiled
        assert entry["calls"] == counted  # wrong calls are calls
        assert self.seen_calls == self.replaced_calls


def test_every_way_to_an_operation_agrees_with_the_model() -> None:
    run(Machine, settings=settings(max_examples=60, stateful_step_count=40, deadline=None))
