"""Values kept in memory between invocations of one environment."""

from __future__ import annotations

import functools
import threading
import time
from math import inf
from types import SimpleNamespace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Hashable
    from typing import ParamSpec, TypeVar

    from cores.ports import Clock, Current, Engine

    T = TypeVar("T")
    P = ParamSpec("P")

_MISS = object()
# Flags of a code object (inspect.CO_GENERATOR, CO_COROUTINE, CO_ASYNC_GENERATOR).
_USED_UP = 0x20 | 0x80 | 0x200


class Cache:
    """A bounded cache with a time to live per entry, over a compiled or a pure engine.

    Entries live as long as the environment does and are never shared with another one.
    Time is wall time, so an entry also ages while the environment is frozen; *clock* replaces it.
    Safe under threads.

    >>> from cores.store import Store
    >>> cache = Cache(Store)
    >>> cache.set("answer", 42, ttl=60)
    >>> cache.get("answer")
    42
    """

    def __init__(
        self,
        engine: Callable[..., Engine],
        *,
        max_entries: int = 1000,
        max_bytes: int | None = None,
        default_ttl: float | None = None,
        clock: Clock | None = None,
        current: Current = SimpleNamespace(invocation=None),  # noqa: B008  never written here
    ) -> None:
        store = engine(
            max_entries=max_entries, max_bytes=max_bytes, default_ttl=default_ttl, clock=clock
        )
        self._clock = time.time if clock is None else clock
        self._current = current
        self._flights: dict[Hashable, SimpleNamespace] = {}
        self._flights_lock = threading.Lock()
        # The engine's own bound methods: the layer in between would cost more than the lookup.
        self.get = store.get
        self.set = store.set
        self.delete = store.delete
        self.contains = store.contains
        self.clear = store.clear
        self.get_many = store.get_many
        self.set_many = store.set_many
        self.stats = store.stats

    def get_or_set(self, key: Hashable, factory: Callable[[], T], ttl: float | None = 300.0) -> T:
        """Return the value under *key*, computing and storing it with *factory* on a miss.

        Concurrent misses of one key call *factory* once; the other threads wait for its result,
        at most until the deadline of the invocation, and then compute for themselves.
        An exception of *factory* reaches every waiting caller and is not stored.
        *ttl* is in seconds; None means the cache's default.
        """
        if not callable(factory):
            msg = f"factory must be a function without arguments, not {factory!r}"
            raise TypeError(msg)
        value = self.get(key, _MISS)
        if value is not _MISS:
            return value  # type: ignore[no-any-return]
        with self._flights_lock:
            flight = self._flights.get(key)
            leads = flight is None
            if flight is None:
                flight = self._flights[key] = SimpleNamespace(
                    landed=threading.Event(), leader=threading.get_ident(), error=None
                )
        if not leads and flight.leader != threading.get_ident():
            if flight.landed.wait(self._patience()):
                if flight.error is not None:
                    raise flight.error
                return flight.value  # type: ignore[no-any-return]
            return factory()
        try:
            computed = flight.value = factory()
            self.set(key, computed, ttl)
        except BaseException as error:
            flight.error = error
            raise
        finally:
            if leads:
                with self._flights_lock:
                    self._flights.pop(key, None)
                flight.landed.set()
        return computed

    def cached(self, ttl: float | None = 300.0) -> Callable[[Callable[P, T]], Callable[P, T]]:
        """Decorate a function so that its results are kept for *ttl* seconds.

        Each decorated function has entries of its own, by its positional and keyword arguments
        and their types, so ``f(1)`` and ``f(1.0)`` are two entries. An unhashable argument raises
        ``TypeError`` at the call. Results are shared, not copied; None is a result.
        Coroutine functions and generator functions are refused with ``TypeError``: what their
        calls return can be used once only.
        """
        if callable(ttl):
            msg = "cached takes the time to live: write @cached() or @cached(ttl=300)"
            raise TypeError(msg)
        if ttl is not None and not ttl > 0:
            msg = f"ttl must be above 0 seconds, not {ttl!r}"
            raise ValueError(msg)

        def decorate(func: Callable[P, T]) -> Callable[P, T]:
            if getattr(getattr(func, "__code__", None), "co_flags", 0) & _USED_UP:
                msg = f"cached decorates plain functions, and {func!r} is none"
                raise TypeError(msg)
            name = object()  # not a text: two functions may have the same name

            @functools.wraps(func)
            def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
                named = tuple(sorted(kwargs.items())) if kwargs else ()
                types = tuple(map(type, (*args, *(value for _, value in named))))
                return self.get_or_set(
                    (name, args, named, types), lambda: func(*args, **kwargs), ttl
                )

            return wrapper

        return decorate

    def _patience(self) -> float | None:
        """Return the seconds that a thread may wait for another one's result."""
        invocation = self._current.invocation
        if invocation is None or invocation.deadline == inf:
            return None
        return max(0.0, invocation.deadline - self._clock())
