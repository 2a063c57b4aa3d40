from __future__ import annotations

import functools
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest

import gateway
from gateway import (
    _wiring,
    cache_get,
    cache_set,
    disable_fast_path,
    enable_fast_path,
    execute_operation,
    get_fast_path_stats,
    log_info,
    record_metric,
    register_fast_path,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Fresh

OFF = {"enabled": False, "reason": "disable_fast_path was called"}


@pytest.fixture
def compiled(path: str) -> bool:
    return path == "compiled"


@pytest.fixture(autouse=True)
def weather(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register an interface whose operation says that it ran."""

    class Weather:
        def current(self, city: str, *, unit: str = "C") -> tuple[str, ...]:
            return "slow", city, unit

        async def forecast(self, city: str) -> str:
            return city

    module = ModuleType("weather_station")
    module.Weather = Weather
    monkeypatch.setitem(sys.modules, "weather_station", module)
    gateway.register_interface("weather", "weather_station:Weather")


def current(city: str, *, unit: str = "C") -> tuple[str, ...]:
    return "fast", city, unit


# ---- on and off


def test_off_and_on_switch_names_that_were_imported(compiled: bool) -> None:
    cache_set("k", 1)
    assert cache_get("k") == 1
    handles = [handle.bound for handle in _wiring.handles.values()]
    assert any(handles) is compiled
    assert disable_fast_path() == (OFF if compiled else enable_fast_path())
    cache_set("l", 2)
    assert [cache_get(key) for key in "klm"] == [1, 2, None]
    assert execute_operation("cache", "get", key="l") == 2
    assert get_fast_path_stats()["enabled"] is False
    assert enable_fast_path()["enabled"] is compiled
    assert [cache_get(key) for key in "klm"] == [1, 2, None]


def test_a_pure_process_says_that_it_stays_pure(fresh: Fresh) -> None:
    out = fresh(
        "import gateway\n"
        "from gateway import cache_get\n"
        "print(gateway.enable_fast_path())\n"
        "print(gateway.get_fast_path_stats()['compiled'], type(cache_get).__name__)\n",
        THRIFTGATE_PURE="1",
    )
    reason = "THRIFTGATE_PURE is set; a process that started on the pure path stays there"
    assert out == f"{ {'enabled': False, 'reason': reason} }\nFalse function\n"


def test_a_fresh_gateway_is_on(compiled: bool) -> None:
    disable_fast_path()
    gateway.reset()
    stats = get_fast_path_stats()
    assert stats["enabled"] is stats["compiled"] is compiled
    assert (stats["reason"] == "") is compiled


def test_switching_changes_nothing_that_is_recorded(
    written: Callable[[], list[dict[str, Any]]],
) -> None:
    lines = []
    for switch in (enable_fast_path, disable_fast_path):
        gateway.reset()
        switch()
        for number in range(3):
            log_info("m", number=number)
            record_metric("count", number)
            cache_set(number, number)
            cache_get(number + 1)
        gateway.flush_metrics()
        lines.append(
            [
                {k: v for k, v in line.items() if k not in {"timestamp", "_aws"}}
                for line in written()
            ]
            + [gateway.cache_stats(), gateway.metrics_status(), gateway.log_stats()]
        )
    assert lines[0] == lines[1]
    assert len(lines[0]) > 6


# ---- loading


def test_a_failed_load_is_reported_and_tried_again(
    monkeypatch: pytest.MonkeyPatch, compiled: bool
) -> None:
    monkeypatch.setenv("THRIFTGATE_CACHE_MAX_ENTRIES", "none")
    for _ in range(2):
        with pytest.raises(gateway.ConfigurationError, match="THRIFTGATE_CACHE_MAX_ENTRIES"):
            cache_get("k")
    calls = get_fast_path_stats()["operations"].get("cache.get", {"calls": 0})["calls"]
    assert calls == (2 if compiled else 0)
    monkeypatch.delenv("THRIFTGATE_CACHE_MAX_ENTRIES")
    assert cache_get("k", 5) == 5


def test_reset_leaves_no_handle_with_an_old_core(
    written: Callable[[], list[dict[str, Any]]],
) -> None:
    class Logs:
        def __del__(self) -> None:
            log_info("let go")

    log_info("first")
    cache_set("k", Logs())
    gateway.reset()
    log_info("last")
    if _wiring.handles:
        assert _wiring.handles["logging.info"].bound == _wiring.logging.info
    assert [line["message"] for line in written()] == ["first", "let go", "last"]


def test_reset_binds_to_the_new_core() -> None:
    cache_set("k", 1)
    gateway.reset()
    assert cache_get("k") is None
    cache_set("k", 2)
    assert cache_get("k") == 2


# ---- the string door


def test_often_called_operations_are_promoted(
    monkeypatch: pytest.MonkeyPatch, compiled: bool
) -> None:
    monkeypatch.setenv("THRIFTGATE_PROMOTE_AFTER", "3")
    gateway.reset()
    gateway.register_interface("weather", "weather_station:Weather")
    for number in range(1, 6):
        execute_operation("utility", "utc_timestamp", when=0)
        execute_operation(gateway.GatewayInterface.CACHE, "get", key="k")
        execute_operation("weather", "current", city="Bern")
        operations = get_fast_path_stats()["operations"]
        for path in ("utility.utc_timestamp", "cache.get", "weather.current"):
            assert operations[path]["calls"] == number
            assert operations[path]["promoted"] is (compiled and number >= 3)
            assert operations[path]["loaded"]
    assert get_fast_path_stats()["promote_after"] == 3
    assert operations["cache.get"]["compiled"] is compiled
    assert not operations["utility.utc_timestamp"]["compiled"]
    assert not operations["weather.current"]["registered"]


def test_what_explains_arguments_can_be_traced(fresh: Fresh) -> None:
    # Under a tracer of lines, an interpreter reads the table of lines of every code that runs.
    out = fresh(
        "import gc, sys, gateway\n"
        "lines = []\n"
        "def trace(frame, event, argument):\n"
        "    lines.append(event)\n"
        "    return trace\n"
        "sys.settrace(trace)\n"
        "for name in gateway.__all__:\n"
        "    function = getattr(gateway, name)\n"
        "    if not isinstance(function, type):\n"
        "        hollow = gateway._wiring.fast_path.hollow(function)\n"
        "        code = hollow.__code__\n"
        "        assert list(code.co_lines())[-1][1] <= len(code.co_code)\n"
        "        try:\n"
        "            assert hollow() is None\n"
        "        except TypeError as error:\n"
        "            assert str(error).startswith(f'{name}() missing ')\n"
        "gc.collect()\n"
        "print('line' in lines)\n"
    )
    assert out == "True\n"


def test_a_wrong_threshold_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THRIFTGATE_PROMOTE_AFTER", "0")
    gateway.reset()
    message = r"^THRIFTGATE_PROMOTE_AFTER must be a number of at least 1, not '0'$"
    with pytest.raises(gateway.ConfigurationError, match=message):
        execute_operation("cache", "get", key="k")


def test_promotion_survives_off_and_on() -> None:
    for _ in range(20):
        execute_operation("weather", "current", city="Bern")
    disable_fast_path()
    for _ in range(20):
        assert execute_operation("weather", "current", city="Bern") == ("slow", "Bern", "C")
    enable_fast_path()
    assert execute_operation("weather", "current", city="Bern") == ("slow", "Bern", "C")
    assert get_fast_path_stats()["operations"]["weather.current"]["calls"] == 41


def test_calls_are_counted_by_name_and_by_handle(compiled: bool) -> None:
    for _ in range(5):
        cache_get("k")
    for _ in range(20):
        execute_operation("cache", "get", key="k")
    expected = 25 if compiled else 20
    assert gateway.get_gateway_stats()["interfaces"]["cache"]["calls"]["get"] == expected
    stats = get_fast_path_stats()
    assert stats["top"] == [("cache.get", expected)]
    assert stats["operations"]["cache.get"]["calls"] == expected


def test_the_ten_most_called_come_first() -> None:
    calls = {
        "cache": ["stats", "clear"],
        "logging": ["stats", "flush"],
        "metrics": ["status", "flush"],
        "config": ["status"],
        "lambda": ["invocation", "remaining_ms"],
        "http_client": ["stats"],
        "initialization": ["report", "is_cold_start"],
    }
    paths = [(interface, name) for interface, names in calls.items() for name in names]
    for count, path in enumerate(paths, 1):
        for _ in range(count):
            execute_operation(*path)
    expected = [(".".join(path), count) for count, path in enumerate(paths, 1)]
    assert get_fast_path_stats()["top"] == expected[:1:-1]


class Faulty:
    def add(self, number: int) -> int:
        return "one" + number

    @classmethod
    def kind(cls, number: int) -> int:
        return number + "one"


def test_errors_of_an_operation_stay_its_own_after_promotion(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = ModuleType("faulty")
    module.Faulty = Faulty
    monkeypatch.setitem(sys.modules, "faulty", module)
    gateway.register_interface("faulty", "faulty:Faulty")
    for _ in range(40):
        with pytest.raises(TypeError, match=r"^can only concatenate str \(not \"int\"\) to str$"):
            execute_operation("faulty", "add", number=1)
        with pytest.raises(TypeError, match=r"^unsupported operand type\(s\) for \+: 'int' and"):
            execute_operation("faulty", "kind", number=1)
        with pytest.raises(TypeError, match=r"Faulty.add\(\) missing 1 required positional arg"):
            execute_operation("faulty", "add")


# ---- additions


@pytest.mark.parametrize("calls_before", [0, 40])
def test_a_registered_function_does_the_operation(calls_before: int, compiled: bool) -> None:
    for _ in range(calls_before):
        execute_operation("weather", "current", city="Bern")
    register_fast_path("weather", "current", current)
    how = "fast" if compiled else "slow"
    assert execute_operation("weather", "current", city="Bern") == (how, "Bern", "C")
    assert execute_operation("weather", "current", city="Bern", unit="F") == (how, "Bern", "F")
    entry = get_fast_path_stats()["operations"]["weather.current"]
    assert entry["calls"] == calls_before + 2
    assert entry["registered"]
    assert entry["promoted"] is compiled
    disable_fast_path()
    assert execute_operation("weather", "current", city="Bern") == ("slow", "Bern", "C")


def test_a_hot_operation_is_replaced_when_asked_to(compiled: bool) -> None:
    def get(key: object, default: object = None) -> object:
        return "fast", key, default

    cache_set("k", 1)
    assert cache_get("k") == 1
    register_fast_path("cache", "get", get, replace=True)
    assert cache_get("k") == (("fast", "k", None) if compiled else 1)
    assert execute_operation("cache", "get", key="k") == cache_get("k")
    disable_fast_path()
    assert cache_get("k") == 1
    gateway.reset()
    assert cache_get("k") is None


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        ("cache.get", "cache.get has an implementation of its own"),
        ("utility.deep_get", "utility.deep_get has an implementation of its own"),
        ("logging.forget", "logging.forget has an implementation of its own"),
        ("weather.current", "weather.current has a fast path"),
    ],
)
def test_nothing_is_shadowed_silently(operation: str, message: str) -> None:
    register_fast_path("weather", "current", current)
    interface, _, name = operation.partition(".")
    same = getattr(_wiring.interfaces[interface], name)
    with pytest.raises(ValueError, match=r"pass replace=True to put .* in its place$") as caught:
        register_fast_path(interface, name, same)
    assert str(caught.value).startswith(f"{message}; pass replace=True")
    register_fast_path(interface, name, same, replace=True)


BY_POSITION = (  # the second is what 3.11 and 3.12 say
    "missing a required argument: 'city'",
    "missing a required positional-only argument: 'city'",
    "'city' parameter is positional only, but was passed as a keyword",
)


def no_default(city: str, *, unit: str) -> None: ...
def swapped(unit: str, city: str = "C") -> None: ...
def other_default(city: str, *, unit: str = "F") -> None: ...
def other_name(town: str, *, unit: str = "C") -> None: ...
def one_more(city: str, country: str, *, unit: str = "C") -> None: ...
def too_few(city: str) -> None: ...
def by_position(city: str, /, *, unit: str = "C") -> None: ...
async def asynchronous(city: str, *, unit: str = "C") -> None: ...


@pytest.mark.parametrize(
    ("func", "problem"),
    [
        (no_default, "missing a required argument: 'unit'"),
        (other_default, "the default of unit differs"),
        (other_name, "it takes city as town"),
        (swapped, "it takes city as unit"),
        (one_more, "missing a required argument: 'country'"),
        (too_few, "got an unexpected keyword argument 'unit'"),
        (by_position, BY_POSITION),
        (asynchronous, "one of them is a coroutine function"),
    ],
)
def test_a_function_that_takes_other_calls_is_refused(
    func: Callable[..., Any], problem: str | tuple[str, ...]
) -> None:
    with pytest.raises(TypeError) as caught:
        register_fast_path("weather", "current", func)
    beginning = (
        f"{func!r} cannot stand in for weather.current"
        "(city: 'str', *, unit: 'str' = 'C') -> 'tuple[str, ...]': "
    )
    problems = [problem] if isinstance(problem, str) else problem
    # From 3.12 on, a missing argument's kind is named.
    shown = str(caught.value).replace("keyword-only argument", "argument")
    assert shown in [beginning + one for one in problems]
    assert execute_operation("weather", "current", city="Bern") == ("slow", "Bern", "C")


@pytest.mark.parametrize(
    "func",
    [
        lambda *args, **kwargs: ("fast", args, kwargs),
        lambda city, unit="C": ("fast", city, unit),
        lambda city, *, unit="C", more=None: ("fast", city, unit),
    ],
)
def test_a_function_that_takes_more_is_taken(func: Callable[..., Any], compiled: bool) -> None:
    register_fast_path("weather", "current", func)
    assert execute_operation("weather", "current", city="Bern")[0] == (
        "fast" if compiled else "slow"
    )


def test_a_handle_cannot_stand_in_for_an_operation(compiled: bool) -> None:
    def register(func: Callable[..., Any]) -> None:
        register_fast_path("cache", "get", func, replace=True)

    for func in (cache_get, functools.partial(cache_get)):
        if compiled:
            with pytest.raises(TypeError, match=r"is a handle and would call itself; wrap what"):
                register(func)
        else:
            register(func)
    cache_set("k", 1)
    assert cache_get("k") == 1


def test_a_function_can_wrap_what_it_replaces(compiled: bool) -> None:
    def get(key: object, default: object = None, *, strict: bool = False) -> object:
        if strict:
            msg = "strict"
            raise TypeError(msg)
        return "wrapped", previous(key, default)

    def again(key: object, default: object = None) -> object:
        return "again", second(key, default)

    cache_set("k", 1)
    previous = register_fast_path("cache", "get", get, replace=True)
    assert cache_get("k") == (("wrapped", 1) if compiled else 1)
    if compiled:  # its error is its own, not one about the public function's parameters
        with pytest.raises(TypeError, match=r"^strict$"):
            cache_get("k", strict=True)
    second = register_fast_path("cache", "get", again, replace=True)
    assert second is get
    assert cache_get("k") == (("again", ("wrapped", 1)) if compiled else 1)


def test_stand_ins_of_a_mocking_library_do_not_change_the_error() -> None:
    message = r"^cache_get\(\) missing 1 required positional argument: 'key'$"
    with mock.patch("gateway.cache_get"):
        for _ in range(20):
            with pytest.raises(TypeError, match=message if _wiring.handles else "missing"):
                execute_operation("cache", "get")


def test_loading_the_gateway_again_keeps_what_was_imported(fresh: Fresh) -> None:
    out = fresh(
        "import importlib, gateway\n"
        "from gateway import cache_get, cache_set\n"
        "cache_set('k', 1)\n"
        "importlib.reload(gateway)\n"
        "print(cache_get('k'), gateway.cache_get('k'))\n"
        "gateway.reset()\n"
        "gateway.cache_set('k', 2)\n"
        "print(cache_get('k'), gateway.cache_get('k'))\n"
    )
    assert out == "1 1\n2 2\n"


def test_operations_with_any_keywords_need_functions_with_any_keywords() -> None:
    with pytest.raises(TypeError, match="got an unexpected keyword argument 'any_other_name'"):
        register_fast_path("logging", "info", lambda message, /: None, replace=True)
    register_fast_path("logging", "info", lambda message, /, **fields: None, replace=True)
    with pytest.raises(TypeError, match="too many positional arguments"):
        register_fast_path(
            "circuit_breaker", "call", lambda name, func, /, **kwargs: None, replace=True
        )


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("weather", "current", 7), TypeError, "func must be callable, not 7"),
        (
            ("weather", "curent", current),
            gateway.UnknownOperationError,
            "interface 'weather' has no operation 'curent'",
        ),
        (("whether", "current", current), gateway.UnknownOperationError, "did you mean weather?"),
        (("weather", 3, current), gateway.UnknownOperationError, "no operation '3'"),
    ],
)
def test_wrong_registrations_are_one_clear_error(
    arguments: tuple[Any, ...], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        register_fast_path(*arguments)
    assert not get_fast_path_stats()["operations"].get("weather.current", {"registered": False})[
        "registered"
    ]


def test_a_function_without_a_signature_is_refused() -> None:
    with pytest.raises(TypeError, match=r"has no signature to compare .*; wrap it in a def$"):
        register_fast_path("weather", "current", max)


def test_coroutine_functions_stand_in_for_coroutine_functions(compiled: bool) -> None:
    async def forecast(city: str) -> str:
        return f"fast {city}"

    register_fast_path("weather", "forecast", forecast)
    coroutine = execute_operation("weather", "forecast", city="Bern")
    with pytest.raises(StopIteration) as stopped:
        coroutine.send(None)
    assert stopped.value.value == ("fast Bern" if compiled else "Bern")
