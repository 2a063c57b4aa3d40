"""Each cache engine against the simplest model of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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

    def __init__(self, entries: int, size: int | None) -> None:
        self.rows: list[list[Any]] = []
        self.entries = entries
        self.size = size
        self.now = 0.0

    def row(self, key: object) -> list[Any] | None:
        for row in self.rows:
            if row[0] == key and self.now < row[2]:
                return row
        self.rows = [row for row in self.rows if row[0] != key]
        return None

    def living(self) -> Iterator[list[Any]]:
        return (row for row in self.rows if self.now < row[2])

    def use(self, key: object) -> list[Any] | None:
        row = self.row(key)
        if row is not None:
            self.rows.remove(row)
            self.rows.append(row)
        return row

    def set(self, key: object, value: object, ttl: float | None, size: int) -> None:
        self.rows = [row for row in self.rows if row[0] != key]
        if self.size is None or size <= self.size:
            self.rows.append([key, value, self.now + (ttl or float("inf")), size])
            self.shrink()

    def shrink(self) -> None:
        while len(self.rows) > self.entries or (
            self.size is not None and sum(row[3] for row in self.rows) > self.size
        ):
            del self.rows[0]


class StoreMachine(RuleBasedStateMachine):
    store_class: Any
    policy: str

    @initialize(entries=st.integers(1, 6), size=st.sampled_from([None, 1, 20, 1000]))
    def make(self, entries: int, size: int | None) -> None:
        self.model = Model(entries, size)
        self.store = self.store_class(
            entries, max_bytes=size, policy=self.policy, clock=lambda: self.model.now
        )
        self.counter = 0
        # What the store may return for a key: the last value, unless it was removed or is over.
        self.possible: dict[object, tuple[object, float]] = {}

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

    @rule(key=KEYS, ttl=TTLS, size=st.integers(0, 25))
    def set(self, key: object, ttl: float | None, size: int) -> None:
        self.counter += 1
        self.store.set(key, self.counter, ttl, size=size)
        self.model.set(key, self.counter, ttl, size)
        self.possible[key] = self.counter, self.model.now + (ttl or float("inf"))

    @rule(key=KEYS)
    def get(self, key: object) -> None:
        self.check(key, self.store.get(key), self.model.use(key))

    @rule(keys=st.lists(KEYS))
    def get_many(self, keys: list[object]) -> None:
        found = self.store.get_many(keys)
        for key in keys:
            self.check(key, found.get(key), self.model.use(key))

    @rule(key=KEYS)
    def pop(self, key: object) -> None:
        row = self.model.row(key)
        self.check(key, self.store.pop(key), row)
        self.forget(key, row)

    @rule(key=KEYS)
    def delete(self, key: object) -> None:
        row = self.model.row(key)
        assert self.store.delete(key) == (row is not None) or not self.is_exact
        self.forget(key, row)

    def forget(self, key: object, row: list[Any] | None) -> None:
        self.possible.pop(key, None)
        if row is not None:
            self.model.rows.remove(row)

    @rule(key=KEYS, ttl=TTLS)
    def touch(self, key: object, ttl: float | None) -> None:
        row = self.model.use(key)
        touched = self.store.touch(key, ttl)
        expires = self.model.now + (ttl or float("inf"))
        if touched:
            self.possible[key] = self.possible[key][0], expires
        if row is not None:
            row[2] = expires
        assert touched == (row is not None) or not self.is_exact

    @rule(seconds=st.sampled_from([0.5, 1, 3, 20]))
    def pass_time(self, seconds: float) -> None:
        self.model.now += seconds

    @rule()
    def clear(self) -> None:
        self.store.clear()
        self.model.rows.clear()
        self.possible.clear()

    @rule(entries=st.integers(1, 8))
    def resize(self, entries: int) -> None:
        self.store.resize(entries)
        self.model.entries = entries
        self.model.shrink()

    @invariant()
    def agrees(self) -> None:
        items = self.store.items()
        stats = self.store.stats()
        assert len(items) <= len(self.store) == stats["entries"] <= self.model.entries
        assert stats["bytes"] <= (self.model.size or 0)
        for key, value in items:
            self.check(key, value, self.model.row(key))
        if self.is_exact:
            assert items == [(row[0], row[1]) for row in self.model.living()]


def test_store_agrees_with_the_model(store_class: Any, policy: str) -> None:
    machine = type("Machine", (StoreMachine,), {"store_class": store_class, "policy": policy})
    run(machine, settings=settings(max_examples=60, stateful_step_count=60, deadline=None))
