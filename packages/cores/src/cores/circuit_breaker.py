"""Circuit breakers: stop calling what keeps failing, and try again by single calls."""

from __future__ import annotations

import functools
import threading
import time
from types import CoroutineType

from cores.errors import CircuitOpenError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any, ParamSpec, TypeVar

    from cores.ports import Clock

    P = ParamSpec("P")
    R = TypeVar("R")
    T = TypeVar("T")

_CLOSED = "closed"
_OPEN = "open"
_HALF_OPEN = "half_open"


class CircuitBreaker:
    """Named circuit breakers with common options, and options of their own where configured.

    A breaker is *closed* (calls pass) until *failure_threshold* calls in a row have failed, then
    *open* (calls are refused with ``CircuitOpenError``) for *recovery* seconds, then *half open*:
    at most *half_open_max* calls at a time are let through, and the first of them to end
    decides. Success closes the breaker, failure opens it for *recovery* seconds again. A call
    without a verdict for *recovery* seconds gives up its place.

    Every ``Exception`` is a failure, except those of the types in *excluded*, which say nothing
    about the health of what was called and change nothing. A ``BaseException`` (an interrupt, a
    cancelled task) changes nothing either.

    Time is wall time from *clock*, so a frozen execution environment does not stay open. When
    the clock has gone back, an open breaker waits *recovery* seconds from then at the longest.

    Safe under threads. Breakers live as long as the object: name them in code, not from data.

    >>> breaker = CircuitBreaker(failure_threshold=3)
    >>> breaker.call("weather", str.upper, "sunny")
    'SUNNY'
    """

    def __init__(
        self,
        *,
        failure_threshold: int = 5,
        recovery: float = 30.0,
        half_open_max: int = 1,
        excluded: tuple[type[Exception], ...] = (),
        clock: Clock = time.time,
    ) -> None:
        self._defaults = (failure_threshold, recovery, half_open_max, excluded)
        _check_options(*self._defaults)
        self._clock = clock
        self._circuits: dict[str, _Circuit] = {}
        self._lock = threading.Lock()

    def configure(
        self,
        name: str,
        *,
        failure_threshold: int | None = None,
        recovery: float | None = None,
        half_open_max: int | None = None,
        excluded: tuple[type[Exception], ...] | None = None,
    ) -> None:
        """Give one breaker options of its own; what is None stays as it is.

        The state of the breaker does not change.
        """
        circuit = self._circuits.get(name) or self._add(name)
        with circuit.lock:
            options = (
                circuit.failure_threshold if failure_threshold is None else failure_threshold,
                circuit.recovery if recovery is None else recovery,
                circuit.half_open_max if half_open_max is None else half_open_max,
                circuit.excluded if excluded is None else excluded,
            )
            _check_options(*options)
            circuit.set_options(*options)

    def call(self, name: str, func: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
        """Call *func* once through the breaker *name* and return its result.

        When *func* is a coroutine function, await what this returns: admission is decided at
        once, success or failure when the coroutine ends.

        Raise ``CircuitOpenError`` without calling when the breaker is open, otherwise whatever
        *func* raises.
        """
        circuit = self._circuits.get(name)
        if circuit is None:
            circuit = self._add(name)
        # Unlocked: a stale look lets one more call through or refuses at the lock after all.
        if circuit.state == _CLOSED:
            generation = circuit.generation
        else:
            generation = circuit.admit(self._clock())
        try:
            result = func(*args, **kwargs)
        except BaseException as error:
            circuit.record_error(generation, error, self._clock)
            raise
        if type(result) is CoroutineType:
            # T is the type of that coroutine, which mypy cannot conclude.
            coroutine: Any = result
            return self._watch(circuit, generation, coroutine)  # type: ignore[return-value]
        if circuit.failures:
            circuit.record_success(generation)
        return result

    def protect(self, name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """Return a decorator that sends each call of a function through the breaker *name*.

        A coroutine function stays one. Raise ``TypeError`` for a generator function: its calls
        only make a generator, so nothing would be protected.
        """

        def decorate(func: Callable[P, R]) -> Callable[P, R]:
            flags = _code_flags(func)
            if flags & (_CO_GENERATOR | _CO_ASYNC_GENERATOR):
                msg = (
                    f"protect takes functions and coroutine functions, not the generator function "
                    f"{getattr(func, '__qualname__', func)!r}; protect what calls it"
                )
                raise TypeError(msg)
            if flags & _CO_COROUTINE:

                @functools.wraps(func)
                async def guarded(*args: P.args, **kwargs: P.kwargs) -> object:
                    coroutine: Any = self.call(name, func, *args, **kwargs)  # as the flags say
                    return await coroutine

                return guarded  # type: ignore[return-value]  # the coroutine function's own R

            @functools.wraps(func)
            def guard(*args: P.args, **kwargs: P.kwargs) -> R:
                return self.call(name, func, *args, **kwargs)

            return guard

        return decorate

    def state(self, name: str) -> str:
        """Return ``"closed"``, ``"open"`` or ``"half_open"``.

        A breaker that has not been used is closed. One whose recovery time is over is half open.
        """
        circuit = self._circuits.get(name)
        return _CLOSED if circuit is None else circuit.state_at(self._clock())

    def reset(self, name: str | None = None) -> None:
        """Close one breaker, or all of them, and forget what they counted.

        Options stay. Calls that are under way will not be counted.
        """
        for circuit in (
            list(self._circuits.values()) if name is None else [self._circuits.get(name)]
        ):
            if circuit is not None:
                circuit.reset()

    def stats(self) -> dict[str, dict[str, str | int]]:
        """Return, for each breaker used or configured, its state and what it counted.

        ``consecutive_failures`` is what is compared with the threshold; ``failures``, ``opened``
        and ``rejected`` (calls refused) count since the start or the last reset.
        """
        now = self._clock()
        return {name: circuit.stats(now) for name, circuit in list(self._circuits.items())}

    def _add(self, name: str) -> _Circuit:
        if not isinstance(name, str) or not name:
            msg = f"the name of a breaker must be a non-empty str, not {name!r}"
            raise ValueError(msg)
        with self._lock:
            return self._circuits.setdefault(name, _Circuit(name, self._defaults))

    async def _watch(
        self, circuit: _Circuit, generation: int, coroutine: Coroutine[Any, Any, Any]
    ) -> object:
        try:
            result = await coroutine
        except BaseException as error:
            circuit.record_error(generation, error, self._clock)
            raise
        if circuit.failures:
            circuit.record_success(generation)
        return result


class _Circuit:
    """One breaker: its options, its state, and what it has counted.

    A *generation* lasts from one change of state to the next. A call reports its end with the
    generation it began in, so that what began earlier does not decide about the present.
    """

    __slots__ = (
        "excluded",
        "failure_threshold",
        "failures",
        "failures_total",
        "generation",
        "half_open_max",
        "lock",
        "name",
        "opened",
        "probes",
        "recovery",
        "rejected",
        "since",
        "state",
    )

    failure_threshold: int
    recovery: float
    half_open_max: int
    excluded: tuple[type[Exception], ...]

    def __init__(
        self, name: str, options: tuple[int, float, int, tuple[type[Exception], ...]]
    ) -> None:
        self.name = name
        self.set_options(*options)
        self.lock = threading.Lock()
        self.generation = 0
        self.since = 0.0  # when it opened, or when the present round of half-open calls began
        self._clear()

    def _clear(self) -> None:
        self.state = _CLOSED
        self.failures = 0  # in a row; never 0 unless closed
        self.probes = 0
        self.failures_total = self.opened = self.rejected = 0

    def set_options(
        self,
        failure_threshold: int,
        recovery: float,
        half_open_max: int,
        excluded: tuple[type[Exception], ...],
    ) -> None:
        self.failure_threshold = failure_threshold
        self.recovery = recovery
        self.half_open_max = half_open_max
        self.excluded = excluded

    def admit(self, now: float) -> int:
        """Return the generation that the call belongs to, or raise ``CircuitOpenError``."""
        with self.lock:
            if self.state == _CLOSED:  # since the caller's unlocked look
                return self.generation
            self.since = min(self.since, now)  # a clock gone back starts the wait again
            wait = self.recovery - (now - self.since)
            if wait <= 0:
                self.state = _HALF_OPEN
                self.generation += 1
                self.since = now
                self.probes = 0
            elif self.state == _OPEN or self.probes >= self.half_open_max:
                self.rejected += 1
                msg = (
                    f"circuit {self.name!r} is {self.state.replace('_', ' ')} after "
                    f"{self.failures} consecutive failures; "
                    f"a call is admitted again in {wait:.1f} s at the latest"
                )
                raise CircuitOpenError(msg, wait)
            self.probes += 1
            return self.generation

    def record_error(self, generation: int, error: BaseException, clock: Clock) -> None:
        counts = isinstance(error, Exception) and not isinstance(error, self.excluded)
        with self.lock:
            if generation != self.generation or self.state == _OPEN:
                return
            if not counts:
                self.probes = max(self.probes - 1, 0)
                return
            self.failures += 1
            self.failures_total += 1
            if self.state == _HALF_OPEN or self.failures >= self.failure_threshold:
                self.state = _OPEN
                self.generation += 1
                self.since = clock()
                self.opened += 1

    def record_success(self, generation: int) -> None:
        with self.lock:
            if generation != self.generation or self.state == _OPEN:
                return
            if self.state == _HALF_OPEN:
                self.state = _CLOSED
                self.generation += 1
            self.failures = 0

    def reset(self) -> None:
        with self.lock:
            self.generation += 1
            self._clear()

    def state_at(self, now: float) -> str:
        with self.lock:
            if self.state == _OPEN and now - self.since >= self.recovery:
                return _HALF_OPEN
            return self.state

    def stats(self, now: float) -> dict[str, str | int]:
        return {
            "state": self.state_at(now),
            "consecutive_failures": self.failures,
            "failures": self.failures_total,
            "opened": self.opened,
            "rejected": self.rejected,
        }


# Values of code.co_flags (inspect.CO_*, without the price of importing inspect).
_CO_GENERATOR = 0x20
_CO_COROUTINE = 0x80
_CO_ASYNC_GENERATOR = 0x200


def _code_flags(func: Callable[..., object]) -> int:
    """Return the flags of the code that a call of *func* runs; 0 when it is not Python code."""
    while isinstance(func, functools.partial):
        func = func.func
    code = getattr(func, "__code__", None) or getattr(type(func).__call__, "__code__", None)
    return getattr(code, "co_flags", 0)


def _check_options(
    failure_threshold: object, recovery: object, half_open_max: object, excluded: object
) -> None:
    for option, value in (
        ("failure_threshold", failure_threshold),
        ("half_open_max", half_open_max),
    ):
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            msg = f"{option} must be an int of at least 1, not {value!r}"
            raise ValueError(msg)
    if (
        not isinstance(recovery, (int, float))
        or isinstance(recovery, bool)
        or not 0 < recovery < float("inf")
    ):
        msg = f"recovery must be a finite number of seconds above 0, not {recovery!r}"
        raise ValueError(msg)
    if not isinstance(excluded, tuple) or not all(
        isinstance(kind, type) and issubclass(kind, Exception) for kind in excluded
    ):
        msg = f"excluded must be a tuple of Exception classes, not {excluded!r}"
        raise TypeError(msg)
