from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING

import pytest

import gateway
from gateway import ConfigurationError, GatewayInterface, UnknownOperationError

if TYPE_CHECKING:
    from collections.abc import Iterator


class Greetings:
    colour = "green"

    def greet(self, operation: str = "", interface: str = "") -> str:
        return f"hello {operation} {interface}"

    def _hidden(self) -> None:
        """Private, so no operation."""


@pytest.fixture
def greetings(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    module = ModuleType("greetings_for_tests")
    module.make = Greetings
    monkeypatch.setitem(__import__("sys").modules, "greetings_for_tests", module)
    return module


def test_runs_an_operation_by_member_or_value() -> None:
    gateway.execute_operation(GatewayInterface.CACHE, "set", key="k", value=1)
    assert gateway.execute_operation("cache", "get", key="k") == 1
    assert gateway.execute_operation("cache", "get", key="none", default="d") == "d"


def test_interfaces_are_twelve_strings() -> None:
    assert [member.value for member in GatewayInterface] == [
        "cache", "logging", "security", "metrics", "singleton", "http_client", "utility",
        "initialization", "lambda", "circuit_breaker", "config", "debug",
    ]  # fmt: skip
    assert all(isinstance(member, str) for member in GatewayInterface)


@pytest.mark.parametrize(
    ("interface", "operation", "message"),
    [
        ("cach", "get", "there is no interface 'cach'; did you mean cache?"),
        (
            GatewayInterface.SECURITY,
            "encrypt",
            "interface 'security' is not part of this version",
        ),
        ("cache", "gat", "interface 'cache' has no operation 'gat'; did you mean get or stats?"),
        (
            GatewayInterface.CACHE,
            "_store",
            "interface 'cache' has no operation '_store'; did you mean get_or_set?",
        ),
        (
            "circuit_breaker",
            "zzz",
            (
                "interface 'circuit_breaker' has no operation 'zzz'; "
                "there are call, configure, protect, state, reset, stats"
            ),
        ),
        (
            [],
            "get",
            (
                "there is no interface '[]'; there are cache, logging, metrics, singleton, "
                "http_client, utility, initialization, lambda, circuit_breaker, config"
            ),
        ),
        (
            "cache",
            [],
            (
                "interface 'cache' has no operation '[]'; there are get, set, delete, clear, "
                "contains, get_many, set_many, get_or_set, cached, stats"
            ),
        ),
    ],
)
def test_unknown_names_are_refused_with_near_ones(
    interface: object, operation: object, message: str
) -> None:
    with pytest.raises(UnknownOperationError) as caught:
        gateway.execute_operation(interface, operation)
    assert str(caught.value) == message
    assert isinstance(caught.value, LookupError)


def test_unknown_operation_loads_no_core() -> None:
    with pytest.raises(UnknownOperationError):
        gateway.execute_operation("metrics", "flash")
    assert not gateway.get_gateway_stats()["interfaces"]["metrics"]["loaded"]


def test_keywords_named_interface_and_operation_reach_the_operation(greetings: ModuleType) -> None:
    gateway.register_interface("greetings", "greetings_for_tests:make")
    said = gateway.execute_operation("greetings", "greet", operation="a", interface="b")
    assert said == "hello a b"
    assert gateway.execute_operation("greetings", "greet") == "hello  "


def test_registered_interface_loads_at_first_use_and_counts(greetings: ModuleType) -> None:
    gateway.register_interface("greetings", "greetings_for_tests:make")
    stats = gateway.get_gateway_stats()["interfaces"]
    assert stats["greetings"] == {"loaded": False, "calls": {}}
    gateway.execute_operation("greetings", "greet")
    gateway.execute_operation("greetings", "greet")
    after = gateway.get_gateway_stats()["interfaces"]["greetings"]
    assert after["loaded"]
    assert after["calls"] == {"greet": 2}
    assert after["load_ms"] >= 0
    gateway.preload("greetings")


@pytest.mark.parametrize("operation", ["_hidden", "colour", "gret"])
def test_registered_interface_refuses_what_is_no_operation(
    greetings: ModuleType, operation: str
) -> None:
    gateway.register_interface("greetings", "greetings_for_tests:make")
    with pytest.raises(
        UnknownOperationError, match=f"interface 'greetings' has no operation '{operation}'"
    ):
        gateway.execute_operation("greetings", operation)
    with pytest.raises(UnknownOperationError):
        gateway.execute_operation("greetings", 3)


def test_bad_target_fails_at_first_use_and_can_be_retried(greetings: ModuleType) -> None:
    del greetings.make
    gateway.register_interface("greetings", "greetings_for_tests:make")
    gateway.register_interface("missing", "no.such.module:make")
    with pytest.raises(ConfigurationError) as caught:
        gateway.execute_operation("missing", "greet")
    assert str(caught.value) == (
        "interface 'missing' cannot be loaded from 'no.such.module:make': No module named 'no'"
    )
    assert isinstance(caught.value.__cause__, ImportError)
    with pytest.raises(ConfigurationError, match="has no attribute 'make'"):
        gateway.execute_operation("greetings", "greet")
    greetings.make = Greetings
    assert gateway.execute_operation("greetings", "greet") == "hello  "


@pytest.mark.parametrize(
    ("name", "target", "message"),
    [
        ("two words", "m:f", "an interface name is a Python identifier, not 'two words'"),
        (None, "m:f", "an interface name is a Python identifier, not None"),
        ("cache", "m:f", "interface 'cache' exists already; choose another name"),
        ("debug", "m:f", "interface 'debug' exists already; choose another name"),
        ("x", "m", "an interface's target is 'package.module:factory', not 'm'"),
        ("x", 5, "an interface's target is 'package.module:factory', not 5"),
        ("x", "..a:b", "an interface's target is 'package.module:factory', not '..a:b'"),
        ("x", "m:", "an interface's target is 'package.module:factory', not 'm:'"),
        ("x", ":f", "an interface's target is 'package.module:factory', not ':f'"),
        ("x", "m:f()", "an interface's target is 'package.module:factory', not 'm:f()'"),
    ],
)
def test_register_refuses_wrong_names_and_targets(name: object, target: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  the whole message is compared
        gateway.register_interface(name, target)
    assert str(caught.value) == message


def test_reset_takes_registered_interfaces_back(greetings: ModuleType) -> None:
    gateway.register_interface("greetings", "greetings_for_tests:make")
    gateway.execute_operation("greetings", "greet")
    registered = gateway._wiring.interfaces["greetings"]
    gateway.reset()
    assert not gateway._dispatch.is_loaded(registered)
    assert "greetings" not in gateway.get_gateway_stats()["interfaces"]


def test_stats_say_what_is_loaded_and_called(path: str) -> None:
    gateway.execute_operation("utility", "utc_timestamp")
    stats = gateway.get_gateway_stats()
    assert stats["path"] == path
    assert stats["interfaces"]["utility"]["calls"] == {"utc_timestamp": 1}
    assert stats["interfaces"]["config"] == {"loaded": False, "calls": {}}
    assert stats["interfaces"]["utility"]["loaded_at"] > 1.7e9
