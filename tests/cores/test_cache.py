from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

from cores.cache import Cache
from cores.store import Store
from gateway.testing import FakeClock


@pytest.fixture
def cache(clock: FakeClock) -> Cache:
    return Cache(Store, clock=clock)


def test_entries_expire_by_wall_time(cache: Cache, clock: FakeClock) -> None:
    cache.set("k", 1, ttl=10)
    clock.advance(9.9)
    assert cache.get("k") == 1
    clock.advance(0.2)
    assert cache.get("k", "gone") == "gone"


def test_bounds_reach_the_engine() -> None:
    cache = Cache(Store, max_entries=2)
    cache.set_many({"a": 1, "b": 2, "c": 3})
    assert cache.get_many(["a", "b", "c"]) == {"b": 2, "c": 3}


def test_get_or_set_computes_once_and_keeps_none(cache: Cache) -> None:
    calls = []

    def factory() -> None:
        calls.append(1)

    assert cache.get_or_set("k", factory) is None
    assert cache.get_or_set("k", factory) is None
    assert calls == [1]


def test_get_or_set_takes_the_time_to_live(cache: Cache, clock: FakeClock) -> None:
    cache.get_or_set("k", lambda: 1, ttl=5)
    cache.get_or_set("default", lambda: 1)
    cache.get_or_set("forever", lambda: 1, ttl=None)
    clock.advance(6)
    assert not cache.contains("k")
    clock.advance(295)
    assert not cache.contains("default")
    assert cache.contains("forever")


def test_get_or_set_refuses_what_it_cannot_call(cache: Cache) -> None:
    with pytest.raises(TypeError, match=r"^factory must be a function without arguments, not 3$"):
        cache.get_or_set("k", 3)


def test_a_failing_factory_is_not_stored(cache: Cache) -> None:
    def fail() -> int:
        raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        cache.get_or_set("k", fail)
    assert cache.get_or_set("k", lambda: 2) == 2


def test_a_factory_may_ask_for_its_own_key(cache: Cache) -> None:
    assert cache.get_or_set("k", lambda: cache.get_or_set("k", lambda: 1) + 1) == 2
    assert cache.get("k") == 2


class Gate:
    """A factory that waits until every other thread is waiting for it."""

    def __init__(self, outcome: object) -> None:
        self.entered = threading.Event()
        self.open = threading.Event()
        self.calls = 0
        self.outcome = outcome

    def __call__(self) -> object:
        self.calls += 1
        self.entered.set()
        assert self.open.wait(10)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


def run_two(cache: Cache, gate: Gate) -> list[object]:
    """Let a second thread ask while the first one computes; return both outcomes."""
    outcomes: list[object] = []

    def ask() -> None:
        try:
            outcomes.append(cache.get_or_set("k", gate))
        except ValueError as error:
            outcomes.append(error)

    first = threading.Thread(target=ask)
    first.start()
    assert gate.entered.wait(10)
    flight = cache._flights["k"]
    waiting = threading.Event()
    wait = flight.landed.wait
    flight.landed = SimpleNamespace(
        wait=lambda timeout: waiting.set() or wait(timeout), set=flight.landed.set
    )
    second = threading.Thread(target=ask)
    second.start()
    assert waiting.wait(10)
    gate.open.set()
    first.join()
    second.join()
    return outcomes


def test_concurrent_misses_compute_once(cache: Cache) -> None:
    gate = Gate("value")
    assert run_two(cache, gate) == ["value", "value"]
    assert gate.calls == 1
    assert cache._flights == {}


def test_an_error_reaches_every_waiting_caller(cache: Cache) -> None:
    error = ValueError("no")
    assert run_two(cache, Gate(error)) == [error, error]
    assert not cache.contains("k")


@pytest.mark.parametrize(("deadline", "patience"), [(2.0, 2.0), (-1.0, 0.0)])
def test_waiting_ends_with_the_invocation(
    clock: FakeClock, deadline: float, patience: float
) -> None:
    current = SimpleNamespace(invocation=SimpleNamespace(deadline=clock() + deadline))
    assert Cache(Store, clock=clock, current=current)._patience() == patience
    current.invocation.deadline = float("inf")
    assert Cache(Store, clock=clock, current=current)._patience() is None
    assert Cache(Store, clock=clock)._patience() is None


def test_who_runs_out_of_patience_computes_alone(clock: FakeClock) -> None:
    current = SimpleNamespace(invocation=None)
    cache = Cache(Store, clock=clock, current=current)
    gate = Gate("slow")
    first = threading.Thread(target=lambda: cache.get_or_set("k", gate))
    first.start()
    assert gate.entered.wait(10)
    current.invocation = SimpleNamespace(deadline=clock())
    assert cache.get_or_set("k", lambda: "mine") == "mine"
    gate.open.set()
    first.join()
    assert cache.get("k") == "slow"


def test_cached_keys_by_arguments_and_types(cache: Cache) -> None:
    calls = []

    @cache.cached()
    def double(number: float, *, extra: float = 0) -> float:
        """Double."""
        calls.append((number, extra))
        return number * 2 + extra

    assert double.__name__ == "double"
    assert [double(1), double(1), double(1.0), double(1, extra=1), double(1, extra=True)] == [
        2, 2, 2.0, 3, 3,
    ]  # fmt: skip
    assert len(calls) == 4


def test_cached_ignores_keyword_order(cache: Cache) -> None:
    calls = []

    @cache.cached(ttl=5)
    def join(**parts: str) -> str:
        calls.append(1)
        return "".join(parts.values())

    assert join(a="1", b="2") == join(b="2", a="1")
    assert calls == [1]


def test_cached_refuses_unhashable_arguments(cache: Cache) -> None:
    length = cache.cached()(len)
    with pytest.raises(TypeError, match="unhashable type: 'list'"):
        length([1])


def test_cached_without_brackets_is_refused(cache: Cache) -> None:
    with pytest.raises(
        TypeError,
        match=r"^cached takes the time to live: write @cached\(\) or @cached\(ttl=300\)$",
    ):
        cache.cached(len)


def test_cached_functions_of_one_name_do_not_share_entries(cache: Cache) -> None:
    plus, times = cache.cached()(lambda x: x + 1), cache.cached()(lambda x: x * 10)
    assert (plus(5), times(5), plus(5), times(5)) == (6, 50, 6, 50)


async def coroutine_function() -> None: ...


def generator_function() -> object:
    yield  # pragma: no cover - only looked at, never run


async def asynchronous_generator() -> object:
    yield  # pragma: no cover - only looked at, never run


@pytest.mark.parametrize("func", [coroutine_function, generator_function, asynchronous_generator])
def test_cached_refuses_what_can_be_used_once_only(cache: Cache, func: object) -> None:
    message = r"^cached decorates plain functions, and <function .* is none$"
    with pytest.raises(TypeError, match=message):
        cache.cached()(func)


@pytest.mark.parametrize("ttl", [0, -1.0, float("nan")])
def test_cached_refuses_a_wrong_lifetime_at_decoration(cache: Cache, ttl: float) -> None:
    with pytest.raises(ValueError, match=rf"^ttl must be above 0 seconds, not {ttl!r}$"):
        cache.cached(ttl)
