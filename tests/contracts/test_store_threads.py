"""Cache engines under threads, with and without a global interpreter lock."""

from __future__ import annotations

import random
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [
    pytest.mark.fuzz,
    pytest.mark.threads,
    pytest.mark.usefixtures("frequent_switches"),
]

THREADS = 4


@pytest.fixture
def frequent_switches() -> Iterator[None]:
    """Let threads of an interpreter with a lock come between each other as often as it can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.fixture
def run_threads(
    seeds: Callable[[int], Iterator[int]],
) -> Callable[[Callable[[int], object]], None]:
    """Return a function that lets every thread work with a seed of its own, round after round."""

    def run(work: Callable[[int], object]) -> None:
        for seed in seeds(1):
            meet(work, seed * THREADS)

    return run


def meet(work: Callable[[int], object], first: int) -> None:
    """Let every thread *work* once, and raise what the first of them raised."""
    problems: list[BaseException] = []
    barrier = threading.Barrier(THREADS)

    def start(seed: int) -> None:
        barrier.wait()
        try:
            work(seed)
        except BaseException as problem:  # noqa: BLE001  # pragma: no cover  raised below
            problems.append(problem)

    threads = [threading.Thread(target=start, args=(first + number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for problem in problems:  # pragma: no cover  there is none
        raise problem


def test_threads_see_only_values_of_their_key(
    store_class: Any,
    policy: str,
    run_threads: Callable[[Callable[[int], object]], None],
    assert_consistent: Callable[[Any, int], None],
) -> None:
    store = store_class(50, policy=policy, max_bytes=60, sizeof=lambda _: 1)

    def work(seed: int) -> None:
        rng = random.Random(seed)
        for step in range(4_000):
            key = rng.randrange(80)
            value = store.get(key)
            assert value is None or value[0] == key
            if value is None or rng.random() < 0.2:
                store.set(key, (key, step), rng.choice([None, 1e-3, 10]))
            elif rng.random() < 0.1:
                assert (store.pop(key) or (key,))[0] == key
            elif rng.random() < 0.02:
                assert all(key == value[0] for key, value in store.items())
            elif rng.random() < 0.001:
                store.clear()

    run_threads(work)
    assert len(store) <= 50
    assert store.stats()["bytes"] == len(store)
    store.clear()
    assert_consistent(store, 50)


class Text(str):
    """A key that is compared by code of its own, and so lets other threads in."""

    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        return str.__eq__(self, other) is True


def test_threads_may_use_every_method_at_once(
    store_class: Any,
    policy: str,
    run_threads: Callable[[Callable[[int], object]], None],
    assert_consistent: Callable[[Any, int], None],
) -> None:
    gone: list[tuple[Any, Any]] = []
    store = store_class(
        40,
        policy=policy,
        max_bytes=200,
        sizeof=lambda value: value[1] % 9,
        default_ttl=1e-3,
        clock=lambda: time.monotonic() - (time.monotonic() % 1e-2 < 1e-3) * 5,
        on_evict=lambda key, value: gone.append((key, value)),
    )
    keys = [*range(30), *(f"text {number}" for number in range(30)), *map(Text, range(30))]

    def work(seed: int) -> None:
        rng = random.Random(seed)

        def key() -> Any:
            return rng.choice(keys)

        def some() -> dict[Any, Any]:
            return {each: (each, rng.randrange(99)) for each in rng.sample(keys, 5)}

        actions: list[Callable[[], object]] = [
            lambda: store.set_many(some()),
            lambda: store.set_many(some(), 10),
            lambda: all(key == value[0] for key, value in store.get_many(some()).items()) or 1 / 0,
            lambda: all(key == value[0] for key, value in store.items()) or 1 / 0,
            lambda: store.__setitem__(chosen := key(), (chosen, rng.randrange(99))),
            lambda: store.set(chosen := key(), (chosen, 1), 1e-4, size=rng.randrange(300)),
            lambda: store.get(key()),
            lambda: store.touch(key(), 5),
            lambda: store.contains(key()),
            lambda: key() in store,
            lambda: store.delete(key()),
            lambda: store.pop(key()),
            lambda: list(store),
            lambda: len(store),
            store.stats,
            lambda: store.resize(rng.randint(1, 40), max_bytes=rng.randint(1, 200)),
            lambda: rng.random() < 0.02 and store.clear(),
        ]
        for _ in range(1_500):
            rng.choice(actions)()

    run_threads(work)
    assert len(store) <= 40
    assert 0 <= store.stats()["bytes"] <= 200
    assert all(key == value[0] for key, value in gone)
    store.clear()
    store.resize(20, max_bytes=100)
    assert store.stats()["bytes"] == 0
    for number in range(40):
        store.set(number, (number, 0), 1e6, size=2)
        assert store.get(number) == (number, 0)
    assert len(store) == 20


def test_threads_may_make_and_drop_stores(
    store_class: Any, policy: str, run_threads: Callable[[Callable[[int], object]], None]
) -> None:
    shared = [store_class(5, policy=policy)]

    def work(seed: int) -> None:
        rng = random.Random(seed)
        for number in range(300):
            store = shared[0]
            store[number % 7] = [store] if rng.random() < 0.1 else number
            store.get(rng.randrange(7))
            if rng.random() < 0.2:
                shared[0] = store_class(5, policy=policy)

    run_threads(work)
    assert len(shared[0]) <= 5
