"""The pure cache engine: what others may do between two of its steps.

What every engine does is in tests/contracts. Here a profile function stands for the code that
can run at such points: a destructor, the collector, a signal handler or another thread.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from cores.store import Entry, Store, _Lru

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextlib.contextmanager
def interrupted(event: str, name: str, act: Callable[[], object]) -> Iterator[None]:
    """Call *act* once, at the first *event* of the function called *name*."""

    def profile(  # pragma: no cover  a profile function, and what it calls, is not traced
        frame: Any, what: str, function: Any
    ) -> None:
        called = function.__name__ if what.startswith("c_") else frame.f_code.co_name
        if what == event and called == name:
            sys.setprofile(None)
            act()

    sys.setprofile(profile)
    try:
        yield
    finally:
        assert sys.getprofile() is None, "the function was not called"


@pytest.fixture(params=["lru", "s3fifo"])
def store(request: pytest.FixtureRequest) -> Store:
    return Store(3, max_bytes=100, sizeof=lambda _: 10, policy=request.param)


def assert_consistent(store: Store) -> None:
    assert len(store.items()) == len(store)
    assert store.stats()["bytes"] == 10 * len(store)
    for key in range(100, 110):
        store[key] = key
    assert len(store.items()) == len(store) == 3
    assert store.stats()["bytes"] == 30


@pytest.mark.parametrize("name", ["delete", "clear"])
def test_entry_removed_while_it_is_added(store: Store, name: str) -> None:
    removal = {"delete": lambda: store.delete("key"), "clear": store.clear}[name]
    with interrupted("c_return", "setdefault", removal):
        store["key"] = 1
    assert "key" not in store
    assert_consistent(store)


def test_entry_replaced_while_it_is_added(store: Store) -> None:
    with interrupted("c_return", "setdefault", lambda: store.set("key", 2, size=50)):
        store["key"] = 1
    assert store.get("key") == 2
    assert_consistent(store)


def test_entry_added_by_another_before_it_is_added(store: Store) -> None:
    with interrupted("c_call", "setdefault", lambda: store.set("key", 1, size=50)):
        store["key"] = 2
    assert store.get("key") == 2
    assert_consistent(store)


@pytest.mark.parametrize("name", ["delete", "clear"])
def test_entry_removed_while_it_is_replaced(store: Store, name: str) -> None:
    removal = {"delete": lambda: store.delete("key"), "clear": store.clear}[name]
    store["key"] = 1
    with interrupted("c_return", "append", removal):
        store["key"] = 2
    assert store.get("key") == 2
    assert_consistent(store)


def test_entry_removed_while_it_is_read(store: Store) -> None:
    store["key"] = value = object()
    with interrupted("c_return", "get", lambda: store.delete("key")):
        assert store.get("key") is value
    assert_consistent(store)


def test_entry_removed_while_it_is_touched(store: Store) -> None:
    store["key"] = 1
    with interrupted("c_return", "get", lambda: store.delete("key")):
        assert store.touch("key") is True
    assert "key" not in store
    assert_consistent(store)


def test_store_cleared_while_an_entry_is_removed(store: Store) -> None:
    store["key"] = 1
    with interrupted("c_return", "pop", store.clear):
        assert store.pop("key", "gone") == "gone"
    assert_consistent(store)


def test_entry_replaced_while_it_is_found_to_be_over() -> None:
    now = 0.0
    store = Store(clock=lambda: now)
    store.set("key", 1, ttl=1)
    now = 5.0
    with interrupted("call", "_forget", lambda: store.set("key", 2)):
        assert store.get("key", "gone") == "gone"
    assert store.get("key") == 2


def test_key_whose_hash_changes_is_evicted_from_the_queue(store: Store) -> None:
    class Changing:
        hash = 1

        def __hash__(self) -> int:
            return self.hash

    key = Changing()
    store[key] = 1
    key.hash = 2
    for number in range(10):
        store[number] = number
    assert [number for number, _ in store.items()] == [8, 9]


def test_store_full_of_lost_keys_keeps_its_bound(store: Store) -> None:
    class Changing:
        hash = 1

        def __hash__(self) -> int:
            return self.hash

    keys = [Changing() for _ in range(3)]
    for key in keys:
        store[key] = 1
    for key in keys:
        key.hash = 2
    store["key"] = 1
    assert len(store) == 3
    store.clear()
    assert_consistent(store)


def test_lack_of_memory_for_the_queue_leaves_no_entry() -> None:
    def fail() -> None:  # pragma: no cover  called by a profile function
        raise MemoryError

    store = Store(3, max_bytes=100, sizeof=lambda _: 10, policy="s3fifo")
    with pytest.raises(MemoryError), interrupted("call", "_mix", fail):
        store["key"] = 1
    assert store.stats()["entries"] == 0
    assert_consistent(store)


def test_without_the_gil_a_hit_is_recorded_under_the_lock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: False, raising=False)
    store = Store(2)
    store.set_many({"a": 1, "b": 2})
    with interrupted("call", "hit_locked", lambda: None):
        assert store.get("a") == 1
    store["c"] = 3
    assert store.items() == [("a", 1), ("c", 3)]


@pytest.mark.parametrize("policy", ["lru", "s3fifo"])
def test_without_the_gil_a_store_goes_with_its_last_reference(
    monkeypatch: pytest.MonkeyPatch, policy: str
) -> None:
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: False, raising=False)
    store = Store(policy=policy)
    store["key"] = 1
    assert store["key"] == 1
    dropped = weakref.ref(store)
    del store
    assert dropped() is None


def test_with_the_gil_a_hit_is_recorded_without_the_lock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: True, raising=False)
    store = Store()
    store["a"] = 1
    with interrupted("c_return", "move_to_end", lambda: None):
        assert store.get("a") == 1


def test_import_needs_no_module_that_the_runtime_lacks() -> None:
    code = (
        "import __future__, collections, math, sys; before = set(sys.modules); import cores.store;"
        "print(sorted(set(sys.modules) - before))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "['cores', 'cores.store']"


def test_choosing_a_victim_outlasts_a_hit_of_another_thread() -> None:
    class Disturbed(_Lru):
        """Changes between the making of an iterator and its first step, once."""

        def __init__(self) -> None:
            super().__init__()
            self.hits = 1

        def __iter__(self) -> Iterator[Entry]:
            steps = super().__iter__()
            if self.hits:
                self.hits -= 1
                self.hit(second)
            return steps

    first, second = Entry("a", 1, None, 0), Entry("b", 2, None, 0)
    queue = Disturbed()
    queue.add(second)
    queue.add(first)
    assert queue.victim(2) is first
