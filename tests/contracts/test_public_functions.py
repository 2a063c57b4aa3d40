"""A hot function of the gateway and the handle in its place look alike and do alike."""

from __future__ import annotations

import asyncio
import copy
import functools
import inspect
import pickle
import pydoc
import weakref
from collections.abc import Callable
from types import FunctionType
from typing import Any
from unittest import mock

import pytest

import gateway
from gateway import _wiring
from gateway._dispatch import FUNCTIONS

HOT = [name for name, path in FUNCTIONS.items() if path.partition(".")[0] in _wiring.HOT]
NAMES = [*HOT, "execute_operation"]
UNHASHABLE = (  # the second is what a dict says from 3.14 on
    "unhashable type: 'list'",
    "cannot use 'list' as a dict key (unhashable type: 'list')",
)


@pytest.fixture(params=["function", "handle"])
def look_up(request: pytest.FixtureRequest, path: str) -> Callable[[str], Any]:
    """Return what gives the public function of a name, or the function that a handle replaced."""
    if request.param == "handle":
        if path == "pure":
            pytest.skip(f"no handles: {_wiring.reason}")
        return lambda name: getattr(gateway, name)
    return lambda name: inspect.unwrap(getattr(gateway, name))


def test_each_hot_function_has_a_handle(path: str) -> None:
    replaced = {
        name for name in gateway.__all__ if type(getattr(gateway, name)).__name__ == "Handle"
    }
    assert replaced == (set(NAMES) if path == "compiled" else set())


@pytest.mark.parametrize("name", NAMES)
def test_it_looks_like_the_function(look_up: Callable[[str], Any], name: str) -> None:
    one = look_up(name)
    function = inspect.unwrap(one)
    assert type(function) is FunctionType
    assert isinstance(one, FunctionType)
    assert inspect.isfunction(one)
    for attribute in [
        "__name__",
        "__qualname__",
        "__module__",
        "__doc__",
        "__annotations__",
        "__defaults__",
        "__kwdefaults__",
        "__code__",
        "__globals__",
    ]:
        assert getattr(one, attribute) == getattr(function, attribute)
    assert one.__module__ == "gateway"
    assert inspect.signature(one) == inspect.signature(function)
    assert inspect.getdoc(one) == inspect.getdoc(function)
    assert inspect.getsource(one) == inspect.getsource(function)
    assert inspect.getmodule(one) is gateway
    assert inspect.getfile(one) == gateway.__file__
    assert inspect.getclosurevars(one) == inspect.getclosurevars(function)
    assert dir(one) == dir(function)
    assert inspect.isroutine(one)
    assert not inspect.iscoroutinefunction(one)
    assert callable(one)
    assert isinstance(one, Callable)


@pytest.mark.parametrize("name", NAMES)
def test_help_shows_it_as_a_function(look_up: Callable[[str], Any], name: str) -> None:
    assert pydoc.plain(pydoc.render_doc(look_up(name))).splitlines()[2].startswith(f"{name}(")


def test_help_of_the_gateway_lists_it_among_the_functions() -> None:
    text = pydoc.plain(pydoc.render_doc(gateway))
    functions = text[text.index("\nFUNCTIONS\n") : text.index("\nDATA\n")]
    for name in NAMES:
        assert f"\n    {name}(" in functions


@pytest.mark.parametrize("name", NAMES)
def test_it_is_pickled_and_copied_by_name(path: str, name: str) -> None:
    one = getattr(gateway, name)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(one, protocol)) is one
    assert copy.copy(one) is copy.deepcopy(one) is one


def test_it_can_be_called_in_every_way(look_up: Callable[[str], Any]) -> None:
    get, put = look_up("cache_get"), look_up("cache_set")
    put("k", 1, 60)
    put(key="l", value=2, ttl=60.0, size=3)
    assert get("k") == get(key="k") == get(*["k"]) == get(key="k") == 1
    assert get("m", 3) == get("m", default=3) == get(default=3, key="m") == 3
    assert get("m") is None
    assert get.__call__("k") == get.__call__(key="k") == 1
    assert list(map(get, "klm")) == [1, 2, None]
    assert functools.partial(get, default=4)("m") == 4
    assert functools.partial(get, "l")() == 2
    assert asyncio.run(asyncio.to_thread(get, "k")) == 1
    assert functools.reduce(lambda _, key: get(key), "mk") == 1


def test_it_can_be_decorated(look_up: Callable[[str], Any]) -> None:
    get = look_up("cache_get")

    @functools.wraps(get)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return get(*args, **kwargs), "wrapped"

    assert wrapper("k") == (None, "wrapped")
    assert wrapper.__name__ == "cache_get"
    assert inspect.signature(wrapper) == inspect.signature(get)
    assert inspect.unwrap(wrapper) is inspect.unwrap(get)


def test_its_autospec_is_strict(look_up: Callable[[str], Any]) -> None:
    spec = mock.create_autospec(look_up("cache_get"))
    spec("k", 1)
    with pytest.raises(TypeError, match=r"^too many positional arguments$"):
        spec(1, 2, 3)


def test_it_can_be_patched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "cache_get", lambda key: f"patched {key}")
    assert gateway.cache_get("k") == "patched k"


def test_it_is_hashable_and_weakly_referable(look_up: Callable[[str], Any]) -> None:
    get = look_up("cache_get")
    assert {get: 1}[get] == 1
    assert weakref.ref(get)() is get
    assert get == get  # noqa: PLR0124
    assert get != look_up("cache_set")


def test_it_is_a_method_in_a_class(look_up: Callable[[str], Any]) -> None:
    class Box:
        get = look_up("cache_get")

    box = Box()
    assert box.get("default") == "default"  # the box is the key
    assert Box.get("k") is None


@pytest.mark.parametrize(
    ("name", "args", "kwargs", "message"),
    [
        ("cache_get", (), {}, "cache_get() missing 1 required positional argument: 'key'"),
        (
            "cache_get",
            (1, 2, 3),
            {},
            "cache_get() takes from 1 to 2 positional arguments but 3 were given",
        ),
        ("cache_get", (1,), {"key": 2}, "cache_get() got multiple values for argument 'key'"),
        (
            "cache_get",
            (1,),
            {"colour": 2},
            "cache_get() got an unexpected keyword argument 'colour'",
        ),
        (
            "cache_set",
            (),
            {"ttl": 1},
            "cache_set() missing 2 required positional arguments: 'key' and 'value'",
        ),
        ("cache_clear", (1,), {}, "cache_clear() takes 0 positional arguments but 1 was given"),
        ("log_info", (), {}, "log_info() missing 1 required positional argument: 'message'"),
        ("log_info", (1, 2), {}, "log_info() takes 1 positional argument but 2 were given"),
        (
            "record_metric",
            ("m",),
            {},
            "record_metric() missing 1 required positional argument: 'value'",
        ),
        (
            "singleton_get",
            ("n",),
            {},
            "singleton_get() missing 1 required positional argument: 'factory'",
        ),
        ("cache_get", ([],), {}, UNHASHABLE),
        (
            "cache_set",
            (1, 2, "3"),
            {},
            "ttl must be a number of seconds above 0, math.inf or None, not '3'",
        ),
        ("cache_get_or_set", (1, 2), {}, "factory must be a function without arguments, not 2"),
        (
            "execute_operation",
            ("cache",),
            {},
            "execute_operation() missing 1 required positional argument: 'operation'",
        ),
        (
            "execute_operation",
            ("cache", "get", "k"),
            {},
            "execute_operation() takes 2 positional arguments but 3 were given",
        ),
        (
            "execute_operation",
            ("cache", "get"),
            {},
            "cache_get() missing 1 required positional argument: 'key'",
        ),
        (
            "execute_operation",
            ("logging", "info"),
            {"message": "m"},
            (
                "log_info() missing 1 required positional argument: 'message'",
                "log_info() got some positional-only arguments passed as keyword arguments:"
                " 'message'",
            ),
        ),
        ("execute_operation", ("cache", "get"), {"key": []}, UNHASHABLE),
    ],
)
def test_wrong_arguments_name_the_public_function(
    look_up: Callable[[str], Any],
    name: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    message: str | tuple[str, ...],
) -> None:
    for _ in range(20):  # unbound, bound, and promoted
        with pytest.raises(TypeError) as caught:
            look_up(name)(*args, **kwargs)
        assert str(caught.value) in ([message] if isinstance(message, str) else message)


def test_hot_functions_return_what_the_operation_returns(look_up: Callable[[str], Any]) -> None:
    assert look_up("cache_set")("k", 1) is None
    assert look_up("cache_delete")("k") is True
    assert look_up("log_info")("m") is None
    assert look_up("record_metric")("m", 1) is None
    assert look_up("singleton_get")("n", list) is look_up("singleton_get")("n", list)
    with look_up("log_context")(a=1), look_up("record_duration")("d"):
        pass


def test_the_code_of_each_function_says_what_it_calls() -> None:
    for name in HOT:
        _, core, method = getattr(gateway, name).__code__.co_names
        assert f"{core}.{method}" == FUNCTIONS[name]
        assert _wiring.target_of(getattr(gateway, name)) == getattr(
            _wiring.interfaces[core], method
        )
