"""The calls whose dispatch is measured: the part that runs in child processes."""

from __future__ import annotations

import functools
import types
from typing import TYPE_CHECKING, Any, NamedTuple

import gateway
from benchmarks import naive
from benchmarks.measure import minima, timed_loop
from benchmarks.rows import (
    DIRECT,
    DOOR_CACHE,
    DOOR_TARGET,
    EMPTY,
    ENTRIES,
    HANDLE,
    NAIVE_CACHE,
    NAIVE_COMPILED,
    NAIVE_TARGET,
    PYTHON_DIRECT,
    PYTHON_HANDLE,
)
from cores.store import Store
from gateway import _wiring

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

TTL = 300


class Call(NamedTuple):
    """A statement about the key `k`, and the local variables that it uses."""

    statement: str
    names: Mapping[str, object]


class Target:
    """An interface whose one operation does nothing."""

    def get(self, key: object) -> object:
        """Return the key."""
        return key

    execute_get = get


def contains(key: object) -> bool:
    """Stand for an operation that is written in Python."""
    return key is not None


def keys() -> list[str]:
    """Return the keys of the cache, which is filled with them."""
    names = [f"key {number}" for number in range(ENTRIES)]
    for name in names:
        gateway.cache_set(name, 1, ttl=TTL)
    return names


def closure(target: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that forwards whatever it is given."""

    def forward(*args: Any, **kwargs: Any) -> Any:
        return target(*args, **kwargs)

    return forward


def exact_closure(target: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function with the target's signature."""

    def forward(key: object, default: object = None) -> object:
        return target(key, default)

    return forward


def plain(target: object) -> Call:
    """Return the call of a function that is in a local variable."""
    return Call("f(k)", {"f": target})


def door(execute: object, interface: object) -> Call:
    """Return the call of a string door; the interface, too, is in a local variable."""
    return Call("f(i, 'get', key=k)", {"f": execute, "i": interface})


def python_calls(kind: str) -> dict[str, Call]:
    """Return the calls that both paths have; *kind* is put before the names."""
    gateway.register_interface("target", "benchmarks.calls:Target")
    interface = gateway.GatewayInterface.CACHE
    return {
        EMPTY: Call("pass", {}),
        f"{kind}{DIRECT}": plain(_wiring.cache.get),
        f"{kind}{HANDLE}": plain(gateway.cache_get),
        f"{kind}{DOOR_TARGET}": door(gateway.execute_operation, "target"),
        f"{kind}{DOOR_CACHE}": door(gateway.execute_operation, interface),
    }


def compiled_calls(store: Store) -> dict[str, Call]:
    """Return the calls of the compiled path and what they are compared with."""
    common = python_calls("")
    get = _wiring.cache.get
    held = types.ModuleType("held")
    held.get = get
    cores = {naive.Interface.TARGET: Target(), naive.Interface.CACHE: naive.CacheCore(store)}
    fast = {naive.Interface.CACHE: naive.CacheCore(_wiring.cache)}
    looked_up = {"f": gateway.execute_operation, "G": gateway.GatewayInterface}
    execute = naive.Gateway(cores).execute_operation
    own = naive.Interface.CACHE
    return {
        EMPTY: common[EMPTY],
        "dict.get": plain(dict.fromkeys(keys(), 1).get),
        DIRECT: common[DIRECT],
        HANDLE: common[HANDLE],
        f"{DIRECT}, of a module": Call("m.get(k)", {"m": held}),
        f"{HANDLE}, of the module": Call("m.cache_get(k)", {"m": gateway}),
        "functools.partial(get)": plain(functools.partial(get)),
        "closure with get's signature": plain(exact_closure(get)),
        "closure *args, **kwargs": plain(closure(get)),
        PYTHON_DIRECT: plain(contains),
        PYTHON_HANDLE: plain(gateway.cache_contains),
        "bound Python target, key=": Call("f(key=k)", {"f": Target().get}),
        DOOR_TARGET: common[DOOR_TARGET],
        NAIVE_TARGET: door(execute, naive.Interface.TARGET),
        f"{DIRECT}, key=": Call("f(key=k)", {"f": get}),
        DOOR_CACHE: common[DOOR_CACHE],
        f"{DOOR_CACHE}, GatewayInterface.CACHE looked up": Call(
            "f(G.CACHE, 'get', key=k)", looked_up
        ),
        NAIVE_CACHE: door(execute, own),
        NAIVE_COMPILED: door(naive.Gateway(fast).execute_operation, own),
    }


def calls(path: str) -> tuple[list[str], dict[str, Call]]:
    """Return the keys and the calls of a path: compiled, off or pure."""
    texts = keys()
    if path == "compiled":
        gateway.register_fast_path("cache", "contains", contains, replace=True)
        store = Store(ENTRIES, default_ttl=TTL)
        for text in texts:
            store[text] = 1
        return texts, compiled_calls(store)
    if path == "off":
        gateway.disable_fast_path()
        common = python_calls("switched off: ")
        return texts, {name: common[name] for name in common if "the engine" not in name}
    return texts, python_calls("pure: ")


def times(path: str, seconds: float) -> dict[str, dict[str, float]]:
    """Return nanoseconds per call, by case; the empty loop is one of them."""
    texts, cases = calls(path)
    loops = {
        name: timed_loop(name, call.names, f"for k in keys: {call.statement}")
        for name, call in cases.items()
    }

    def run(name: str) -> list[float]:
        return [loops[name](texts)]

    best = minima({name: (functools.partial(run, name), ENTRIES) for name in loops}, seconds)
    return {name: {"ns": ns} for name, ns in best.items()}


def names(path: str) -> list[str]:
    """Return the names of a path's cases."""
    return list(calls(path)[1])


def repeat(path: str, name: str, passes: int) -> None:
    """Run one case so often, for its instructions to be counted from outside."""
    texts, cases = calls(path)
    run = timed_loop(name, cases[name].names, f"for k in keys: {cases[name].statement}")
    for _ in range(passes):
        run(texts)


def state() -> dict[str, object]:
    """Return what runs: the path, and whether a handle stands in front of the public functions."""
    stats = gateway.get_fast_path_stats()
    return {
        "path": "compiled" if stats["compiled"] else "pure",
        "reason": stats["reason"],
        # isinstance would ask a handle for its __class__, which is that of a function.
        "has_handles": type(gateway.cache_get) is not types.FunctionType,
    }
