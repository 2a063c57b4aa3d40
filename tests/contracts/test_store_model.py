"""Each cache engine against the simplest model of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from hypothesis.stateful import run_state_machine_as_test as run

if TYPE_CHECKING:
    from collections.abc import Iterator

KEYS = st.one_of(st.integers(0, 8), st.sampled_from(["a", "b", "é", "€", "ab"]))
TTLS = st.sampled_from([None, 1, 2.5, 10, float("inf")])


class Model:
    """An LRU store as a list of [key, value, expires, size], least recently used first."""

    def __init__(self, entries: int, size: int | None, default_ttl: float | None) -> None:
        self.rows: list[list[Any]] = []
        self.entries = entries
        self.size = size
        self.default_ttl = default_ttl
        self.now = 0.0
        self.gone: list[tuple[object, object]] = []

    def expiry(self, ttl: float | None) -> float:
        return self.now + (ttl or self.default_ttl or float("inf"))

    def living(self) -> Iterator[list[Any]]:
        return (row for row in self.rows if self.now < row[2])

    def row(self, key: object) -> list[Any] | None:
        return next((row for row in self.living() if row[0] == key), None)

    def take(self, key: object) -> list[Any] | None:
        """Remove the row of a key, and return it if it was alive."""
        row = self.row(key)
        self.rows = [row for row in self.rows if row[0] != key]
        return row

    def use(self, key: object) -> list[Any] | None:
        row = self.take(key)
        if row is not None:
            self.rows.append(row)
        return row

    def set(self, key: object, value: object, ttl: float | None, size: int) -> None:
        self.take(key)
        if self.size is not None and size > self.size:
            self.gone.append((key, value))
        else:
            self.rows.append([key, value, self.expiry(ttl), size])
            self.shrink()

    def shrink(self) -> None:
        while len(self.rows) > self.entries or (
            self.size is not None and sum(row[3] for row in self.rows) > self.size
        ):
            row = self.rows.pop(0)
            self.gone.append((row[0], row[1]))


class StoreMachine(RuleBasedStateMachine):
    store_class: Any
    policy: str

    @initialize(
        entries=st.integers(1, 6),
        size=st.sampled_from([None, 1, 20, 1000]),
        default_ttl=st.sampled_from([None, None, 4]),
    )
    def make(self, entries: int, size: int | None, default_ttl: float | None) -> None:
        self.model = Model(entries, size, default_ttl)
        self.behind = 0.0
        self.counter = 0
        self.gone: list[tuple[object, object]] = []
        # What the store may return for a key: the last value, unless it was removed or is over.
        self.possible: dict[object, tuple[object, float]] = {}
        self.store = self.store_class(
            entries,
            max_bytes=size,
            default_ttl=default_ttl,
            policy=self.policy,
            clock=lambda: self.model.now - self.behind,
            sizeof=size and (lambda value: value % 5),
            on_evict=self.leave,
        )

    def leave(self, key: object, value: object) -> None:
        assert self.possible.pop(key)[0] == value
        self.gone.append((key, value))

    @property
    def is_exact(self) -> bool:
        return self.policy == "lru"

    def check(self, key: object, value: object, row: list[Any] | None) -> None:
        if self.is_exact:
            assert value == (row[1] if row else None)
        elif value is not None:
            last, expires = self.possible[key]
            assert value == last
            assert self.model.now < expires

    def expect(self, key: object, ttl: float | None, size: int) -> int:
        """Tell the model what is about to be set, and return the value."""
        self.counter += 1
        self.possible[key] = self.counter, self.model.expiry(ttl)
        self.model.set(key, self.counter, ttl, size)
        return self.counter

    @rule(key=KEYS, ttl=TTLS, size=st.integers(0, 25))
    def set(self, key: object, ttl: float | None, size: int) -> None:
        self.store.set(key, self.expect(key, ttl, size), ttl, size=size)

    @rule(key=KEYS)
    def set_item(self, key: object) -> None:
        self.store[key] = self.expect(key, None, (self.counter + 1) % 5)

    @rule(keys=st.lists(KEYS, unique=True), ttl=TTLS)
    def set_many(self, keys: list[object], ttl: float | None) -> None:
        machine = self

        class Items:
            """A mapping that tells the model of each pair when the store takes it."""

            def keys(self) -> list[object]:
                return keys

            def __getitem__(self, key: object) -> int:
                return machine.expect(key, ttl, (machine.counter + 1) % 5)

        self.store.set_many(Items(), ttl)

    @rule(key=KEYS)
    def get(self, key: object) -> None:
        self.check(key, self.store.get(key), self.model.use(key))

    @rule(key=KEYS)
    def get_item(self, key: object) -> None:
        row = self.model.use(key)
        if key in self.store:
            self.check(key, self.store[key], row)
        else:
            with pytest.raises(KeyError) as caught:
                self.store[key]
            assert caught.value.args == (key,)
            self.check(key, None, row)

    @rule(keys=st.lists(KEYS))
    def get_many(self, keys: list[object]) -> None:
        found = self.store.get_many(keys)
        for key in keys:
            self.check(key, found.get(key), self.model.use(key))

    @rule(key=KEYS)
    def contains(self, key: object) -> None:
        is_there = self.store.contains(key)
        assert is_there == (key in self.store)
        assert is_there == (self.model.row(key) is not None) or not self.is_exact
        assert not is_there or self.model.now < self.possible[key][1]

    @rule(key=KEYS)
    def pop(self, key: object) -> None:
        self.check(key, self.store.pop(key), self.model.take(key))
        self.possible.pop(key, None)

    @rule(key=KEYS)
    def delete(self, key: object) -> None:
        row = self.model.take(key)
        assert self.store.delete(key) == (row is not None) or not self.is_exact
        self.possible.pop(key, None)

    @rule(key=KEYS, ttl=TTLS)
    def touch(self, key: object, ttl: float | None) -> None:
        row = self.model.use(key)
        touched = self.store.touch(key, ttl)
        expires = self.model.expiry(ttl)
        if touched:
            self.possible[key] = self.possible[key][0], expires
        if row is not None:
            row[2] = expires
        assert touched == (row is not None) or not self.is_exact

    @rule(seconds=st.sampled_from([0.5, 1, 3, 20]))
    def pass_time(self, seconds: float) -> None:
        self.model.now += seconds

    @rule(seconds=st.sampled_from([1.5, 4, 1000]))
    def set_clock_back(self, seconds: float) -> None:
        # The store goes on from its latest look at the clock, so it looks before and after.
        self.store.touch("nobody", 1)
        self.behind += seconds
        self.store.touch("nobody", 1)

    @rule()
    def clear(self) -> None:
        self.store.clear()
        self.model.rows.clear()
        self.possible.clear()

    @rule(entries=st.none() | st.integers(1, 8), size=st.none() | st.sampled_from([1, 10, 500]))
    def resize(self, entries: int | None, size: int | None) -> None:
        self.model.entries = entries or self.model.entries
        self.model.size = self.model.size and (size or self.model.size)
        self.store.resize(entries, max_bytes=self.model.size and size)
        self.model.shrink()

    @invariant()
    def agrees(self) -> None:
        items = self.store.items()
        stats = self.store.stats()
        assert list(self.store) == [key for key, _ in items]
        assert len(items) <= len(self.store) == stats["entries"] <= self.model.entries
        assert stats["bytes"] <= (self.model.size or 0)
        assert stats["evictions"] == len(self.gone)
        for key, value in items:
            self.check(key, value, self.model.row(key))
        if self.is_exact:
            assert items == [(row[0], row[1]) for row in self.model.living()]
            assert self.gone == self.model.gone
            assert stats["entries"] == len(self.model.rows)
            assert stats["bytes"] == (
                (self.model.size and sum(row[3] for row in self.model.rows)) or 0
            )


def test_store_agrees_with_the_model(store_class: Any, policy: str) -> None:
    machine = type("Machine", (StoreMachine,), {"store_class": store_class, "policy": policy})
    run(machine, settings=settings(max_examples=60, stateful_step_count=60, deadline=None))
