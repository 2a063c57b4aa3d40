from __future__ import annotations

import asyncio
import functools
import inspect
import threading
from typing import TYPE_CHECKING, Any

import pytest

from cores.circuit_breaker import CircuitBreaker
from cores.errors import CircuitOpenError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def now() -> Clock:
    return Clock()


@pytest.fixture
def breaker(now: Clock) -> CircuitBreaker:
    return CircuitBreaker(failure_threshold=2, recovery=30.0, clock=now)


class DownError(Exception):
    pass


class NotFoundError(Exception):
    pass


def work(value: object = "done") -> object:
    return value


def fail(error: type[BaseException] = DownError) -> None:
    raise error


async def work_async(value: object = "done") -> object:
    await asyncio.sleep(0)
    return value


async def fail_async(error: type[BaseException] = DownError) -> None:
    await asyncio.sleep(0)
    raise error


def open_circuit(breaker: CircuitBreaker, name: str = "home") -> None:
    for _ in range(2):
        with pytest.raises(DownError):
            breaker.call(name, fail)
    assert breaker.state(name) == "open"


# -- calls ------------------------------------------------------------------------------------


def test_call_passes_arguments_and_returns_the_result(breaker: CircuitBreaker) -> None:
    def show(*args: object, **kwargs: object) -> object:
        return args, kwargs

    assert breaker.call("home", show, 1, name=2, func=3) == ((1,), {"name": 2, "func": 3})


def test_threshold_of_consecutive_failures_opens(breaker: CircuitBreaker) -> None:
    for _ in range(3):
        with pytest.raises(DownError):
            breaker.call("home", fail)
        breaker.call("home", work)
    assert breaker.state("home") == "closed"
    open_circuit(breaker)


def test_open_breaker_refuses_without_calling(breaker: CircuitBreaker, now: Clock) -> None:
    open_circuit(breaker)
    now.now += 10.0
    calls: list[object] = []
    with pytest.raises(CircuitOpenError) as caught:
        breaker.call("home", calls.append, 1)
    assert calls == []
    assert caught.value.retry_after == 20.0
    assert (
        str(caught.value) == "circuit 'home' is open after 2 consecutive failures; "
        "a call is admitted again in 20.0 s at the latest"
    )


def test_names_are_independent(breaker: CircuitBreaker) -> None:
    open_circuit(breaker)
    assert breaker.call("other", work) == "done"
    assert breaker.state("other") == "closed"


def test_success_after_recovery_closes(breaker: CircuitBreaker, now: Clock) -> None:
    open_circuit(breaker)
    now.now += 30.0
    assert breaker.state("home") == "half_open"
    assert breaker.call("home", work) == "done"
    assert breaker.state("home") == "closed"
    with pytest.raises(DownError):
        breaker.call("home", fail)
    assert breaker.state("home") == "closed"


def test_failure_after_recovery_opens_for_as_long_again(
    breaker: CircuitBreaker, now: Clock
) -> None:
    open_circuit(breaker)
    now.now += 30.0
    with pytest.raises(DownError):
        breaker.call("home", fail)
    assert breaker.state("home") == "open"
    now.now += 29.0
    with pytest.raises(CircuitOpenError):
        breaker.call("home", work)
    now.now += 1.0
    assert breaker.call("home", work) == "done"


def test_half_open_admits_a_bounded_number_of_calls_at_a_time(
    breaker: CircuitBreaker, now: Clock
) -> None:
    breaker.configure("home", half_open_max=2)
    open_circuit(breaker)
    now.now += 30.0
    probes = [breaker.call("home", work_async), breaker.call("home", work_async)]
    with pytest.raises(CircuitOpenError) as caught:
        breaker.call("home", work)
    assert (
        str(caught.value) == "circuit 'home' is half open after 2 consecutive failures; "
        "a call is admitted again in 30.0 s at the latest"
    )
    for probe in probes:
        assert asyncio.run(probe) == "done"
    assert breaker.state("home") == "closed"


def test_threads_get_no_more_than_half_open_max(breaker: CircuitBreaker, now: Clock) -> None:
    open_circuit(breaker)
    now.now += 30.0
    barrier, gate = threading.Barrier(8), threading.Event()
    outcomes: list[str] = []

    def call() -> None:
        barrier.wait(5)
        try:
            breaker.call("home", gate.wait, 5)
            outcomes.append("called")
        except CircuitOpenError:
            outcomes.append("refused")
            if outcomes.count("refused") == 7:
                gate.set()

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sorted(outcomes) == ["called"] + ["refused"] * 7


def test_probe_without_a_verdict_gives_up_its_place(breaker: CircuitBreaker, now: Clock) -> None:
    open_circuit(breaker)
    now.now += 30.0
    lost = breaker.call("home", work_async)
    lost.send(None)
    now.now += 30.0
    assert breaker.call("home", work) == "done"
    lost.close()
    assert breaker.state("home") == "closed"


def test_late_result_does_not_decide_about_the_present(breaker: CircuitBreaker, now: Clock) -> None:
    late_failure = breaker.call("home", fail_async)
    late_success = breaker.call("home", work_async)
    open_circuit(breaker)
    assert asyncio.run(late_success) == "done"
    with pytest.raises(DownError):
        asyncio.run(late_failure)
    assert breaker.state("home") == "open"
    assert breaker.stats()["home"]["failures"] == 2


def test_call_that_finds_the_breaker_closed_again_passes(breaker: CircuitBreaker) -> None:
    class Resetting(str):
        """A state that is closed the moment after it was looked at."""

        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            breaker.reset("home")
            return False

        __hash__ = str.__hash__

    open_circuit(breaker)
    breaker._circuits["home"].state = Resetting("open")
    assert breaker.call("home", work) == "done"


# -- what counts ------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_only_exceptions_count(breaker: CircuitBreaker, error: type[BaseException]) -> None:
    for _ in range(3):
        with pytest.raises(error):
            breaker.call("home", fail, error)
    assert breaker.state("home") == "closed"
    assert breaker.stats()["home"]["failures"] == 0


def test_excluded_exceptions_change_nothing(now: Clock) -> None:
    breaker = CircuitBreaker(failure_threshold=2, excluded=(NotFoundError,), clock=now)
    with pytest.raises(DownError):
        breaker.call("home", fail)
    for _ in range(3):
        with pytest.raises(NotFoundError):
            breaker.call("home", fail, NotFoundError)
    assert breaker.stats()["home"]["consecutive_failures"] == 1
    with pytest.raises(DownError):
        breaker.call("home", fail)
    now.now += 30.0
    for error in (NotFoundError, KeyboardInterrupt):
        with pytest.raises(error):
            breaker.call("home", fail, error)
        assert breaker.state("home") == "half_open"
    assert breaker.call("home", work) == "done"
    assert breaker.state("home") == "closed"


# -- time -------------------------------------------------------------------------------------


def test_clock_gone_back_keeps_it_open_for_one_more_recovery_at_most(
    breaker: CircuitBreaker, now: Clock
) -> None:
    open_circuit(breaker)
    now.now -= 1_000_000.0
    with pytest.raises(CircuitOpenError) as caught:
        breaker.call("home", work)
    assert caught.value.retry_after == 30.0
    now.now += 30.0
    assert breaker.call("home", work) == "done"


# -- protect ----------------------------------------------------------------------------------


def test_protected_function_goes_through_the_breaker(breaker: CircuitBreaker) -> None:
    @breaker.protect("home")
    def fetch(value: int, *, fails: bool = False) -> int:
        """Fetch."""
        if fails:
            raise DownError
        return value

    assert (fetch.__name__, fetch.__doc__) == ("fetch", "Fetch.")
    assert fetch(3) == 3
    for _ in range(2):
        with pytest.raises(DownError):
            fetch(3, fails=True)
    with pytest.raises(CircuitOpenError):
        fetch(3)


class Fetcher:
    async def __call__(self, error: type[BaseException] | None = None) -> object:
        return await (work_async() if error is None else fail_async(error))

    async def fetch(self, error: type[BaseException] | None = None) -> object:
        return await self(error)


async def fetch(error: type[BaseException] | None = None) -> object:
    return await Fetcher()(error)


@pytest.mark.parametrize(
    "function", [fetch, Fetcher(), Fetcher().fetch, functools.partial(functools.partial(fetch))]
)
def test_protected_coroutine_function_stays_one(breaker: CircuitBreaker, function: Any) -> None:
    guarded = breaker.protect("home")(function)
    assert inspect.iscoroutinefunction(guarded)
    assert asyncio.run(guarded()) == "done"
    for error in (asyncio.CancelledError, DownError, DownError):
        with pytest.raises(error):
            asyncio.run(guarded(error))
    with pytest.raises(CircuitOpenError):
        asyncio.run(guarded())


def test_coroutine_closes_the_breaker_when_it_succeeds(breaker: CircuitBreaker, now: Clock) -> None:
    open_circuit(breaker)
    now.now += 30.0
    asyncio.run(breaker.protect("home")(work_async)())
    assert breaker.state("home") == "closed"


def test_builtin_can_be_protected(breaker: CircuitBreaker) -> None:
    assert breaker.protect("home")(len)([1, 2]) == 2


def numbers() -> Iterator[int]:
    yield 1


async def numbers_async() -> AsyncIterator[int]:
    yield 1


@pytest.mark.parametrize("function", [numbers, numbers_async])
def test_generator_function_is_refused(breaker: CircuitBreaker, function: Any) -> None:
    with pytest.raises(TypeError) as caught:
        breaker.protect("home")(function)
    assert (
        str(caught.value) == f"protect takes functions and coroutine functions, not the "
        f"generator function {function.__name__!r}; protect what calls it"
    )


def test_generators_of_the_tests_are_what_they_seem() -> None:
    assert list(numbers()) == [1]

    async def collect() -> list[int]:
        return [number async for number in numbers_async()]

    assert asyncio.run(collect()) == [1]


# -- options, reset, statistics ---------------------------------------------------------------


def test_configure_changes_what_is_given_and_keeps_the_state(
    breaker: CircuitBreaker, now: Clock
) -> None:
    breaker.configure("home", failure_threshold=3)
    with pytest.raises(DownError):
        breaker.call("home", fail)
    breaker.configure("home", recovery=5.0, excluded=(NotFoundError,))
    for _ in range(2):
        with pytest.raises(DownError):
            breaker.call("home", fail)
    assert breaker.state("home") == "open"
    now.now += 5.0
    assert breaker.state("home") == "half_open"


def test_unused_breaker_is_closed(breaker: CircuitBreaker) -> None:
    assert breaker.state("home") == "closed"
    assert breaker.stats() == {}
    breaker.reset("home")


def test_reset_closes_one_and_forgets_what_it_counted(breaker: CircuitBreaker) -> None:
    open_circuit(breaker, "home")
    open_circuit(breaker, "other")
    breaker.reset("home")
    assert breaker.state("home") == "closed"
    assert breaker.state("other") == "open"
    assert breaker.stats()["home"] == {
        "state": "closed",
        "consecutive_failures": 0,
        "failures": 0,
        "opened": 0,
        "rejected": 0,
    }


def test_reset_closes_all_and_keeps_options(breaker: CircuitBreaker) -> None:
    breaker.configure("home", failure_threshold=1)
    open_circuit(breaker, "other")
    breaker.reset()
    assert breaker.state("other") == "closed"
    with pytest.raises(DownError):
        breaker.call("home", fail)
    assert breaker.state("home") == "open"


def test_call_under_way_at_reset_is_not_counted(breaker: CircuitBreaker) -> None:
    with pytest.raises(DownError):
        breaker.call("home", fail)
    pending = breaker.call("home", fail_async)
    breaker.reset("home")
    with pytest.raises(DownError):
        asyncio.run(pending)
    assert breaker.stats()["home"]["failures"] == 0


def test_stats_count_failures_openings_and_refusals(breaker: CircuitBreaker, now: Clock) -> None:
    open_circuit(breaker)
    for _ in range(3):
        with pytest.raises(CircuitOpenError):
            breaker.call("home", work)
    now.now += 30.0
    assert breaker.stats() == {
        "home": {
            "state": "half_open",
            "consecutive_failures": 2,
            "failures": 2,
            "opened": 1,
            "rejected": 3,
        }
    }


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        (
            {"failure_threshold": 0},
            ValueError,
            "failure_threshold must be an int of at least 1, not 0",
        ),
        (
            {"failure_threshold": True},
            ValueError,
            "failure_threshold must be an int of at least 1, not True",
        ),
        ({"half_open_max": 1.5}, ValueError, "half_open_max must be an int of at least 1, not 1.5"),
        ({"recovery": 0}, ValueError, "recovery must be a finite number of seconds above 0, not 0"),
        (
            {"recovery": float("nan")},
            ValueError,
            "recovery must be a finite number of seconds above 0, not nan",
        ),
        (
            {"recovery": float("inf")},
            ValueError,
            "recovery must be a finite number of seconds above 0, not inf",
        ),
        (
            {"recovery": True},
            ValueError,
            "recovery must be a finite number of seconds above 0, not True",
        ),
        (
            {"recovery": "1"},
            ValueError,
            "recovery must be a finite number of seconds above 0, not '1'",
        ),
        (
            {"excluded": OSError},
            TypeError,
            "excluded must be a tuple of Exception classes, not <class 'OSError'>",
        ),
        ({"excluded": (1,)}, TypeError, "excluded must be a tuple of Exception classes, not (1,)"),
        (
            {"excluded": (KeyboardInterrupt,)},
            TypeError,
            "excluded must be a tuple of Exception classes, not (<class 'KeyboardInterrupt'>,)",
        ),
    ],
)
def test_options_out_of_range_are_refused(
    breaker: CircuitBreaker, options: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind) as made:
        CircuitBreaker(**options)
    with pytest.raises(kind) as configured:
        breaker.configure("home", **options)
    assert str(made.value) == str(configured.value) == message


@pytest.mark.parametrize("name", ["", None, 3])
def test_name_must_be_a_str(breaker: CircuitBreaker, name: Any) -> None:
    with pytest.raises(ValueError, match="name") as caught:
        breaker.call(name, work)
    assert str(caught.value) == f"the name of a breaker must be a non-empty str, not {name!r}"
