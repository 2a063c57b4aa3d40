"""Cache engines among hostile keys, values, callbacks and memory."""

from __future__ import annotations

import contextlib
import gc
import random
import sys
import sysconfig
import tracemalloc
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


# ---- re-entrancy


class World:
    """A store, and code of others that may use it whenever it is called.

    What happens depends on the seed alone: nothing here looks at a real clock, and the collector
    runs only when it is told to.
    """

    def __init__(self, store_class: Any, policy: str, seed: int) -> None:
        self.random = random.Random(seed)
        self.depth = 0
        self.is_hostile = True
        self.now = 1e6
        self.lifetimes = [None, 1e4]
        options: dict[str, Any] = {"max_bytes": 40, "sizeof": self.sizeof}
        if self.random.random() < 0.5:
            options["on_evict"] = self.on_evict
        if self.random.random() < 0.3:
            options = {}
        if self.random.random() < 0.7:
            options["clock"] = self.clock
            self.lifetimes = [None, 0.5, 5]
            if self.random.random() < 0.3:
                options["default_ttl"] = 3
        self.counts_bytes = "max_bytes" in options
        self.most = self.random.choice([1, 2, 5, 20])
        self.store = store_class(self.most, policy=policy, **options)

    def clock(self) -> float:
        self.meddle(failing=0.01)
        self.now += 0.1
        return self.now - (self.random.random() < 0.02) * 50

    def sizeof(self, value: object) -> int:
        self.meddle(failing=0.01)
        return self.random.randrange(12)

    def on_evict(self, key: object, value: object) -> None:
        self.meddle(failing=0.05)

    def meddle(self, failing: float = 0) -> None:
        if not self.is_hostile:
            return
        if self.depth < 3 and self.random.random() < 0.3:
            self.depth += 1
            try:
                self.act()
            finally:
                self.depth -= 1
        if self.random.random() < failing:
            raise MeddlingError

    def act(self) -> None:
        chance = self.random.random
        key, value, ttl = Key(self), Value(self), self.random.choice(self.lifetimes)
        store = self.store
        actions = [
            *[lambda: store.set(key, value, ttl)] * 4,
            *[lambda: store.get(key)] * 2,
            lambda: store.set(key, value, ttl, size=self.random.randrange(45)),
            lambda: store.__setitem__(key, value),
            lambda: store.set_many(dict.fromkeys([key, Key(self)], value), ttl),
            lambda: store.delete(key),
            lambda: store.pop(key),
            lambda: store.touch(key, ttl),
            lambda: store.contains(key),
            lambda: list(store),
            store.items,
            store.stats,
            lambda: chance() < 0.1 and store.clear(),
            lambda: chance() < 0.2 and store.resize(self.random.randint(1, self.most)),
            lambda: self.counts_bytes and store.resize(max_bytes=self.random.choice([9, 40])),
            lambda: store.get_many([Key(self), key]),
            lambda: chance() < 0.2 and gc.collect(0),
        ]
        self.random.choice(actions)()

    def end(self) -> None:
        """Stop being hostile, and check what is left of the store."""
        self.is_hostile = False
        gc.collect()
        store = self.store
        items = store.items()
        # A dict that is changed while it compares keys may come to hold equal ones.
        is_over_a_dict = type(store).__module__ == "cores.store"
        assert is_over_a_dict or len({key.number for key, _ in items}) == len(items)
        assert len(items) <= len(store) <= self.most
        assert store.stats()["bytes"] <= 40
        values = [value for _, value in items]
        assert all(store.get(key, values[0]) in values for key, _ in items)
        for name in range(25):
            probe = Key(self)
            probe.number = name
            while store.contains(probe):
                store.delete(probe)
        self.now += 100
        for name in [*range(25)] * 2:
            probe = Key(self)
            probe.number = name
            store.delete(probe)
        assert store.items() == []
        assert store.stats()["entries"] == store.stats()["bytes"] == 0


class MeddlingError(Exception):
    """Raised by hostile code."""


class Key:
    def __init__(self, world: World) -> None:
        self.world = world
        self.number = world.random.randrange(25)

    def __hash__(self) -> int:
        self.world.meddle(failing=0.002)
        return self.number % 4

    def __eq__(self, other: object) -> bool:
        self.world.meddle(failing=0.01)
        return isinstance(other, Key) and self.number == other.number

    def __del__(self) -> None:
        meddle_quietly(self.world)


class Value:
    def __init__(self, world: World) -> None:
        self.world = world
        self.circle = self if world.random.random() < 0.2 else None

    def __del__(self) -> None:
        meddle_quietly(self.world)


def meddle_quietly(world: World) -> None:
    with contextlib.suppress(MeddlingError):
        world.meddle()


@pytest.mark.fuzz
@pytest.mark.usefixtures("only_told_collections")
def test_reentrant_use_leaves_the_store_consistent(
    store_class: Any, policy: str, seeds: Callable[[int], Iterator[int]]
) -> None:
    for seed in seeds(40):
        play(World(store_class, policy, seed)).end()


def play(world: World) -> World:
    for _ in range(300):
        with contextlib.suppress(MeddlingError):
            world.act()
    return world


@pytest.mark.usefixtures("only_told_collections")
def test_a_seed_brings_the_same_events_back(store_class: Any, policy: str) -> None:
    outcomes = []
    for _ in range(2):
        world = play(World(store_class, policy, 7))
        outcomes.append((world.random.getstate(), world.store.stats()))
        world.end()
        gc.collect()
    assert outcomes[0] == outcomes[1]


def test_key_that_clears_the_store_when_compared(
    store_class: Any, policy: str, assert_consistent: Callable[[Any, int], None]
) -> None:
    class Clearing:
        def __hash__(self) -> int:
            return 1

        def __eq__(self, other: object) -> bool:
            store.clear()
            return False

    store = store_class(policy=policy)
    for _ in range(3):
        store[Clearing()] = object()
    assert len(store) <= 1
    assert store.get(Clearing()) is None
    assert_consistent(store_class(5, max_bytes=5, policy=policy), 5)


def test_key_that_deletes_others_when_compared(store_class: Any) -> None:
    class Vanishing(str):
        __slots__ = ()

        def __hash__(self) -> int:
            return 7

        def __eq__(self, other: object) -> bool:
            return [store.pop(key) for key in store if key is self or key is other] != []

    store = store_class()
    for name in "abc":
        store[Vanishing(name)] = name
    assert store.items() == [("c", "c")]
    assert store.get(Vanishing("d")) is None
    assert store.items() == []


def test_error_of_a_key_reaches_the_caller_and_changes_nothing(
    store_class: Any, policy: str
) -> None:
    class Refusing:
        def __init__(self, hash_: int) -> None:
            self.hash = hash_

        def __hash__(self) -> int:
            return self.hash if isinstance(self.hash, int) else self.hash()

        def __eq__(self, other: object) -> bool:
            msg = "no comparison"
            raise OSError(msg)

    store = store_class(2, max_bytes=100, policy=policy)
    store.set(Refusing(5), 1, size=7)
    before = store.stats()
    for call in (
        store.get,
        store.pop,
        store.delete,
        store.contains,
        store.touch,
        store.__getitem__,
        store.__delitem__,
        store.__contains__,
        lambda key: store.set(key, 1),
        lambda key: store.set(key, 1, size=1000),
        lambda key: store.__setitem__(key, 1),
        lambda key: store.get_many([key]),
        lambda key: store.set_many({1: 1, key: 1}),
    ):
        with pytest.raises(OSError, match=r"^no comparison$"):
            call(Refusing(5))
    store.delete(1)
    after = store.stats()
    assert {**after, "expirations": 0} == before


def test_clock_may_use_the_store(store_class: Any) -> None:
    def clock() -> float:
        for step in steps[:1]:
            steps.remove(step)
            step()
        return 5.0

    steps: list[Any] = []
    store = store_class(clock=clock)
    store.set("key", 1, 10)
    steps.append(store.clear)
    assert store.items() == []
    store.set("key", 2, 10)
    steps.append(lambda: store.delete("key"))
    assert store.delete("key") is False
    store.set("key", 3, 10)
    steps.append(lambda: store.set_many(dict.fromkeys(range(100), 0)))
    assert store.pop("key") == 3
    assert len(store) == 100


def test_destructor_of_a_value_may_use_the_store(
    store_class: Any, policy: str, assert_consistent: Callable[[Any, int], None]
) -> None:
    class Returning:
        """Comes back under another name when it goes."""

        def __init__(self, name: int) -> None:
            self.name = name

        def __del__(self) -> None:
            if self.name < 100:
                store[self.name + 1] = Returning(self.name + 1)

    store = store_class(3, policy=policy)
    for _ in range(3):
        store["key"] = Returning(0)
        store["other"] = 1
        store.delete("key")
    assert len(store) <= 3
    store.clear()
    store.clear()
    for name in range(200):
        store.delete(name)
    assert_consistent(store_class(3, max_bytes=3, policy=policy), 3)


def test_destructor_may_use_a_store_that_is_initialised_again(
    store_class: Any, policy: str
) -> None:
    class Returning:
        def __del__(self) -> None:
            store["again"] = 1

    store = store_class(policy="lru" if policy == "s3fifo" else "s3fifo")
    store["key"] = Returning()
    store.__init__(2, policy=policy, max_bytes=100, sizeof=lambda _: 7)
    assert store.items() == [("again", 1)]
    assert store.stats()["bytes"] == 7
    store.set_many(dict.fromkeys("abc", 1))
    assert len(store) == 2
    assert store.stats()["bytes"] == 14


def test_on_evict_may_initialise_the_store_again(store_class: Any) -> None:
    store = store_class(2, on_evict=lambda key, value: gone.append(key) or store.__init__(2))
    gone: list[object] = []
    store.set_many({"a": 1, "b": 2})
    store.resize(1)
    assert gone == ["a"]
    store.__init__(3, on_evict=lambda key, value: gone.append(key) or store.__init__(2))
    store.set_many({"c": 1, "d": 2, "e": 3})
    store.resize(1)
    assert gone == ["a", "c", "d"]


# ---- memory


def runs_without_memory(  # pragma: no cover  tracing is off, and back on only at the end
    failing: int, work: Callable[[], object]
) -> bool:
    """Say whether *work* succeeds although one allocation fails, the one called *failing*."""
    testcapi = pytest.importorskip("_testcapi")
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        pytest.skip("a free-threaded Python crashes without memory, whatever it does")
    trace = sys.gettrace()
    sys.settrace(None)  # a tracer would lack the memory as well, and stop tracing for good
    testcapi.set_nomemory(failing, failing + 1)
    try:
        work()
    except (MemoryError, RuntimeError):  # RuntimeError: no memory for a lock
        return False
    finally:
        testcapi.remove_mem_hooks()
        sys.settrace(trace)
    return True


def test_lack_of_memory_leaves_the_store_consistent(
    store_class: Any, policy: str, assert_consistent: Callable[[Any, int], None]
) -> None:
    outcomes = []
    keys = [f"key {number}" for number in range(64)]
    for entries in (0, 8, 24):
        for failing in range(60):
            store = store_class(40, max_bytes=60, policy=policy)
            for key in keys[:entries]:
                store.set(key, key, size=1)
            for work in (
                partial(store.set, "new", "value", size=60),
                partial(store.set, "new", "value", size=1),
                partial(store.set_many, dict.fromkeys(keys[entries : entries + 30], 1)),
                store.items,
            ):
                outcomes.append(runs_without_memory(failing, work))
                assert len(store.items()) == len(store) <= 40
                assert store.stats()["bytes"] <= 60
            assert_consistent(store, 40)
    assert set(outcomes) == {True, False}


def test_lack_of_memory_while_making_a_store(store_class: Any) -> None:
    outcomes = {runs_without_memory(failing, store_class) for failing in range(30)}
    assert outcomes == {True, False}


def test_references_are_counted_right(store_class: Any, policy: str) -> None:
    keys = [f"{number} key" for number in range(30)] + [(number,) for number in range(5)]
    value = object()
    now = 0.0
    store = store_class(20, policy=policy, max_bytes=25, sizeof=lambda _: 1, clock=lambda: now)
    counts = [sys.getrefcount(item) for item in [*keys, value, store]]
    for number in range(5):
        for key in keys:
            store.set(key, value, 1 + number % 3)
            store.get(key)
            store.get("absent")
            store.touch(key)
            store.set(key, value, 5, size=number * 6)
            assert store.get_many(keys)
            assert store.items()
            list(store)
        for key in keys[::3]:
            store.pop(key)
            store.delete(key)
            with pytest.raises(KeyError):
                store[key]
        with pytest.raises(TypeError):
            store.set("key", value, "ttl")
        with pytest.raises(ValueError, match=r"^size"):
            store.set("key", value, size=-1)
        now += 2
    store.clear()
    key = None
    gc.collect()
    assert [sys.getrefcount(item) for item in [*keys, value, store]] == counts


def test_collector_sees_what_a_store_holds(store_class: Any) -> None:
    class Clock:
        def __call__(self) -> float:
            return 0.0

    clock, key, value = Clock(), (Clock(),), [Clock()]
    store = store_class(clock=clock)
    store.set(key, value, 5)
    for held in (clock, key, value):
        holders = gc.get_referrers(held)
        parts = [each for each in holders if type(each).__module__ == "cores.store"]
        assert parts or any(each is store for each in holders)


def test_memory_is_returned(store_class: Any, policy: str) -> None:
    def work() -> None:
        store = store_class(500, policy=policy, max_bytes=400, sizeof=lambda _: 1)
        for number in range(1500):
            store[number] = str(number)
            store.get(number // 2)
        store.clear()
        store["last"] = [store]

    work()
    gc.collect()
    tracemalloc.start()
    try:
        work()
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(5):
            work()
        gc.collect()
        after = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    # A slab alone has 16,000 bytes. Without the GIL, some of what is freed waits for a while.
    has_gil = getattr(sys, "_is_gil_enabled", lambda: True)()
    assert after - before < (4_000 if has_gil else 16_000)
